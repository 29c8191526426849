"""F27: what a dead worker had in hand goes out within seconds, and what a living one has in hand is left to it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

from mail_relay import Background, Flaky, PostOffice, Relay
from rig import ServerProcess, identity_token, register, request_token, wait_for, whole
from threepid.clock import HOUR, Entropy
from threepid.delivery.leases import LOOK_SECONDS, LOOKS, RENEW_SECONDS, Leases
from threepid.delivery.presence import Presence
from threepid.storage import outbox
from threepid.storage.engine.database import Busy
from world import HandClock

HOLD = """
import sys, time
from pathlib import Path
from threepid.clock import Entropy
from threepid.delivery.presence import Presence
presence = Presence(Path(sys.argv[1]), Entropy())
presence.begin()
print(presence.name, flush=True)
time.sleep(60)
"""


class Watch(HandClock):
    """A clock whose monotonic half moves by hand as well."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


def presence(directory: Path | None = None) -> Presence:
    return Presence(directory, Entropy())


async def take(office: PostOffice, worker: str) -> str:
    """`worker` has a message in hand."""
    order_id, now = await office.order(life=HOUR), office.clock.now()
    taken = await office.database.write(lambda tx: outbox.claim(tx, [order_id], worker=worker, now=now))
    assert [order.id for order in taken] == [order_id]
    return order_id


# -- who is surely dead


def test_a_process_that_was_killed_is_dead_and_one_that_lives_is_not(tmp_path: Path) -> None:
    here = presence(tmp_path / "workers")
    here.begin()
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "workers")], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    name = other.stdout.readline().strip()
    try:
        assert here.dead() == []
        assert (tmp_path / "workers").stat().st_mode & 0o077 == 0
        other.send_signal(signal.SIGSTOP)
        assert here.dead() == []
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
    assert here.dead() == [name]
    here.forget(name)
    assert here.dead() == []
    here.end()
    assert list((tmp_path / "workers").iterdir()) == []


def test_workers_of_one_host_have_names_of_their_own(tmp_path: Path) -> None:
    names = {presence(tmp_path).name for _ in range(20)}
    assert len(names) == 20
    assert len({name.rpartition("~")[0] for name in names}) == 1


def test_nothing_is_taken_for_proof_that_is_none(tmp_path: Path) -> None:
    """A lock proves something only among processes of one kernel, and a file that has no name yet is of a living worker."""
    here = presence(tmp_path)
    here.begin()
    host, machine, _ = here.name.split("~")
    (tmp_path / f"{host}~another-boot~xyz").touch()
    (tmp_path / f".{host}~{machine}~beginning").touch()
    (tmp_path / "README").touch()
    assert here.dead() == []
    (tmp_path / f"{host}~{machine}~xyz").touch()
    assert here.dead() == [f"{host}~{machine}~xyz"]
    here.end()


def test_without_a_folder_or_locks_the_rest_works(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "file").touch()

    async def run() -> None:
        async with (
            Relay() as relay,
            PostOffice(database_url, relay.transport(), presence=presence(tmp_path / "file" / "x")) as office,
            Background(office.worker),
        ):
            order_id = await office.order()
            office.worker.wake()
            async with asyncio.timeout(30):
                while (await office.row(order_id)).sent_at is None:
                    await asyncio.sleep(0.02)

    asyncio.run(run())


# -- leases


def test_the_dead_of_the_own_host_are_found_at_once(database_url: str, tmp_path: Path) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            dead, alive, here = (presence(tmp_path) for _ in range(3))
            for one in (dead, alive):
                one.begin()
            lost, kept = await take(office, dead.name), await take(office, alive.name)
            leases = Leases(office.database, Watch(), here)
            leases.begin()
            assert await leases.look(set()) == 0
            assert dead._descriptor is not None
            os.close(dead._descriptor)  # as the kernel does when a process ends
            assert await leases.look(set()) == 1
            assert ((await office.row(lost)).worker, (await office.row(kept)).worker) == (None, alive.name)
            assert here.dead() == []
            alive.end()
            here.end()

    asyncio.run(run())


def test_a_worker_elsewhere_is_dead_after_45_seconds_of_silence(database_url: str) -> None:
    assert RENEW_SECONDS == 15
    assert LOOK_SECONDS * LOOKS == 45

    async def run() -> None:
        async with PostOffice(database_url) as office:
            other = presence()
            order_id = await take(office, other.name)
            leases = Leases(office.database, Watch(), presence())
            looks = 0
            while (await office.row(order_id)).worker is not None:
                await leases.look(set())
                looks += 1
            assert looks == LOOKS + 2  # the first only sees it, the last lets go
            assert (await office.row(order_id)).turn is not None

    asyncio.run(run())


