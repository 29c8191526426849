"""A new password, a recovered account, devices, and the end of an account."""

from typing import Any

import pytest

from world import BASE, PASSWORD, World

CHANGE = "/_matrix/client/v3/account/password"
RESET = "/_matrix/client/v3/account/password/email/requestToken"
DEACTIVATE = "/_matrix/client/v3/account/deactivate"
WHOAMI = "/_matrix/client/v3/account/whoami"
NEW = "another long password"


def password(word: str = PASSWORD, user: str = "alice") -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": word}


def log_in(world: World, word: str, **more: Any) -> Any:
    return world.post("/_matrix/client/v3/login", {**password(word), **more})


def alive(world: World, token: str) -> bool:
    return world.get(WHOAMI, token=token).status_code == 200


@pytest.fixture
def alice(world: World) -> str:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    return token


def reset_proof(world: World, secret: str = "s", address: str = "alice@example.com") -> dict[str, Any]:
    """A validated reset session as the email stage's auth."""
    answer = world.post(RESET, {"client_secret": secret, "email": address, "send_attempt": 1}).json()
    mail = world.mail()
    world.clock.advance(1)
    body = {"sid": answer["sid"], "client_secret": secret, "token": mail.code}
    assert world.post(answer["submit_url"].removeprefix(BASE), body).json() == {"success": True}
    return {
        "type": "m.login.email.identity",
        "threepid_creds": {"sid": answer["sid"], "client_secret": secret},
    }


def test_a_new_password_by_the_old_one_keeps_this_device_and_ends_the_others(world: World, alice: str) -> None:
    other = log_in(world, PASSWORD).json()["access_token"]
    assert world.post(CHANGE, {"new_password": NEW, "auth": password()}, token=alice).json() == {}
    assert alive(world, alice)
    assert not alive(world, other)
    assert log_in(world, PASSWORD).status_code == 403
    assert log_in(world, NEW).status_code == 200


def test_other_devices_stay_if_that_is_wished(world: World, alice: str) -> None:
    other = log_in(world, PASSWORD).json()["access_token"]
    body = {"new_password": NEW, "logout_devices": False, "auth": password()}
    assert world.post(CHANGE, body, token=alice).json() == {}
    assert alive(world, other)


def test_a_wrong_password_changes_nothing(world: World, alice: str) -> None:
    assert world.post(CHANGE, {"new_password": NEW, "auth": password("wrong")}, token=alice).status_code == 401
    assert world.post(CHANGE, {"new_password": "short", "auth": password()}, token=alice).json()["errcode"] == (
        "M_WEAK_PASSWORD"
    )
    assert log_in(world, PASSWORD).status_code == 200


def test_a_forgotten_password_is_reset_by_a_contact(world: World, alice: str) -> None:
    asked = world.post(CHANGE, {"new_password": NEW})
    assert asked.status_code == 401
    assert asked.json()["flows"] == [{"stages": ["m.login.email.identity"]}]
    auth = {**reset_proof(world), "session": asked.json()["session"]}
    assert world.post(CHANGE, {"new_password": NEW, "auth": auth}).json() == {}
    assert not alive(world, alice)
    assert log_in(world, NEW).status_code == 200


def test_one_proof_resets_once_and_ends_the_others(world: World, alice: str) -> None:
    first, second, third = (reset_proof(world, secret) for secret in ("one", "two", "three"))
    assert world.post(CHANGE, {"new_password": NEW, "auth": second}).json() == {}
    for auth in (first, second, third):
        answer = world.post(CHANGE, {"new_password": "and another one", "auth": auth})
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_THREEPID_AUTH_FAILED")
    assert log_in(world, NEW).status_code == 200


def test_a_removed_address_resets_nothing(world: World, alice: str) -> None:
    auth = reset_proof(world)
    world.post(
        "/_matrix/client/v3/account/3pid/delete", {"medium": "email", "address": "alice@example.com"}, token=alice
    )
    assert world.post(CHANGE, {"new_password": NEW, "auth": auth}).status_code == 401
    assert log_in(world, PASSWORD).status_code == 200


def test_a_proof_of_ones_own_address_does_not_reset_another_account(world: World, alice: str) -> None:
    bob = world.register("bob")
    auth = reset_proof(world)
    answer = world.post(CHANGE, {"new_password": NEW, "auth": auth}, token=bob)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert log_in(world, PASSWORD).status_code == 200


