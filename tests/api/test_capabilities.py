"""What clients are told that they can do."""

from pathlib import Path

import pytest

from world import World

PATH = "/_matrix/client/v3/capabilities"


def test_every_capability_is_told(world: World) -> None:
    answer = world.get(PATH, token=world.register())
    assert answer.json() == {
        "capabilities": {
            "m.change_password": {"enabled": True},
            "m.3pid_changes": {"enabled": True},
            "m.set_displayname": {"enabled": True},
            "m.set_avatar_url": {"enabled": True},
            "m.get_login_token": {"enabled": True},
            "m.profile_fields": {"enabled": True, "allowed": ["displayname", "avatar_url"]},
            "m.room_versions": {"default": "1", "available": {"1": "stable"}},
        }
    }


def test_where_contacts_may_not_be_changed_the_capability_says_so(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, policy__changes_allowed=False) as world:
        answer = world.get(PATH, token=world.register())
        assert answer.json()["capabilities"]["m.3pid_changes"] == {"enabled": False}


@pytest.mark.parametrize("field", ["displayname", "avatar_url"])
def test_what_is_allowed_can_be_done(world: World, field: str) -> None:
    token = world.register()
    assert field in world.get(PATH, token=token).json()["capabilities"]["m.profile_fields"]["allowed"]
    path = f"/_matrix/client/v3/profile/@alice:example.org/{field}"
    assert world.call("PUT", path, {field: "mxc://example.org/x"}, token=token).status_code == 200
