"""`admin/whois`: from where one's own account was used."""

import pytest

from threepid.clock import HOUR
from world import PASSWORD, World

PATH = "/_matrix/client/v3/admin/whois/@alice:example.org"


def test_each_device_is_listed_with_what_it_was_used_from(world: World) -> None:
    token = world.register()
    first = world.clock.now()
    world.clock.advance(HOUR)
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
        "device_id": "PHONE",
    }
    headers = {"User-Agent": "Phone/1.0", "X-Forwarded-For": "2001:db8::7"}
    assert world.post("/_matrix/client/v3/login", login, headers=headers).status_code == 200
    answer = world.get(PATH, token=token).json()
    assert answer["user_id"] == "@alice:example.org"
    here = world.get("/_matrix/client/v3/account/whoami", token=token).json()["device_id"]
    assert set(answer["devices"]) == {here, "PHONE"}
    assert answer["devices"]["PHONE"] == {
        "sessions": [{"connections": [{"last_seen": first + HOUR, "ip": "2001:db8::7", "user_agent": "Phone/1.0"}]}]
    }
    (session,) = answer["devices"][here]["sessions"]
    (connection,) = session["connections"]
    assert connection["last_seen"] == first
    assert connection["ip"] == "127.0.0.1"
    assert connection["user_agent"].startswith("python-httpx/")


@pytest.mark.parametrize("user_id", ["@bob:example.org", "@nobody:example.org", "@alice:elsewhere.example", "alice"])
def test_nobody_is_told_about_others(world: World, user_id: str) -> None:
    token = world.register()
    world.register("bob")
    answer = world.get(f"/_matrix/client/v3/admin/whois/{user_id}", token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_without_a_token_nobody_is_told_anything(world: World) -> None:
    world.register()
    assert world.get(PATH).status_code == 401
