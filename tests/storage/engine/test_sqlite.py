"""What only SQLite does: one writer, one commit for all that waits."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import pytest

from failing_disk import failing_disk
from threepid.clock import Clock
from threepid.spec.lookup_hash import lookup_hash
from threepid.storage import accounts, peppers
from threepid.storage.engine.database import Busy, InDoubt, StorageError, Tx
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.sqlite import Sqlite, SqliteTx, connect


@pytest.fixture
def path(tmp_path: Path) -> Path:
    migrate(f"sqlite:{tmp_path / 'x.db'}", password=None, clock=Clock())
    return tmp_path / "x.db"


def hold(seconds: float) -> None:
    """Keep the event loop from all else."""
    time.sleep(seconds)


def account(name: object) -> Callable[[Tx], bool]:
    return lambda tx: accounts.insert(tx, user_id=f"@u{name}:x", password_hash=None, created_at=1)


def test_writes_that_wait_together_share_a_commit(path: Path) -> None:
    async def run() -> tuple[int, int]:
        database = Sqlite(path)
        await asyncio.gather(*(database.write(account(number)) for number in range(256)))
        await database.close()
        return database.commits, database.writes

    commits, writes = asyncio.run(run())
    assert writes == 256
    assert commits <= 64


def test_64_clients_that_write_one_thing_after_the_other_share_commits(path: Path) -> None:
    async def run() -> tuple[int, int]:
        database = Sqlite(path)

        async def client(number: int) -> None:
            for turn in range(20):
                await database.write(account(f"{number}.{turn}"))

        await asyncio.gather(*(client(number) for number in range(64)))
        await database.close()
        return database.commits, database.writes

    commits, writes = asyncio.run(run())
    assert writes == 64 * 20
    assert commits * 4 <= writes


def test_a_commit_that_cannot_be_written_is_in_doubt_and_the_next_goes_over_a_new_connection(path: Path) -> None:
    async def run() -> None:
        database = Sqlite(path)
        assert await database.write(account(1))
        disk.fails = True
        with pytest.raises(InDoubt):
            await database.write(account(2))
        disk.fails = False
        assert await database.write(account(3))
        assert await database.read(lambda tx: accounts.get(tx, "@u3:x")) is not None
        await database.close()

    with failing_disk() as disk:
        asyncio.run(run())


def test_a_file_that_cannot_be_opened_is_named_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(
        StorageError, match=r"missing/x\.db: .* must be able to write to the file, .* and to the folder\."
    ):
        connect(tmp_path / "missing" / "x.db", wait_ms=10)


def test_a_full_disk_is_named_as_what_it_may_be(path: Path) -> None:
    """SQLite says "disk I/O error" if the file beside the database that it maps into memory cannot grow."""
    program = f"""
import resource
from pathlib import Path
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.sqlite import connect
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    connect(Path({str(path)!r}), wait_ms=10)
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{path}: disk I/O error. The disk may be full or damaged: see `df` and the kernel's log.\n"


def test_a_database_that_is_held_whole_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE; CREATE TABLE x (y)")
    with pytest.raises(Busy):
        connect(path, wait_ms=10)
    other.execute("ROLLBACK")
    other.close()


def test_units_of_work_run_on_the_event_loop_and_give_it_back_between(path: Path) -> None:
    async def run() -> tuple[set[int], int]:
        database = Sqlite(path)
        threads: set[int] = set()
        done = most = 0

        def unit(number: int) -> Callable[[Tx], bool]:
            def work(tx: Tx) -> bool:
                nonlocal done
                threads.add(threading.get_ident())
                time.sleep(0.002)
                done += 1
                return account(number)(tx)

            return work

        async def watch() -> None:
            nonlocal most
            while done < 100:
                before = done
                await asyncio.sleep(0)
                most = max(most, done - before)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(database.write(unit(number)) for number in range(100)))
        await watching
        await database.close()
        return threads, most

    threads, most = asyncio.run(run())
    assert threads == {threading.get_ident()}
    assert most < 50  # of the hundred, between two turns of the event loop


