"""Login in every form, login tokens, and tokens that are refreshed."""

from pathlib import Path
from typing import Any

import pytest

from threepid.storage.engine.database import StorageError, Tx
from world import PASSWORD, World

C = "/_matrix/client/v3"
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
GET_TOKEN = "/_matrix/client/v1/login/get_token"
MINUTE = 60_000


def whoami(world: World, token: str) -> Any:
    return world.get(f"{C}/account/whoami", token=token)


def test_the_ways_are_told(world: World) -> None:
    assert world.get(f"{C}/login").json()["flows"] == [
        {"type": "m.login.password"},
        {"type": "m.login.token", "get_login_token": True},
        {
            "type": "m.login.sso",
            "oauth_aware_preferred": True,
            "org.matrix.msc3824.delegated_oidc_compatibility": True,
        },
    ]


FORMS: list[dict[str, Any]] = [
    {"identifier": {"type": "m.id.user", "user": "alice"}},
    {"identifier": {"type": "m.id.user", "user": "@alice:example.org"}},
    {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "ALICE@example.com"}},
    {"identifier": {"type": "m.id.user", "user": "Alice"}},
    # As copied from a mail in Arabic, or typed with a keyboard that adds a blank.
    {"identifier": {"type": "m.id.user", "user": "\N{LEFT-TO-RIGHT MARK}@alice:example.org "}},
    {"identifier": {"type": "m.id.user", "user": "@alice"}},
    {"user": "alice"},
    {"user": "@alice:example.org"},
    {"user": "@ALICE:example.org"},
    {"medium": "email", "address": "alice@example.com"},
]


@pytest.mark.parametrize("who", FORMS)
@pytest.mark.parametrize("family", ["r0", "v3", "unstable"])
def test_every_form_logs_in(world: World, who: dict[str, Any], family: str) -> None:
    alice = world.register()
    world.add(alice, world.validated(world.identity_token(alice)))
    answer = world.post(
        f"/_matrix/client/{family}/login", {"type": "m.login.password", "password": PASSWORD, **who}
    ).json()
    assert (answer["user_id"], answer["home_server"]) == ("@alice:example.org", "example.org")
    assert "refresh_token" not in answer
    assert "expires_in_ms" not in answer
    assert whoami(world, answer["access_token"]).json()["device_id"] == answer["device_id"]


@pytest.mark.parametrize(
    "who",
    [
        {"identifier": {"type": "m.id.user", "user": "@alice:elsewhere.org"}},
        {"identifier": {"type": "m.id.user", "user": "@alice:Example.org"}},
        {"identifier": {"type": "m.id.user", "user": "alice\N{KELVIN SIGN}"}},
        {"identifier": {"type": "m.id.user"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "nobody@example.com"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "pigeon", "address": "alice"}},
        {"identifier": {"type": "m.id.thirdparty"}},
        {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "07400 123456"}},
        {"identifier": {"type": "m.id.phone"}},
        {"user": "nobody"},
        {"medium": "email", "address": "not an address"},
        {"address": "alice@example.com"},
    ],
)
def test_whoever_is_not_known_is_told_what_a_wrong_password_is_told(world: World, who: dict[str, Any]) -> None:
    world.register()
    wrong = world.post(f"{C}/login", {**STAGE, "password": "wrong password"})
    answer = world.post(f"{C}/login", {"type": "m.login.password", "password": PASSWORD, **who})
    assert (answer.status_code, answer.content) == (wrong.status_code, wrong.content) == (403, answer.content)


@pytest.mark.parametrize(
    ("kind", "errcode"),
    [("m.login.application_service", "M_APPSERVICE_LOGIN_UNSUPPORTED"), ("m.login.cas", "M_UNKNOWN")],
)
def test_other_login_types_are_refused_by_name(world: World, kind: str, errcode: str) -> None:
    """Bridges that learn that they cannot log in make devices of their users by `PUT /devices/{deviceId}`."""
    body = {"type": kind, "identifier": {"type": "m.id.user", "user": "alice"}}
    answer = world.post(f"{C}/login", body, token="a bridge's")
    assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)


def test_what_is_off_does_not_identify(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__login_with=["email"]) as world:
        alice = world.register()
        world.add(alice, world.validated(world.identity_token(alice)))
        assert world.post(f"{C}/login", STAGE).status_code == 403
        by_mail = {"type": "m.login.password", "medium": "email", "address": "alice@example.com", "password": PASSWORD}
        assert world.post(f"{C}/login", by_mail).status_code == 200
        # Who is logged in may still say who they are by their name.
        assert world.post(GET_TOKEN, {"auth": STAGE}, token=alice).status_code == 200


