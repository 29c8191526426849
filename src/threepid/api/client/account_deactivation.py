"""Deactivating an account. https://spec.matrix.org/latest/client-server-api/#account-deactivation."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import MaybeUserCall
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import IdServer
from threepid.spec.uia import AuthData, Operation


class Deactivate(Struct, frozen=True):
    """`id_server` is an identity server to unbind the contacts from; `erase` also erases the profile."""

    auth: AuthData | UnsetType = UNSET
    id_server: IdServer | UnsetType = UNSET
    erase: bool = False


class Deactivated(Struct, frozen=True):
    """`success` if all addresses are confirmed as unbound from the identity servers, else `no-support`."""

    id_server_unbind_result: Literal["success", "no-support"]


@endpoint(
    "POST",
    client("/account/deactivate", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    uia=Operation.DEACTIVATE,
    errors=(errors.Forbidden, errors.MissingToken),
)
async def deactivate(call: MaybeUserCall, body: Deactivate) -> Deactivated:
    """Deactivate the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountdeactivate."""
    unbound = await call.homeserver.closing.deactivate(
        call.authentication(body.auth), id_server=body.id_server or None, erase=body.erase
    )
    return Deactivated("success" if unbound else "no-support")


ENDPOINTS = (deactivate,)
