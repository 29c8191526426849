"""The identity server's access tokens and associations.

https://spec.matrix.org/latest/identity-service-api/
"""

from typing import Any, Final

from threepid.clock import DAY
from threepid.config import Identity
from threepid.domain import limits
from threepid.domain.accounts.devices import MOST_TOKENS
from threepid.domain.accounts.openid import openid_user
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.context import Context
from threepid.domain.identity.callbacks import Callbacks
from threepid.domain.secrets.keys import Keyring
from threepid.domain.validation.purposes import Consumer
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.remote.federation import Federation
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.remote.identity import matches
from threepid.spec.errors import (
    Forbidden,
    InvalidParam,
    MxidNotYours,
    NoValidSession,
    Unauthorized,
    UpstreamFailed,
)
from threepid.spec.server_name import is_server_name
from threepid.spec.signing import BadSignature, Signature, SignedRequest, parse_authorization, verify
from threepid.storage import accounts, associations, devices, side_tokens
from threepid.storage.associations import Association
from threepid.storage.engine.database import Tx

ASSOCIATION_LIFE: Final = 365 * DAY


class Associations:
    """Issues the identity server's access tokens, and binds and unbinds addresses."""

    def __init__(
        self,
        context: Context,
        settings: Identity,
        name: str,
        keyring: Keyring,
        validation: Validation,
        federation: Federation,
        callbacks: Callbacks,
    ) -> None:
        """`name` is the identity server's name."""
        self._callbacks = callbacks
        self._context = context
        self.settings = settings
        self.name = name
        self._validation = validation
        self._federation = federation
        self.keyring = keyring

    def is_named(self, id_server: str) -> bool:
        """Is `id_server` the name of this identity server?"""
        return id_server.lower() == self.name.lower()

    async def register(self, server_name: str, openid_token: str, *, client: str) -> str:
        """An access token for the user to whom the homeserver `server_name` issued this OpenID token.

        If the OpenID token is ours, logging out the device that got it revokes the access token. Raises
        InvalidParam for an invalid server name, Forbidden if its users must not register here, UpstreamFailed if the homeserver
        is unreachable, Unauthorized if it rejects the OpenID token, and LimitExceeded.
        """
        allowed = self.settings.homeservers_allowed
        if allowed and not matches(server_name, allowed):
            raise Forbidden(Text("Users of this homeserver must not register here."))
        if not is_server_name(server_name):
            raise InvalidParam(Text("'matrix_server_name' is not a valid server name."))
        user_id = await self._openid_user(server_name, openid_token, client=client)
        token = self._context.entropy.token("tpi_")
        token_hash = self._context.vault.hash_token(token)
        now = self._context.clock.now()
        life = self.settings.token_days * DAY

        def step(tx: Tx) -> None:
            device_id = None
            if self._context.answers_for(server_name):
                device_id = self._held_device(tx, openid_token, user_id, now)
            elif self._context.is_own_homeserver(server_name):
                _refuse_ended(tx, user_id)
            limits.take_identity_token(tx, self._context, user_id=user_id)
            associations.insert_token(
                tx,
                token_hash=token_hash,
                user_id=user_id,
                device_id=device_id,
                now=now,
                expires_at=now + life if life else None,
                at_most=MOST_TOKENS,
            )

        await self._context.database.write(step)
        return token

    async def whose_token(self, access_token: str) -> str | None:
        """The user ID of an identity server's access token, or None."""
        token_hash = self._context.vault.hash_token(access_token)
        now = self._context.clock.now()
        return await self._context.database.read(lambda tx: associations.token_user(tx, token_hash, now))

    async def log_out(self, access_token: str) -> None:
        """Revoke an identity server's access token."""
        token_hash = self._context.vault.hash_token(access_token)
        await self._context.database.write(lambda tx: associations.delete_token(tx, token_hash))

    async def bind(self, sid: str, client_secret: str, mxid: str, *, caller: str | None) -> dict[str, Any]:
        """Bind the address of a validated session to `mxid`, and return the signed association.

        `caller` may only bind its own sessions to itself; None is the v1 API, which has no caller. A repeated request gets the
        same answer. Raises NoValidSession, SessionExpired, SessionNotValidated and MxidNotYours.
        """
        association = await self._context.database.write(
            lambda tx: self.bind_in(tx, sid, client_secret, mxid, caller=caller)
        )
        return self.signed(association)

    def bind_in(self, tx: Tx, sid: str, client_secret: str, mxid: str, *, caller: str | None) -> Association:
        """Like `bind`, in the caller's transaction. Returns the association unsigned."""
        session = self._validation.check(tx, sid, client_secret, Consumer.BIND, caller or "")
        if caller is not None and session.owner != caller:
            raise NoValidSession(cause="owner")
        if caller is not None and mxid != caller:
            raise MxidNotYours
        if self._validation.consume(tx, session):
            return self.bind_address(tx, session.medium, session.canonical, mxid)
        bound = associations.get(tx, session.medium, session.canonical, self._context.clock.now())
        if bound is None or bound.mxid != mxid:
            raise NoValidSession(cause="used up")
        return bound

    async def unbind_proven(self, mxid: str, medium: str, address: str, sid: str, client_secret: str) -> None:
        """Unbind an address from `mxid` by a validated session of the address, of any owner. Repeating it is no error.

        Raises Forbidden, InvalidParam, NoValidSession, SessionExpired and SessionNotValidated.
        """
        canonical = _canonical(medium, address)
        session = await self._validation.validated(sid, client_secret)
        if (session.medium, session.canonical) != (medium, canonical):
            raise Forbidden(Text("The validation session is for another address."))

        def step(tx: Tx) -> None:
            checked = self._validation.check(tx, sid, client_secret, Consumer.BIND, session.owner)
            # The session that bound the address may also unbind it, for its owner: clients have no other session of it.
            if self._validation.consume(tx, checked) or checked.owner == mxid:
                associations.unbind(tx, medium, canonical, mxid)
                return
            bound = associations.get(tx, medium, canonical, self._context.clock.now())
            if bound is not None and bound.mxid == mxid:
                raise NoValidSession(cause="used up")

        await self._context.database.write(step)

    async def unbind_signed(
        self, mxid: str, medium: str, address: str, authorization: str | None, request: SignedRequest, *, client: str
    ) -> None:
        """Unbind an address from `mxid` by a request that the user's homeserver signed.

        Raises InvalidParam, Unauthorized, Forbidden, UpstreamFailed and LimitExceeded.
        """
        canonical = _canonical(medium, address)
        if authorization is None:
            raise Unauthorized(Text("A validated session or a signature of the homeserver is required."))
        try:
            signature = parse_authorization(authorization)
            if signature.destination is not None and not self.is_named(signature.destination):
                raise Unauthorized(Text("This request is signed for another server."))
            if mxid.partition(":")[2] != signature.origin:
                raise Forbidden(Text("Only the user's own homeserver can do this."))
            key = await self._public_key(signature, client=client)
            verify(signature, key, request, signature.destination or self.name)
        except BadSignature as error:
            raise Forbidden(Text("The homeserver's signature is not valid."), cause=str(error)) from error
        await self._context.database.write(lambda tx: associations.unbind(tx, medium, canonical, mxid))

    async def _public_key(self, signature: Signature, *, client: str) -> bytes:
        if self._context.answers_for(signature.origin):
            own = self.keyring.get(signature.key_id)
            key = None if own is None or own.retired_at is not None else bytes(own.key.verify_key)
        else:
            now = self._context.clock.now()
            if not self._federation.knows(signature.origin, signature.key_id, now):
                await self._count_question(client, signature.origin)
            try:
                key = await self._federation.public_key(signature.origin, signature.key_id, now)
            except RemoteError as error:
                raise UpstreamFailed(
                    Text("We could not fetch the keys of the homeserver."), cause=f"{signature.origin}: {error.cause}"
                ) from error
        if key is None:
            raise BadSignature("not a key of that server")
        return key

    def is_bound(self, tx: Tx, medium: str, canonical: str, mxid: str) -> bool:
        """Is the address bound to `mxid` here?"""
        association = associations.get(tx, medium, canonical, self._context.clock.now())
        return association is not None and association.mxid == mxid

    def bind_address(self, tx: Tx, medium: str, canonical: str, mxid: str) -> Association:
        """Bind a proven address, in the transaction that uses its validation session up."""
        now = self._context.clock.now()
        association = Association(medium, canonical, mxid, now, now, now + ASSOCIATION_LIFE)
        associations.bind(tx, association)
        self._callbacks.bound(tx, association)
        return association

    @staticmethod
    def unbind_in(tx: Tx, medium: str, canonical: str, mxid: str) -> bool:
        """Unbind an address; False if it is not bound to `mxid`."""
        return associations.unbind(tx, medium, canonical, mxid)

    @staticmethod
    def unbind_all(tx: Tx, mxid: str) -> set[tuple[str, str]]:
        """Unbind all addresses of `mxid`. Returns the medium and the canonical form of each."""
        return {(address.medium, address.canonical) for address in associations.unbind_all(tx, mxid)}

    @staticmethod
    def forget(tx: Tx, user_id: str) -> None:
        """Revoke all of a user's access tokens of the identity server."""
        associations.delete_tokens(tx, user_id)

    def signed(self, association: Association) -> dict[str, Any]:
        """The signed association. https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidbind."""
        return self.keyring.sign(
            self.name,
            {
                "address": association.canonical,
                "medium": association.medium,
                "mxid": association.mxid,
                "not_before": association.not_before,
                "not_after": association.not_after,
                "ts": association.bound_at,
            },
        )

    async def ephemeral_key_is_valid(self, public_key: str) -> bool:
        """Is this the public key of an invitation, and not expired?"""
        now = self._context.clock.now()
        expires_at = await self._context.database.read(lambda tx: associations.ephemeral_key_expiry(tx, public_key))
        return expires_at is not None and expires_at > now

    async def _count_question(self, client: str, server_name: str) -> None:
        await self._context.database.write(
            lambda tx: limits.take_question(tx, self._context, client=client, server_name=server_name)
        )

    def _held_device(self, tx: Tx, openid_token: str, user_id: str, now: int) -> str:
        """The device that got this OpenID token of our own homeserver, locked until `tx` ends. Raises Unauthorized."""
        token_hash = self._context.vault.hash_token(openid_token)
        owner = side_tokens.openid_owner(tx, token_hash, now)
        # The OpenID token may have been revoked since it was checked, so check it again with the account and device locked.
        if (
            owner is None
            or owner.user_id != user_id
            or not accounts.lock(tx, user_id)
            or not devices.hold_device(tx, user_id, owner.device_id)
            or side_tokens.openid_owner(tx, token_hash, now) is None
        ):
            raise Unauthorized(Text("The homeserver rejected this OpenID token."))
        return owner.device_id

    async def _openid_user(self, server_name: str, openid_token: str, *, client: str) -> str:
        if self._context.answers_for(server_name):
            user_id = await openid_user(self._context, openid_token)
            if user_id is None:
                raise Unauthorized(Text("The homeserver rejected this OpenID token."))
            return user_id
        await self._count_question(client, server_name)
        try:
            return await self._federation.openid_userinfo(server_name, openid_token)
        except RemoteRefused as error:
            raise Unauthorized(Text("The homeserver rejected this OpenID token."), cause=str(error)) from error
        except RemoteError as error:
            raise UpstreamFailed(
                Text("The homeserver is unreachable."), cause=f"{server_name}: {error.cause}"
            ) from error


def _refuse_ended(tx: Tx, user_id: str) -> None:
    """Raise Unauthorized if the account is locked or deactivated: the homeserver beside us may learn of it two minutes late.

    Users of its application services have no account here.
    """
    account = accounts.get(tx, user_id)
    if account is not None and (account.deactivated_at is not None or account.locked_at is not None):
        raise Unauthorized(
            Text("The homeserver rejected this OpenID token."), cause="the account is locked or deactivated"
        )


def _canonical(medium: str, address: str) -> str:
    try:
        return parse_address(medium, address).canonical
    except InvalidAddress:
        raise InvalidParam(Text("This is not a valid address.")) from None
