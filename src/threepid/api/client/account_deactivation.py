"""Ending an account. https://spec.matrix.org/latest/client-server-api/#account-deactivation."""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

from threepid.api.call import MaybeUserCall
from threepid.api.client.password_management import authenticate_owner
from threepid.domain import policy
from threepid.domain.contacts.bindings import Plan
from threepid.spec import errors
from threepid.spec.endpoint import Auth, client, endpoint
from threepid.spec.types import IdServer
from threepid.spec.uia import AuthData
from threepid.storage.engine.database import Tx


class Deactivate(Struct, frozen=True):
    """`id_server` is to forget the contacts too; `erase` also erases what others see of the user."""

    auth: AuthData | UnsetType = UNSET
    id_server: IdServer | UnsetType = UNSET
    erase: bool = False


class Deactivated(Struct, frozen=True):
    """`success` if all addresses are known to be withdrawn from the identity servers, else `no-support`."""

    id_server_unbind_result: Literal["success", "no-support"]


@endpoint(
    "POST",
    client("/account/deactivate", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    uia=True,
    errors=(errors.Forbidden, errors.MissingToken),
)
async def deactivate(call: MaybeUserCall, body: Deactivate) -> Deactivated:
    """Close the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountdeactivate."""
    if call.requester is None and not policy.closes_without_token(call.config):
        raise errors.MissingToken
    user_id, grant = await authenticate_owner(call, body.auth)
    services = call.services

    def also(tx: Tx) -> Plan:
        if services.associations is not None:
            services.associations.forget(tx, user_id)
        if body.erase:
            services.profiles.erase(tx, user_id)
        return services.threepids.remove_all(tx, user_id, body.id_server or None)

    plan = await services.accounts.deactivate(user_id, grant, also)
    withdrawn = await services.bindings.carry_out(plan)
    return Deactivated("success" if withdrawn else "no-support")


ENDPOINTS = (deactivate,)
