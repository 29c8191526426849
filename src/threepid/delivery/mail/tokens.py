"""Access tokens for the login at a relay (XOAUTH2), which a program of the operator prints."""

import asyncio
import re
from collections.abc import Sequence
from typing import Final

from threepid.config import Secret
from threepid.delivery.errors import RelayDown
from threepid.delivery.mail.programs import run
from threepid.delivery.outcome import Cause

KEPT_SECONDS: Final = 240.0
"""Seconds for which a token is used without asking again. Providers issue tokens for an hour, and programs print those that have
at least five minutes left."""
SECONDS: Final = 20.0
"""Maximum time for the program, in seconds."""
_LONGEST: Final = 16 * 1024
_TOKEN: Final = re.compile(rb"[!-~]+")


class Tokens:
    """The current token of one relay."""

    def __init__(self, command: Sequence[str]) -> None:
        """Run `command`, a program and its arguments, for each new token."""
        self._command = command
        self._one = asyncio.Lock()
        self._token: Secret | None = None
        self._until = 0.0

    async def get(self) -> Secret:
        """A token, from memory if it is new. Raises RelayDown if the program fails."""
        async with self._one:  # many mails that begin at once need one token
            now = asyncio.get_running_loop().time()
            if self._token is None or now >= self._until:
                self._token = await self._ask()
                self._until = now + KEPT_SECONDS
            return self._token

    def forget(self, token: Secret) -> None:
        """Do not use a token again that the relay rejected."""
        if self._token is token:
            self._token = None

    async def _ask(self) -> Secret:
        try:
            async with asyncio.timeout(SECONDS):
                finished = await run(self._command, keep=_LONGEST + 1)
        except TimeoutError:
            raise _failed(f"took longer than {SECONDS:g} seconds") from None
        except OSError as error:
            raise _failed(f"cannot be started: {type(error).__name__}") from None
        if finished.status:
            raise _failed(f"ended with status {finished.status}")
        token = finished.output.strip()
        if len(token) > _LONGEST or not _TOKEN.fullmatch(token):
            raise _failed("did not print a token")
        return Secret(token.decode("ascii"))


def _failed(what: str) -> RelayDown:
    return RelayDown(f"token_command {what}", retry=True, cause=Cause.LOGIN)
