"""Terms of service. https://spec.matrix.org/latest/identity-service-api/#terms-of-service."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from threepid.api.call import Call, IdentityCall
from threepid.spec.endpoint import Auth, endpoint, identity

_Url = Annotated[str, Meta(max_length=2000)]


class Policies(Struct, frozen=True):
    """The documents by ID, each with its version and languages."""

    policies: dict[str, Any]


class Acceptance(Struct, frozen=True):
    """The URLs of the documents that the user accepts, in the language shown."""

    user_accepts: Annotated[list[_Url], Meta(max_length=100)]


@endpoint("GET", identity("/terms"), auth=Auth.NONE)
async def get_terms(call: Call) -> Policies:
    """Get the terms of service. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2terms."""
    return Policies(call.identity.terms.policies())


@endpoint("POST", identity("/terms"), auth=Auth.IDENTITY_TOKEN, before_terms=True)
async def accept_terms(call: IdentityCall, body: Acceptance) -> None:
    """Accept terms of service. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2terms."""
    await call.identity.terms.accept(call.user_id, body.user_accepts)


ENDPOINTS = (get_terms, accept_terms)
