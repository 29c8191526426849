"""Devices and their tokens, on each engine."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import pytest

from pausing import pause_until
from threepid.storage import accounts, device_tokens, devices, side_tokens
from threepid.storage.device_tokens import Requester, Tokens
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Database, Tx
from threepid.storage.side_tokens import Owner

T = TypeVar("T")
ALICE: Final = "@alice:example.org"
BOB: Final = "@bob:example.org"
NOW: Final = 1_800_000_000_000
HOUR: Final = 3_600_000


def tokens(name: str, *, access_until: int = NOW + HOUR, refresh_until: int = NOW + 90 * HOUR) -> Tokens:
    return Tokens(access(name), access_until, refresh(name), refresh_until)


def access(name: str) -> bytes:
    return f"access {name}".encode()


def refresh(name: str) -> bytes:
    return f"refresh {name}".encode()


def open_(tx: Tx, device_id: str, given: Tokens, *, user_id: str = ALICE, name: str | None = None) -> None:
    device_tokens.open_device(
        tx,
        user_id=user_id,
        device_id=device_id,
        display_name=name,
        seen_from="192.0.2.1",
        network="192.0.2.1",
        user_agent="Client/1",
        tokens=given,
        now=NOW,
    )


def offer(tx: Tx, parent: str, name: str, *, device_id: str = "D") -> None:
    """Another answer to the refresh token of `parent`."""
    device_tokens.insert_tokens(tx, ALICE, device_id, tokens(name), parent_hash=refresh(parent), now=NOW)


def login_token(tx: Tx, token_hash: bytes, device_id: str, *, user_id: str = ALICE, expires_at: int = NOW + 1) -> None:
    side_tokens.insert_login_token(
        tx, token_hash=token_hash, user_id=user_id, device_id=device_id, expires_at=expires_at, at_most=50
    )


def openid_token(tx: Tx, token_hash: bytes, device_id: str, *, user_id: str = ALICE, expires_at: int = NOW + 1) -> None:
    side_tokens.insert_openid_token(
        tx, token_hash=token_hash, user_id=user_id, device_id=device_id, expires_at=expires_at, at_most=50
    )


def end_expired(tx: Tx) -> int:
    return device_tokens.end_expired(tx, NOW, ended_before=NOW - HOUR, at_most=10)


def known(tx: Tx, *names: str) -> list[str]:
    """Of which of these both tokens are there."""
    found = []
    for name in names:
        here = device_tokens.requester(tx, access(name)) is not None
        assert here == (device_tokens.refresh_token(tx, refresh(name)) is not None), name
        found += [name] if here else []
    return found


@asynccontextmanager
async def database(url: str) -> AsyncIterator[Database]:
    made = open_database(url, pool_size=4, password=None)

    def step(tx: Tx) -> None:
        for user_id in (ALICE, BOB):
            accounts.insert(tx, user_id=user_id, password_hash="x", created_at=1)

    try:
        await made.write(step)
        yield made
    finally:
        await made.close()


def run(url: str, work: Callable[[Tx], T]) -> T:
    """One unit of work on a database with two accounts."""

    async def in_database() -> T:
        async with database(url) as made:
            return await made.write(work)

    return asyncio.run(in_database())


def test_an_access_token_says_whose_it_is_and_what_its_first_use_spends(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        offer(tx, "a", "b")
        open_(tx, "OLD", Tokens(access("old")))
        assert device_tokens.requester(tx, access("a")) == Requester(ALICE, "D", NOW + HOUR, None)
        assert device_tokens.requester(tx, access("b")) == Requester(ALICE, "D", NOW + HOUR, refresh("a"))
        assert device_tokens.requester(tx, access("old")) == Requester(ALICE, "OLD", None, None)
        assert device_tokens.requester(tx, b"nosuch") is None

    run(database_url, step)


def test_a_device_that_is_opened_again_keeps_its_name_and_its_age(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"), name="My phone")
        open_(tx, "D", Tokens(access("b")), user_id=BOB, name="Bob's")
        device_tokens.open_device(
            tx,
            user_id=ALICE,
            device_id="D",
            display_name="Another name",
            seen_from="192.0.2.2",
            network="192.0.2.2",
            user_agent="Client/2",
            tokens=tokens("c"),
            now=NOW + 5,
        )
        (device,) = devices.of_user(tx, ALICE)
        assert device == devices.Device("D", "My phone", NOW, NOW + 5, "192.0.2.2", "Client/2")
        assert known(tx, "a", "c") == ["c"]
        assert device_tokens.requester(tx, access("b")) is not None

    run(database_url, step)


def test_a_device_that_ends_takes_its_tokens_along_and_no_others(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        offer(tx, "a", "b")
        open_(tx, "E", tokens("e"))
        open_(tx, "D", tokens("bob"), user_id=BOB)
        devices.delete(tx, ALICE, "D")
        devices.delete(tx, ALICE, "NONE")
        assert known(tx, "a", "b", "e", "bob") == ["e", "bob"]

    run(database_url, step)


def test_all_devices_end_but_one_with_the_short_lived_tokens(database_url: str) -> None:
    def step(tx: Tx) -> None:
        for name in ("a", "b", "c"):
            open_(tx, name, tokens(name))
        open_(tx, "bob", tokens("bob"), user_id=BOB)
        for user_id in (ALICE, BOB):
            device_id = "b" if user_id == ALICE else "bob"
            login_token(tx, b"login" + user_id.encode(), device_id, user_id=user_id)
            openid_token(tx, b"openid" + user_id.encode(), device_id, user_id=user_id)
        devices.delete_all(tx, ALICE, but="b")
        assert known(tx, "a", "b", "c", "bob") == ["b", "bob"]
        assert side_tokens.openid_owner(tx, b"openid" + ALICE.encode(), NOW) is None
        assert side_tokens.take_login_token(tx, b"login" + ALICE.encode(), NOW) is None
        assert side_tokens.openid_owner(tx, b"openid" + BOB.encode(), NOW) == Owner(BOB, "bob")
        assert side_tokens.take_login_token(tx, b"login" + BOB.encode(), NOW) == BOB
        devices.delete_all(tx, ALICE)
        assert devices.of_user(tx, ALICE) == []

    run(database_url, step)


def test_a_login_token_is_good_once_and_until_its_end(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        login_token(tx, b"one", "D")
        login_token(tx, b"late", "D", expires_at=NOW)
        assert side_tokens.take_login_token(tx, b"one", NOW) == ALICE
        assert side_tokens.take_login_token(tx, b"one", NOW) is None
        assert side_tokens.take_login_token(tx, b"late", NOW) is None

    run(database_url, step)


def test_a_first_use_ends_the_siblings_and_what_came_before(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        for name in ("b", "c", "d"):
            offer(tx, "a", name)
        assert device_tokens.use_access_token(tx, access("c"), NOW + 1)
        assert known(tx, "b", "c", "d") == ["c"]
        assert device_tokens.requester(tx, access("a")) is None
        spent = device_tokens.refresh_token(tx, refresh("a"))
        assert spent is not None
        assert spent.spent_at == NOW + 1
        assert device_tokens.requester(tx, access("c")) == Requester(ALICE, "D", NOW + HOUR, None)
        assert device_tokens.use_access_token(tx, access("c"), NOW + 2)
        assert not device_tokens.use_access_token(tx, access("b"), NOW + 2)

    run(database_url, step)


def test_a_late_answer_to_a_spent_refresh_is_good_for_nothing(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        offer(tx, "a", "b")
        assert device_tokens.use_access_token(tx, access("b"), NOW)
        offer(tx, "a", "late")  # by a request that looked before the first use
        offer(tx, "a", "later")
        assert not device_tokens.use_access_token(tx, access("late"), NOW)
        assert not device_tokens.use_refresh_token(tx, refresh("later"), refresh("a"), NOW)
        assert device_tokens.refresh_token(tx, refresh("later")) is None
        assert device_tokens.use_refresh_token(tx, refresh("b"), refresh("a"), NOW)

    run(database_url, step)


def test_tokens_that_ended_are_known_while_their_device_lives(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        open_(tx, "D", tokens("b"))
        open_(tx, "E", tokens("e"))
        offer(tx, "e", "f", device_id="E")
        offer(tx, "e", "g", device_id="E")
        assert device_tokens.use_access_token(tx, access("f"), NOW)
        for name, ended in (("a", True), ("b", False), ("g", True), ("f", False)):
            assert device_tokens.has_ended(tx, access(name), NOW - 1) == ended
            assert device_tokens.has_ended(tx, refresh(name), NOW - 1) == ended
            assert not device_tokens.has_ended(tx, access(name), NOW)
        assert device_tokens.has_ended(tx, access("e"), NOW - 1)
        devices.delete(tx, ALICE, "D")
        assert not device_tokens.has_ended(tx, access("a"), NOW - 1)
        assert device_tokens.has_ended(tx, access("e"), NOW - 1)

    run(database_url, step)


def test_of_the_tokens_of_one_moment_the_last_are_kept(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("0"))
        for number in range(60):
            login_token(tx, f"login {number}".encode(), "D")
            openid_token(tx, f"openid {number}".encode(), "D")
        taken = [side_tokens.take_login_token(tx, f"login {number}".encode(), NOW) for number in range(60)]
        assert taken == [None] * 10 + [ALICE] * 50
        found = [side_tokens.openid_owner(tx, f"openid {number}".encode(), NOW) for number in range(60)]
        assert found == [None] * 10 + [Owner(ALICE, "D")] * 50
        for number in range(1, 31):
            open_(tx, "D", tokens(str(number)))
        known = [device_tokens.has_ended(tx, access(str(number)), NOW - 1) for number in range(31)]
        assert known == [False] * 20 + [True] * 10 + [False]

    run(database_url, step)


def test_what_a_clock_ahead_made_lives_no_longer_than_the_rest(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        login_token(tx, b"login", "D", expires_at=NOW + 24 * HOUR)
        openid_token(tx, b"openid", "D", expires_at=NOW + 24 * HOUR)
        device_tokens.delete_tokens(tx, ALICE, "D", NOW + 24 * HOUR)
        device_tokens.delete_expired(tx, NOW, ended_before=NOW - HOUR, at_most=9)
        assert side_tokens.openid_owner(tx, b"openid", NOW + HOUR) is None
        assert side_tokens.take_login_token(tx, b"login", NOW + HOUR) is None
        assert device_tokens.has_ended(tx, access("a"), NOW - HOUR)
        device_tokens.delete_expired(tx, NOW + HOUR, ended_before=NOW, at_most=9)
        assert not device_tokens.has_ended(tx, access("a"), NOW - HOUR)

    run(database_url, step)


def test_what_nobody_can_use_any_more_is_forgotten_and_nothing_else(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "OVER", tokens("over", access_until=NOW - 2, refresh_until=NOW))
        open_(tx, "SOFT", tokens("soft", access_until=NOW - 2, refresh_until=NOW + 1))
        open_(tx, "OLD", Tokens(access("old")))
        open_(tx, "D", tokens("parent", access_until=NOW - 2, refresh_until=NOW))
        offer(tx, "parent", "child")
        for name, expires_at in (("late", NOW), ("good", NOW + 1)):
            login_token(tx, f"login {name}".encode(), "D", expires_at=expires_at)
            openid_token(tx, f"openid {name}".encode(), "D", expires_at=expires_at)
        assert end_expired(tx) == 1
        assert device_tokens.delete_expired(tx, NOW, ended_before=NOW - HOUR, at_most=9) == 2
        assert known(tx, "over", "soft", "parent", "child") == ["soft", "parent", "child"]
        assert device_tokens.requester(tx, access("old")) is not None
        assert side_tokens.take_login_token(tx, b"login good", NOW) == ALICE
        assert side_tokens.openid_owner(tx, b"openid good", NOW) == Owner(ALICE, "D")
        # The parent goes when the first use of its child has spent it.
        assert device_tokens.use_access_token(tx, access("child"), NOW)
        assert end_expired(tx) == 1
        assert device_tokens.refresh_token(tx, refresh("parent")) is None
        assert known(tx, "child") == ["child"]

    run(database_url, step)


def test_names_and_last_signs_of_life_are_noted(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"), name="One")
        assert devices.rename(tx, ALICE, "D", "Two")
        assert not devices.rename(tx, BOB, "D", "Three")
        devices.seen(tx, ALICE, "D", now=NOW + 9, seen_from="192.0.2.9", network="192.0.2.9", user_agent="Client/9")
        devices.seen(tx, ALICE, "NONE", now=NOW, seen_from="", network="", user_agent="")
        assert devices.of_user(tx, ALICE) == [devices.Device("D", "Two", NOW, NOW + 9, "192.0.2.9", "Client/9")]

    run(database_url, step)


def test_only_what_is_there_can_be_held(database_url: str) -> None:
    def step(tx: Tx) -> None:
        open_(tx, "D", tokens("a"))
        assert accounts.lock(tx, ALICE)
        assert devices.hold_device(tx, ALICE, "D")
        assert not devices.hold_device(tx, BOB, "D")
        assert not accounts.lock(tx, "@nobody:example.org")
        accounts.deactivate(tx, ALICE, NOW)
        assert not accounts.lock(tx, ALICE)

    run(database_url, step)


@pytest.mark.parametrize(
    ("hold", "change"),
    [
        (lambda tx: accounts.lock(tx, ALICE), lambda tx: accounts.set_password_hash(tx, ALICE, "y")),
        (lambda tx: accounts.lock(tx, ALICE), lambda tx: accounts.deactivate(tx, ALICE, NOW)),
        (lambda tx: devices.hold_device(tx, ALICE, "D"), lambda tx: devices.delete(tx, ALICE, "D")),
        (lambda tx: devices.hold_device(tx, ALICE, "D"), lambda tx: open_(tx, "D", tokens("other"))),
    ],
)
def test_what_is_held_is_changed_by_others_afterwards_only(
    database_url: str, hold: Callable[[Tx], Any], change: Callable[[Tx], Any]
) -> None:
    order: list[str] = []

    async def race() -> None:
        async with database(database_url) as made:
            await made.write(lambda tx: open_(tx, "D", tokens("a")))
            loop = asyncio.get_running_loop()
            begun, changed = asyncio.Event(), threading.Event()

            def holder(tx: Tx) -> None:
                hold(tx)
                loop.call_soon_threadsafe(begun.set)
                pause_until(tx, changed.is_set, 0.3)  # as long as anybody could need who does not have to wait
                order.append("held")

            def changer(tx: Tx) -> None:
                change(tx)
                order.append("changed")
                changed.set()

            holding = asyncio.create_task(made.write(holder))
            await begun.wait()
            await asyncio.gather(holding, made.write(changer))

    asyncio.run(race())
    assert order == ["held", "changed"]
