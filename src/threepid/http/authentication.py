"""Authentication by access token, for both the homeserver and the identity server."""

from collections.abc import Mapping

from threepid.domain.accounts.devices import Requester
from threepid.domain.services import Homeserver, IdentityServer
from threepid.http.exchange import Request
from threepid.spec.errors import MissingToken, TermsNotSigned, Unauthorized, UnknownToken


def bearer_token(request: Request, query: Mapping[str, str], *, in_query: bool) -> str | None:
    """The token of `Authorization: Bearer …`, else, if allowed `in_query`, of the parameter `access_token`.

    https://spec.matrix.org/latest/client-server-api/#using-access-tokens
    """
    header = request.header("authorization")
    if header is not None:
        scheme, _, token = header.partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return token.strip()
    return query.get("access_token") or None if in_query else None


async def requester(
    homeserver: Homeserver, token: str | None, *, required: bool, while_locked: bool, with_contacts: bool = False
) -> Requester | None:
    """The account and device of an access token, and the account's contacts if they are wanted.

    Raises UnknownToken, MissingToken if one is `required`, and UserLocked, unless `while_locked`, if the account is locked.
    """
    if token is None:
        if required:
            raise MissingToken
        return None
    found = await homeserver.devices.whose_token(token, while_locked=while_locked, with_contacts=with_contacts)
    if found is None:
        raise UnknownToken
    return found


async def identity_user(identity: IdentityServer, token: str | None, *, before_terms: bool = False) -> str:
    """The user ID that owns an access token of the identity server.

    Raises Unauthorized, and unless `before_terms` TermsNotSigned if the user has not accepted the current terms.
    """
    user_id = None if token is None else await identity.associations.whose_token(token)
    if user_id is None:
        raise Unauthorized
    if not before_terms and not await identity.terms.are_accepted(user_id):
        raise TermsNotSigned
    return user_id
