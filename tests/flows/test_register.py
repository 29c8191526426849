"""Registration, as clients do it."""

from pathlib import Path
from typing import Any

import pytest

from world import World

PATH = "/_matrix/client/v3/register"


def test_an_empty_body_is_told_the_flows(world: World) -> None:
    answer = world.post(PATH, {})
    assert answer.status_code == 401
    body = answer.json()
    assert body["flows"] == [{"stages": ["m.login.dummy"]}, {"stages": ["m.login.email.identity"]}]
    assert body["session"]
    assert body["params"] == {}
    assert "errcode" not in body


def test_a_password_is_needed_in_the_end(world: World) -> None:
    answer = world.post(PATH, {"username": "alice", "auth": {"type": "m.login.dummy"}})
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_MISSING_PARAM")
    assert world.get("/_matrix/client/v3/register/available?username=alice").json() == {"available": True}


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"username": "a b"}, "M_INVALID_USERNAME"),
        ({"username": "\N{KELVIN SIGN}elvin"}, "M_INVALID_USERNAME"),
        ({"username": "@alice:example.org"}, "M_INVALID_USERNAME"),
        ({"username": ""}, "M_INVALID_USERNAME"),
        ({"username": "a" * 250}, "M_INVALID_USERNAME"),
        ({"username": "taken"}, "M_USER_IN_USE"),
        ({"username": "TAKEN"}, "M_USER_IN_USE"),
        ({"password": "short"}, "M_WEAK_PASSWORD"),
        ({"password": "x" * 513}, "M_INVALID_PARAM"),
    ],
)
def test_wishes_are_checked_before_the_authentication(world: World, changes: dict[str, Any], errcode: str) -> None:
    world.register("taken")
    answer = world.post(PATH, {"username": "alice", "password": "long enough", **changes})
    assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)


def test_capital_letters_of_a_username_become_small(world: World) -> None:
    assert world.get("/_matrix/client/v3/register/available?username=Alice-2").json() == {"available": True}
    body = {"username": "Alice-2", "password": "long enough", "auth": {"type": "m.login.dummy"}}
    assert world.post(PATH, body).json()["user_id"] == "@alice-2:example.org"
    answer = world.get("/_matrix/client/v3/register/available?username=aLICE-2")
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_USER_IN_USE")


def test_without_a_username_one_is_made(world: World) -> None:
    answer = world.post(PATH, {"password": "long enough", "auth": {"type": "m.login.dummy"}}).json()
    assert answer["user_id"].startswith("@u")
    assert answer["home_server"] == "example.org"
    assert answer["device_id"]


