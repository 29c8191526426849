"""Profiles, as clients see and set them."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from world import World

PATH = "/_matrix/client/v3/profile/@alice:example.org"
AVATAR = "mxc://media.example.org/SEsfnsuifSDFSSEF"


@pytest.fixture
def token(world: World) -> str:
    return world.register()


def put(world: World, token: str | None, field: str, body: Any, user_id: str = "@alice:example.org") -> httpx.Response:
    return world.call("PUT", f"/_matrix/client/v3/profile/{quote(user_id)}/{field}", body, token=token)


def test_a_new_account_has_an_empty_profile(world: World, token: str) -> None:
    answer = world.get(PATH)
    assert (answer.status_code, answer.json()) == (200, {})
    for field in ("displayname", "avatar_url"):
        unset = world.get(f"{PATH}/{field}")
        assert (unset.status_code, unset.json()["errcode"]) == (404, "M_NOT_FOUND")


def test_what_is_set_is_seen_by_everybody(world: World, token: str) -> None:
    assert put(world, token, "displayname", {"displayname": "Alice Ångström 🦊"}).json() == {}
    assert put(world, token, "avatar_url", {"avatar_url": AVATAR}).json() == {}
    assert world.get(PATH).json() == {"displayname": "Alice Ångström 🦊", "avatar_url": AVATAR}
    assert world.get(PATH, token="nonsense").status_code == 200
    assert world.get(f"{PATH}/displayname").json() == {"displayname": "Alice Ångström 🦊"}
    assert world.get(f"{PATH}/avatar_url").json() == {"avatar_url": AVATAR}
    for family in ("r0", "unstable"):
        assert world.get(f"/_matrix/client/{family}/profile/%40alice%3Aexample.org").json()["avatar_url"] == AVATAR


def test_a_member_is_changed_without_the_other(world: World, token: str) -> None:
    put(world, token, "displayname", {"displayname": "Alice"})
    put(world, token, "avatar_url", {"avatar_url": AVATAR})
    put(world, token, "displayname", {"displayname": "Alicia", "avatar_url": "mxc://example.org/other"})
    assert world.get(PATH).json() == {"displayname": "Alicia", "avatar_url": AVATAR}


@pytest.mark.parametrize("field", ["displayname", "avatar_url"])
def test_a_member_is_removed_by_delete_and_by_nothing(world: World, token: str, field: str) -> None:
    for _ in range(2):
        put(world, token, field, {field: AVATAR})
        assert world.call("DELETE", f"{PATH}/{field}", token=token).json() == {}
        assert world.call("DELETE", f"{PATH}/{field}", token=token).json() == {}
        assert world.get(PATH).json() == {}
    put(world, token, field, {field: AVATAR})
    assert put(world, token, field, {field: ""}).json() == {}
    assert world.get(PATH).json() == {}


def test_nobody_changes_anothers_profile(world: World, token: str) -> None:
    bob = world.register("bob")
    for user_id in ("@alice:example.org", "@nobody:example.org", "@alice:elsewhere.example", "nonsense"):
        answer = put(world, bob, "displayname", {"displayname": "Mallory"}, user_id)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
        answer = world.call("DELETE", f"/_matrix/client/v3/profile/{user_id}/displayname", token=bob)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert world.get(PATH).json() == {}
    assert put(world, None, "displayname", {"displayname": "Mallory"}).status_code == 401
    assert put(world, "nonsense", "displayname", {"displayname": "Mallory"}).json()["errcode"] == "M_UNKNOWN_TOKEN"


@pytest.mark.parametrize("user_id", ["@nobody:example.org", "@alice:elsewhere.example", "alice", "@", "%00", "@a%ff:b"])
def test_who_is_not_here_has_no_profile(world: World, token: str, user_id: str) -> None:
    for suffix in ("", "/displayname", "/avatar_url", "/m.tz"):
        answer = world.get(f"/_matrix/client/v3/profile/{user_id}{suffix}")
        assert answer.status_code == 404
        assert answer.json()["errcode"] in {"M_NOT_FOUND", "M_UNRECOGNIZED"}


@pytest.mark.parametrize(
    ("key", "status", "errcode"),
    [
        ("m.tz", 403, "M_FORBIDDEN"),
        ("org.example.job_title", 403, "M_FORBIDDEN"),
        ("nonsense", 400, "M_INVALID_PARAM"),
        ("user_id", 400, "M_INVALID_PARAM"),
        ("__class__", 400, "M_INVALID_PARAM"),
        ("Displayname", 400, "M_INVALID_PARAM"),
        ("displayname%0A", 400, "M_INVALID_PARAM"),
        (f"m.{'x' * 300}", 400, "M_KEY_TOO_LARGE"),
    ],
)
def test_other_members_are_not_kept(world: World, token: str, key: str, status: int, errcode: str) -> None:
    answer = put(world, token, key, {key: "x"})
    assert (answer.status_code, answer.json()["errcode"]) == (status, errcode)
    answer = world.call("DELETE", f"{PATH}/{key}", token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (status, errcode)
    answer = world.get(f"{PATH}/{key}")
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("displayname", "x" * 257),
        ("displayname", "line\nfeed"),
        ("displayname", "nul\x00"),
        ("displayname", None),
        ("displayname", 7),
        ("avatar_url", "https://example.org/a.png"),
        ("avatar_url", "mxc://"),
        ("avatar_url", "mxc://example.org"),
        ("avatar_url", "mxc://example.org/"),
        ("avatar_url", "mxc:///x"),
        ("avatar_url", "mxc://example.org/a/b"),
        ("avatar_url", "mxc://example.org/a?b"),
        ("avatar_url", "mxc://example.org/a\n"),
        ("avatar_url", "javascript:alert(1)//mxc://a/b"),
        ("avatar_url", f"mxc://example.org/{'x' * 1000}"),
        ("avatar_url", None),
    ],
)
def test_what_is_no_name_or_picture_is_refused(world: World, token: str, field: str, value: Any) -> None:
    answer = put(world, token, field, {field: value})
    assert answer.status_code == 400
    assert answer.json()["errcode"] in {"M_INVALID_PARAM", "M_BAD_JSON"}
    assert world.get(PATH).json() == {}


def test_the_longest_are_kept_whole(world: World, token: str) -> None:
    picture = "mxc://example.org/".ljust(1000, "x")
    put(world, token, "displayname", {"displayname": "🦊" * 256})
    put(world, token, "avatar_url", {"avatar_url": picture})
    assert world.get(PATH).json() == {"displayname": "🦊" * 256, "avatar_url": picture}


def test_the_member_that_the_path_names_is_needed(world: World, token: str) -> None:
    for body in ({}, {"avatar_url": AVATAR}, {"name": "Alice"}):
        answer = put(world, token, "displayname", body)
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_MISSING_PARAM")
    assert world.get(PATH).json() == {}


def test_a_username_with_a_slash_has_a_profile(world: World) -> None:
    token = world.register("a/b")
    path = "/_matrix/client/v3/profile/%40a%2Fb%3Aexample.org/displayname"
    assert world.call("PUT", path, {"displayname": "Slash"}, token=token).json() == {}
    assert world.get("/_matrix/client/v3/profile/%40a%2Fb%3Aexample.org").json() == {"displayname": "Slash"}
