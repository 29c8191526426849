"""Hands mails to a program like sendmail on this machine."""

import asyncio
from collections.abc import Callable
from typing import Final

from threepid.clock import MINUTE
from threepid.config import SendmailTransport
from threepid.delivery.attempt import handed_over
from threepid.delivery.errors import DeliveryError, InDoubt, RelayDown
from threepid.delivery.mail.programs import run
from threepid.delivery.outcome import Cause
from threepid.storage.outbox import ClaimedJob

_FINAL: Final = {65: "the mail", 67: "the recipient", 68: "the recipient's domain"}
"""Statuses about this mail that no later attempt changes: EX_DATAERR, EX_NOUSER and EX_NOHOST of sysexits.h.

All others are about this machine, and an operator can fix them: EX_USAGE (64) is a wrong option in `command`, and EX_CONFIG (78)
a wrong configuration of the program.
"""
_TEMPORARY: Final = 75
_KILLED: Final = 128
"""A shell adds the number of the signal that killed its program to this status."""
_DOUBT: Final = 2 * MINUTE


class Sendmail:
    """One program that takes a mail on its standard input."""

    def __init__(
        self, settings: SendmailTransport, sender: str, envelope_sender: Callable[[str], str] = lambda _job_id: ""
    ) -> None:
        """Send as `envelope_sender` of a job's ID; if that is '', as `envelope_from` of the settings, or else as `sender`."""
        self.name = "sendmail"
        self._settings = settings
        self._sender = settings.envelope_from or sender
        self._envelope_sender = envelope_sender

    async def send(self, job: ClaimedJob, mail: bytes) -> None:
        """Run the program for one mail. Raises DeliveryError.

        A program that is killed may have passed the mail on already.
        """
        sender = self._envelope_sender(job.id) or self._sender
        command = (*self._settings.command, "-f", sender, "--", job.recipient)
        content = mail.replace(b"\r\n", b"\n")  # programs expect the line ends of this system
        try:
            async with handed_over(self._settings.timeout):
                finished = await run(command, content)
        except TimeoutError:
            raise _in_doubt("timeout") from None
        except asyncio.CancelledError:
            raise _in_doubt("broken off") from None
        except OSError as error:
            cause = f"cannot be started: {type(error).__name__}"
            raise RelayDown(cause, retry=True, cause=Cause.INTERNAL) from None
        status = finished.status
        if status < 0 or status > _KILLED:
            raise _in_doubt("killed")
        if what := _FINAL.get(status):
            raise DeliveryError(f"{what} was refused: status {status}", retry=False, cause=Cause.REJECTED)
        if status:
            cause = Cause.DEFERRED if status == _TEMPORARY else Cause.INTERNAL
            raise RelayDown(f"status {status}", retry=True, cause=cause)


def _in_doubt(text: str) -> InDoubt:
    return InDoubt(text, retry=True, after=_DOUBT, cause=Cause.DOUBT)
