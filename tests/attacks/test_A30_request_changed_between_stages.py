"""A30: an authentication is for one request: method, path, user, device and body; a change ends it."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from world import PASSWORD, World

C = "/_matrix/client"
PASSWORD_STAGE = {
    "type": "m.login.password",
    "identifier": {"type": "m.id.user", "user": "alice"},
    "password": PASSWORD,
}


def begin(world: World, token: str, path: str, body: dict[str, Any], method: str = "POST") -> str:
    answer = world.call(method, path, body, token=token)
    assert answer.status_code == 401, answer.text
    return str(answer.json()["session"])


def finish(
    world: World, token: str, path: str, body: dict[str, Any], session: str, method: str = "POST"
) -> httpx.Response:
    return world.call(method, path, {**body, "auth": {**PASSWORD_STAGE, "session": session}}, token=token)


CHANGED: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    # a path and body that the authentication is begun with, and those that it is finished with
    ("account/3pid/add", {"sid": "A", "client_secret": "s"}, "account/3pid/add", {"sid": "B", "client_secret": "s"}),
    ("account/3pid/add", {"sid": "A", "client_secret": "s"}, "account/3pid/add", {"sid": "A", "client_secret": "t"}),
    ("account/password", {"new_password": "xxxxxxxx"}, "account/password", {"new_password": "yyyyyyyy"}),
    (
        "account/password",
        {"new_password": "xxxxxxxx", "logout_devices": False},
        "account/password",
        {"new_password": "xxxxxxxx", "logout_devices": True},
    ),
    ("account/password", {"new_password": "xxxxxxxx"}, "account/deactivate", {}),
    ("account/deactivate", {"erase": False}, "account/deactivate", {"erase": True}),
    ("delete_devices", {"devices": ["X"]}, "delete_devices", {"devices": ["X", "Y"]}),
    ("delete_devices", {"devices": []}, "account/deactivate", {}),
]


@pytest.mark.parametrize(("path", "body", "other_path", "other_body"), CHANGED)
def test_a_changed_request_is_refused_and_ends_the_session(
    world: World, path: str, body: dict[str, Any], other_path: str, other_body: dict[str, Any]
) -> None:
    alice = world.register()
    session = begin(world, alice, f"{C}/v3/{path}", body)
    changed = finish(world, alice, f"{C}/v3/{other_path}", other_body, session)
    assert (changed.status_code, changed.json()["errcode"]) == (403, "M_FORBIDDEN")
    # Not even the right request can use the session now.
    again = finish(world, alice, f"{C}/v3/{path}", body, session)
    assert again.status_code == 401
    assert again.json()["session"] != session
    assert world.get(f"{C}/v3/account/whoami", token=alice).status_code == 200


def test_a_changed_device_in_the_path_is_refused(world: World) -> None:
    alice = world.register()
    session = begin(world, alice, f"{C}/v3/devices/ONE", {}, "DELETE")
    assert finish(world, alice, f"{C}/v3/devices/TWO", {}, session, "DELETE").status_code == 403


BLANKS = ["DEV", "DEV ", " DEV", "DEV\u00a0"]


@pytest.mark.parametrize("one", BLANKS)
def test_a_device_whose_id_differs_by_a_blank_is_another_one(world: World, one: str) -> None:
    alice = world.register()
    for device in BLANKS:
        login = {**PASSWORD_STAGE, "device_id": device}
        assert world.post(f"{C}/v3/login", login).json()["device_id"] == device
    for other in BLANKS:
        if other != one:
            session = begin(world, alice, f"{C}/v3/devices/{quote(one)}", {}, "DELETE")
            path = f"{C}/v3/devices/{quote(other)}"
            assert finish(world, alice, path, {}, session, "DELETE").status_code == 403, other
    session = begin(world, alice, f"{C}/v3/devices/{quote(one)}", {}, "DELETE")
    assert finish(world, alice, f"{C}/v3/devices/{quote(one)}", {}, session, "DELETE").status_code == 200
    left = {device["device_id"] for device in world.get(f"{C}/v3/devices", token=alice).json()["devices"]}
    assert left & set(BLANKS) == set(BLANKS) - {one}


@pytest.mark.parametrize(("one", "other"), [("DEV", "DEV "), ("A B", "A"), ('A","B', "A"), ("", " ")])
def test_a_session_of_a_device_is_not_that_of_one_whose_id_differs_by_a_blank(
    world: World, one: str, other: str
) -> None:
    world.register()
    mine, yours = (
        world.post(f"{C}/v3/login", {**PASSWORD_STAGE, **({"device_id": device} if device else {})}).json()
        for device in (one, other)
    )
    body = {"devices": ["X"]}
    session = begin(world, mine["access_token"], f"{C}/v3/delete_devices", body)
    token = yours["access_token"]
    assert finish(world, token, f"{C}/v3/delete_devices", body, session).status_code == 403
    session = begin(world, mine["access_token"], f"{C}/v3/delete_devices", body)
    assert finish(world, mine["access_token"], f"{C}/v3/delete_devices", body, session).status_code == 200


def test_a_device_with_a_blank_uses_its_permission_itself(world: World) -> None:
    world.register()
    token = world.post(f"{C}/v3/login", {**PASSWORD_STAGE, "device_id": "MY PHONE "}).json()["access_token"]
    answer = world.post(f"{C}/v3/account/password", {"new_password": "x" * 9, "auth": PASSWORD_STAGE}, token=token)
    assert answer.status_code == 200, answer.text
    assert world.get(f"{C}/v3/account/whoami", token=token).json()["device_id"] == "MY PHONE "


def test_a_body_of_unknown_fields_need_not_be_repeated_for_what_the_path_names(world: World) -> None:
    alice = world.register()
    session = begin(world, alice, f"{C}/v3/devices/ONE", {"unknown": 1}, "DELETE")
    assert finish(world, alice, f"{C}/v3/devices/ONE", {}, session, "DELETE").status_code == 200
    session = begin(world, alice, f"{C}/v3/devices/ONE", {"unknown": 1}, "DELETE")
    assert finish(world, alice, f"{C}/v3/devices/TWO", {}, session, "DELETE").status_code == 403


def test_the_versions_of_a_path_are_one_path(world: World) -> None:
    alice = world.register()
    body = {"devices": ["X"]}
    session = begin(world, alice, f"{C}/r0/delete_devices", body)
    assert finish(world, alice, f"{C}/unstable/delete_devices", body, session).status_code == 200


def test_another_order_of_members_is_the_same_request(world: World) -> None:
    alice = world.register()
    session = begin(world, alice, f"{C}/v3/account/password", {"new_password": "xxxxxxxx", "logout_devices": False})
    body = {"logout_devices": False, "new_password": "xxxxxxxx"}
    assert finish(world, alice, f"{C}/v3/account/password", body, session).status_code == 200


def test_an_omitted_body_is_the_same_request(world: World) -> None:
    alice = world.register()
    session = begin(world, alice, f"{C}/v3/account/password", {"new_password": "xxxxxxxx"})
    assert finish(world, alice, f"{C}/v3/account/password", {}, session).status_code == 200
    login = {**PASSWORD_STAGE, "password": "xxxxxxxx"}
    assert world.post(f"{C}/v3/login", login).status_code == 200


def test_another_device_of_the_same_user_cannot_finish(world: World) -> None:
    alice = world.register()
    other = world.post(f"{C}/v3/login", PASSWORD_STAGE).json()["access_token"]
    body = {"devices": ["X"]}
    session = begin(world, alice, f"{C}/v3/delete_devices", body)
    assert finish(world, other, f"{C}/v3/delete_devices", body, session).status_code == 403
