"""Validity of registration tokens. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity."""

from msgspec import Struct

from threepid.api.call import Call
from threepid.i18n import Text
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint


class ValidityQuery(Struct, frozen=True):
    """The token to check."""

    token: str


class Validity(Struct, frozen=True):
    """Can the token be used to register now?"""

    valid: bool


@endpoint(
    "GET",
    client("/register/m.login.registration_token/validity", "v1"),
    auth=Auth.NONE,
    errors=(errors.Forbidden,),
)
async def registration_token_validity(call: Call, query: ValidityQuery) -> Validity:
    """Check a registration token. Wrong tokens count towards a limit. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity."""
    if call.homeserver.settings.registration == "closed":
        raise errors.Forbidden(Text("Registration is closed on this server."))
    return Validity(await call.homeserver.registration_tokens.guess(query.token, client=call.client))


ENDPOINTS = (registration_token_validity,)
