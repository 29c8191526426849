"""Empties a maildir in which reports about mails arrive. https://cr.yp.to/proto/maildir.html.

A mail server with other rights writes into the folder, so nothing in it is trusted: links are not followed, pipes and devices are
not opened, and of a long file only the beginning is read. A mail is deleted after it was taken in. If the server is killed in
between, it is taken in twice, which has no further effect.
"""

import asyncio
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from threepid.domain.bounces.intake import MOST_BYTES, Bounces, Outcome

_log = structlog.get_logger()

AT_ONCE: Final = 200
"""Maximum number of mails in one round, so that a stop of the server waits only briefly."""
_SEEN: Final = ":2,S"
"""The flag of a mail that somebody has read."""


class Maildir:
    """The maildir of `email.bounce_maildir`."""

    def __init__(self, folder: Path, bounces: Bounces) -> None:
        """Give the mails in `folder` to `bounces`."""
        self._new = folder / "new"
        self._cur = folder / "cur"
        self._bounces = bounces
        self._has_complained = False

    async def run_once(self) -> int:
        """Take in some of the new mails, and return their number. Reports are deleted; other mails go to the folder `cur`.

        Raises StorageError; then the rest stays for the next round.
        """
        count = 0
        for name in await asyncio.to_thread(self._names):
            raw = await asyncio.to_thread(self._read, name)
            if raw is None:
                continue
            outcome = await self._bounces.take(raw)
            await asyncio.to_thread(self._put_away, name, outcome)
            count += 1
        return count

    def _names(self) -> list[str]:
        try:
            return list(self._mails())
        except OSError as error:
            self._complain("folder", error)
            return []

    def _mails(self) -> Iterator[str]:
        count = 0
        with os.scandir(self._new) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                    count += 1
                    yield entry.name
                if count == AT_ONCE:
                    return

    def _read(self, name: str) -> bytes | None:
        """The beginning of a mail; None if another process took it, or if it is not a readable file."""
        try:
            # Between the listing and this, the file may have become something else.
            descriptor = os.open(self._new / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain("mail", error)
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MOST_BYTES)
        except OSError as error:
            self._complain("mail", error)
            return None
        finally:
            os.close(descriptor)

    def _put_away(self, name: str, outcome: Outcome) -> None:
        try:
            with suppress(FileNotFoundError):  # another process was faster
                if outcome is Outcome.NO_REPORT:
                    (self._new / name).rename(self._cur / (name.partition(":")[0] + _SEEN))
                else:
                    (self._new / name).unlink()
        except OSError as error:
            self._complain("mail", error)

    def _complain(self, what: str, error: OSError) -> None:
        """Warn the operator, once: the next round finds the same."""
        if not self._has_complained:
            self._has_complained = True
            _log.warning("maildir_unusable", what=what, cause=error.strerror, setting="email.bounce_maildir")
