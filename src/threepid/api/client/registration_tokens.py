"""Is a registration token good? https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity."""

from msgspec import Struct

from threepid.api.call import Call
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint


class ValidityQuery(Struct, frozen=True):
    """The token asked about."""

    token: str


class Validity(Struct, frozen=True):
    """Could somebody register with it now?"""

    valid: bool


@endpoint(
    "GET",
    client("/register/m.login.registration_token/validity", "v1"),
    auth=Auth.NONE,
    errors=(errors.Forbidden,),
)
async def registration_token_validity(call: Call, query: ValidityQuery) -> Validity:
    """Is the token good? Wrong ones are counted. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity."""
    if call.homeserver.settings.registration == "closed":
        raise errors.Forbidden("Registration is closed on this server.")
    return Validity(await call.homeserver.registration_tokens.guess(query.token, client=call.client))


ENDPOINTS = (registration_token_validity,)
