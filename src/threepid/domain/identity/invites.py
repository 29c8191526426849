"""Invitations to unbound addresses: stored, sent to the address, and passed to the homeserver of the user who binds it.

https://spec.matrix.org/latest/identity-service-api/#invitation-storage
Each invitation has an ephemeral key pair. The private key is not stored: it is only in the link of the mail, if there is one.
"""

import hmac
from collections.abc import Callable
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
from threepid.domain.identity.lookup import Lookup
from threepid.domain.limits import refusals_cost, take_invitation_message, take_invite, take_signature
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
from threepid.domain.outbox import Job, Recipient, Urgency
from threepid.domain.secrets.keys import Keyring
from threepid.i18n import Text
from threepid.remote.federation import Federation
from threepid.remote.on_bind import tell
from threepid.spec.errors import (
    InvalidAddress,
    InvalidEmail,
    InvalidParam,
    MxidNotYours,
    NotFound,
    ThreepidInUse,
    ThreepidMediumNotSupported,
    Unrecognized,
    UnrecognizedMedium,
)
from threepid.spec.types import parse_user_id
from threepid.storage import associations, invites
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx
from threepid.storage.invites import Invite
from threepid.storage.outbox import ClaimedJob

CHANNEL: Final = "onbind"
"""Channel of the outbox for calls to homeservers. The `recipient` is the server's name."""
CALLBACK_LIFE: Final = 7 * DAY
"""How long the outbox tries to call a homeserver."""
INVITES_KEPT: Final = CALLBACK_LIFE
"""How long an expired invitation is kept, so that a call that was queued in time can still send it."""
AT_ONCE: Final = 50
"""Maximum number of invitations in one call to a homeserver."""
_MESSAGE_LIFE: Final = 3 * DAY
_KEY_BYTES: Final = 32
_HASH_DIGITS: Final = 32
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


class Callback(Struct, frozen=True):
    """A call to a homeserver: an address was bound to its user `mxid`."""

    mxid: str
    medium: str
    address: str


