"""A126: a request to the admin API brings members that nobody asked for, or asks for pages without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from operators import get, operator_token, post, world_of_operators
from world import World


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        made.register()
        yield made


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/accounts/alice/contacts/add", {"medium": "email", "address": "a@example.com", "validated_at": 1}),
        (
            "/accounts/alice/contacts/add",
            {"medium": "email", "address": "a@example.com", "user_id": "@bob:example.org"},
        ),
        ("/accounts/alice/log_out", {"admin_at": 1}),
        ("/accounts/alice/password_link", {"address": "evil@example.com"}),
        ("/limits/clear", {"account": "alice", "all": True}),
        ("/accounts", {"username": "bob", "admin": True}),
        ("/accounts/alice/lock", {"locked_at": 1}),
        ("/accounts/alice/deactivate", {"erase": True, "reason": "x"}),
        ("/accounts/alice/deactivate", {"erase": 1}),
    ],
)
def test_an_unknown_member_is_an_error_and_changes_nothing(world: World, path: str, body: Any) -> None:
    token = operator_token(world)
    before = get(world, "/accounts/alice", token).json()
    answer = post(world, path, token, body)
    assert answer.status_code == 400
    assert get(world, "/accounts/alice", token).json() == before
    assert world.mails() == []


def test_an_unknown_member_is_named_unless_it_is_a_strange_one(world: World) -> None:
    token = operator_token(world)
    for name in ("foo", "is_admin"):
        expected = f"There is no '{name}' here."
        assert get(world, f"/accounts?{name}=1", token).json()["error"] == expected
        assert post(world, "/accounts", token, {"username": "bob", name: 1}).json()["error"] == expected
    for name in ("<b>", "x" * 65, "a b"):
        answer = post(world, "/accounts", token, {"username": "bob", name: 1})
        assert (answer.status_code, name in answer.text) == (400, False)


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1e9", "x", "9" * 400])
@pytest.mark.parametrize(
    "path", ["/accounts", "/audit", "/audit/sums", "/messages", "/suppressions", "/invites", "/accounts/alice/messages"]
)
def test_a_page_has_its_most_rows(world: World, path: str, limit: str) -> None:
    assert get(world, f"{path}?limit={limit}", operator_token(world)).status_code == 400


def test_a_wildcard_is_a_letter_like_others(world: World) -> None:
    token = operator_token(world)
    for text in ("%25", "_", "*", "a%25", "' OR 1=1 --", "@%25"):
        assert get(world, f"/accounts?q={text}", token).json()["accounts"] == [], text


@pytest.mark.parametrize(
    "path",
    ["/accounts?after", "/accounts?q", "/suppressions?after", "/audit?after", "/messages?after", "/invites?after"],
)
def test_a_nul_is_no_error_of_the_server(world: World, path: str) -> None:
    assert get(world, f"{path}=%00", operator_token(world)).status_code in (200, 400, 404)