def test_an_address_that_nobody_has_answers_alike_and_its_mailbox_is_told(world: World, alice: str) -> None:
    known, unknown = (
        world.post(RESET, {"client_secret": "s", "email": address, "send_attempt": 1})
        for address in ("alice@example.com", "nobody@example.com")
    )
    assert known.status_code == unknown.status_code == 200
    assert len(known.text) == len(unknown.text)
    mails = {mail.recipient: mail for mail in world.mails()}
    assert "/confirm/" not in mails["nobody@example.com"].text


def test_an_ended_account_leaves_nothing_that_works(world: World, alice: str) -> None:
    identity = world.identity_token(alice)
    openid = world.post("/_matrix/client/v3/user/@alice:example.org/openid/request_token", token=alice).json()
    pending = world.request_token(identity, "later@example.com")
    auth = reset_proof(world)
    asked = world.post(DEACTIVATE, {"erase": True}, token=alice).json()["session"]
    body = {"erase": True, "auth": {**password(), "session": asked}}
    assert world.post(DEACTIVATE, body, token=alice).json() == {"id_server_unbind_result": "success"}
    assert not alive(world, alice)
    assert log_in(world, PASSWORD).status_code == 403
    login = {"type": "m.login.password", "medium": "email", "address": "alice@example.com", "password": PASSWORD}
    assert world.post("/_matrix/client/v3/login", login).status_code == 403
    assert world.post(CHANGE, {"new_password": NEW, "auth": auth}).status_code == 401
    assert world.get("/_matrix/identity/v2/account", token=identity).status_code == 401
    userinfo = world.get(f"/_matrix/federation/v1/openid/userinfo?access_token={openid['access_token']}")
    assert userinfo.status_code == 401
    assert world.post("/_matrix/identity/v2/account/register", openid).status_code == 401
    assert world.get("/_matrix/client/v3/register/available?username=alice").json()["errcode"] == "M_USER_IN_USE"
    assert pending
    bob = world.register("bob")
    world.clock.advance(1)
    assert world.add(bob, world.validated(world.identity_token(bob, "bob"))).status_code == 200


def test_an_account_is_ended_by_a_contact_too_where_the_caller_is_logged_in(world: World, alice: str) -> None:
    assert world.post(DEACTIVATE, {"auth": reset_proof(world)}, token=alice).status_code == 200
    assert not alive(world, alice)


def test_devices_are_listed_renamed_and_ended(world: World, alice: str) -> None:
    login = {"device_id": "PHONE", "initial_device_display_name": "My phone"}
    phone = log_in(world, PASSWORD, **login).json()["access_token"]
    devices = world.get("/_matrix/client/v3/devices", token=alice).json()["devices"]
    seen = {"last_seen_ip": "127.0.0.1", "last_seen_ts": world.clock.now()}
    assert {"device_id": "PHONE", "display_name": "My phone", **seen} in devices
    assert len(devices) == 2
    path = "/_matrix/client/v3/devices/PHONE"
    assert world.call("PUT", path, {"display_name": "Old phone"}, token=alice).json() == {}
    assert world.call("PUT", path, {}, token=alice).json() == {}
    assert world.get(path, token=alice).json() == {"device_id": "PHONE", "display_name": "Old phone", **seen}
    for method in ("GET", "PUT"):
        missing = world.call(method, "/_matrix/client/v3/devices/NONE", {"display_name": "x"}, token=alice)
        assert (missing.status_code, missing.json()["errcode"]) == (404, "M_NOT_FOUND")
    session = world.call("DELETE", path, {}, token=alice).json()["session"]
    elsewhere = world.call(
        "DELETE", "/_matrix/client/v3/devices/OTHER", {"auth": {**password(), "session": session}}, token=alice
    )
    assert elsewhere.status_code == 403
    assert world.call("DELETE", path, {"auth": password()}, token=alice).json() == {}
    assert not alive(world, phone)
    again = log_in(world, PASSWORD, device_id="TABLET").json()["access_token"]
    body = {"devices": ["TABLET", "NONE"], "auth": password()}
    assert world.post("/_matrix/client/v3/delete_devices", body, token=alice).json() == {}
    assert not alive(world, again)
    assert alive(world, alice)
