"""A contact stage that was tried before its address was confirmed, and is asked about with the session alone after it."""

from pathlib import Path
from typing import Any

import pytest

from web.visitor import DONE, Visitor
from world import BASE, PASSWORD, World

C = "/_matrix/client/v3"
EMAIL = "m.login.email.identity"
PHONE = "m.login.msisdn"
BODY = {"username": "bob", "password": PASSWORD}
ADDRESS = "bob@example.com"


def opened(world: World, purpose: str = "register", secret: str = "s", address: str = ADDRESS) -> dict[str, str]:
    """Credentials that nobody has confirmed."""
    request = {"client_secret": secret, "email": address, "send_attempt": 1}
    sid = world.post(f"{C}/{purpose}/email/requestToken", request).json()["sid"]
    return {"sid": sid, "client_secret": secret}


def register(world: World, auth: dict[str, Any], body: dict[str, Any] = BODY) -> Any:
    return world.post(f"{C}/register", {**body, "auth": auth})


@pytest.mark.parametrize("repeated", [BODY, {}])
@pytest.mark.parametrize("first", ["with a session", "without a session"])
def test_the_session_alone_is_enough_after_the_click(world: World, first: str, repeated: dict[str, Any]) -> None:
    creds = opened(world)
    auth: dict[str, Any] = {"type": EMAIL, "threepid_creds": creds}
    if first == "with a session":
        auth["session"] = world.post(f"{C}/register", BODY).json()["session"]
    early = register(world, auth)
    assert (early.status_code, early.json()["errcode"]) == (401, "M_UNAUTHORIZED")
    session = early.json()["session"]
    for _ in range(3):  # it is no failed attempt to ask
        asked = register(world, {"session": session}, repeated)
        assert (asked.status_code, asked.json()["session"]) == (401, session)
        assert "errcode" not in asked.json()
        assert not asked.json().get("completed")
    assert world.post(world.mail().link).status_code == 200
    made = register(world, {"session": session}, repeated)
    assert made.status_code == 200, made.text
    assert world.contacts(made.json()["access_token"]) == [ADDRESS]


def test_apps_wait_for_the_click_by_the_errcode(world: World) -> None:
    """Element for Android and iOS wait while they get `M_UNAUTHORIZED`, as Synapse says, and give up at anything else."""
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    reset = opened(world, "account/password", address="alice@example.com")
    add = opened(world, "account/3pid", secret="add")

    def told(path: str, body: dict[str, Any], creds: dict[str, str]) -> tuple[int, str]:
        answer = world.post(f"{C}{path}", {**body, "auth": {"type": EMAIL, "threepid_creds": creds}})
        return answer.status_code, answer.json()["errcode"]

    assert told("/register", BODY, opened(world)) == (401, "M_UNAUTHORIZED")
    assert told("/account/password", {"new_password": "another good one"}, reset) == (401, "M_UNAUTHORIZED")
    # What nobody can confirm any more is not waited for.
    for lost in ({**reset, "sid": "unknown"}, {**reset, "client_secret": "wrong"}, add):
        assert told("/account/password", {"new_password": "x" * 9}, lost) == (401, "M_THREEPID_AUTH_FAILED")


def test_a_click_alone_completes_nobodys_session(world: World) -> None:
    opened(world)
    session = world.post(f"{C}/register", BODY).json()["session"]
    assert world.post(world.mail().link).status_code == 200
    asked = register(world, {"session": session})
    assert (asked.status_code, asked.json().get("completed", [])) == (401, [])


def test_what_another_session_tried_helps_only_that_one(world: World) -> None:
    creds = opened(world)
    mine, other = (world.post(f"{C}/register", BODY).json()["session"] for _ in range(2))
    register(world, {"session": mine, "type": EMAIL, "threepid_creds": creds})
    assert world.post(world.mail().link).status_code == 200
    assert register(world, {"session": other}).status_code == 401
    assert register(world, {"session": mine}).status_code == 200


def test_credentials_with_a_wrong_secret_are_not_kept(world: World) -> None:
    creds = opened(world)
    session = world.post(f"{C}/register", BODY).json()["session"]
    register(world, {"session": session, "type": EMAIL, "threepid_creds": {**creds, "client_secret": "guess"}})
    assert world.post(world.mail().link).status_code == 200
    assert register(world, {"session": session}).status_code == 401


def test_the_latest_early_attempt_is_the_one_that_is_tried_again(world: World) -> None:
    session = world.post(f"{C}/register", BODY).json()["session"]
    for secret, address in (("one", "one@example.com"), ("two", "two@example.com")):
        world.clock.advance(1)
        register(
            world, {"session": session, "type": EMAIL, "threepid_creds": opened(world, secret=secret, address=address)}
        )
    one, two = world.mails()
    assert world.post(one.link).status_code == 200
    assert register(world, {"session": session}).status_code == 401
    assert world.post(two.link).status_code == 200
    made = register(world, {"session": session})
    assert world.contacts(made.json()["access_token"]) == ["two@example.com"]


