"""Invitations to unbound addresses: stored, sent to the address, and accepted. `callbacks` passes them to homeservers.

https://spec.matrix.org/latest/identity-service-api/#invitation-storage
Each invitation has an ephemeral key pair. The private key is not stored: it is only in the link of the mail, if there is one.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
import nacl.signing
from msgspec import Struct
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json
from unpaddedbase64 import decode_base64, encode_base64

from threepid.clock import DAY
from threepid.config import Identity
from threepid.domain import languages, messages, outbox, policy
from threepid.domain.addresses import Address, Email, parse_address
from threepid.domain.addresses import InvalidAddress as NotAnAddress
from threepid.domain.context import Context
from threepid.domain.identity.callbacks import CALLBACK_LIFE
from threepid.domain.identity.lookup import Lookup
from threepid.domain.identity.opt_outs import OptOuts
from threepid.domain.limits import charge_for_refusal, take_invitation_message, take_invite, take_signature
from threepid.domain.names import (
    ITS_HOMESERVERS_WORD,
    NOBODYS_WORD,
    OURS,
    ROOM_LENGTH,
    SENDER_LENGTH,
    harmless,
    redact,
    shown_user_id,
)
from threepid.domain.outbox import Recipient
from threepid.domain.secrets.keys import Keyring
from threepid.i18n import Text
from threepid.spec.errors import (
    InvalidAddress,
    InvalidEmail,
    InvalidParam,
    LimitExceeded,
    MxidNotYours,
    NotFound,
    ThreepidInUse,
    ThreepidMediumNotSupported,
    Unrecognized,
    UnrecognizedMedium,
)
from threepid.storage import associations, invites, threepids
from threepid.storage.engine.database import Tx
from threepid.storage.invites import Invite

INVITES_KEPT: Final = CALLBACK_LIFE
"""How long an expired invitation is kept, so that a call that was queued in time can still send it."""
_MESSAGE_LIFE: Final = 3 * DAY
_KEY_BYTES: Final = 32
_SPACE: Final = "m.space"


class InviteRequest(Struct, frozen=True, kw_only=True):
    """An invitation as the client sent it. Its names are untrusted text."""

    medium: str
    address: str
    room_id: str
    sender: str
    sender_name: str = ""
    room_name: str = ""
    room_type: str = ""


class StoredInvite(Struct, frozen=True):
    """What the room needs of a stored invitation. The keys are public keys in unpadded base64."""

    token: str
    server_key: str
    ephemeral_key: str
    display_name: str


class State(StrEnum):
    """The state of an invitation, in a few words."""

    WAITING = "waiting"
    EXPIRED = "expired"
    ACCEPTED = "accepted"
    """Its link was used."""
    NOT_HANDED_OVER = "not handed over yet"
    """The address is bound, and a call to the homeserver of its user waits."""
    HANDED_OVER = "handed over"
    CANCELLED = "cancelled"


_CANCELLED: Final = Text("This invitation is already cancelled.")
_HANDED_OVER: Final = Text("The homeserver of the invited user knows this invitation already.")


class Invites:
    """Stores invitations, sends them to their addresses and signs their acceptance."""

    def __init__(
        self,
        context: Context,
        settings: Identity,
        name: str,
        keyring: Keyring,
        lookup: Lookup,
        opt_outs: OptOuts,
        *,
        wake_delivery: Callable[[], None],
    ) -> None:
        """`name` is the identity server's name; `wake_delivery` tells the delivery that a message waits in the outbox."""
        self._context = context
        self._settings = settings
        self._name = name
        self._keyring = keyring
        self._lookup = lookup
        self._opt_outs = opt_outs
        self._wake_delivery = wake_delivery

    # -- store

    async def store(self, request: InviteRequest, *, caller: str | None, client: str) -> StoredInvite:
        """Store an invitation and send it to the address. If the owner has stopped invitations, the answer is the same.

        `caller` may only invite as itself; None is the v1 API, which has no caller. Raises MxidNotYours, UnrecognizedMedium,
        InvalidEmail, InvalidAddress, ThreepidDenied, LimitExceeded, and ThreepidInUse with the user ID that the address is
        bound to.
        """
        if caller is not None and request.sender != caller:
            raise MxidNotYours(Text("'sender' must be your own user ID."))
        address = self._address(request)
        # The answer reveals whether the address is bound, so the request counts as a lookup.
        asked = f"{address.canonical} {address.medium}"
        await self._lookup.charge([asked], user_id=caller or "", client=client)
        entropy, now = self._context.entropy, self._context.clock.now()
        key = nacl.signing.SigningKey(entropy.bytes(_KEY_BYTES))
        invite = Invite(
            id=entropy.token(count=9),
            token=entropy.token(),
            medium=address.medium,
            canonical=address.canonical,
            room_id=request.room_id,
            sender=request.sender,
            public_key=encode_base64(bytes(key.verify_key)),
            created_at=now,
            expires_at=now + self._settings.invite_days * DAY,
        )
        message = self._message(request, address, invite, encode_base64(bytes(key)), caller)

        def step(tx: Tx) -> str | None:
            invites.hold_address(tx, invite.medium, invite.canonical)
            take_invite(tx, self._context, sender=request.sender, address=address, client=client, user_id=caller or "")
            bound = associations.get(tx, invite.medium, invite.canonical, now)
            if bound is not None:
                return bound.mxid
            take_invitation_message(tx, self._context, address, client=client, user_id=caller or "")
            invites.insert(tx, invite)
            associations.insert_ephemeral_key(tx, invite.public_key, now=now, expires_at=invite.expires_at)
            if not self._opt_outs.holds_for(tx, invite.medium, invite.canonical):
                # Who is invited mostly speaks the language of who invites, and nothing else is known of a stranger.
                _, chosen = threepids.holder_and_language(tx, invite.medium, invite.canonical, caller or "")
                job = messages.to_person(
                    message,
                    Recipient(address.address, languages.chosen_or_fitting(self._context.config, chosen, ())),
                    channel=address.channel,
                    expires_at=min(now + _MESSAGE_LIFE, invite.expires_at),
                    caller=caller or client,
                )
                outbox.put(tx, self._context, job, now=now)
            return None

        # An exception would roll the count of the invitation back, so the step returns the user ID.
        try:
            mxid = await self._context.database.write_together(step, alone=True)
        except LimitExceeded as error:
            raise await charge_for_refusal(self._context, error, client=client, sender=caller or "") from None
        if mxid is not None:
            raise ThreepidInUse(Text("This address is bound to a user ID."), mxid=mxid)
        self._wake_delivery()
        server_key = self._keyring.current.public_key
        return StoredInvite(invite.token, server_key, invite.public_key, redact(invite.medium, invite.canonical))

    def _address(self, request: InviteRequest) -> Address:
        try:
            address = parse_address(request.medium, request.address)
            policy.check_address(self._context.config, address)
        except NotAnAddress:
            raise _NOT_AN_ADDRESS.get(request.medium, UnrecognizedMedium) from None
        except ThreepidMediumNotSupported as error:
            raise UnrecognizedMedium(error.text) from error
        return address

    def _message(
        self, request: InviteRequest, address: Address, invite: Invite, private_key: str, caller: str | None
    ) -> messages.Invitation:
        base = self._context.config.server.public_base_url.rstrip("/")
        sender_name = harmless(request.sender_name, SENDER_LENGTH)
        room_name = harmless(request.room_name, ROOM_LENGTH)
        return messages.Invitation(
            brand=self._context.brand,
            address=address.address,
            id_server=self._name,
            sender=shown_user_id(request.sender, self._context.server_name),
            sender_trust=self._trust(request.sender, caller),
            sender_name=sender_name,
            kind="space" if request.room_type == _SPACE else "room",
            room_name=room_name,
            link=self._link(address, invite, sender_name, room_name, private_key),
            stop_link=f"{base}/invitations/stop/{self._opt_outs.token(invite.medium, invite.canonical)}",
            days=self._settings.invite_days,
        )

    def _trust(self, sender: str, caller: str | None) -> int:
        if sender.partition(":")[2] == self._context.server_name:
            return OURS
        return NOBODYS_WORD if caller is None else ITS_HOMESERVERS_WORD

    def _link(self, address: Address, invite: Invite, sender_name: str, room_name: str, private_key: str) -> str:
        """The link to the operator's client, with the data of the invitation in its fragment; '' for none.

        Clients that know `signurl` call it without an access token, and cannot join if that fails. So the link contains it only
        if the v1 API is enabled.
        """
        if not self._settings.invite_url or not isinstance(address, Email):
            return ""
        accept = {"token": invite.token, "private_key": private_key}
        if self._settings.v1.bind:
            base = self._context.config.server.public_base_url.rstrip("/")
            accept = {"signurl": f"{base}/_matrix/identity/api/v1/sign-ed25519?{urlencode(accept)}"}
        told = {"email": address.address, **accept, "room_name": room_name, "inviter_name": sender_name}
        # A room ID contains a server name, which mail programs must not turn into a link.
        room = quote(invite.room_id, safe="").replace(".", "%2E")
        return f"{self._settings.invite_url.rstrip('/')}/#/room/{room}?{urlencode(told)}"

    # -- accept

    async def sign(self, mxid: str, token: str, private_key: str, *, caller: str | None, client: str) -> dict[str, Any]:
        """The acceptance of an invitation by `mxid`, signed with the invitation's ephemeral key, never with the server's.

        The first user to accept gets the invitation; repeating it is no error. `caller` may only accept for itself; None is the
        v1 API, which has no caller. Raises MxidNotYours, InvalidParam for an invalid key, LimitExceeded, and Unrecognized alike
        for an unknown, expired, cancelled or taken invitation and for the key of another one.
        """
        if caller is not None and mxid != caller:
            raise MxidNotYours(Text("You can accept invitations only for yourself."))
        seed = _seed(private_key)
        public_key = "" if seed is None else encode_base64(bytes(nacl.signing.SigningKey(seed).verify_key))
        now = self._context.clock.now()

        def step(tx: Tx) -> Invite | None:
            take_signature(tx, self._context, caller=caller, client=client)
            # An unknown token is reported before an invalid key.
            if seed is not None and not invites.sign_for(tx, token, mxid=mxid, public_key=public_key, now=now):
                return None
            return invites.by_token(tx, token)

        # An exception would roll the count of a wrong token back, so the step returns None.
        invite = await self._context.database.write(step)
        if invite is None:
            raise Unrecognized(Text("This token is unknown."))
        if seed is None:
            raise InvalidParam(Text("'private_key' is not an ed25519 key in base64."))
        key = decode_signing_key_base64("ed25519", "0", encode_base64(seed))
        signed: dict[str, Any] = sign_json({"mxid": mxid, "sender": invite.sender, "token": token}, self._name, key)
        return signed

    # -- operators

    async def list_after(self, last: Invite | None, count: int) -> list[Invite]:
        """The next `count` invitations after `last`, oldest first."""
        created_at, invite_id = (last.created_at, last.id) if last else (0, "")
        return await self._context.database.read_aside(lambda tx: invites.after(tx, created_at, invite_id, count))

    def state(self, invite: Invite) -> State:
        """The state of an invitation."""
        if invite.cancelled_at is not None:
            return State.CANCELLED
        if invite.delivered_at is not None:
            return State.HANDED_OVER
        if invite.bound_to is not None:
            return State.NOT_HANDED_OVER
        if invite.signed_for is not None:
            return State.ACCEPTED
        return State.EXPIRED if invite.expires_at <= self._context.clock.now() else State.WAITING

    async def get(self, invite_id: str) -> Invite:
        """The invitation with this ID. Raises NotFound."""
        invite = await self._context.database.read(lambda tx: invites.get(tx, invite_id))
        if invite is None:
            raise NotFound(Text("This invitation does not exist."))
        return invite

    async def cancel(self, invite_id: str, note: Callable[[Tx, Invite], None] = lambda _tx, _invite: None) -> Invite:
        """Cancel an invitation and its key, and `note` that in the same transaction. Returns it as it is then.

        Raises NotFound, or InvalidParam if it was handed over or cancelled already.
        """
        now = self._context.clock.now()

        def step(tx: Tx) -> Invite:
            invite = invites.get(tx, invite_id)
            if invite is None:
                raise NotFound(Text("This invitation does not exist."))
            if not invites.cancel(tx, invite_id, now):
                raise InvalidParam(_CANCELLED if invite.cancelled_at is not None else _HANDED_OVER)
            note(tx, invite)
            return msgspec.structs.replace(invite, cancelled_at=now)

        return await self._context.database.write(step)


_NOT_AN_ADDRESS: Final = {"email": InvalidEmail, "msisdn": InvalidAddress}


def _seed(private_key: str) -> bytes | None:
    try:
        seed: bytes = decode_base64(private_key)
    except ValueError:
        return None
    return seed if len(seed) == _KEY_BYTES else None
