"""The outbox and the development mailbox, on each engine."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from mail_relay import PostOffice
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.domain.messages import EXAMPLES
from threepid.storage import mailbox, outbox
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Tx
from threepid.storage.outbox import ClaimedJob, Pending

T = TypeVar("T")
WORKER = "host~boot~one"


class Refusal(Exception):
    pass


def take(tx: Tx, now: int, count: int, worker: str = WORKER) -> list[ClaimedJob]:
    outbox.line_up(tx, now)
    found = outbox.in_line(tx, now=now, count=count)
    return outbox.claim(tx, [one.id for one in found], worker=worker, now=now)


async def claim(office: PostOffice, count: int = 10, worker: str = WORKER) -> list[ClaimedJob]:
    return await write(office, take, office.clock.now(), count, worker)


async def die(office: PostOffice, worker: str = WORKER) -> int:
    """Its worker is found dead."""
    return await write(office, outbox.let_go, worker, now=office.clock.now())


async def write(office: PostOffice, step: Callable[..., T], *arguments: Any, **named: Any) -> T:
    return await office.database.write(lambda tx: step(tx, *arguments, **named))


async def read(office: PostOffice, step: Callable[..., T], *arguments: Any) -> T:
    return await office.database.read(lambda tx: step(tx, *arguments))


def test_a_claimed_message_belongs_to_its_worker_until_it_is_found_dead(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            (order,) = await claim(office)
            assert (order.id, order.attempts, order.recipient) == (order_id, 1, "bob@example.com")
            assert (await office.row(order_id)).worker == WORKER
            office.clock.advance(10 * MINUTE)
            assert await claim(office) == []
            assert await read(office, outbox.held_by, WORKER) == [order_id]
            assert await die(office, "host~boot~other") == 0
            assert await die(office) == 1
            assert [again.attempts for again in await claim(office)] == [2]

    asyncio.run(run())


def test_who_renews_is_not_taken_for_dead(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            await claim(office)
            (seen,) = await read(office, outbox.held)
            assert (seen.worker, seen.renewed_at) == (WORKER, office.clock.now())
            assert await write(office, outbox.renew, WORKER, office.clock.now() - HOUR) == 1
            (again,) = await read(office, outbox.held)
            assert again.renewed_at > seen.renewed_at  # whatever the clock says
            assert await write(office, outbox.let_go, WORKER, seen=seen.renewed_at, now=office.clock.now()) == 0
            assert (await office.row(order_id)).worker == WORKER
            assert await write(office, outbox.let_go, WORKER, seen=again.renewed_at, now=office.clock.now()) == 1

    asyncio.run(run())


def test_only_its_own_worker_lets_a_message_go(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            await claim(office)
            assert not await write(office, outbox.let_one_go, order_id, "host~boot~other", office.clock.now())
            assert await write(office, outbox.let_one_go, order_id, WORKER, office.clock.now())
            assert not await write(office, outbox.let_one_go, order_id, WORKER, office.clock.now())
            assert len(await claim(office)) == 1

    asyncio.run(run())


def test_two_workers_never_take_one_message(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            orders = {await office.order() for _ in range(60)}
            others = [open_database(database_url, pool_size=4, password=None) for _ in range(3)]
            now = office.clock.now()
            taken: list[str] = []

            async def work(database: Any) -> None:
                while found := await database.write(lambda tx: take(tx, now, 3)):
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
            await write(office, outbox.retry_later, order, now=now, due_at=now + HOUR, last_error="timeout")
            office.clock.advance(MINUTE)
            assert [order.id for order in await claim(office)] == []
            assert await write(office, outbox.drop_expired, office.clock.now()) == ["email"]
            assert (await office.row(tried)).last_error == "expired: timeout"
            assert (await office.row(never)).failed_at is None  # in hand: its worker may be delivering it
            assert await die(office) == 1
            assert await write(office, outbox.drop_expired, office.clock.now()) == ["email"]
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
                await die(office)
                assert await write(office, outbox.drop_expired, now + HOUR) == ["email"]
            row = await office.row(order_id)
            assert row.params == ""
            assert (row.sent_at is None) == (end != "sent")
            assert (row.failed_at is None) == (end == "sent")
            assert await read(office, outbox.depth) == 0

    asyncio.run(run())


def test_a_worker_that_was_taken_for_dead_changes_nothing_but_a_delivery_counts(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            order_id = await office.order()
            (slow,) = await claim(office)
            assert await die(office) == 1
            (quick,) = await claim(office, worker="host~boot~other")
            held, now = await office.row(order_id), office.clock.now()
            assert not await write(office, outbox.retry_later, slow, now=now, due_at=now, last_error="x")
            assert not await write(office, outbox.failed, slow, now=now, last_error="x")
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
            now = office.clock.now()
            await write(office, outbox.retry_later, order, now=now, due_at=now + 30 * SECOND, last_error="x")
            assert (await office.row(order_id)).due_at == order.created_at + 30 * SECOND
            await write(office, outbox.retry_later, order, now=now, due_at=now + HOUR, last_error="x")
            assert (await office.row(order_id)).due_at == order.expires_at

    asyncio.run(run())


def test_a_message_goes_with_its_reason(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:

            def step(tx: Tx) -> None:
                outbox.insert(
                    tx,
                    job_id="x",
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


def delete_done(tx: Tx, then: int) -> int:
    return outbox.delete_done(tx, then, at_most=9)


def test_only_old_and_finished_messages_are_forgotten(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            finished = await office.order(life=90 * DAY)
            await write(office, outbox.sent, finished, office.clock.now())
            waiting = await office.order(life=90 * DAY)
            assert await write(office, delete_done, office.clock.now() - 1) == 0
            office.clock.advance(DAY)
            young = await office.order(life=90 * DAY)
            await write(office, outbox.sent, young, office.clock.now())
            assert await write(office, delete_done, office.clock.now() - 1) == 1
            assert (await office.row(waiting)).sent_at is None
            assert (await office.row(young)).sent_at is not None

    asyncio.run(run())


def test_each_caller_s_messages_stand_one_behind_the_other(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            flood = [await office.order(caller="flood") for _ in range(20)]
            office.clock.advance(2 * SECOND + 500)
            other = await office.order(caller="other")
            order = [one.id for one in await write(office, in_line, office.clock.now())]
            assert order == [*flood[:3], other, *flood[3:]]
            # Those that were tried, and wait for another try, come no sooner.
            for one in await claim(office, 21):
                await write(
                    office, outbox.retry_later, one, now=one.created_at, due_at=one.created_at + 1, last_error="x"
                )
            late = await office.order(caller="third")
            office.clock.advance(1)
            assert await write(office, outbox.line_up, office.clock.now()) == 21
            line = await write(office, in_line, office.clock.now())
            assert line[0].id == late
            assert {one.caller for one in line[:3]} == {"flood", "other", "third"}
            assert len(line) == 22

    asyncio.run(run())


def in_line(tx: Tx, now: int) -> list[outbox.Waiting]:
    return outbox.in_line(tx, now=now, count=100)


def test_the_line_is_in_order_of_urgency(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            kinds = {example.template: example for example in EXAMPLES}
            ids = {}
            for template in ("invitation", "password_changed", "confirm_address"):
                ids[template] = await office.order(message=kinds[template])
                office.clock.advance(MINUTE)
            order = [one.id for one in await write(office, in_line, office.clock.now())]
            assert order == [ids["confirm_address"], ids["password_changed"], ids["invitation"]]

    asyncio.run(run())


def test_what_a_wrong_clock_put_off_waits_no_longer_than_it_was_to_wait(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            tried, skewed, fresh = [await office.order(life=90 * DAY) for _ in range(3)]
            await write(office, take, office.clock.now(), 2)
            now = office.clock.now()
            for order_id, ahead in ((tried, DAY), (skewed, 50 * SECOND)):
                order = ClaimedJob(order_id, "", "", "", "", "", now, now + 90 * DAY, 1)
                await write(
                    office, outbox.retry_later, order, now=now + ahead, due_at=now + ahead + 5 * SECOND, last_error="x"
                )
            assert await read(office, outbox.is_planned_wrongly, now)
            assert await write(office, outbox.plan_anew, now) == 1
            assert not await read(office, outbox.is_planned_wrongly, now)
            assert (await office.row(tried)).due_at == now + 5 * SECOND
            assert (await office.row(skewed)).due_at == now + 55 * SECOND  # as another server's clock may differ
            assert (await office.row(fresh)).turn is not None

    asyncio.run(run())


def test_pending_tells_what_there_is_to_do(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            assert not await read(office, outbox.pending, office.clock.now())
            now = office.clock.now()
            await office.order(life=MINUTE)
            assert await read(office, outbox.pending, now) == Pending(in_line=True)
            (order,) = await claim(office)
            assert not await read(office, outbox.pending, now + HOUR)  # it is in hand
            await write(office, outbox.retry_later, order, now=now, due_at=now + 1, last_error="x")
            assert not await read(office, outbox.pending, now)
            assert await read(office, outbox.pending, now + 1) == Pending(due=True)
            assert await read(office, outbox.pending, now + HOUR) == Pending(due=True, expired=True)

    asyncio.run(run())


def test_neither_orders_nor_messages_show_their_contents() -> None:
    order = ClaimedJob("the id", "email", "bob@example.com", "en", "confirm_address", '{"code": "042917"}', 0, 1, 1)
    assert repr(order) == "ClaimedJob('the id')"
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
