"""Units of work that wait for something in the middle of their transaction."""

import time
from collections.abc import Callable
from typing import Final

from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query

_NAP: Final = Query("test.nap", "SELECT 1", "SELECT CAST(pg_sleep(0.005) AS TEXT)")


def pause_until(tx: Tx, reached: Callable[[], bool], seconds: float) -> bool:
    """Wait in a unit of work, but not for longer than `seconds`; was it `reached`?

    On PostgreSQL a unit gives way to the event loop at its statements, and only there: others go on meanwhile.
    """
    end = time.monotonic() + seconds
    while not (found := reached()) and time.monotonic() < end:
        tx.value(_NAP)
        time.sleep(0.001)
    return found
