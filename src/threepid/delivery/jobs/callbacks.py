"""Orders to homeservers: to tell them of invitations that waited for an address of one of their users."""

from typing import Final

from threepid.clock import HOUR, SECOND, Clock
from threepid.delivery.errors import DeliveryError
from threepid.delivery.traffic import Rests
from threepid.delivery.worker import Send
from threepid.domain.identity.invites import Invites
from threepid.remote.guard import RemoteError
from threepid.storage.outbox import Order

AT_ONCE: Final = 4
"""Homeservers that are called at the same time: fewer than the worker has places, for mails must have some."""
_BUSY_PAUSE: Final = 5 * SECOND
_FIRST_PAUSE: Final = 15 * SECOND
_MAX_DOUBLINGS: Final = 12
_MAX_PAUSE: Final = 6 * HOUR


class Callbacks:
    """Calls a homeserver once at a time, and one that cannot be reached ever more rarely, whatever waits for it.

    Names of homeservers come from strangers: those that hang must not take the places in which mails are delivered.
    """

    def __init__(self, invites: Invites, clock: Clock) -> None:
        """Nobody is known to be out of reach yet."""
        self._invites = invites
        self._called: set[str] = set()
        self._not_before = Rests(clock)

    async def send(self, order: Order) -> None:
        """Carry out one order. Raises DeliveryError; it is tried again until it expires."""
        server = order.recipient
        if wait := self._not_before.left(server):
            raise DeliveryError("the homeserver could not be reached just now", retry=True, after=wait)
        if server in self._called or len(self._called) >= AT_ONCE:
            raise DeliveryError("homeservers are being called already", retry=True, after=_BUSY_PAUSE)
        self._called.add(server)
        try:
            await self._invites.hand_over(order)
        except RemoteError as error:
            pause = min(_FIRST_PAUSE << min(order.attempts - 1, _MAX_DOUBLINGS), _MAX_PAUSE)
            self._not_before.begin(server, pause)
            raise DeliveryError(error.cause, retry=True, after=pause, rest=pause) from error
        finally:
            self._called.discard(server)
        self._not_before.end(server)


def by_callback(invites: Invites, clock: Clock) -> Send:
    """The sender of the channel of callbacks."""
    return Callbacks(invites, clock).send