def test_the_contacts_that_recover_an_account_are_chosen(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__recover_with=["email"], sms={"countries": ["GB"]}) as world:
        answer = world.post(f"{C}/account/password", {"new_password": "another password"})
        assert [flow["stages"] for flow in answer.json()["flows"]] == [["m.login.email.identity"]]
    with World(database_url, tmp_path, accounts__recover_with=[]) as world:
        answer = world.post(f"{C}/account/password", {"new_password": "another password"})
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_a_login_token_logs_another_device_in_once(world: World) -> None:
    alice = world.register()
    asked = world.post(GET_TOKEN, {}, token=alice)
    assert asked.json()["flows"] == [{"stages": ["m.login.password"]}]
    made = world.post(GET_TOKEN, {"auth": {**STAGE, "session": asked.json()["session"]}}, token=alice).json()
    assert made["expires_in_ms"] == 120_000
    body = {"type": "m.login.token", "token": made["login_token"], "device_id": "TV"}
    answer = world.post(f"{C}/login", body)
    assert (answer.json()["user_id"], answer.json()["device_id"]) == ("@alice:example.org", "TV")
    again = world.post(f"{C}/login", body)
    assert (again.status_code, again.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert whoami(world, alice).status_code == 200


def test_a_login_token_expires_and_dies_with_its_account(world: World) -> None:
    alice = world.register()
    tokens = [world.post(GET_TOKEN, {"auth": STAGE}, token=alice).json()["login_token"] for _ in range(2)]
    world.clock.advance(120_000)
    assert world.post(f"{C}/login", {"type": "m.login.token", "token": tokens[0]}).status_code == 403
    fresh = world.post(GET_TOKEN, {"auth": STAGE}, token=alice).json()["login_token"]
    assert world.post(f"{C}/account/deactivate", {"auth": STAGE}, token=alice).status_code == 200
    assert world.post(f"{C}/login", {"type": "m.login.token", "token": fresh}).status_code == 403


def test_of_many_logins_with_one_token_one_succeeds(world: World) -> None:
    alice = world.register()
    token = world.post(GET_TOKEN, {"auth": STAGE}, token=alice).json()["login_token"]
    body = {"type": "m.login.token", "token": token}
    answers = world.together(*(lambda: world.acall("POST", f"{C}/login", body) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * 19


@pytest.mark.parametrize("path", ["v3/refresh", "r0/refresh", "r0/tokenrefresh", "unstable/tokenrefresh"])
def test_a_client_that_wants_it_gets_tokens_that_are_refreshed(world: World, path: str) -> None:
    world.register()
    first = world.post(f"{C}/login", {**STAGE, "refresh_token": True, "device_id": "D"}).json()
    assert first["expires_in_ms"] == 60 * MINUTE
    world.clock.advance(60 * MINUTE)
    late = whoami(world, first["access_token"])
    assert (late.status_code, late.json()["errcode"], late.json()["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)
    second = world.post(f"/_matrix/client/{path}", {"refresh_token": first["refresh_token"]}).json()
    assert whoami(world, second["access_token"]).json()["device_id"] == "D"
    assert second["refresh_token"] != first["refresh_token"]


def test_registration_gives_such_tokens_too(world: World) -> None:
    body = {"username": "alice", "password": PASSWORD, "refresh_token": True, "auth": {"type": "m.login.dummy"}}
    answer = world.post(f"{C}/register", body).json()
    assert world.post(f"{C}/refresh", {"refresh_token": answer["refresh_token"]}).status_code == 200


def test_a_junk_token_is_not_softly_logged_out(world: World) -> None:
    for answer in (whoami(world, "junk"), world.post(f"{C}/refresh", {"refresh_token": "junk"})):
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
        assert not answer.json().get("soft_logout")


def test_a_password_of_another_servers_bcrypt_is_taken_over(world: World) -> None:
    import bcrypt

    from threepid.storage import accounts

    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    database = world.server.context.database
    user = "@alice:example.org"
    world.run(database.write(lambda tx: accounts.insert(tx, user_id=user, password_hash=hashed, created_at=1)))
    assert world.post(f"{C}/login", {**STAGE, "password": "wrong"}).status_code == 403
    assert world.post(f"{C}/login", STAGE).status_code == 200
    account = world.run(database.read(lambda tx: accounts.get(tx, user)))
    assert account is not None
    assert str(account.password_hash).startswith("$argon2id$")
    assert world.post(f"{C}/login", STAGE).status_code == 200
    assert world.post(f"{C}/login", {**STAGE, "password": "wrong"}).status_code == 403


def test_where_and_when_a_device_was_heard_of_is_noted(world: World) -> None:
    alice = world.register()
    world.clock.advance(2 * 60 * MINUTE)
    world.run(world.homeserver.last_seen.write())
    headers = {"X-Forwarded-For": "198.51.100.7", "User-Agent": "Tester/1"}
    world.get(f"{C}/account/whoami", token=alice, headers=headers)
    world.run(world.homeserver.last_seen.write())
    (device,) = world.get(f"{C}/devices", token=alice).json()["devices"]
    assert (device["last_seen_ip"], device["last_seen_ts"]) == ("198.51.100.7", world.clock.now())


def test_where_a_device_was_seen_is_noted_after_a_disk_that_was_full(world: World) -> None:
    alice = world.register()
    world.clock.advance(2 * 60 * MINUTE)
    world.run(world.homeserver.last_seen.write())
    world.get(f"{C}/account/whoami", token=alice, headers={"X-Forwarded-For": "198.51.100.7"})

    def full(_tx: Tx) -> None:
        raise StorageError("the disk is full")

    world.database.at_end_of_long_writes = full
    with pytest.raises(StorageError):
        world.run(world.homeserver.last_seen.write())
    world.database.at_end_of_long_writes = None
    world.run(world.homeserver.last_seen.write())
    (device,) = world.get(f"{C}/devices", token=alice).json()["devices"]
    assert device["last_seen_ip"] == "198.51.100.7"
