"""F21: the disk under the log is full, or nobody reads the log any more: lines are lost, and nothing else."""

import errno
import io
import json
import logging
import os
import pty
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import structlog

from rig import ServerProcess, identity_token, register, request_token, sink, wait_for
from threepid.output import Unfailing
from threepid.telemetry import configure_logging

FULL = Path("/dev/full")


@contextmanager
def full() -> Iterator[io.TextIOBase]:
    with FULL.open("w") as stream:
        yield stream
        with suppress(OSError):
            stream.close()


@contextmanager
def unread() -> Iterator[io.TextIOBase]:
    """A pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        yield stream


@contextmanager
def stuck() -> Iterator[io.TextIOBase]:
    """A full pipe that does not wait."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 65_536)
    with os.fdopen(reader), os.fdopen(writer, "w") as stream:
        yield stream


@contextmanager
def closed() -> Iterator[io.TextIOBase]:
    stream = io.StringIO()
    stream.close()
    yield stream


@contextmanager
def nothing() -> Iterator[None]:
    yield None


Broken = Callable[[], Any]
BROKEN: list[Broken] = [full, unread, stuck, closed, nothing]


@pytest.fixture(params=BROKEN)
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = logging.raiseExceptions
    make: Broken = request.param
    with make() as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        configure_logging(level="debug")
        yield
    structlog.reset_defaults()
    logging.raiseExceptions = before


class Unprintable:
    def __repr__(self) -> str:
        raise LookupError("no")


def test_nothing_that_is_logged_raises(broken: None) -> None:
    log = structlog.get_logger()
    log.info("event", value="x" * 100_000)
    log.warning("half a character \ud800", value=Unprintable())
    try:
        raise ValueError("cause")
    except ValueError:
        log.exception("crashed")
        logging.getLogger("other.library").exception("crashed")
        traceback.print_exc()
    logging.getLogger("other.library").error("one of a library %d", "not a number")
    print("plain", file=sys.stderr, flush=True)
    sys.stderr.writelines(["a", "b"])
    sys.stderr.flush()
    assert not sys.stderr.isatty()


def test_lines_are_whole_again_once_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes the beginning of a line and then no more."""
    real, room = os.write, 1 << 20

    def write(descriptor: int, data: bytes) -> int:
        nonlocal room
        if room == 0:
            raise OSError(errno.ENOSPC, "full")
        taken = real(descriptor, bytes(data)[:room])
        room -= taken
        return taken

    with (tmp_path / "log").open("w") as file:
        stream = Unfailing(file)
        monkeypatch.setattr(os, "write", write)
        stream.write('{"event": "first"}\n')
        room = 5
        stream.write('{"event": "cut"}\n')
        stream.write('{"event": "lost"}\n')
        room = 1 << 20
        stream.write('{"event": "second"}\n')
        stream.write('{"event": "third"}\n')
        monkeypatch.undo()
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[1] == '{"eve'
    assert [json.loads(line)["event"] for line in (lines[0], *lines[2:])] == ["first", "second", "third"]


def test_a_terminal_stays_one() -> None:
    one, other = pty.openpty()
    with os.fdopen(one), os.fdopen(other, "w") as stream:
        assert Unfailing(stream).isatty()
        assert Unfailing(stream).fileno() == other


@pytest.mark.parametrize("redirection", [">/dev/full 2>/dev/full", ">&- 2>&-"])
def test_a_server_starts_answers_and_sends_each_mail_once(tmp_path: Path, redirection: str) -> None:
    with sink() as (taken, port):
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {port}, tls = "plain" }}'
        server = ServerProcess(tmp_path / "server", via=via)
        server.start("sh", "-c", f'exec "$@" {redirection}', "sh")
        file = tmp_path / "server" / "data" / "threepid.db"
        with server.client() as http:
            token = register(http, "alice")
            identity = identity_token(http, token)
            assert request_token(http, identity, "a@example.com").status_code == 200
            wait_for(lambda: taken.mails, what="the mail")
            with closing(sqlite3.connect(file)) as connection:
                wait_for(lambda: noted(connection), what="the note")
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                refused = http.post("/_matrix/client/v3/logout", headers={"Authorization": f"Bearer {token}"})
                assert refused.status_code == 503
                assert refused.headers["Retry-After"]
            assert http.post("/_matrix/client/v3/logout", headers={"Authorization": f"Bearer {token}"}).is_success
        assert server.stop() == 0
        assert len(taken.mails) == 1


def noted(connection: sqlite3.Connection) -> bool:
    (count,) = connection.execute("SELECT count(*) FROM outbox WHERE sent_at IS NOT NULL").fetchone()
    return bool(count == 1)


def test_a_command_whose_own_output_is_lost_says_so(tmp_path: Path) -> None:
    """What a command prints is its work, unlike a log: `threepid … > list` on a full disk must not look like a success."""
    with FULL.open("w") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "threepid", "config", "example"],
            cwd=tmp_path,
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
    assert done.returncode != 0
