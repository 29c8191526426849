"""F08: a worker killed between the relay's 250 and our note: nothing is lost, and each kill doubles one mail at most."""

import asyncio
import re
import sys
from collections import Counter

import msgspec
import pytest

from mail_relay import TAKEN, PostOffice, Relay
from threepid.clock import MINUTE, Clock
from threepid.domain.messages import EXAMPLES, ConfirmAddress
from threepid.storage import outbox
from world import HandClock

MAILS = 48
KILLS = 4
MAILS_OF_A_WORKER = 4
WORKER = """
import asyncio, sys
from mail_relay import PostOffice
from threepid.clock import Clock
from threepid.config import SmtpTransport

async def work():
    relay = SmtpTransport(host="localhost", port=int(sys.argv[2]), tls="plain")
    async with PostOffice(sys.argv[1], relay, clock=Clock()) as office:
        await office.worker.run(asyncio.Event())

asyncio.run(work())
"""


def message(number: int) -> ConfirmAddress:
    example = EXAMPLES[0]
    assert isinstance(example, ConfirmAddress)
    return msgspec.structs.replace(example, code=f"{100_000 + number}")


def order_of(content: bytes) -> str:
    found = re.search(rb"^Message-ID: <(\w+)@example\.org>\r$", content, re.MULTILINE)
    assert found
    return found[1].decode()


class Killer:
    """Lets a relay take one mail after the other, and kills each worker at its fourth: now before, now after the 250."""

    def __init__(self) -> None:
        self._worker: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()
        self._taken: list[str] = []
        self._kills = 0
        self.office: PostOffice | None = None

    async def watch(self, worker: asyncio.subprocess.Process | None) -> None:
        """Wait until `worker` is killed; None is one that lives."""
        self._worker, self._taken = worker, []
        if worker is not None:
            await worker.wait()

    async def _noted(self, order_id: str) -> None:
        assert self.office is not None
        while (await self.office.row(order_id)).sent_at is None:
            await asyncio.sleep(0.02)

    async def accept(self, content: bytes) -> None:
        worker = self._worker
        async with self._one:
            if worker is None:
                return
            if worker is not self._worker or len(self._taken) == MAILS_OF_A_WORKER:
                raise ConnectionResetError  # whoever offered this mail is dead or dying: it is not taken
            before = self._taken
            self._taken = [*before, order_of(content)]
            if len(self._taken) == MAILS_OF_A_WORKER:
                for order_id in before:
                    await self._noted(order_id)
                self._kills += 1
                if self._kills % 2:
                    worker.kill()
                else:
                    asyncio.get_running_loop().call_later(0.001 * self._kills, worker.kill)


@pytest.mark.timeout(180)
def test_kills_lose_nothing_and_double_one_mail_each_at_most(database_url: str) -> None:
    async def run() -> None:
        killer = Killer()
        async with (
            Relay(accept=killer.accept) as relay,
            PostOffice(database_url, relay.transport(), clock=HandClock(Clock().now())) as office,
        ):
            killer.office = office
            ids = [await office.order(message=message(number)) for number in range(MAILS)]
            for _ in range(KILLS):
                worker = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", WORKER, database_url, str(relay.port), env={"PYTHONPATH": ":".join(sys.path)}
                )
                await killer.watch(worker)
            await killer.watch(None)
            # A worker that lost its connection a moment before its death has planned another try.
            office.clock.advance(Clock().now() - office.clock.now() + 5 * MINUTE)
            for _ in range(20):
                # Nobody told of these workers' deaths: they are known by their silence. PostgreSQL may still be about to commit
                # what the last of them claimed.
                await office.database.write(
                    lambda tx: [outbox.let_go(tx, one.worker, now=0) for one in outbox.held(tx)]
                )
                await office.worker.run_once()
                if await office.database.read(outbox.depth) == 0:
                    break
                await asyncio.sleep(0.2)
            copies = Counter(str(mail.message["Message-ID"]) for mail in relay.received)
            assert set(copies) == {f"<{order_id}@example.org>" for order_id in ids}
            assert 1 <= copies.total() - MAILS <= KILLS
            for mail in relay.received:
                number = ids.index(str(mail.message["Message-ID"])[1:].partition("@")[0])
                plain = mail.message.get_body(("plain",))
                assert plain is not None
                assert re.findall(r"^ {4}(\d{6})\r?$", str(plain.get_content()), re.MULTILINE) == [
                    str(100_000 + number)
                ]

    asyncio.run(run())


def test_the_second_copy_has_the_same_id_date_and_code(database_url: str) -> None:
    async def run() -> None:
        async with (
            Relay({"END": TAKEN}) as relay,
            PostOffice(database_url, relay.transport()) as office,
        ):
            await office.order()
            await office.worker.run_once()
            relay.script.clear()
            office.clock.advance(2 * MINUTE)
            await office.worker.run_once()
            first, second = (mail.message for mail in relay.received)
            assert first.items() == second.items()
            codes = [re.findall(rb"\b042917\b", mail.content) for mail in relay.received]
            assert codes[0] == codes[1] != []

    asyncio.run(run())


def test_a_message_whose_worker_died_is_dropped_and_not_sent_when_its_lease_outlived_it(database_url: str) -> None:
    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            order_id = await office.order(life=MINUTE)
            await office.worker._claim(1)  # and its worker dies
            office.clock.advance(MINUTE)
            assert await office.worker.run_once() == 0
            assert (await office.row(order_id)).failed_at is None  # for all that anybody knows it is being delivered
            await office.database.write(lambda tx: [outbox.let_go(tx, one.worker, now=0) for one in outbox.held(tx)])
            assert await office.worker.run_once() == 0
            assert relay.verbs == []
            row = await office.row(order_id)
            assert (row.last_error, row.params) == ("expired: never tried", "")

    asyncio.run(run())
