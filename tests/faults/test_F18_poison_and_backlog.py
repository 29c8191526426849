"""F18: one bad message in a hundred stalls no queue; a backlog goes out by urgency, and codes that are too old do not."""

import asyncio

import msgspec

from mail_relay import PostOffice, Relay
from threepid.clock import MINUTE
from threepid.domain.messages import EXAMPLES, ConfirmAddress
from threepid.domain.outbox import Urgency

MAILS = 300
POISON = 100
"""Every hundredth mail cannot be rendered."""
CODE = next(example for example in EXAMPLES if isinstance(example, ConfirmAddress))
NOTICE = next(example for example in EXAMPLES if example.urgency is Urgency.NOTICE)


def test_a_backlog_with_poison_is_sent_by_urgency_without_codes_that_are_too_old(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            old = [await office.order(f"old{number}@old.example", message=CODE, life=MINUTE) for number in range(20)]
            office.clock.advance(2 * MINUTE)
            poison = []
            for number in range(MAILS):
                message = CODE if number % 3 == 2 else NOTICE
                broken = '{"code": 1' if number % POISON == 0 else ""
                name = "code" if message is CODE else "notice"
                job = await office.order(f"{name}{number}@d{number % 40}.example", message=message, params=broken)
                poison += [job] if broken else []
            assert await office.worker.run_once() == MAILS
            names = [mail.recipients[0].removeprefix("TO:<") for mail in relay.received]
            assert len(names) == MAILS - len(poison)
            codes = sum(name.startswith("code") for name in names)
            # Mails that are on their way at the same time may overtake each other.
            assert all(name.startswith("code") for name in names[: codes - 8])
            for job in poison:
                row = await office.row(job)
                assert (row.sent_at, row.failed_at, row.worker) == (None, None, None)
                assert str(row.last_error).startswith("DecodeError in ")
            for job in old:
                row = await office.row(job)
                assert (row.last_error, row.params) == ("expired: never tried", "")

    asyncio.run(run())


def test_what_a_newer_version_put_into_the_outbox_waits_for_it(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            job = await office.order(template="of_tomorrow", params=msgspec.json.encode({"x": 1}).decode())
            await office.order("bob@example.com")
            await office.worker.run_once()
            assert len(relay.received) == 1
            row = await office.row(job)
            assert (row.failed_at, row.last_error) == (
                None,
                "TemplateError in _find, line " + str(row.last_error).split()[-1],
            )

    asyncio.run(run())
