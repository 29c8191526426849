"""The other contacts of an account are told what happens to it."""

from pathlib import Path
from typing import Any

import pytest

from world import PASSWORD, World

C = "/_matrix/client/v3"
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}


def with_two(world: World) -> str:
    alice = world.register()
    identity = world.identity_token(alice)
    for number, address in enumerate(("one@example.com", "Two@example.com")):
        world.add(alice, world.validated(identity, address, secret=f"s{number}"), secret=f"s{number}")
        world.clock.advance(1)
    return alice


def notices(world: World, before: int) -> list[tuple[str, str]]:
    return sorted((mail.recipient, str(mail.message["Subject"])) for mail in world.mails()[before:])


def test_a_new_contact_is_told_to_the_others(world: World) -> None:
    with_two(world)
    told = [mail for mail in world.mails() if "***" in mail.text]
    assert [mail.recipient for mail in told] == ["one@example.com"]
    assert "@alice:example.org" in told[0].text
    assert "T***@example.com" in told[0].text
    assert "Two@example.com" not in told[0].text


def test_a_contact_that_is_proven_again_is_no_news(world: World) -> None:
    alice = with_two(world)
    before = len(world.mails())
    sid = world.validated(world.identity_token(alice), "one@example.com", secret="again")
    world.add(alice, sid, secret="again")
    assert [recipient for recipient, _ in notices(world, before)] == ["one@example.com"]  # the code alone


EVENTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "contact_removed": (
        "account/3pid/delete",
        {"medium": "email", "address": "one@example.com"},
        ["Two@example.com"],
    ),
    "password_changed": (
        "account/password",
        {"new_password": "another password", "auth": STAGE},
        ["Two@example.com", "one@example.com"],
    ),
    "deactivated": ("account/deactivate", {"auth": STAGE}, ["Two@example.com", "one@example.com"]),
}


@pytest.mark.parametrize("event", EVENTS)
def test_what_changes_is_told(world: World, event: str) -> None:
    alice = with_two(world)
    path, body, recipients = EVENTS[event]
    before = len(world.mails())
    assert world.post(f"{C}/{path}", body, token=alice).status_code == 200
    assert [recipient for recipient, _ in notices(world, before)] == recipients


@pytest.mark.parametrize("event", EVENTS)
def test_what_fails_is_not_told(world: World, event: str) -> None:
    alice = with_two(world)
    path, body, _ = EVENTS[event]
    before = len(world.mails())
    spoilt = {**body, "auth": {**STAGE, "password": "wrong"}} if "auth" in body else {**body, "address": "x@y.example"}
    world.post(f"{C}/{path}", spoilt, token=alice)
    assert notices(world, before) == []


@pytest.mark.parametrize("event", EVENTS)
def test_each_can_be_switched_off(database_url: str, tmp_path: Path, event: str) -> None:
    others = [notice for notice in ("contact_added", *EVENTS) if notice != event]
    with World(database_url, tmp_path, accounts__notices=others) as world:
        alice = with_two(world)
        path, body, _ = EVENTS[event]
        before = len(world.mails())
        assert world.post(f"{C}/{path}", body, token=alice).status_code == 200
        assert notices(world, before) == []


def test_a_contact_is_not_flooded_with_them(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 2, "per_hour": 1}
    with World(database_url, tmp_path, limits={"all": "on", "notice_to_address": limit}) as world:
        alice = world.register()
        world.add(alice, world.validated(world.identity_token(alice)))
        world.clock.advance(1)
        before = len(world.mails())
        for number in range(5):
            word = PASSWORD if number == 0 else f"password number {number - 1}"
            body = {"new_password": f"password number {number}", "auth": {**STAGE, "password": word}}
            assert world.post(f"{C}/account/password", body, token=alice).status_code == 200
        assert len(world.mails()) - before == 2
