"""Contacts of accounts: adding and removing them, and binding and unbinding their addresses on the way.

https://spec.matrix.org/latest/client-server-api/#adding-account-administrative-contact-information
"""

from threepid import config
from threepid.domain import audit, limits, policy
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.devices import Requester
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.addresses import Address, InvalidAddress, parse_address
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import Grant
from threepid.domain.contacts.bindings import Asking, Bindings
from threepid.domain.contacts.unbind_requests import Plan
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.domain.validation.purposes import Consumer
from threepid.domain.validation.resets import close_resets
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.remote.guard import RemoteError
from threepid.remote.identity import IdentityClient, SessionRefused, ValidatedThreepid, matches
from threepid.spec.errors import (
    Forbidden,
    MatrixError,
    NotFound,
    ServerNotTrusted,
    ThreepidAuthFailed,
    ThreepidInUse,
    UpstreamFailed,
)
from threepid.spec.threepid_creds import ServedThreepidCreds, ThreepidCreds
from threepid.spec.uia import PASSWORD
from threepid.storage import accounts, threepids, validations
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid
from threepid.storage.validations import Session


class Threepids:
    """The contacts of this server's accounts."""

    def __init__(
        self,
        context: Context,
        settings: config.Accounts,
        validation: Validation,
        notices: Notices,
        bindings: Bindings,
        identity: IdentityClient,
        provisioning: Provisioning,
    ) -> None:
        """`bindings` binds and unbinds contacts; `identity` calls other identity servers.

        `provisioning` tells a homeserver beside us of contacts.
        """
        self._context = context
        self._settings = settings
        self._notices = notices
        self._validation = validation
        self._bindings = bindings
        self._identity = identity
        self._provisioning = provisioning

    async def of_requester(self, requester: Requester) -> list[Threepid]:
        """The contacts of the account that asks, oldest first: those that came with its token, if they did."""
        return await self.of(requester.user_id) if requester.contacts is None else threepids.decode(requester.contacts)

    async def of(self, user_id: str) -> list[Threepid]:
        """The contacts of the account, oldest first."""
        return await self._context.database.read(lambda tx: threepids.of_user(tx, user_id))

    async def add_by_creds(self, user_id: str, creds: ServedThreepidCreds, *, bind: bool, origin: Origin) -> None:
        """Add the address of a validation session. With `bind`, also bind it at the session's identity server.

        The session is looked up here first, whatever server is named. If binding at another server fails, the contact stays.
        Raises ThreepidAuthFailed, ServerNotTrusted, ThreepidInUse, ThreepidDenied, UpstreamFailed, Forbidden and LimitExceeded.
        """
        policy.check_changes(self._context.config)
        ours = self._bindings.is_ours(creds.id_server)
        bind_at = creds.id_server if bind and ours else None

        def step(tx: Tx) -> Threepid | None:
            session = self._validation.find(tx, creds.sid)
            if session is None:
                return None
            require_active(tx, user_id)
            return self._add_own(tx, user_id, session, creds, origin, bind_at=bind_at)

        if await self._context.database.write(step) is None:
            await self._add_remote(user_id, creds, origin, ours=ours)
        if bind and not ours:
            await self._bindings.try_bind(
                user_id,
                id_server=creds.id_server,
                sid=creds.sid,
                client_secret=creds.client_secret,
                id_access_token=creds.id_access_token or None,
                origin=origin,
            )

    async def add(self, user_id: str, sid: str, client_secret: str, authentication: Authentication) -> None:
        """Add the address of a validation session of this homeserver. The caller authenticates by password.

        Raises ThreepidAuthFailed, ThreepidInUse, Forbidden, and AuthenticationRequiredError until the caller is authenticated.
        """
        policy.check_changes(self._context.config)
        creds = ThreepidCreds(sid, client_secret)
        await self.add_granted(user_id, creds, await authentication.require(((PASSWORD,),)))

    async def add_granted(self, user_id: str, creds: ThreepidCreds, grant: Grant) -> Threepid:
        """Add the address of a validation session of this homeserver, and use `grant` up. Raises as `add` does."""
        policy.check_changes(self._context.config)

        def step(tx: Tx) -> Threepid:
            require_active(tx, user_id)
            grant.consume(tx)
            session = self._validation.find(tx, creds.sid)
            return self._add_own(tx, user_id, session, creds, grant.origin, consumer=Consumer.ADD_THREEPID)

        return await self._context.database.write(step)

    async def add_for(self, user_id: str, address: Address, grant: Grant) -> Threepid:
        """Add an address that an operator knows to be the owner's. Uses `grant` up. The other contacts are notified.

        An address that the account has already counts as validated again, and so can recover the account where the configuration
        sets a maximum age. Raises ThreepidDenied, ThreepidInUse and Forbidden.
        """
        return await self._own_for(user_id, address, grant)

    async def verify_for(self, user_id: str, address: Address, grant: Grant) -> Threepid:
        """Note that a contact is validated again, as `add_for` does. Also raises NotFound if the account has no such contact."""
        return await self._own_for(user_id, address, grant, is_contact=True)

    async def _own_for(self, user_id: str, address: Address, grant: Grant, *, is_contact: bool = False) -> Threepid:
        policy.check_address(self._context.config, address)
        now = self._context.clock.now()
        contact = Threepid(address.medium, address.canonical, address.address, now, now)

        def step(tx: Tx) -> Threepid:
            require_active(tx, user_id, by=grant.by)
            grant.consume(tx)
            if threepids.owner(tx, address.medium, address.canonical) == user_id:
                self._note(tx, audit.Event.CONTACT_VERIFIED, user_id, contact, grant.origin, by=grant.by)
            elif is_contact:
                raise NotFound
            self._own(tx, user_id, contact, grant.origin, by=grant.by)
            return contact

        return await self._context.database.write(step)

    async def remove(
        self,
        user_id: str,
        medium: str,
        address: str,
        id_server: str | None,
        *,
        origin: Origin,
        grant: Grant | None = None,
    ) -> bool:
        """Remove a contact from the account, close the validation sessions for it, and unbind its address.

        True if the address is known to be unbound from `id_server` (None: from all servers where we bound it), after waiting a
        few seconds at most for other servers. An address that is no contact of the account is only unbound, where the account
        bound it. `grant` is used up, if there is one. Raises Forbidden and LimitExceeded.
        """
        try:
            canonical = parse_address(medium, address).canonical
        except InvalidAddress:
            return False

        def step(tx: Tx) -> Plan:
            accounts.lock(tx, user_id)  # before the contact, as whoever adds one does, so that the two do not deadlock
            if grant is not None:
                grant.consume(tx)
            removed = threepids.get(tx, medium, canonical)
            if removed is None or not threepids.delete(tx, user_id, medium, canonical):
                plan = self._bindings.unbind_in(tx, user_id, medium, canonical, id_server, origin, asking=Asking.NEVER)
                if plan.jobs:
                    limits.take_outbound(tx, self._context, account=user_id)
                return plan
            self._provisioning.account_changed(tx, user_id)
            self._notices.contact_removed(tx, user_id, removed)
            self._note(tx, audit.Event.CONTACT_REMOVED, user_id, removed, origin, by=by)
            now = self._context.clock.now()
            close_resets(tx, medium=medium, canonical=canonical, now=now)
            validations.close_additions(tx, medium=medium, canonical=canonical, owner=user_id, now=now)
            return self._bindings.unbind_in(tx, user_id, medium, canonical, id_server, origin, tell=False)

        by = audit.OWNER if grant is None else grant.by
        if by.kind is not audit.CallerKind.OPERATOR:
            policy.check_changes(self._context.config)
        return await self._bindings.requests.carry_out(await self._context.database.write(step))

    def remove_all(self, tx: Tx, user_id: str, id_server: str | None) -> Plan:
        """Remove all contacts of an account that is being deactivated. The plan holds the requests to other identity servers."""
        plan = self._bindings.unbind_all(tx, user_id, id_server)
        now = self._context.clock.now()
        for threepid in threepids.of_user(tx, user_id):
            threepids.delete(tx, user_id, threepid.medium, threepid.canonical)
            close_resets(tx, medium=threepid.medium, canonical=threepid.canonical, now=now)
        return plan

    def _add_own(
        self,
        tx: Tx,
        user_id: str,
        session: Session | None,
        creds: ThreepidCreds,
        origin: Origin,
        *,
        bind_at: str | None = None,
        consumer: Consumer = Consumer.POST_THREEPID,
    ) -> Threepid:
        try:
            session = self._validation.check_found(session, creds.client_secret, consumer, user_id)
        except MatrixError as error:
            raise ThreepidAuthFailed(cause=type(error).__name__) from error
        now = self._context.clock.now()
        threepid = Threepid(session.medium, session.canonical, session.address, session.validated_at or now, now)
        if not self._validation.consume(tx, session):
            # A client that lost the response repeats its request: that is no error and has no effect.
            if threepids.owner(tx, session.medium, session.canonical) != user_id:
                raise ThreepidAuthFailed(cause="used up")
            return threepid
        self._own(tx, user_id, threepid, origin)
        if bind_at is not None:
            self._bindings.bind_address(tx, user_id, threepid.medium, threepid.canonical, bind_at, origin)
        return threepid

    async def _add_remote(self, user_id: str, creds: ServedThreepidCreds, origin: Origin, *, ours: bool) -> None:
        if ours:
            raise ThreepidAuthFailed(cause="unknown session")
        if not matches(creds.id_server, self._settings.trusted_identity_servers):
            raise ServerNotTrusted
        await self._context.database.write(lambda tx: limits.take_outbound(tx, self._context, account=user_id))
        try:
            validated = await self._identity.validated_threepid(
                creds.id_server, creds.sid, creds.client_secret, creds.id_access_token or None
            )
        except SessionRefused as error:
            raise ThreepidAuthFailed(cause="refused by the identity server") from error
        except RemoteError as error:
            raise UpstreamFailed(
                Text("The identity server is unreachable."), cause=f"{creds.id_server}: {error.cause}"
            ) from error
        threepid = self._as_threepid(validated)
        sid_hash = self._context.vault.hash_token(creds.sid)

        def step(tx: Tx) -> None:
            require_active(tx, user_id)
            first_use = validations.use_remote(
                tx,
                id_server=creds.id_server.lower(),
                sid_hash=sid_hash,
                user_id=user_id,
                medium=threepid.medium,
                canonical=threepid.canonical,
                used_at=threepid.added_at,
            )
            if first_use:
                self._own(tx, user_id, threepid, origin)
            elif threepids.owner(tx, threepid.medium, threepid.canonical) != user_id:
                raise ThreepidAuthFailed(cause="used up")

        await self._context.database.write(step)

    def _as_threepid(self, validated: ValidatedThreepid) -> Threepid:
        try:
            address = parse_address(validated.medium, validated.address)
        except InvalidAddress as error:
            raise ThreepidAuthFailed(cause="address") from error
        policy.check_address(self._context.config, address)
        now = self._context.clock.now()
        return Threepid(address.medium, address.canonical, address.address, min(validated.validated_at, now), now)

    def _own(self, tx: Tx, user_id: str, threepid: Threepid, origin: Origin, *, by: audit.Caller = audit.OWNER) -> None:
        """Make the address a contact of the account. Raises ThreepidInUse, or Forbidden if the account has too many contacts."""
        most = self._context.config.policy.contacts_per_account
        # First, because it nearly always succeeds, and then tells the count as well.
        if not threepids.insert_within(tx, user_id, threepid, most=most):
            if threepids.refresh(tx, user_id, threepid):
                return
            if threepids.count_of_user(tx, user_id) >= most:
                raise Forbidden(Text("This account has reached its contact limit."))
            raise ThreepidInUse
        self._provisioning.account_changed(tx, user_id)
        self._notices.contact_added(tx, user_id, threepid)
        self._note(tx, audit.Event.CONTACT_ADDED, user_id, threepid, origin, by=by)

    def _note(
        self,
        tx: Tx,
        event: audit.Event,
        user_id: str,
        threepid: Threepid,
        origin: Origin,
        *,
        by: audit.Caller = audit.OWNER,
    ) -> None:
        contact = audit.contact(self._context, threepid.medium, threepid.canonical)
        audit.note(tx, self._context, event, user_id, origin, by=by, medium=threepid.medium, contact=contact)
