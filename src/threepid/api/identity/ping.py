"""Status check and versions of the identity server. https://spec.matrix.org/latest/identity-service-api/#status-check."""

from typing import Final

from msgspec import Struct

from threepid.api.call import Call
from threepid.spec.endpoint import Auth, endpoint, identity, identity_v1, other

VERSIONS: Final = (*("r0.1.0", "r0.2.0", "r0.2.1", "r0.3.0"), *(f"v1.{minor}" for minor in range(1, 20)))


class Versions(Struct, frozen=True):
    """The supported versions."""

    versions: tuple[str, ...]


@endpoint("GET", identity(""), auth=Auth.NONE)
async def ping(call: Call) -> None:
    """Check that the server answers. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv2."""


@endpoint("GET", identity_v1(""), auth=Auth.NONE)
async def ping_v1(call: Call) -> None:
    """Check that the server answers. https://spec.matrix.org/historical/identity_service/r0.3.0.html#get-matrix-identity-api-v1."""


@endpoint("GET", other("/_matrix/identity/versions"), auth=Auth.NONE)
async def identity_versions(call: Call) -> Versions:  # noqa: ARG001 - the same for everybody
    """Get the supported versions of the Identity Service API. https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityversions."""
    return Versions(VERSIONS)


ENDPOINTS = (ping, ping_v1, identity_versions)