def test_a_reset_is_finished_in_the_same_way(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    creds = opened(world, "account/password", address="alice@example.com")
    body = {"new_password": "another good one"}
    early = world.post(f"{C}/account/password", {**body, "auth": {"type": EMAIL, "threepid_creds": creds}})
    session = early.json()["session"]
    assert world.post(f"{C}/account/password", {"auth": {"session": session}}).status_code == 401
    assert world.post(world.mail().link).status_code == 200
    # Another request in the same session is refused, whatever was tried early.
    other = world.post(f"{C}/account/password", {"new_password": "x" * 9, "auth": {"session": session}})
    assert other.status_code == 403


def test_a_reset_by_the_session_alone(world: World) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    creds = opened(world, "account/password", address="alice@example.com")
    body = {"new_password": "another good one"}
    early = world.post(f"{C}/account/password", {**body, "auth": {"type": EMAIL, "threepid_creds": creds}})
    assert world.post(world.mail().link).status_code == 200
    assert world.post(f"{C}/account/password", {"auth": {"session": early.json()["session"]}}).status_code == 200


def test_two_contacts_one_after_the_other(database_url: str, tmp_path: Path) -> None:
    required = ["email", "msisdn"]
    with World(database_url, tmp_path, sms__countries=["GB"], accounts__required_contacts=required) as world:
        session = world.post(f"{C}/register", BODY).json()["session"]
        register(world, {"session": session, "type": EMAIL, "threepid_creds": opened(world)})
        assert world.post(world.mail().link).status_code == 200
        assert register(world, {"session": session}).json()["completed"] == [EMAIL]
        request = {"client_secret": "p", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
        answer = world.post(f"{C}/register/msisdn/requestToken", request).json()
        creds = {"sid": answer["sid"], "client_secret": "p"}
        early = register(world, {"session": session, "type": PHONE, "threepid_creds": creds})
        assert (early.status_code, early.json()["completed"]) == (401, [EMAIL])
        submit = {**creds, "token": world.text().code}
        assert world.post(answer["submit_url"].removeprefix(BASE), submit).status_code == 200
        assert register(world, {"session": session}).status_code == 200


def test_it_is_kept_over_a_restart_and_sealed(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        creds = opened(world, secret="planted-secret")
        session = register(world, {"type": EMAIL, "threepid_creds": creds}).json()["session"]
        from threepid.storage.engine.queries import Query

        statement = "SELECT early FROM uia_sessions"
        query = Query("test", statement, statement)
        early = bytes(world.run(world.server.context.database.read(lambda tx: tx.value(query))))
        assert creds["sid"].encode() not in early
        assert b"planted" not in early
        assert world.post(world.mail().link).status_code == 200
        with world.again() as other:
            assert register(other, {"session": session}).status_code == 200


def test_a_client_that_repeats_an_early_attempt_writes_nothing(world: World) -> None:
    auth: dict[str, Any] = {"type": EMAIL, "threepid_creds": opened(world)}
    auth["session"] = register(world, auth).json()["session"]
    writes = world.server.context.database.writes
    for _ in range(3):
        assert register(world, auth).status_code == 401
        assert register(world, {"session": auth["session"]}).status_code == 401
    assert world.server.context.database.writes == writes


def test_the_button_that_was_pressed_too_early_on_the_page_is_tried_again_too(world: World) -> None:
    session = world.post(f"{C}/register", BODY).json()["session"]
    visitor = Visitor.at_stage(world, EMAIL, session)
    visitor.press("Send me a code", address=ADDRESS)
    assert visitor.press("I pressed the button").status == 403
    assert world.post(world.mail().link).status_code == 200
    assert register(world, {"session": session}).status_code == 200
    assert visitor.press("I pressed the button").heading != DONE


# -- identifiers


@pytest.mark.parametrize("kind", ["m.id.unknown", "", "m.id.User", "m.id.email"])
def test_an_unknown_identifier_is_told_at_login(world: World, kind: str) -> None:
    world.register()
    login = {"type": "m.login.password", "identifier": {"type": kind, "user": "alice"}, "password": PASSWORD}
    for version in ("r0", "v3", "unstable"):
        answer = world.post(f"/_matrix/client/{version}/login", login)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_UNKNOWN")


def test_an_unknown_identifier_is_a_failed_stage_that_may_be_tried_again(world: World) -> None:
    token = world.register()
    session = world.post(f"{C}/delete_devices", {"devices": ["X"]}, token=token).json()["session"]
    stage = {"type": "m.login.password", "session": session, "password": PASSWORD}
    wrong = {**stage, "identifier": {"type": "m.id.unknown", "user": "alice"}}
    answer = world.post(f"{C}/delete_devices", {"auth": wrong}, token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN")
    assert answer.json()["session"] == session
    right = {**stage, "identifier": {"type": "m.id.user", "user": "alice"}}
    assert world.post(f"{C}/delete_devices", {"auth": right}, token=token).status_code == 200
