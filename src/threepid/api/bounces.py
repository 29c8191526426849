"""Reports about mails, from the operator's mail server or provider. They are not part of the specification."""

from typing import Final

from threepid.api.call import BounceCall
from threepid.domain.bounces.intake import MOST_BYTES
from threepid.spec.endpoint import Accepts, Auth, endpoint, other


@endpoint("POST", other("/_threepid/bounces"), auth=Auth.BOUNCE_SECRET, accepts=Accepts.MAIL, max_body=MOST_BYTES)
async def take_bounce(call: BounceCall, body: bytes) -> None:
    """Take in a whole mail that was sent to `email.bounce_address`. The answer is the same whether or not it counts.

    The secret in `email.bounce_secret_file` is the bearer token. Without it, the endpoint does not exist.
    """
    await call.services.bounces.take(body, client=call.client)


ENDPOINTS: Final = (take_bounce,)
"""The endpoint of a server that takes reports."""