def test_a_long_write_runs_beside_the_event_loop(path: Path) -> None:
    async def run() -> None:
        database = Sqlite(path)
        begun, go_on = threading.Event(), threading.Event()

        def work(tx: Tx) -> bool:
            begun.set()
            assert go_on.wait(60)
            return account("aside")(tx)

        writing = asyncio.create_task(database.write_aside(work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        assert await database.read(lambda tx: accounts.get(tx, "@uaside:x")) is None
        go_on.set()
        assert await writing
        assert await database.read(lambda tx: accounts.get(tx, "@uaside:x")) is not None
        await database.close()

    asyncio.run(run())


def test_a_write_that_has_not_begun_when_the_event_loop_stands_still_holds_up_no_other_process(path: Path) -> None:
    async def run() -> None:
        database = Sqlite(path)
        elsewhere = connect(path, wait_ms=2000)
        writing = asyncio.create_task(database.write(account("late")))
        await asyncio.sleep(0)
        hold(0.01)
        elsewhere.execute("BEGIN IMMEDIATE")
        elsewhere.execute("COMMIT")
        elsewhere.close()
        assert await writing
        await database.close()

    asyncio.run(run())


def test_what_another_process_has_locked_is_waited_for_beside_the_event_loop(path: Path) -> None:
    async def run() -> list[bool]:
        database = Sqlite(path, wait_seconds=60)
        assert await database.write(account("before"))  # there is a connection, which could block the loop
        elsewhere = connect(path, wait_ms=2000)
        elsewhere.execute("BEGIN IMMEDIATE")
        writing = [asyncio.create_task(database.write(account(number))) for number in range(3)]
        for _ in range(30):
            await asyncio.sleep(0.01)
            assert await database.read(lambda tx: accounts.get(tx, "@u0:x")) is None
        assert not any(task.done() for task in writing)
        elsewhere.execute("COMMIT")
        elsewhere.close()
        written = await asyncio.gather(*writing)
        written.append(await database.write(account("after")))
        await database.close()
        return written

    assert asyncio.run(run()) == [True] * 4


def test_closing_finishes_what_waits_and_takes_nothing_more(path: Path) -> None:
    async def run() -> list[object]:
        database = Sqlite(path)
        assert await database.write(account("first"))
        waiting = [asyncio.create_task(database.write(account(number))) for number in range(300)]
        waiting += [asyncio.create_task(database.write_aside(account("aside")))]
        await asyncio.sleep(0)
        await database.close()
        assert all(task.done() for task in waiting)
        assert database.writes == 302
        with pytest.raises(Busy):
            await database.write(account("late"))
        await database.close()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(run()) == [True] * 301


def test_a_unit_that_holds_the_event_loop_for_long_is_not_done_twice(path: Path) -> None:
    async def run() -> int:
        database = Sqlite(path)
        calls = 0

        def work(tx: Tx) -> bool:
            nonlocal calls
            calls += 1
            time.sleep(0.3)
            return account("slow")(tx)

        assert all(await asyncio.gather(database.write(work), database.write(account("next"))))
        await database.close()
        return calls

    assert asyncio.run(run()) == 1


def test_a_second_event_loop_is_refused(path: Path) -> None:
    database = Sqlite(path)
    first = asyncio.new_event_loop()
    assert first.run_until_complete(database.write(account(1)))
    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        asyncio.run(database.write(account(2)))
    assert first.run_until_complete(database.write(account(3)))
    first.run_until_complete(database.close())
    first.run_until_complete(first.shutdown_default_executor())
    first.close()
    assert database.writes == 2


@pytest.mark.parametrize("aside", [True, False])
def test_an_event_loop_that_ends_without_closing_leaves_no_lock_and_nothing_half_done(path: Path, aside: bool) -> None:
    database = Sqlite(path)
    elsewhere = connect(path, wait_ms=5000)
    begun, go_on = threading.Event(), threading.Event()

    def slow(tx: Tx) -> bool:
        begun.set()
        return go_on.wait(60) and account("slow")(tx)

    async def ask_and_leave() -> None:
        if aside:
            asyncio.create_task(database.write_aside(slow))  # noqa: RUF006 - nobody waits for it
        else:
            elsewhere.execute("BEGIN IMMEDIATE")  # the thread waits for this lock, for the event loop to go on
            asyncio.create_task(database.write(account("short")))  # noqa: RUF006
            begun.set()
        while not begun.is_set():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)

    asyncio.run(ask_and_leave())
    go_on.set()
    if not aside:
        elsewhere.execute("ROLLBACK")
    database._writer._jobs.put(None)
    database._writer._thread.join(10)
    elsewhere.execute("BEGIN IMMEDIATE")
    assert elsewhere.execute("SELECT user_id FROM accounts").fetchall() == ([("@uslow:x",)] if aside else [])
    elsewhere.execute("ROLLBACK")
    elsewhere.close()


def test_a_commit_that_must_be_undone_while_another_process_takes_the_lock_is_done_again(path: Path) -> None:
    """Between the rollback and the second beginning the database is free for others."""
    elsewhere = connect(path, wait_ms=5000)
    tried: list[str] = []

    def first(tx: Tx) -> bool:
        tried.append("first")
        return account("first")(tx)

    def failing(tx: Tx) -> None:
        tried.append("failing")
        account("failing")(tx)
        if tried.count("failing") == 1:
            # As the event loop gives the lock back, this thread is there.
            takes.start()
            time.sleep(0.05)
        raise ValueError("mine")

    def take() -> None:
        elsewhere.execute("BEGIN IMMEDIATE")
        time.sleep(0.1)
        elsewhere.execute("COMMIT")

    takes = threading.Thread(target=take)

    async def run() -> list[object]:
        database = Sqlite(path)
        assert await database.write(account("before"))
        answers: list[object] = list(
            await asyncio.gather(database.write(first), database.write(failing), return_exceptions=True)
        )
        names = ("@ufirst:x", "@ufailing:x")
        answers.append(await database.read(lambda tx: [accounts.get(tx, name) is not None for name in names]))
        assert (database.commits, database.writes) == (2, 2)
        await database.close()
        return answers

    done, failed, found = asyncio.run(run())
    takes.join()
    elsewhere.close()
    assert done is True
    assert isinstance(failed, ValueError)
    assert found == [True, False]
    assert tried == ["first", "failing"] * 2


def test_a_long_unit_has_a_commit_of_its_own_in_its_turn(path: Path) -> None:
    order: list[object] = []

    def unit(name: object) -> Callable[[Tx], bool]:
        def step(tx: Tx) -> bool:
            order.append(name)
            return account(name)(tx)

        return step

    async def run() -> int:
        database = Sqlite(path)
        await asyncio.gather(
            *(database.write(unit(number)) for number in range(3)),
            database.write_aside(unit("long")),
            database.write_aside(unit("longer")),
            *(database.write(unit(number)) for number in range(3, 6)),
        )
        await database.close()
        assert database.writes == 8
        return database.commits

    assert asyncio.run(run()) == 4
    assert order == [0, 1, 2, "long", "longer", 3, 4, 5]


def test_a_unit_that_fails_after_a_change_is_undone_alone(path: Path) -> None:
    """There are no savepoints until one was missed: then the whole commit is done again, with them."""
    tried: list[str] = []

    def unit(name: str, *, changes: bool = True, fails: bool = False) -> Callable[[Tx], bool]:
        def step(tx: Tx) -> bool:
            tried.append(name)
            done = account(name)(tx) if changes else False
            if fails:
                raise ValueError(name)
            return done

        return step

    async def run() -> Sequence[Sequence[object]]:
        database = Sqlite(path)
        answers = [
            await asyncio.gather(
                database.write(unit(f"first{turn}")),
                database.write(unit(f"failing{turn}", fails=True)),
                database.write_aside(unit(f"aside{turn}", fails=True)),
                database.write(unit(f"last{turn}")),
                return_exceptions=True,
            )
            for turn in range(2)
        ]
        names = [f"{name}{turn}" for turn in range(2) for name in ("first", "failing", "aside", "last")]
        found = await database.read(lambda tx: [accounts.get(tx, f"@u{name}:x") is not None for name in names])
        assert found == [True, False, False, True] * 2
        # Of each four the first two share a commit, which the third and the last do not.
        assert (database.commits, database.writes) == (6, 4)
        await database.close()
        return answers

    for turn, (first, failing, aside, last) in enumerate(asyncio.run(run())):
        assert first is last is True
        assert repr(failing) == f"ValueError('failing{turn}')"
        assert repr(aside) == f"ValueError('aside{turn}')"
    # The first commit is done again, with savepoints; later ones have them.
    assert tried == [
        "first0",
        "failing0",
        "first0",
        "failing0",
        "aside0",
        "last0",
        "first1",
        "failing1",
        "aside1",
        "last1",
    ]


def test_a_unit_that_fails_before_a_change_costs_the_others_nothing(path: Path) -> None:
    tried: list[int] = []

    def unit(number: int) -> Callable[[Tx], bool]:
        def step(tx: Tx) -> bool:
            tried.append(number)
            if number % 2:
                raise ValueError(number)
            return account(number)(tx)

        return step

    async def run() -> Sequence[object]:
        database = Sqlite(path)
        answers = await asyncio.gather(*(database.write(unit(number)) for number in range(20)), return_exceptions=True)
        await database.close()
        return answers

    answers = asyncio.run(run())
    assert [isinstance(answer, ValueError) for answer in answers] == [False, True] * 10
    assert tried == list(range(20))


def test_a_transaction_that_is_lost_is_lost_for_all_its_units(path: Path) -> None:
    """SQLite may roll back by itself; a unit that makes another error of that must not let the rest go on without one."""

    def losing(tx: Tx) -> None:
        assert isinstance(tx, SqliteTx)
        tx.connection.execute("ROLLBACK")
        raise ValueError("what went wrong before")

    async def run() -> list[object]:
        database = Sqlite(path)
        answers: list[object] = list(
            await asyncio.gather(
                database.write(account(1)), database.write(losing), database.write(account(2)), return_exceptions=True
            )
        )
        answers.append(await database.write(account(3)))
        names = ("@u1:x", "@u2:x", "@u3:x")
        answers.append(await database.read(lambda tx: [accounts.get(tx, name) is not None for name in names]))
        await database.close()
        return answers

    first, lost, second, *later = asyncio.run(run())
    assert [type(error) for error in (first, lost, second)] == [Busy] * 3
    assert later == [True, [False, False, True]]


def test_what_a_unit_found_in_a_commit_that_failed_is_not_told(path: Path) -> None:
    """Of two who want one name in one commit the second finds it taken: by a row that is not there when the disk is full."""

    def taking(tx: Tx) -> bool:
        if accounts.get(tx, "@uname:x") is not None:
            raise ValueError("it is taken")
        return account("name")(tx)

    async def run() -> list[object]:
        database = Sqlite(path)
        assert await database.write(account("first"))
        disk.fails = True
        answers: list[object] = list(
            await asyncio.gather(database.write(taking), database.write(taking), return_exceptions=True)
        )
        disk.fails = False
        await database.close()
        return answers

    with failing_disk() as disk:
        assert [type(answer) for answer in asyncio.run(run())] == [InDoubt, InDoubt]


def test_two_long_reads_go_on_at_once_and_a_third_waits(path: Path) -> None:
    together = threading.Barrier(2, timeout=180)
    ended = threading.Event()

    def meet(tx: Tx) -> int:
        together.wait()
        assert accounts.get(tx, "@nobody:x") is None
        assert ended.wait(60)
        return 1

    def third(tx: Tx) -> int:
        assert ended.is_set()
        assert accounts.get(tx, "@nobody:x") is None
        return 3

    async def run() -> list[int]:
        database = Sqlite(path)
        asyncio.get_running_loop().call_later(0.2, ended.set)  # the third could have begun by then
        answers = await asyncio.gather(*(database.read_aside(fn) for fn in (meet, meet, third)))
        await database.close()
        return answers

    assert asyncio.run(run()) == [1, 1, 3]


def test_a_statement_is_compiled_once_whatever_its_values(path: Path) -> None:
    """Else SQLite would look for a better plan whenever other hashes are asked for."""
    compiled: list[object] = []

    def note(*what: object) -> int:  # SQLite asks for leave whenever it compiles
        compiled.append(what)
        return apsw.SQLITE_OK

    connection = connect(path, wait_ms=100)
    connection.authorizer = note
    tx = SqliteTx(connection)
    for number in range(50):
        assert peppers.by_hashes(tx, 1, [lookup_hash(f"a{number}@example.com", "email", "pepper")], number) == {}
        if number == 0:
            once = len(compiled)
    connection.close()
    assert once > 0
    assert len(compiled) == once
