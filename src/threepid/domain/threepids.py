"""Contacts of accounts: who owns which address, and where it is published.

https://spec.matrix.org/latest/client-server-api/#adding-account-administrative-contact-information
"""

import structlog

from threepid.domain import policy
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.associations import Associations
from threepid.domain.context import Context
from threepid.domain.notices import Notices
from threepid.domain.uia import Grant
from threepid.domain.validation import Consumer, Purpose, Validation
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.remote.identity import IdentityClient, SessionRefused, ValidatedThreepid, matches
from threepid.spec.errors import (
    Forbidden,
    MatrixError,
    ServerNotTrusted,
    ThreepidAuthFailed,
    ThreepidInUse,
    UpstreamFailed,
)
from threepid.spec.threepid_creds import ServedThreepidCreds, ThreepidCreds
from threepid.storage import sessions, threepids
from threepid.storage.database import Tx
from threepid.storage.threepids import Threepid

_log = structlog.get_logger()


class Threepids:
    """The contacts of this server's accounts."""

    def __init__(
        self,
        context: Context,
        validation: Validation,
        notices: Notices,
        associations: Associations | None,
        identity: IdentityClient,
    ) -> None:
        """`associations` is our own identity server, if there is one; `identity` calls others."""
        self._context = context
        self._notices = notices
        self._validation = validation
        self._associations = associations
        self._identity = identity

    async def of(self, user_id: str) -> list[Threepid]:
        """The contacts of the account, oldest first."""
        return await self._context.database.read(lambda tx: threepids.of_user(tx, user_id))

    async def add_by_creds(self, user_id: str, creds: ServedThreepidCreds, *, bind: bool) -> None:
        """Add the address that a validation session proves, and with `bind` publish it at that session's identity server.

        The session is looked for here first, whatever server is named. A failed publication does not undo the addition.
        Raises ThreepidAuthFailed, ServerNotTrusted, ThreepidInUse, ThreepidDenied, UpstreamFailed.
        """
        policy.check_changes(self._context.config)
        ours = self._associations is not None and self._associations.is_named(creds.id_server)
        publish_at = creds.id_server if bind and ours else None

        def step(tx: Tx) -> Threepid | None:
            if not self._validation.known(tx, creds.sid):
                return None
            return self._add_own(tx, user_id, creds, publish_at=publish_at)

        threepid = await self._context.database.write(step)
        if threepid is None:
            threepid = await self._add_remote(user_id, creds, ours=ours)
        if bind and not ours:
            await self._publish(user_id, creds, threepid)

    async def add(self, user_id: str, sid: str, client_secret: str, grant: Grant) -> None:
        """Add the address that a validation session of this homeserver proves.

        Raises ThreepidAuthFailed, ThreepidInUse, Forbidden.
        """
        creds = ThreepidCreds(sid, client_secret)

        def step(tx: Tx) -> None:
            grant.consume(tx)
            self._add_own(tx, user_id, creds, consumer=Consumer.ADD_THREEPID)

        await self._context.database.write(step)

    async def remove(self, user_id: str, medium: str, address: str, id_server: str | None) -> bool:
        """Take an address from the account, and with it what would prove it once more.

        True if it is known to be withdrawn from the identity server `id_server` (None: wherever it was published).
        Somebody else's address, and one that nobody has, change nothing.
        """
        try:
            canonical = parse_address(medium, address).canonical
        except InvalidAddress:
            return False

        def step(tx: Tx) -> bool:
            published = {binding.id_server for binding in threepids.bindings(tx, user_id, medium, canonical)}
            removed = threepids.get(tx, medium, canonical)
            if removed is None or not threepids.delete(tx, user_id, medium, canonical):
                return False
            self._notices.contact_removed(tx, user_id, removed)
            for purpose in (Purpose.ADD, Purpose.RESET):
                sessions.close_of_address(
                    tx, medium=medium, canonical=canonical, purpose=purpose, now=self._context.clock.now()
                )
            return self._withdraw(tx, user_id, medium, canonical, published, id_server)

        policy.check_changes(self._context.config)
        return await self._context.database.write(step)

    def remove_all(self, tx: Tx, user_id: str) -> bool:
        """Take all addresses from the account; True if none is known to be published any more."""
        withdrawn = True
        for threepid in threepids.of_user(tx, user_id):
            key = threepid.medium, threepid.canonical
            published = {binding.id_server for binding in threepids.bindings(tx, user_id, *key)}
            threepids.delete(tx, user_id, *key)
            sessions.close_of_address(
                tx, medium=key[0], canonical=key[1], purpose=Purpose.RESET, now=self._context.clock.now()
            )
            if published:
                withdrawn = self._withdraw(tx, user_id, *key, published, None) and withdrawn
        return withdrawn

    def _withdraw(
        self, tx: Tx, user_id: str, medium: str, canonical: str, published: set[str], id_server: str | None
    ) -> bool:
        """Withdraw an address from our own identity server. Others must be asked, with a signature: that comes later."""
        wanted = published if id_server is None else {id_server.lower()}
        ours = {name for name in wanted if self._associations is not None and self._associations.is_named(name)}
        if ours and self._associations is not None:
            self._associations.withdraw(tx, medium, canonical, user_id)
            threepids.delete_bindings(tx, user_id, medium, canonical)
        return bool(ours) and ours == wanted

    def _add_own(
        self,
        tx: Tx,
        user_id: str,
        creds: ThreepidCreds,
        *,
        publish_at: str | None = None,
        consumer: Consumer = Consumer.POST_THREEPID,
    ) -> Threepid:
        try:
            session = self._validation.check(tx, creds.sid, creds.client_secret, consumer, user_id)
        except MatrixError as error:
            raise ThreepidAuthFailed(cause=type(error).__name__) from error
        now = self._context.clock.now()
        threepid = Threepid(session.medium, session.canonical, session.address, session.validated_at or now, now)
        if not self._validation.consume(tx, session):
            # Clients repeat a request whose answer they lost: the same again is no error and has no effect.
            if threepids.owner(tx, session.medium, session.canonical) != user_id:
                raise ThreepidAuthFailed(cause="used up")
            return threepid
        self._own(tx, user_id, threepid)
        if publish_at is not None and self._associations is not None:
            self._associations.publish(tx, threepid.medium, threepid.canonical, user_id)
            self._note_binding(tx, user_id, threepid, publish_at)
        return threepid

    async def _add_remote(self, user_id: str, creds: ServedThreepidCreds, *, ours: bool) -> Threepid:
        accounts = self._context.config.accounts
        if ours:
            raise ThreepidAuthFailed(cause="unknown session")
        if accounts is None or not matches(creds.id_server, accounts.trusted_identity_servers):
            raise ServerNotTrusted
        try:
            validated = await self._identity.validated_threepid(
                creds.id_server, creds.sid, creds.client_secret, creds.id_access_token or None
            )
        except SessionRefused as error:
            raise ThreepidAuthFailed(cause="refused by the identity server") from error
        except RemoteError as error:
            raise UpstreamFailed("The identity server could not be reached.", cause=error.cause) from error
        threepid = self._as_threepid(validated)
        sid_hash = self._context.vault.hash_token(creds.sid)

        def step(tx: Tx) -> None:
            first_use = sessions.use_remote(
                tx,
                id_server=creds.id_server.lower(),
                sid_hash=sid_hash,
                user_id=user_id,
                medium=threepid.medium,
                canonical=threepid.canonical,
                used_at=threepid.added_at,
            )
            if first_use:
                self._own(tx, user_id, threepid)
            elif threepids.owner(tx, threepid.medium, threepid.canonical) != user_id:
                raise ThreepidAuthFailed(cause="used up")

        await self._context.database.write(step)
        return threepid

    def _as_threepid(self, validated: ValidatedThreepid) -> Threepid:
        try:
            address = parse_address(validated.medium, validated.address)
        except InvalidAddress as error:
            raise ThreepidAuthFailed(cause="address") from error
        policy.check_address(self._context.config, address)
        now = self._context.clock.now()
        return Threepid(address.medium, address.canonical, address.address, min(validated.validated_at, now), now)

    def _own(self, tx: Tx, user_id: str, threepid: Threepid) -> None:
        """Give the address to the account. Raises ThreepidInUse if somebody else owns it, Forbidden if there are too many."""
        if threepids.refresh(tx, user_id, threepid):
            return
        if threepids.count_of_user(tx, user_id) >= self._context.config.policy.contacts_per_account:
            raise Forbidden("This account has as many contacts as it may have.")
        if not threepids.insert(tx, user_id, threepid):
            raise ThreepidInUse
        self._notices.contact_added(tx, user_id, threepid)

    async def _publish(self, user_id: str, creds: ServedThreepidCreds, threepid: Threepid) -> None:
        accounts = self._context.config.accounts
        if accounts is None or not matches(creds.id_server, accounts.identity_servers_allowed):
            _log.info("bind_refused", id_server=creds.id_server, cause="not allowed")
            return
        try:
            await self._identity.bind(
                creds.id_server, creds.sid, creds.client_secret, user_id, creds.id_access_token or None
            )
        except (RemoteError, RemoteRefused) as error:
            _log.warning("bind_failed", id_server=creds.id_server, cause=str(error))
            return
        await self._context.database.write(lambda tx: self._note_binding(tx, user_id, threepid, creds.id_server))

    def _note_binding(self, tx: Tx, user_id: str, threepid: Threepid, id_server: str) -> None:
        threepids.insert_binding(
            tx,
            user_id=user_id,
            medium=threepid.medium,
            canonical=threepid.canonical,
            id_server=id_server.lower(),
            bound_at=self._context.clock.now(),
        )
