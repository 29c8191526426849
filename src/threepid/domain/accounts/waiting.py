"""Clients that wait in `/sync`. This server has no events: a wait ends with its timeout, its token or the server's stop."""

import asyncio
import contextlib
from typing import Final

from threepid.clock import SECOND
from threepid.domain.accounts.devices import Devices
from threepid.domain.context import Context
from threepid.spec.errors import UnknownToken

LONGEST: Final = 30 * SECOND
"""Longest wait of a client, in milliseconds."""
MOST: Final = 20
"""Maximum number of an account's clients that wait in one process: one more ends the oldest wait."""
_LOOK_SECONDS: Final = 1.0


class Waiting:
    """The clients that wait in this process."""

    def __init__(self, context: Context, devices: Devices) -> None:
        """`devices` checks whether an access token is still valid."""
        self._clock = context.clock
        self._devices = devices
        self._ended = False
        self._over: dict[str, list[asyncio.Event]] = {}

    async def wait(self, user_id: str, access_token: str, milliseconds: int) -> None:
        """Wait for `milliseconds` at most. Raises UnknownToken within about a second after the token expires or is revoked."""
        if self._ended:
            return
        end = self._clock.monotonic() + min(milliseconds, LONGEST) / SECOND
        over = asyncio.Event()
        of_account = self._over.setdefault(user_id, [])
        of_account.append(over)
        if len(of_account) > MOST:
            of_account.pop(0).set()
        try:
            while not over.is_set() and (left := end - self._clock.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), min(left, _LOOK_SECONDS))
                # Another process may have revoked the token, so ask the database.
                if await self._devices.whose_token(access_token) is None:
                    raise UnknownToken
        finally:
            self._leave(user_id, over)

    def end(self) -> None:
        """End all waits, because the server stops."""
        self._ended = True
        for of_account in self._over.values():
            for over in of_account:
                over.set()

    def count(self, user_id: str) -> int:
        """Number of the account's clients that wait in this process."""
        return len(self._over.get(user_id, ()))

    def _leave(self, user_id: str, over: asyncio.Event) -> None:
        of_account = self._over[user_id]
        if over in of_account:
            of_account.remove(over)
        if not of_account:
            del self._over[user_id]
