"""Invitations to addresses that are not bound yet.

https://spec.matrix.org/latest/identity-service-api/#invitation-storage
https://spec.matrix.org/latest/identity-service-api/#ephemeral-invitation-signing
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from threepid.api.call import Call, IdentityCall
from threepid.domain.identity.invites import InviteRequest, StoredInvite
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint, identity
from threepid.spec.types import UserId

_Text = Annotated[str, Meta(max_length=512)]
# Test suites for identity servers send room IDs with `$`; nothing here depends on the sigil.
_RoomId = Annotated[str, Meta(max_length=255, pattern=r"\A[!$][^\x00-\x20\x7f]+\Z")]
_Token = Annotated[str, Meta(pattern=r"\A[0-9a-zA-Z.=_-]{1,255}\Z")]
_Optional = str | UnsetType | None
"""Homeservers send '' or null for a missing property of a room. Names may have any length; long ones are truncated."""
INVITE_ERRORS = (errors.InvalidEmail, errors.InvalidAddress, errors.ThreepidDenied, errors.ThreepidInUse)


class StoreInvite(Struct, frozen=True):
    """The address, room and inviter, and names to show. Aliases and pictures, which would lead out of the mail, are unused."""

    medium: _Text
    address: _Text
    room_id: _RoomId
    sender: UserId
    room_alias: _Optional = UNSET
    room_avatar_url: _Optional = UNSET
    room_join_rules: _Optional = UNSET
    room_name: _Optional = UNSET
    room_type: _Optional = UNSET
    sender_display_name: _Optional = UNSET
    sender_avatar_url: _Optional = UNSET


class InvitePublicKey(Struct, frozen=True):
    """A key that can sign an acceptance of the invitation, and the URL that tells whether it is valid."""

    public_key: str
    key_validity_url: str


class Stored(Struct, frozen=True):
    """The stored invitation, with the server's key and the invitation's ephemeral key, in this order."""

    token: str
    public_keys: list[InvitePublicKey]
    display_name: str


class SignInvite(Struct, frozen=True):
    """The accepting user, and the token and private key from the invitation's mail."""

    mxid: UserId
    token: _Token
    private_key: _Text


class SignedInvite(Struct, frozen=True):
    """An acceptance, signed with the invitation's ephemeral key."""

    mxid: str
    sender: str
    signatures: dict[str, dict[str, str]]
    token: str


async def store_invite_for(call: Call, body: StoreInvite, *, caller: str | None) -> StoredInvite:
    """Store an invitation, for either version of the API."""
    request = InviteRequest(
        medium=body.medium,
        address=body.address,
        room_id=body.room_id,
        sender=body.sender,
        sender_name=body.sender_display_name or "",
        room_name=body.room_name or "",
        room_type=body.room_type or "",
    )
    return await call.identity.invites.store(request, caller=caller, client=call.client)


def public_keys(call: Call, stored: StoredInvite) -> list[InvitePublicKey]:
    """The keys with their URLs. Rooms keep these for ever, so they are those of v2, which no setting disables."""
    base = f"{call.config.server.public_base_url.rstrip('/')}/_matrix/identity/v2/pubkey"
    return [
        InvitePublicKey(stored.server_key, f"{base}/isvalid"),
        InvitePublicKey(stored.ephemeral_key, f"{base}/ephemeral/isvalid"),
    ]


async def sign_invite_for(call: Call, body: SignInvite, *, caller: str | None) -> SignedInvite:
    """Sign an acceptance, for either version of the API."""
    signed = await call.identity.invites.sign(
        body.mxid, body.token, body.private_key, caller=caller, client=call.client
    )
    return SignedInvite(**signed)


@endpoint("POST", identity("/store-invite"), auth=Auth.IDENTITY_TOKEN, errors=(*INVITE_ERRORS, errors.MxidNotYours))
async def store_invite(call: IdentityCall, body: StoreInvite) -> Stored:
    """Store an invitation for whoever binds this address, and send it there. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2store-invite."""
    stored = await store_invite_for(call, body, caller=call.user_id)
    return Stored(stored.token, public_keys(call, stored), stored.display_name)


@endpoint("POST", identity("/sign-ed25519"), auth=Auth.IDENTITY_TOKEN, errors=(errors.MxidNotYours,))
async def sign_ed25519(call: IdentityCall, body: SignInvite) -> SignedInvite:
    """Sign the acceptance of an invitation with the invitation's key. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv2sign-ed25519."""
    return await sign_invite_for(call, body, caller=call.user_id)


ENDPOINTS = (store_invite, sign_ed25519)
