"""Orders to other identity servers: to withdraw what somebody published there."""

from typing import Final

from threepid.clock import HOUR, MINUTE
from threepid.delivery.errors import DeliveryError
from threepid.delivery.worker import Send
from threepid.domain.contacts.bindings import Bindings
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.storage.outbox import Order

_MAX_DOUBLINGS: Final = 10
_MAX_PAUSE: Final = 6 * HOUR


def by_signed_request(bindings: Bindings) -> Send:
    """Asks the identity server of an order; one that cannot be reached is asked ever more rarely, one that refuses no more."""

    async def send(order: Order) -> None:
        try:
            await bindings.repeat(order)
        except RemoteRefused as error:
            raise DeliveryError(str(error), retry=False) from error
        except RemoteError as error:
            pause = min(MINUTE << min(order.attempts, _MAX_DOUBLINGS), _MAX_PAUSE)
            raise DeliveryError(error.cause, retry=True, after=pause, rest=0) from error

    return send
