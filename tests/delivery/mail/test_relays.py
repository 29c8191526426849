"""Several relays: which of them gets a mail, and which of them rests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mail_relay import DROP, HANG, PostOffice, Relay, authority
from threepid.clock import HOUR, SECOND
from threepid.delivery.mail.relays import FAILURES
from threepid.delivery.traffic import RESTS


@asynccontextmanager
async def two(
    database_url: str, script: dict[str, str], **settings: Any
) -> AsyncIterator[tuple[Relay, Relay, PostOffice]]:
    """A relay that does what `script` says, one that is well, and a worker that prefers the first."""
    async with (
        Relay(script) as first,
        Relay() as second,
        PostOffice(database_url, first.transport(**settings), second.transport()) as office,
    ):
        yield first, second, office


async def send(office: PostOffice, count: int = 1) -> None:
    for number in range(count):
        await office.order(f"bob{number}@example.com", life=HOUR)
        await office.worker.run_once()


@pytest.mark.parametrize(
    "script",
    [
        {"GREETING": "421 4.3.2 full"},
        {"GREETING": "554 5.7.1 go away"},
        {"GREETING": DROP},
        {"GREETING": HANG},
        {"EHLO": "421 4.3.2 full"},
        {"EHLO": DROP},
        {"MAIL": "421 4.3.2 closing"},
        {"MAIL": "451 4.3.0 later"},
        {"MAIL": DROP},
        {"MAIL": HANG},
    ],
    ids=str,
)
def test_a_relay_that_fails_before_the_mail_rests_and_costs_no_mail_time(
    database_url: str, script: dict[str, str]
) -> None:
    async def run() -> None:
        hurried = {"timeout": 0.5} if HANG in script.values() else {}
        async with two(database_url, script, **hurried) as (first, second, office):
            await send(office, FAILURES + 4)
            assert len(second.received) == office.worker.sent == FAILURES + 4  # each in its first attempt
            assert first.talked == FAILURES

    asyncio.run(run())


def test_a_relay_that_demands_another_login_rests(database_url: str, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("wrong")

    async def run() -> None:
        script = {"AUTH": "535 5.7.8 no"}
        async with (
            Relay(script, starttls=authority().server(), offers=("AUTH PLAIN",)) as first,
            Relay() as second,
        ):
            login = {"username": "u", "password_file": str(password), "ca_file": authority().file(tmp_path)}
            via = (first.transport(tls="starttls", **login), second.transport())
            async with PostOffice(database_url, *via) as office:
                await send(office, FAILURES + 2)
                assert (first.talked, len(second.received)) == (FAILURES, FAILURES + 2)
                assert office.worker.tally.failures == {("email", f"localhost:{first.port}", "login"): FAILURES}

    asyncio.run(run())


@pytest.mark.parametrize(
    "script",
    [
        {"RCPT": "450 4.2.0 full"},
        {"RCPT": DROP},
        {"DATA": "451 4.3.0 later"},
        {"DATA": DROP},
        {"END": "451 4.3.0 later"},
    ],
    ids=str,
)
def test_a_failure_about_one_mail_pauses_no_relay(database_url: str, script: dict[str, str]) -> None:
    async def run() -> None:
        async with two(database_url, script) as (first, second, office):
            await send(office, FAILURES + 2)
            assert (first.talked, len(second.received)) == (FAILURES + 2, FAILURES + 2)

    asyncio.run(run())


def test_a_relay_that_works_now_and_then_does_not_rest(database_url: str) -> None:
    async def run() -> None:
        async with two(database_url, {}) as (first, second, office):
            for _ in range(3):
                first.script["MAIL"] = "451 4.3.0 later"
                await send(office, FAILURES - 1)
                first.script.clear()
                await send(office)
            assert (len(first.received), len(second.received)) == (3, 3 * (FAILURES - 1))

    asyncio.run(run())


def test_after_its_pause_a_relay_gets_one_mail_as_a_trial(database_url: str) -> None:
    async def run() -> None:
        async with two(database_url, {"GREETING": "421 busy"}) as (first, _, office):
            await send(office, FAILURES + 1)
            for pause in RESTS[1:]:
                office.clock.advance(RESTS[RESTS.index(pause) - 1])
                before = first.talked
                await send(office, 3)
                assert first.talked == before + 1  # and rests longer than before
            office.clock.advance(RESTS[-1])
            first.script = {"EHLO": HANG}
            for number in range(4):
                await office.order(f"ann{number}@example.com", life=HOUR)
            before = office.worker.sent
            sending = asyncio.create_task(office.worker.run_once())
            async with asyncio.timeout(30):
                while office.worker.sent < before + 3:
                    await asyncio.sleep(0.005)
            assert first.verbs == ["EHLO"]  # one of the four tries it, while the others go on
            first.hang_up()
            await sending
            first.script.clear()
            office.clock.advance(RESTS[-1])
            await send(office, 2)
            assert len(first.received) == 2

    asyncio.run(run())


def test_when_all_relays_rest_they_are_tried_in_order(database_url: str) -> None:
    async def run() -> None:
        async with two(database_url, {"GREETING": "421 busy"}) as (first, second, office):
            second.script["MAIL"] = "451 4.3.0 later"
            await send(office, FAILURES)
            order_id = await office.order("late@example.com")
            second.script.clear()
            await office.worker.run_once()
            assert (await office.row(order_id)).sent_at is not None
            assert (first.talked, len(second.received)) == (FAILURES + 1, 1)

    asyncio.run(run())


def test_a_sender_whom_one_relay_refuses_for_good_may_be_welcome_at_the_next(database_url: str) -> None:
    async def run() -> None:
        async with two(database_url, {"MAIL": "550 5.7.1 not yours"}) as (first, second, office):
            await send(office)
            assert len(second.received) == 1
            second.script["MAIL"] = "550 5.7.1 not yours either"
            order_id = await office.order()
            await office.worker.run_once()
            row = await office.row(order_id)
            assert row.failed_at is not None
            assert row.last_error == (
                f"localhost:{first.port}: the sender was refused: 550 5.7.1; "
                f"localhost:{second.port}: the sender was refused: 550 5.7.1"
            )

    asyncio.run(run())


def test_totals_name_medium_relay_and_cause_and_nothing_that_a_relay_said(database_url: str) -> None:
    async def run() -> None:
        async with two(database_url, {"GREETING": "421 <b@evil.example>"}) as (first, second, office):
            await send(office)
            second.script["RCPT"] = "550 5.1.1 bob@example.com: no such user"
            await send(office)
            second.script["RCPT"] = "450 bob@example.com is full"
            await office.order("late@example.com", life=SECOND)
            await office.worker.run_once()
            office.clock.advance(SECOND)
            await office.worker.run_once()
            names = f"localhost:{first.port}", f"localhost:{second.port}"
            tally = office.worker.tally
            assert tally.sent == {("email", names[1]): 1}
            assert tally.failed == {("email", names[1], "rejected"): 1, ("email", "", "expired"): 1}
            assert tally.failures == {
                ("email", names[0], "deferred"): 3,
                ("email", names[1], "rejected"): 1,
                ("email", names[1], "deferred"): 1,
            }

    asyncio.run(run())
