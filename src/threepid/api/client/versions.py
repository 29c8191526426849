"""Versions of the specification. https://spec.matrix.org/latest/client-server-api/#get_matrixclientversions."""

from typing import Final

from msgspec import Struct

from threepid.api.call import Call
from threepid.spec.endpoint import Auth, Beside, client, endpoint

VERSIONS: Final = (
    *("r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1"),
    *(f"v1.{minor}" for minor in range(1, 20)),
)


class Versions(Struct, frozen=True):
    """The supported versions."""

    versions: tuple[str, ...]
    unstable_features: dict[str, bool]


@endpoint("GET", client("/versions"), auth=Auth.NONE, beside=Beside.HOMESERVER)
async def versions(call: Call) -> Versions:  # noqa: ARG001 - the same for everybody
    """Get the supported versions of the Client-Server API. https://spec.matrix.org/latest/client-server-api/#get_matrixclientversions."""
    return Versions(VERSIONS, {})


ENDPOINTS = (versions,)
