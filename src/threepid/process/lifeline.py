"""Ends the processes of a server with their supervisor, even if the supervisor is killed and cannot signal them."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1
"""https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html."""


class Lifeline:
    """A pipe whose write end only the supervisor has: the kernel closes it when the supervisor ends."""

    def __init__(self) -> None:
        """Open the pipe, in the supervisor."""
        self._reader: Connection
        self._writer: Connection | None
        self._reader, self._writer = multiprocessing.Pipe(duplex=False)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the read end only, for processes that are not forked."""
        return {"_reader": self._reader, "_writer": None}

    def hold(self) -> None:
        """Kill this process as soon as the supervisor ends, without cleanup, as in a power cut. Call it in a child."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        _die_with_parent()
        # For systems without PR_SET_PDEATHSIG, and for a supervisor that ended before the kernel was asked.
        threading.Thread(target=self._wait, name="lifeline", daemon=True).start()

    def _wait(self) -> None:
        with suppress(OSError):
            os.read(self._reader.fileno(), 1)
        os.kill(os.getpid(), signal.SIGKILL)


def _die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
