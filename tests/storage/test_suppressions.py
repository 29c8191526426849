"""The suppression list, on each engine."""

import asyncio

from mail_relay import PostOffice
from threepid.clock import HOUR
from threepid.storage import outbox, suppressions
from threepid.storage.suppressions import Suppression


def test_a_second_report_keeps_the_time_of_the_first(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            write, read = office.database.write, office.database.read
            for kind, status, message_id, now in (("bounce", "5.1.1", "one", 5), ("complaint", "abuse", "two", 9)):
                await write(
                    lambda tx: suppressions.record(
                        tx, canonical="bob@example.com", kind=kind, status=status, message_id=message_id, now=now
                    )
                )
            found = await read(lambda tx: suppressions.get(tx, "bob@example.com"))
            assert found == Suppression("bob@example.com", "complaint", "abuse", "two", 5, 9)
            assert "bob" not in repr(found)
            assert await read(lambda tx: suppressions.get(tx, "Bob@example.com")) is None
            assert await read(suppressions.counts) == {"complaint": 1}
            assert [await write(lambda tx: suppressions.delete(tx, "bob@example.com")) for _ in range(2)] == [
                True,
                False,
            ]
            assert await read(suppressions.counts) == {}

    asyncio.run(run())


def test_they_are_listed_page_by_page(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            names = sorted(f"{letter}@example.com" for letter in "zaxb")
            for name in names:
                await office.database.write(
                    lambda tx: suppressions.record(
                        tx, canonical=name, kind="bounce", status="5.1.1", message_id="", now=1
                    )
                )
            found: list[str] = []
            for _ in range(3):
                after = found[-1] if found else ""
                page = await office.database.read(lambda tx: suppressions.listed(tx, after=after, count=2))
                found += [one.canonical for one in page]
            assert found == names

    asyncio.run(run())


def test_a_mail_has_one_report_and_only_after_it_was_tried(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            write, now = office.database.write, office.clock.now()
            mail, text = await office.order(), await office.order("+447700900123", channel="sms")
            assert not await write(lambda tx: outbox.returned(tx, mail, status="5.1.1", now=now))
            await write(lambda tx: outbox.claim(tx, [mail, text], worker="w", now=now))
            assert not await write(lambda tx: outbox.returned(tx, text, status="5.1.1", now=now))
            assert not await write(lambda tx: outbox.returned(tx, "nosuch", status="5.1.1", now=now))
            results = [await write(lambda tx: outbox.returned(tx, mail, status=s, now=now)) for s in ("5.1.1", "5.1.2")]
            assert results == [True, False]
            found = await office.database.read(lambda tx: outbox.get(tx, mail))
            assert found is not None
            assert (found.returned_at, found.returned_status) == (now, "5.1.1")

    asyncio.run(run())


def test_a_job_that_is_held_back_has_failed_and_holds_no_contents(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            now = office.clock.now()
            await office.database.write(
                lambda tx: outbox.insert(
                    tx,
                    job_id="held",
                    channel="email",
                    recipient="bob@example.com",
                    language="en",
                    template="bound",
                    params="a code",
                    created_at=now,
                    due_at=now,
                    expires_at=now + HOUR,
                    caller="x",
                    held_back="a reason",
                )
            )
            row = await office.row("held")
            assert (row.params, row.failed_at, row.last_error, row.turn) == ("", now, "a reason", None)
            assert await office.worker.run_once() == 0
            assert await office.database.read(outbox.depth) == 0

    asyncio.run(run())
