"""Contacts of the account. https://spec.matrix.org/latest/client-server-api/#adding-account-administrative-contact-information."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from threepid.api.call import MaybeUserCall, UserCall
from threepid.api.client.tokens import (
    REQUEST_ERRORS,
    EmailTokenRequest,
    MsisdnTokenRequest,
    Sid,
    TextSent,
    request_email_token,
    request_msisdn_token,
)
from threepid.domain.validation.purposes import Purpose
from threepid.spec import errors, threepid_creds
from threepid.spec.endpoint import Auth, Beside, client, endpoint
from threepid.spec.threepid_creds import ServedThreepidCreds
from threepid.spec.types import ClientSecret, IdServer, SessionId, Token
from threepid.spec.uia import AuthData, Operation


class Threepid(Struct, frozen=True):
    """One contact. `address` is canonical; times are in milliseconds."""

    medium: str
    address: str
    validated_at: int
    added_at: int


class Threepids(Struct, frozen=True):
    """The contacts of the account."""

    threepids: list[Threepid]


class PostThreepids(Struct, frozen=True):
    """Credentials under their current name or that of 2016; `bind` is from 2016, too."""

    three_pid_creds: dict[str, Any] | UnsetType = UNSET
    old_three_pid_creds: dict[str, Any] | UnsetType = field(name="threePidCreds", default=UNSET)
    bind: bool = False


@endpoint("GET", client("/account/3pid", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, with_contacts=True)
async def get_threepids(call: UserCall) -> Threepids:
    """List the contacts of the account. https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3account3pid."""
    return Threepids(
        [
            Threepid(threepid.medium, threepid.canonical, threepid.validated_at, threepid.added_at)
            for threepid in await call.homeserver.threepids.of_requester(call.requester)
        ]
    )


@endpoint(
    "POST",
    client("/account/3pid", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    deprecated=True,
    for_apps=False,
    errors=(
        errors.Forbidden,
        errors.ServerNotTrusted,
        errors.ThreepidAuthFailed,
        errors.ThreepidDenied,
        errors.ThreepidInUse,
        errors.ThreepidMediumNotSupported,
        errors.UpstreamFailed,
    ),
)
async def post_threepids(call: UserCall, body: PostThreepids) -> None:
    """Add the address of a validation session to the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pid."""
    given = body.old_three_pid_creds if body.three_pid_creds is UNSET else body.three_pid_creds
    if given is UNSET:
        raise errors.MissingParam.named("three_pid_creds")
    creds = threepid_creds.read(given, ServedThreepidCreds)
    await call.homeserver.threepids.add_by_creds(call.user_id, creds, bind=body.bind, origin=call.origin)


class AddThreepid(Struct, frozen=True):
    """A validation session of this homeserver."""

    sid: SessionId
    client_secret: ClientSecret
    auth: AuthData | UnsetType = UNSET


class RemoveThreepid(Struct, frozen=True):
    """An address, and the identity server to unbind it from."""

    medium: Literal["email", "msisdn"]
    address: Annotated[str, Meta(max_length=500)]
    id_server: IdServer | UnsetType = UNSET


class BindThreepid(Struct, frozen=True):
    """A validation session of an identity server. Clients before 2019 send no `id_access_token`."""

    sid: SessionId
    client_secret: ClientSecret
    id_server: IdServer
    id_access_token: Token | UnsetType = UNSET


class Unbound(Struct, frozen=True):
    """`success` if the address is confirmed as unbound from the identity server, else `no-support`."""

    id_server_unbind_result: Literal["success", "no-support"]


@endpoint(
    "POST",
    client("/account/3pid/add", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    uia=Operation.ADD_THREEPID,
    errors=(errors.Forbidden, errors.ThreepidAuthFailed, errors.ThreepidInUse),
)
async def add_threepid(call: UserCall, body: AddThreepid) -> None:
    """Add the address of a validation session of this homeserver to the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidadd."""
    authentication = call.authentication(body.auth)
    await call.homeserver.threepids.add(call.user_id, body.sid, body.client_secret, authentication)


@endpoint(
    "POST",
    client("/account/3pid/delete", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    for_apps=False,
    errors=(errors.Forbidden,),
)
async def delete_threepid(call: UserCall, body: RemoveThreepid) -> Unbound:
    """Remove a contact. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3piddelete."""
    unbound = await call.homeserver.threepids.remove(
        call.user_id, body.medium, body.address, body.id_server or None, origin=call.origin
    )
    return Unbound("success" if unbound else "no-support")


@endpoint(
    "POST",
    client("/account/3pid/bind", "r0", "v3", "unstable"),
    auth=Auth.ACCESS_TOKEN,
    errors=(
        errors.Forbidden,
        errors.NoValidSession,
        errors.PassedOn,
        errors.ServerNotTrusted,
        errors.SessionExpired,
        errors.SessionNotValidated,
        errors.TermsNotSigned,
        errors.UpstreamFailed,
    ),
    beside=Beside.BINDS,
)
async def bind_threepid(call: UserCall, body: BindThreepid) -> None:
    """Bind an address at an identity server. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidbind."""
    await call.homeserver.bindings.bind(
        call.user_id,
        id_server=body.id_server,
        sid=body.sid,
        client_secret=body.client_secret,
        id_access_token=body.id_access_token or None,
        origin=call.origin,
    )


@endpoint("POST", client("/account/3pid/unbind", "r0", "v3", "unstable"), auth=Auth.ACCESS_TOKEN, beside=Beside.BINDS)
async def unbind_threepid(call: UserCall, body: RemoveThreepid) -> Unbound:
    """Unbind an address at an identity server. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidunbind."""
    unbound = await call.homeserver.bindings.unbind(
        call.user_id, body.medium, body.address, body.id_server or None, origin=call.origin
    )
    return Unbound("success" if unbound else "no-support")


@endpoint(
    "POST",
    client("/account/3pid/email/requestToken", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    for_apps=False,
    errors=REQUEST_ERRORS,
)
async def request_add_email_token(call: MaybeUserCall, body: EmailTokenRequest) -> Sid:
    """Send a code and link to an email address, to add it to the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidemailrequesttoken."""
    return await request_email_token(call, Purpose.ADD, body, owner=call.user_id)


@endpoint(
    "POST",
    client("/account/3pid/msisdn/requestToken", "r0", "v3", "unstable"),
    auth=Auth.OPTIONAL_ACCESS_TOKEN,
    for_apps=False,
    errors=REQUEST_ERRORS,
)
async def request_add_msisdn_token(call: MaybeUserCall, body: MsisdnTokenRequest) -> TextSent:
    """Send a code to a phone number, to add it to the account. https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken."""
    return await request_msisdn_token(call, Purpose.ADD, body, owner=call.user_id)


ENDPOINTS = (
    get_threepids,
    post_threepids,
    add_threepid,
    delete_threepid,
    bind_threepid,
    unbind_threepid,
    request_add_email_token,
    request_add_msisdn_token,
)
