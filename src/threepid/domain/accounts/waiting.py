"""Clients that wait for news. There are none here: what ends the wait is the time, the end of their token, or the server's."""

import asyncio
import contextlib
from typing import Final

from threepid.clock import SECOND
from threepid.domain.accounts.devices import Devices
from threepid.domain.context import Context
from threepid.spec.errors import UnknownToken

LONGEST: Final = 30 * SECOND
"""How long a client may wait."""
MOST: Final = 20
"""How many of an account's clients may wait in one process: one more ends the wait of the first."""
_LOOK_SECONDS: Final = 1.0


class Waiting:
    """The clients that wait in this process."""

    def __init__(self, context: Context, devices: Devices) -> None:
        """`devices` knows whose tokens are good."""
        self._clock = context.clock
        self._devices = devices
        self._ended = False
        self._over: dict[str, list[asyncio.Event]] = {}

    async def wait(self, user_id: str, access_token: str, milliseconds: int) -> None:
        """Wait that long, or shorter. Raises UnknownToken soon after the token's end."""
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
                # Tokens end in other processes too, so the database is what knows.
                if await self._devices.whose_token(access_token) is None:
                    raise UnknownToken
        finally:
            self._leave(user_id, over)

    def end(self) -> None:
        """The server stops: nobody waits any more."""
        self._ended = True
        for of_account in self._over.values():
            for over in of_account:
                over.set()

    def count(self, user_id: str) -> int:
        """How many of the account's clients wait here."""
        return len(self._over.get(user_id, ()))

    def _leave(self, user_id: str, over: asyncio.Event) -> None:
        of_account = self._over[user_id]
        if over in of_account:
            of_account.remove(over)
        if not of_account:
            del self._over[user_id]
