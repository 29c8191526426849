"""Hashed lookups. https://spec.matrix.org/latest/identity-service-api/#association-lookup."""

from typing import Annotated

from msgspec import Meta, Struct

from threepid.api.call import IdentityCall
from threepid.domain.identity.lookup import HashDetails
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, identity

_Text = Annotated[str, Meta(max_length=512)]


class Lookup(Struct, frozen=True):
    """The addresses to look up, hashed unless `algorithm` is `none`."""

    algorithm: _Text
    pepper: _Text
    addresses: list[_Text]


class Mappings(Struct, frozen=True):
    """The user IDs of the addresses found."""

    mappings: dict[str, str]


# Synapse sends its token to this endpoint in the query, and to all others in the header.
@endpoint("GET", identity("/hash_details"), auth=Auth.IDENTITY_TOKEN, query_token=True)
async def hash_details(call: IdentityCall) -> HashDetails:
    """Get the algorithms and the pepper of lookups. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2hash_details."""
    return await call.identity.lookup.hash_details()


@endpoint(
    "POST",
    identity("/lookup"),
    auth=Auth.IDENTITY_TOKEN,
    max_body=1_048_576,
    errors=(errors.InvalidPepper, errors.TooManyAddresses),
)
async def lookup(call: IdentityCall, body: Lookup) -> Mappings:
    """Look up the user IDs of hashed addresses. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2lookup."""
    found = await call.identity.lookup.lookup(
        body.algorithm, body.pepper, body.addresses, user_id=call.user_id, client=call.client
    )
    return Mappings(found)


ENDPOINTS = (hash_details, lookup)
