"""The outbox and the development mailbox, on each engine."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from mail_relay import PostOffice
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.domain.messages import EXAMPLES
from threepid.storage import mailbox, outbox
from threepid.storage.connect import open_database
from threepid.storage.database import Tx
from threepid.storage.outbox import Order

T = TypeVar("T")
LEASE = 6 * MINUTE


class Refusal(Exception):
    pass


async def claim(office: PostOffice, count: int = 10) -> list[Order]:
    now = office.clock.now()
    return await office.database.write(lambda tx: outbox.claim(tx, now=now, lease=LEASE, count=count))


async def write(office: PostOffice, step: Callable[..., T], *arguments: Any, **named: Any) -> T:
    return await office.database.write(lambda tx: step(tx, *arguments, **named))


async def read(office: PostOffice, step: Callable[..., T], *arguments: Any) -> T:
    return await office.database.read(lambda tx: step(tx, *arguments))


def test_a_claimed_message_belongs_to_its_worker_until_the_lease_ends(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            (order,) = await claim(office)
            assert (order.id, order.attempts, order.recipient) == (order_id, 1, "bob@example.com")
            assert await claim(office) == []
            office.clock.advance(LEASE - 1)
            assert await claim(office) == []
            office.clock.advance(1)
            assert [again.attempts for again in await claim(office)] == [2]

    asyncio.run(run())


def test_two_workers_never_take_one_message(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            orders = {await office.order() for _ in range(60)}
            others = [open_database(database_url, pool_size=4, password=None) for _ in range(3)]
            now = office.clock.now()
            taken: list[str] = []

            async def work(database: Any) -> None:
                while found := await database.write(lambda tx: outbox.claim(tx, now=now, lease=LEASE, count=3)):
                    assert len(found) <= 3
                    taken.extend(order.id for order in found)

            await asyncio.gather(*(work(database) for database in others for _ in range(2)))
            # With SKIP LOCKED a worker may find nothing while others hold the last rows: nobody takes one twice all the same.
            taken.extend(order.id for order in await claim(office, 60))
            assert sorted(taken) == sorted(orders)
            for database in others:
                await database.close()

    asyncio.run(run())


def test_an_expired_message_is_not_claimed_but_dropped_with_its_last_cause(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            never, tried = await office.order(life=MINUTE), await office.order(life=MINUTE)
            order = next(order for order in await claim(office) if order.id == tried)
            now = office.clock.now()
            await write(office, outbox.retry_later, order, due_at=now + HOUR, last_error="timeout")
            office.clock.advance(MINUTE)
            assert [order.id for order in await claim(office)] == []
            assert await write(office, outbox.drop_expired, office.clock.now()) == 1
            assert (await office.row(tried)).last_error == "expired: timeout"
            assert (await office.row(never)).failed_at is None  # still leased: its worker may be delivering it
            office.clock.advance(LEASE)
            assert await write(office, outbox.drop_expired, office.clock.now()) == 1
            assert (await office.row(never)).last_error == "expired: never tried"
            assert await read(office, outbox.depth) == 0

    asyncio.run(run())


@pytest.mark.parametrize("end", ["sent", "failed", "dropped"])
def test_the_contents_are_forgotten_when_a_message_is_done_with(database_url: str, end: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order(life=HOUR)
            (order,) = await claim(office)
            assert "042917" in (await office.row(order_id)).params
            now = office.clock.now()
            if end == "sent":
                assert await write(office, outbox.sent, order.id, now)
            elif end == "failed":
                assert await write(office, outbox.failed, order, now=now, last_error="550")
            else:
                assert await write(office, outbox.drop_expired, now + HOUR) == 1
            row = await office.row(order_id)
            assert row.params == ""
            assert (row.sent_at is None) == (end != "sent")
            assert (row.failed_at is None) == (end == "sent")
            assert await read(office, outbox.depth) == 0

    asyncio.run(run())


def test_a_worker_whose_lease_ran_out_changes_nothing_but_a_delivery_counts(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            (slow,) = await claim(office)
            office.clock.advance(LEASE)
            (quick,) = await claim(office)
            held = await office.row(order_id)
            assert not await write(office, outbox.retry_later, slow, due_at=office.clock.now(), last_error="x")
            assert not await write(office, outbox.failed, slow, now=office.clock.now(), last_error="x")
            assert await office.row(order_id) == held
            assert await write(office, outbox.failed, quick, now=office.clock.now(), last_error="550")
            assert await write(office, outbox.sent, slow.id, office.clock.now())
            row = await office.row(order_id)
            assert (row.sent_at, row.failed_at) == (office.clock.now(), None)
            assert not await write(office, outbox.sent, slow.id, office.clock.now())

    asyncio.run(run())


def test_a_retry_is_never_planned_past_the_expiry(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order(life=MINUTE)
            (order,) = await claim(office)
            await write(office, outbox.retry_later, order, due_at=order.created_at + 30 * SECOND, last_error="x")
            assert (await office.row(order_id)).due_at == order.created_at + 30 * SECOND
            await write(office, outbox.retry_later, order, due_at=order.created_at + HOUR, last_error="x")
            assert (await office.row(order_id)).due_at == order.expires_at

    asyncio.run(run())


def test_a_message_goes_with_its_reason(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:

            def step(tx: Tx) -> None:
                outbox.insert(
                    tx,
                    order_id="x",
                    channel="email",
                    recipient="bob@example.com",
                    language="en",
                    template="x",
                    params="{}",
                    created_at=1,
                    due_at=1,
                    expires_at=2,
                )
                assert outbox.depth(tx) == 1
                raise Refusal

            with pytest.raises(Refusal):
                await office.database.write(step)
            assert await read(office, outbox.depth) == 0

    asyncio.run(run())


def test_only_old_and_finished_messages_are_forgotten(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            finished = await office.order(life=90 * DAY)
            await write(office, outbox.sent, finished, office.clock.now())
            waiting = await office.order(life=90 * DAY)
            assert await write(office, outbox.delete_done, office.clock.now() - 1) == 0
            office.clock.advance(DAY)
            young = await office.order(life=90 * DAY)
            await write(office, outbox.sent, young, office.clock.now())
            assert await write(office, outbox.delete_done, office.clock.now() - 1) == 1
            assert (await office.row(waiting)).sent_at is None
            assert (await office.row(young)).sent_at is not None

    asyncio.run(run())


def test_has_due_tells_what_there_is_to_do(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            assert not await read(office, outbox.has_due, office.clock.now())
            await office.order(life=MINUTE)
            assert not await read(office, outbox.has_due, office.clock.now() - 1)
            assert await read(office, outbox.has_due, office.clock.now())
            assert await read(office, outbox.has_due, office.clock.now() + HOUR)

    asyncio.run(run())


def test_neither_orders_nor_messages_show_their_contents() -> None:
    order = Order("the id", "email", "bob@example.com", "en", "confirm_address", '{"code": "042917"}', 0, 1, 1)
    assert repr(order) == "Order('the id')"
    assert repr(EXAMPLES[0]) == "ConfirmAddress()"


def test_the_mailbox_keeps_the_newest_mails_and_each_once(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:

            def step(tx: Tx) -> None:
                for number in range(mailbox.KEPT + 5):
                    mailbox.store(tx, mailbox.Mail(f"mail{number}", "bob@example.com", number, b"\x00\xff"))
                mailbox.store(tx, mailbox.Mail("mail204", "bob@example.com", 204, b"again"))

            await office.database.write(step)
            kept = await read(office, mailbox.newest, 1000)
            assert [mail.received_at for mail in kept] == list(range(204, 4, -1))
            assert kept[0].message == b"\x00\xff"
            assert await read(office, mailbox.get, "mail4") is None
            assert await read(office, mailbox.get, "mail5") == kept[-1]

    asyncio.run(run())