class Invites:
    """Stores invitations, signs their acceptance and passes them to homeservers."""

    def __init__(
        self,
        context: Context,
        settings: Identity,
        name: str,
        keyring: Keyring,
        lookup: Lookup,
        federation: Federation,
        *,
        wake_delivery: Callable[[], None],
    ) -> None:
        """`name` is the identity server's name; `wake_delivery` tells the delivery that a message waits in the outbox."""
        self._context = context
        self._settings = settings
        self._name = name
        self._keyring = keyring
        self._lookup = lookup
        self._federation = federation
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
            if not invites.opted_out(tx, self._opt_out_hash(invite.medium, invite.canonical)):
                job = messages.to_person(
                    message,
                    Recipient(address.address, languages.fitting(self._context.config, ())),
                    channel=address.channel,
                    expires_at=min(now + _MESSAGE_LIFE, invite.expires_at),
                    caller=caller or client,
                )
                outbox.put(tx, self._context, job, now=now)
            return None

        # An exception would roll the count of the invitation back, so the step returns the user ID.
        async with refusals_cost(self._context, client=client, sender=caller or ""):
            mxid = await self._context.database.write(step)
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
            stop_link=f"{base}/invitations/stop/{self._opt_out_token(invite.medium, invite.canonical)}",
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

    # -- stop

    def _opt_out_hash(self, medium: str, canonical: str) -> str:
        return self._context.vault.hash_limit_key(f"no invitations to {medium} {canonical}")[:_HASH_DIGITS]

    def _opt_out_token(self, medium: str, canonical: str) -> str:
        """The token of the link that stops invitations. It never expires, and is derived from the address instead of stored."""
        address_hash = self._opt_out_hash(medium, canonical)
        return address_hash + self._opt_out_seal(address_hash)

    def _opt_out_seal(self, address_hash: str) -> str:
        return self._context.vault.hash_limit_key(f"link to stop invitations {address_hash}")[:_HASH_DIGITS]

    def can_stop(self, token: str) -> bool:
        """Is this the token of a link that stops invitations to an address?"""
        address_hash, seal = token[:_HASH_DIGITS], token[_HASH_DIGITS:]
        return hmac.compare_digest(self._opt_out_seal(address_hash).encode(), seal.encode("utf-8", "surrogatepass"))

    async def stop(self, token: str) -> bool:
        """Send no more invitations to the address of the token; False if the token is not one of ours."""
        if not self.can_stop(token):
            return False
        now = self._context.clock.now()
        await self._context.database.write(lambda tx: invites.opt_out(tx, token[:_HASH_DIGITS], now))
        return True

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

    # -- pass to homeservers

    def bound(self, tx: Tx, association: Association) -> None:
        """Queue the call to the user's homeserver about invitations to the address, in the transaction that binds it."""
        mxid, medium, canonical = association.mxid, association.medium, association.canonical
        now = self._context.clock.now()
        invites.hold_address(tx, medium, canonical)
        waiting = invites.waiting(tx, medium, canonical, mxid, now)
        if not waiting:
            return
        try:
            server_name = parse_user_id(mxid).server_name
        except ValueError:
            return  # the v1 API accepts any text as a user ID, so there may be no homeserver to call
        if self._context.answers_for(server_name):
            for invite_id in waiting:  # this homeserver has no rooms to join
                invites.settle(tx, invite_id, mxid, now)
            return
        for start in range(0, len(waiting), AT_ONCE):
            job = Job(
                channel=CHANNEL,
                name=CHANNEL,
                recipient=Recipient(server_name),
                params=Callback(mxid, medium, canonical),
                urgency=Urgency.CALL,
                caller=mxid,
                expires_at=now + CALLBACK_LIFE,
            )
            order_id = outbox.put(tx, self._context, job, now=now)
            for invite_id in waiting[start : start + AT_ONCE]:
                invites.assign(tx, invite_id, mxid, order_id)

    async def hand_over(self, order: ClaimedJob) -> None:
        """Send a call from the outbox, if the address is still bound. Raises RemoteError if the call may have failed."""
        callback = msgspec.json.decode(order.params, type=Callback)
        told = await self._context.database.read(lambda tx: self._of_order(tx, order, callback))
        if not told:
            return
        body = {
            "medium": callback.medium,
            "address": callback.address,
            "mxid": callback.mxid,
            "invites": [self._signed(invite, callback.mxid) for invite in told],
        }
        await tell(self._federation, order.recipient, self._keyring.sign(self._name, body))
        now = self._context.clock.now()

        def step(tx: Tx) -> None:
            for invite in told:
                invites.delivered(tx, invite.id, order.id, now)

        await self._context.database.write(step)

    def _of_order(self, tx: Tx, order: ClaimedJob, callback: Callback) -> list[Invite]:
        association = associations.get(tx, callback.medium, callback.address, self._context.clock.now())
        if association is None or association.mxid != callback.mxid:
            return []  # the address was unbound in the meantime, so the signed statement would be false
        return invites.of_order(tx, order.id)

    def _signed(self, invite: Invite, mxid: str) -> dict[str, Any]:
        return {
            "medium": invite.medium,
            "address": invite.canonical,
            "mxid": mxid,
            "room_id": invite.room_id,
            "sender": invite.sender,
            "signed": self._keyring.sign(self._name, {"mxid": mxid, "token": invite.token}),
        }

    # -- operators

    async def list_after(self, last: Invite | None, count: int) -> list[Invite]:
        """The next `count` invitations after `last`, oldest first."""
        created_at, invite_id = (last.created_at, last.id) if last else (0, "")
        return await self._context.database.read_aside(lambda tx: invites.after(tx, created_at, invite_id, count))

    def state(self, invite: Invite) -> str:
        """The state of an invitation, in a few words."""
        if invite.cancelled_at is not None:
            return "cancelled"
        if invite.delivered_at is not None:
            return "handed over"
        if invite.bound_to is not None:
            return "not handed over yet"
        if invite.signed_for is not None:
            return "accepted"
        return "expired" if invite.expires_at <= self._context.clock.now() else "waiting"

    async def cancel(self, invite_id: str) -> Invite:
        """Cancel an invitation and its key. Raises NotFound, or InvalidParam if it was handed over or cancelled already."""
        now = self._context.clock.now()

        def step(tx: Tx) -> Invite:
            invite = invites.get(tx, invite_id)
            if invite is None:
                raise NotFound(Text("This invitation does not exist."))
            if not invites.cancel(tx, invite_id, now):
                raise InvalidParam(Text("This invitation is already %(state)s.", state=self.state(invite)))
            return invite

        return await self._context.database.write(step)


_NOT_AN_ADDRESS: Final = {"email": InvalidEmail, "msisdn": InvalidAddress}


def _seed(private_key: str) -> bytes | None:
    try:
        seed: bytes = decode_base64(private_key)
    except ValueError:
        return None
    return seed if len(seed) == _KEY_BYTES else None