def test_the_wished_device_is_made_or_none(world: World) -> None:
    body: dict[str, Any] = {
        "username": "alice",
        "password": "long enough",
        "device_id": "PHONE",
        "auth": {"type": "m.login.dummy"},
    }
    answer = world.post(PATH, body).json()
    assert answer["device_id"] == "PHONE"
    token = answer["access_token"]
    assert world.get("/_matrix/client/v3/account/whoami", token=token).json() == {
        "user_id": "@alice:example.org",
        "device_id": "PHONE",
        "is_guest": False,
    }
    body = {"username": "bob", "password": "long enough", "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
    assert world.post(PATH, body).json() == {"user_id": "@bob:example.org", "home_server": "example.org"}


def test_logging_a_device_in_again_ends_its_older_token(world: World) -> None:
    world.register("alice")
    login = {"type": "m.login.password", "user": "alice", "password": "correct horse battery", "device_id": "D"}
    first = world.post("/_matrix/client/v3/login", login).json()["access_token"]
    second = world.post("/_matrix/client/v3/login", login).json()["access_token"]
    assert world.get("/_matrix/client/v3/account/whoami", token=first).status_code == 401
    assert world.get("/_matrix/client/v3/account/whoami", token=second).json()["device_id"] == "D"


def test_logging_out_everywhere_ends_all_tokens(world: World) -> None:
    first = world.register("alice")
    login = {"type": "m.login.password", "user": "alice", "password": "correct horse battery"}
    second = world.post("/_matrix/client/v3/login", login).json()["access_token"]
    assert world.post("/_matrix/client/v3/logout/all", token=second).json() == {}
    for token in (first, second):
        assert world.get("/_matrix/client/v3/account/whoami", token=token).status_code == 401


def test_there_are_no_guests_and_no_other_kinds(world: World) -> None:
    guest = world.post(f"{PATH}?kind=guest", {})
    assert (guest.status_code, guest.json()["errcode"]) == (403, "M_GUEST_ACCESS_FORBIDDEN")
    other = world.post(f"{PATH}?kind=robot", {})
    assert (other.status_code, other.json()["errcode"]) == (400, "M_INVALID_PARAM")


def test_the_address_that_authenticated_becomes_a_contact(world: World) -> None:
    request = {"client_secret": "s", "email": "Alice@example.com", "send_attempt": 1}
    sid = world.post("/_matrix/client/v3/register/email/requestToken", request).json()["sid"]
    creds = {"sid": sid, "client_secret": "s"}
    body: dict[str, Any] = {"username": "alice", "password": "long enough"}
    session = world.post(PATH, body).json()["session"]
    auth = {"type": "m.login.email.identity", "session": session, "threepid_creds": creds}
    early = world.post(PATH, {**body, "auth": auth})
    assert early.status_code == 401
    assert early.json()["errcode"] == "M_UNAUTHORIZED"
    assert early.json()["session"] == session
    assert world.post(world.mail().link).status_code == 200
    # The old spelling, and a list of one, are taken too.
    auth = {"type": "m.login.email.identity", "session": session, "threepidCreds": [creds]}
    answer = world.post(PATH, {**body, "auth": auth})
    assert answer.status_code == 200
    assert world.contacts(answer.json()["access_token"]) == ["alice@example.com"]


def test_who_asked_with_nothing_for_the_flows_may_say_once_what_is_wished(world: World) -> None:
    session = world.post(PATH, {}).json()["session"]
    body = {"username": "alice", "password": "long enough", "device_id": "PHONE"}
    waiting = world.post(PATH, {**body, "auth": {"session": session}})
    assert (waiting.status_code, waiting.json()["session"]) == (401, session)
    assert "errcode" not in waiting.json()
    auth = {"type": "m.login.dummy", "session": session}
    answer = world.post(PATH, {**body, "auth": auth}).json()
    assert (answer["user_id"], answer["device_id"]) == ("@alice:example.org", "PHONE")
    # The same again gets the same, anything else nothing.
    assert world.post(PATH, {**body, "auth": auth}).json()["user_id"] == "@alice:example.org"
    assert world.post(PATH, {"auth": auth}).json() == {"user_id": "@alice:example.org", "home_server": "example.org"}
    assert world.post(PATH, {**body, "username": "mallory", "auth": auth}).status_code == 403


def test_what_this_server_does_not_know_is_no_wish(world: World) -> None:
    # matrix-ios-sdk asks for the flows so, and leaves the member out when it says what is wished.
    session = world.post(PATH, {"x_show_msisdn": True}).json()["session"]
    auth = {"type": "m.login.dummy", "session": session}
    body = {"username": "alice", "password": "long enough", "initial_device_display_name": "Phone"}
    answer = world.post(PATH, {**body, "auth": auth})
    assert (answer.status_code, answer.json().get("user_id")) == (200, "@alice:example.org")
    assert world.post(PATH, {**body, "username": "mallory", "auth": auth}).status_code == 403


@pytest.mark.parametrize("wish", [{"username": "alice"}, {"inhibit_login": False}, {"device_id": "PHONE"}])
def test_a_wish_of_one_member_stays_as_well(world: World, wish: dict[str, Any]) -> None:
    session = world.post(PATH, wish).json()["session"]
    body = {"username": "alice", "password": "long enough", "auth": {"type": "m.login.dummy", "session": session}}
    assert world.post(PATH, {**wish, **body}).status_code == 403


def test_what_was_wished_once_stays(world: World) -> None:
    session = world.post(PATH, {}).json()["session"]
    body = {"username": "alice", "password": "long enough"}
    assert world.post(PATH, {**body, "auth": {"session": session}}).status_code == 401
    auth = {"type": "m.login.dummy", "session": session}
    assert world.post(PATH, {**body, "username": "mallory", "auth": auth}).status_code == 403
    assert world.post(PATH, {**body, "auth": auth}).status_code == 401


def test_polling_with_a_session_alone_says_what_is_missing(world: World) -> None:
    body = {"username": "alice", "password": "long enough"}
    session = world.post(PATH, body).json()["session"]
    for _ in range(3):
        answer = world.post(PATH, {**body, "auth": {"session": session}})
        assert answer.status_code == 401
        assert answer.json()["session"] == session


@pytest.mark.parametrize("stage", ["m.login.password", "m.login.nothing", "m.login.terms"])
def test_a_stage_that_is_not_offered_is_refused(world: World, stage: str) -> None:
    answer = world.post(PATH, {"username": "alice", "password": "long enough", "auth": {"type": stage}})
    assert answer.status_code == 401
    assert answer.json()["errcode"] == "M_UNRECOGNIZED"


def test_the_first_of_several_stages_may_come_before_there_is_a_session(database_url: str, tmp_path: Path) -> None:
    document = {"id": "privacy", "version": "1", "languages": {"en": {"name": "Privacy", "url": "https://a.example/p"}}}
    with World(database_url, tmp_path, accounts__terms=[document]) as world:
        body = {"username": "alice", "password": "long enough"}
        begun = world.post(PATH, {**body, "auth": {"type": "m.login.terms"}})
        assert (begun.status_code, begun.json()["completed"]) == (401, ["m.login.terms"])
        assert "errcode" not in begun.json()
        early = world.post(PATH, {**body, "auth": {"type": "m.login.dummy"}})
        assert (early.status_code, early.json()["errcode"], early.json()["completed"]) == (401, "M_UNRECOGNIZED", [])
        auth = {"type": "m.login.dummy", "session": begun.json()["session"]}
        assert world.post(PATH, {**body, "auth": auth}).json()["user_id"] == "@alice:example.org"


def test_an_unknown_session_and_one_that_lay_idle_begin_anew(world: World) -> None:
    body = {"username": "alice", "password": "long enough"}
    session = world.post(PATH, body).json()["session"]
    world.clock.advance(15 * 60 * 1000 + 1)
    for given in (session, "made-up"):
        answer = world.post(PATH, {**body, "auth": {"type": "m.login.dummy", "session": given}})
        assert answer.status_code == 401
        assert answer.json()["session"] not in {session, "made-up"}
        assert answer.json()["errcode"] == "M_FORBIDDEN"


def test_a_session_survives_a_restart(world: World) -> None:
    body = {"username": "alice", "password": "long enough"}
    session = world.post(PATH, body).json()["session"]
    with world.again() as other:
        answer = other.post(PATH, {"auth": {"type": "m.login.dummy", "session": session}})
        assert answer.json()["user_id"] == "@alice:example.org"


def test_the_password_is_nowhere_in_the_database(world: World, engine: str) -> None:
    world.post(PATH, {"username": "alice", "password": "canary-of-the-password"})
    if engine == "sqlite":
        path = Path(world.database_url.removeprefix("sqlite:"))
        found = path.read_bytes() + path.with_name(path.name + "-wal").read_bytes()
    else:
        import psycopg

        with psycopg.connect(world.database_url) as connection:
            found = b"".join(bytes(row[0]) for row in connection.execute(b"SELECT request FROM uia_sessions"))
    assert b"canary-of" not in found


def test_where_registration_is_closed_nothing_of_it_works(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        request = {"client_secret": "s", "email": "a@example.com", "send_attempt": 1}
        for path, body in ((PATH, {}), ("/_matrix/client/v3/register/email/requestToken", request)):
            assert world.post(path, body).status_code == 403
        assert world.mails() == []


def test_where_an_address_is_required_the_dummy_is_not_offered(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__required_contacts=["email"]) as world:
        assert world.post(PATH, {}).json()["flows"] == [{"stages": ["m.login.email.identity"]}]
        body = {"username": "alice", "password": "long enough", "auth": {"type": "m.login.dummy"}}
        assert world.post(PATH, body).status_code == 401
