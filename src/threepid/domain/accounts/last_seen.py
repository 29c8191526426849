"""When, from where and by which client devices were last seen.

Requests only remember it, and it is written later, because reads must work while the disk is full.
"""

from typing import Final

from threepid.clock import HOUR
from threepid.domain.context import Context
from threepid.domain.networks import known_network
from threepid.storage import devices
from threepid.storage.device_tokens import Requester
from threepid.storage.engine.database import StorageError, Tx

USER_AGENT_LENGTH: Final = 256
"""Maximum number of characters that are stored of a user agent."""
_SEEN_EVERY: Final = HOUR
_MOST_SEEN: Final = 50_000
"""Maximum number of devices that a process remembers as recently seen."""


class LastSeen:
    """The devices that this process has seen."""

    def __init__(self, context: Context) -> None:
        """`context` has the database."""
        self._context = context
        self._seen: set[tuple[str, str]] = set()
        self._seen_since = 0
        self._to_note: dict[tuple[str, str], tuple[str, str]] = {}

    def unnoticed(self, requester: Requester) -> bool:
        """Has this process not seen the device in the last hour?"""
        return (requester.user_id, requester.device_id) not in self._seen

    def notice(self, requester: Requester, *, client: str, user_agent: str) -> None:
        """Remember a device's last-seen data for the next `write`."""
        device = requester.user_id, requester.device_id
        self._seen.add(device)
        self._to_note[device] = client, user_agent[:USER_AGENT_LENGTH]

    async def write(self) -> None:
        """Write the last-seen data of devices. Raises StorageError, and tries again the next time."""
        now = self._context.clock.now()
        if not 0 <= now - self._seen_since < _SEEN_EVERY or len(self._seen) >= _MOST_SEEN:
            self._seen_since = now
            self._seen.clear()
        noted, self._to_note = self._to_note, {}
        if not noted:
            return

        def step(tx: Tx) -> None:
            for (user_id, device_id), (client, user_agent) in noted.items():
                network = known_network(client)
                devices.seen(tx, user_id, device_id, now=now, seen_from=client, network=network, user_agent=user_agent)

        try:
            await self._context.database.write_aside(step)
        except StorageError:
            self._to_note = noted | self._to_note
            raise
