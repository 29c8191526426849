"""F63: `database copy` is interrupted or killed: nothing was copied, and the same command copies everything."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from threepid.clock import Clock
from threepid.importers.copying.run import Place, copy_database
from whole_database import but_for_copies, contents, entry_of, silent


def test_a_copy_that_breaks_off_leaves_an_empty_database_and_can_be_repeated(filled_url: str, empty_url: str) -> None:
    class Interrupted(Exception):
        pass

    @contextmanager
    def interrupting(total: int) -> Iterator[Callable[[int], None]]:
        left = [total // 2]

        def advance(rows: int) -> None:
            left[0] -= rows
            if left[0] < 0:
                raise Interrupted

        yield advance

    with pytest.raises(Interrupted):
        copy_database(Place(filled_url), Place(empty_url), Clock(), interrupting, entry_of)

    assert not any(contents(empty_url).values())
    copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)
    assert but_for_copies(contents(empty_url)) == contents(filled_url)


def test_a_copy_that_is_killed_leaves_an_empty_database_and_can_be_repeated(filled_url: str, empty_url: str) -> None:
    script = f"""
import os, signal
from contextlib import contextmanager
from threepid.clock import Clock
from threepid.importers.copying.run import Place, copy_database

@contextmanager
def kill(total):
    left = iter(range(total - 1))
    yield lambda _: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL)

copy_database(Place({filled_url!r}), Place({empty_url!r}), Clock(), kill, None)
"""
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ, timeout=180, check=False)
    assert ended.returncode == -signal.SIGKILL

    assert not any(contents(empty_url).values())
    copy_database(Place(filled_url), Place(empty_url), Clock(), silent, entry_of)
    assert but_for_copies(contents(empty_url)) == contents(filled_url)