def test_a_worker_that_renews_keeps_what_it_has(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            clock = Watch()
            living, watching = (Leases(office.database, clock, presence()) for _ in range(2))
            order_id = await take(office, living.worker)
            for look in range(5 * LOOKS):
                await watching.look(set())
                await living.look({order_id})
                clock.seconds += LOOK_SECONDS
                if look % 10 == 0:  # whatever the clock on the wall does
                    office.clock.advance((-1) ** look * 24 * HOUR)
            assert (await office.row(order_id)).worker == living.worker

    asyncio.run(run())


def test_a_database_that_is_out_of_reach_makes_nobody_look_dead(database_url: str) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            clock = Watch()
            living = Leases(office.database, clock, presence())
            database = Flaky(office.database)
            database.engine = "postgresql"
            watching = Leases(database, clock, presence())
            order_id = await take(office, living.worker)
            await watching.look(set())
            database.refusals = 3 * LOOKS
            for _ in range(3 * LOOKS):
                with pytest.raises(Busy):
                    await watching.look(set())
                clock.seconds += LOOK_SECONDS
            await watching.look(set())
            await watching.look(set())
            await living.look({order_id})
            assert (await office.row(order_id)).worker == living.worker

    asyncio.run(run())


def test_what_a_worker_took_and_does_not_know_of_is_let_go(database_url: str) -> None:
    """A claim whose answer got lost with the connection."""

    async def run() -> None:
        async with PostOffice(database_url) as office:
            clock = Watch()
            leases = Leases(office.database, clock, presence())
            known, unknown = await take(office, leases.worker), await take(office, leases.worker)
            assert await leases.look({known}) == 1
            assert (await office.row(known)).worker == leases.worker
            assert (await office.row(unknown)).worker is None

    asyncio.run(run())


def test_on_sqlite_those_of_an_earlier_boot_are_dead_and_elsewhere_they_may_be_another_machine(
    database_url: str, engine: str
) -> None:
    async def run() -> None:
        async with PostOffice(database_url) as office:
            leases = Leases(office.database, Watch(), presence())
            order_id = await take(office, "host~another-boot~xyz")
            await leases.look(set())
            assert ((await office.row(order_id)).worker is None) == (engine == "sqlite")

    asyncio.run(run())


def test_a_database_that_cannot_note_a_sent_mail_for_long_makes_no_copy(database_url: str) -> None:
    async def run() -> None:
        databases: list[Flaky] = []

        async def accept(_content: bytes) -> None:
            databases[0].refusals = 10**9

        async with Relay(accept=accept) as relay, PostOffice(database_url, relay.transport()) as office:
            from threepid.delivery.worker import Worker

            databases.append(Flaky(office.database))
            worker = Worker(databases[0], office.clock, office.job_types, note_again_seconds=(0.01, 0.02, 0.03))
            order_id = await office.order()
            async with Background(worker):
                async with asyncio.timeout(30):
                    while databases[0].refused < 10:  # more often than pauses are written
                        await asyncio.sleep(0.01)
                databases[0].refusals = 0
                async with asyncio.timeout(30):
                    while (await office.row(order_id)).sent_at is None:
                        await asyncio.sleep(0.05)
            assert len(relay.received) == 1

    asyncio.run(run())


def test_a_mail_whose_log_line_fails_is_noted_and_goes_out_once(database_url: str) -> None:
    import structlog

    def full(*_: object) -> dict[str, Any]:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        async with Relay() as relay, PostOffice(database_url, relay.transport()) as office:
            order_id = await office.order()
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda *_: None)
            structlog.configure(processors=[full])
            try:
                await office.worker.run_once()
            finally:
                structlog.reset_defaults()
            row = await office.row(order_id)
            assert (row.sent_at, row.worker) == (office.clock.now(), None)
            await office.worker.run_once()
            assert len(relay.received) == 1

    asyncio.run(run())


# -- whole servers


class Held:
    """A relay in a thread that says nothing to the last dot, until it is told to."""

    def __init__(self) -> None:
        import threading

        self.holding = True
        self.asked: list[bytes] = []
        self.port = 0
        self._ready, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    async def _run(self) -> None:
        async def accept(content: bytes) -> None:
            self.asked.append(content)
            if self.holding:
                await asyncio.Event().wait()

        async with Relay(accept=accept) as relay:
            self.port = relay.port
            self.relay = relay
            self._ready.set()
            while not self._done.is_set():
                await asyncio.sleep(0.02)

    @property
    def via(self) -> str:
        return f'{{ transport = "smtp", host = "127.0.0.1", port = {self.port}, tls = "plain" }}'


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["one worker", "two workers", "a new start"])
def test_a_killed_worker_s_mails_come_within_seconds(tmp_path: Path, how: str) -> None:
    with Held() as relay:
        workers = "workers = 2" if how == "two workers" else ""
        with whole(ServerProcess(tmp_path / "server", via=relay.via, server=workers)) as server:
            with server.client() as http:
                identity = identity_token(http, register(http, "alice"))
                for number in range(3):
                    answer = request_token(http, identity, f"a{number}@example.com", secret=f"s{number}")
                    assert answer.status_code == 200
            wait_for(lambda: len(relay.asked) == 3, what="three mails in hand")
            relay.holding = False
            if how == "a new start":
                server.kill()
                server.start()
            else:
                for worker in server.workers():
                    os.kill(worker, signal.SIGKILL)
            # Somebody who only knew them by their silence would wait longer.
            wait_for(lambda: len(relay.relay.received) == 3, LOOKS * LOOK_SECONDS - 5, what="the mails")
            time.sleep(1)
        copies = Counter(str(mail.message["Message-ID"]) for mail in relay.relay.received)
        assert sorted(copies.values()) == [1, 1, 1]
    assert list((tmp_path / "server" / "data" / "workers").iterdir()) == []
