"""Authentication of an account's owner."""

from threepid.domain.authentication import flows
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import Grant
from threepid.domain.context import Context
from threepid.domain.validation.purposes import Consumer
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import accounts


async def authenticate_owner(context: Context, authentication: Authentication) -> tuple[str, Grant]:
    """The user ID of the account that the caller owns, and the permission to change it.

    A caller with an access token proves the password or a contact of the account, a caller without one a contact. Raises
    Forbidden if the server offers no flow, or if the contact belongs to no active account or to another one.
    """
    caller = authentication.user_id
    offered = flows.of_owner(context.config, has_token=caller is not None)
    if not offered:
        raise Forbidden(Text("This server does not allow account recovery."))
    grant = await authentication.require(offered, consumer=Consumer.RESET_STAGE)
    if not grant.proofs:
        return caller or "", grant
    proof = grant.proofs[0]
    account = await context.database.read(lambda tx: accounts.by_threepid(tx, proof.medium, proof.canonical))
    if account is None or account.deactivated_at is not None:
        raise Forbidden(Text("No account has this address."))
    if caller not in (None, account.user_id):
        raise Forbidden(Text("This address belongs to another account."))
    return account.user_id, grant
