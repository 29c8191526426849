"""Binds contacts: at our own identity server in the caller's transaction, at others over HTTP.

https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidbind
The database keeps each association and its server until the server is known to have unbound it.
"""

from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import structlog

from threepid import config
from threepid.clock import DAY, SECOND
from threepid.domain import audit, limits, policy
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.notices import Notices
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.authentication.grants import Grant
from threepid.domain.contacts.unbind_requests import Plan, UnbindRequests
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.identity.terms import Terms
from threepid.domain.origin import Origin
from threepid.i18n import Text
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.remote.identity import IdentityClient, Refusal, matches
from threepid.remote.patience import PATIENCE
from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    NotFound,
    PassedOn,
    ServerNotTrusted,
    TermsNotSigned,
    Unauthorized,
    UpstreamFailed,
)
from threepid.spec.signing import Signer
from threepid.storage import accounts, threepids
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Binding

_log = structlog.get_logger()

_SERVERS_PER_CONTACT: Final = 5
"""Maximum number of associations of an account, for each contact that it may have."""
_WAIT: Final = 5 * SECOND
_OF_OUR_OWN: Final = frozenset(
    {
        "M_UNKNOWN_TOKEN",
        "M_MISSING_TOKEN",
        "M_USER_DEACTIVATED",
        "M_USER_LOCKED",
        "M_USER_SUSPENDED",
        "M_CONSENT_NOT_GIVEN",
    }
)
"""Error codes that clients relate to their own access token or account: another server must not send them."""


class Asking(Enum):
    """How often to ask a named identity server to unbind an address if we know of no association there."""

    UNTIL_DONE = auto()
    ONCE = auto()
    NEVER = auto()


class Bindings:
    """Binds and unbinds the contacts of this server's accounts."""

    def __init__(
        self,
        context: Context,
        settings: config.Accounts,
        signer: Signer,
        associations: Associations | None,
        terms: Terms | None,
        identity: IdentityClient,
        notices: Notices,
        *,
        unbind_seconds: float = PATIENCE.unbind,
    ) -> None:
        """`associations` and `terms` are our own identity server's, if there is one.

        `identity` calls others, and `signer` signs the calls.
        """
        self._context = context
        self._settings = settings
        self._associations = associations
        self._terms = terms
        self._identity = identity
        self._notices = notices
        self.requests = UnbindRequests(context, signer, identity, unbind_seconds)
        """The requests to unbind that other identity servers get."""

    def is_ours(self, id_server: str) -> bool:
        """Is this our own identity server?"""
        return self._associations is not None and self._associations.is_named(id_server)

    # -- bind

    async def bind(
        self,
        user_id: str,
        *,
        id_server: str,
        sid: str,
        client_secret: str,
        id_access_token: str | None,
        origin: Origin,
    ) -> None:
        """Bind the address of an identity server's validation session. It need not be a contact of the account.

        Raises Forbidden, ServerNotTrusted and UpstreamFailed, and the identity server's errors: from ours TermsNotSigned,
        NoValidSession, SessionExpired and SessionNotValidated, from others PassedOn and LimitExceeded.
        """
        policy.check_changes(self._context.config)
        if self._associations is not None and self.is_ours(id_server):
            ours = self._associations

            def step(tx: Tx) -> None:
                require_active(tx, user_id)
                self._check_room(tx, user_id)
                if not self._has_accepted_terms(tx, user_id):
                    raise TermsNotSigned
                bound = ours.bind_in(tx, sid, client_secret, user_id, caller=user_id)
                self._remember(tx, user_id, bound.medium, bound.canonical, id_server, origin, here=True)

            await self._context.database.write(step)
            return
        if not self._is_allowed(id_server):
            raise ServerNotTrusted
        try:
            await self._bind_remote(user_id, id_server, sid, client_secret, id_access_token, origin)
        except Refusal as error:
            raise _passed_on(error) from error
        except RemoteError as error:
            raise UpstreamFailed(
                Text("The identity server is unreachable."), cause=f"{id_server}: {error.cause}"
            ) from error

    async def try_bind(
        self,
        user_id: str,
        *,
        id_server: str,
        sid: str,
        client_secret: str,
        id_access_token: str | None,
        origin: Origin,
    ) -> None:
        """Bind a contact that was added already at another identity server. A failure is only logged."""
        if not self._is_allowed(id_server):
            _log.info("bind_refused", id_server=id_server, cause="not allowed")
            return
        try:
            await self._bind_remote(user_id, id_server, sid, client_secret, id_access_token, origin)
        except (Forbidden, RemoteError, RemoteRefused, LimitExceeded) as error:
            _log.warning("bind_failed", id_server=id_server, cause=str(error))

    def bind_address(self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str, origin: Origin) -> None:
        """Bind a proven address at our own identity server, in the transaction that uses its validation session up.

        `tx` holds the account's row. A user who has not accepted the terms there, or is at the limit of bound addresses, is not
        bound: that is only logged.
        """
        if not self._has_accepted_terms(tx, user_id):
            _log.info("bind_refused", id_server=id_server, cause="terms not accepted")
        elif not self._has_room(tx, user_id):
            _log.info("bind_refused", id_server=id_server, cause="limit of bound addresses")
        elif self._associations is not None:
            self._associations.bind_address(tx, medium, canonical, user_id)
            self._remember(tx, user_id, medium, canonical, id_server, origin, here=True)

    def bind_contact(self, tx: Tx, user_id: str, medium: str, canonical: str, grant: Grant) -> None:
        """Bind a contact of the account at our own identity server, and use `grant` up, in the caller's transaction.

        The account proved the address when it added the contact. Raises NotFound if it is no contact of the account, and
        Forbidden.
        """
        policy.check_changes(self._context.config)
        if self._associations is None:
            raise NotFound
        require_active(tx, user_id)
        grant.consume(tx)
        if threepids.owner(tx, medium, canonical) != user_id:
            raise NotFound(Text("Your account has no such contact any more."))
        self._check_room(tx, user_id)
        self.bind_address(tx, user_id, medium, canonical, self._associations.name, grant.origin)

    def _has_accepted_terms(self, tx: Tx, user_id: str) -> bool:
        return self._terms is None or self._terms.are_accepted_in(tx, user_id)

    # -- unbind

    async def unbind(
        self,
        user_id: str,
        medium: str,
        address: str,
        id_server: str | None,
        *,
        origin: Origin,
        grant: Grant | None = None,
    ) -> bool:
        """Unbind an address from `id_server` (None: from all servers where we bound it). The contact stays.

        True if the address is known to be unbound. Associations of other users, and unknown addresses, are left alone. `grant` is
        used up, if there is one. Raises LimitExceeded; then nothing is unbound.
        """
        try:
            canonical = parse_address(medium, address).canonical
        except InvalidAddress:
            return False

        def step(tx: Tx) -> Plan:
            if grant is not None:
                grant.consume(tx)
            plan = self.unbind_in(tx, user_id, medium, canonical, id_server, origin, asking=Asking.ONCE)
            if plan.jobs or plan.besides:
                limits.take_outbound(tx, self._context, account=user_id)
            return plan

        return await self.requests.carry_out(await self._context.database.write(step))

    def unbind_in(
        self,
        tx: Tx,
        user_id: str,
        medium: str,
        canonical: str,
        id_server: str | None,
        origin: Origin,
        *,
        asking: Asking = Asking.UNTIL_DONE,
        tell: bool = True,
    ) -> Plan:
        """Unbind an address from our own identity server, and queue the requests to others, in the caller's transaction.

        `asking` holds for a server where we did not bind the address, because callers can name any server. Without `tell`, the
        account's contacts are not notified, because they are notified of more.
        """
        remembered = threepids.bindings(tx, user_id, medium, canonical)
        here = {binding.id_server for binding in remembered if self._is_here(binding)}
        elsewhere = {binding.id_server for binding in remembered} - here
        named = None if id_server is None else id_server.lower()
        is_ours = named is None or named in here or self.is_ours(named)
        unbound = False
        if self._associations is not None and (is_ours or named not in elsewhere):
            unbound = self._associations.unbind_in(tx, medium, canonical, user_id)
            if is_ours or unbound:
                forgotten = [self._forget(tx, user_id, medium, canonical, name) for name in sorted(here)]
                unbound = unbound or any(forgotten)
        if unbound or (elsewhere if named is None else named in elsewhere):
            self._note(tx, audit.Event.UNBOUND, user_id, medium, canonical, origin)
            if tell:
                self._notices.unbound(tx, user_id, medium, canonical)
        if named is None:
            wanted = elsewhere
        elif is_ours or (asking is Asking.NEVER and named not in elsewhere and not unbound):
            wanted = set()
        else:
            wanted = {named}
        allowed = [(medium, canonical, name) for name in sorted(wanted) if self._is_allowed(name)]
        jobs = tuple(
            self.requests.put(tx, user_id, *one, keep=one[2] in elsewhere or asking is not Asking.ONCE)
            for one in allowed
        )
        if unbound and not is_ours:
            # The name may be an earlier one of our server. It may also be another server's, so that one is asked as well.
            return Plan(known=True, besides=jobs)
        return Plan(len(jobs) == len(wanted) and (unbound or bool(jobs)), jobs)

    def unbind_all(self, tx: Tx, user_id: str, id_server: str | None) -> Plan:
        """Unbind all addresses of an account that is being deactivated. Call this before its contacts are deleted.

        They are unbound from all servers where we bound them. `id_server` is also asked to unbind all contacts.
        """
        remembered = threepids.bindings_of_user(tx, user_id)
        here = {(known.medium, known.canonical, known.id_server) for known in remembered if self._is_here(known)}
        elsewhere = {(known.medium, known.canonical, known.id_server) for known in remembered} - here
        bound = set() if self._associations is None else self._associations.unbind_all(tx, user_id)
        besides: set[tuple[str, str, str]] = set()
        if id_server is not None and not self.is_ours(id_server) and id_server.lower() not in {one[2] for one in here}:
            addresses = {(one.medium, one.canonical) for one in threepids.of_user(tx, user_id)}
            addresses |= {(known.medium, known.canonical) for known in remembered}
            besides = {(medium, canonical, id_server.lower()) for medium, canonical in addresses} - here - elsewhere
        # An address that was bound here under an unknown name may have been bound under the name `id_server`.
        doubtful = {one for one in besides if one[:2] in bound - {known[:2] for known in here}}
        others = elsewhere | (besides - doubtful)
        jobs = tuple(self.requests.put(tx, user_id, *one) for one in sorted(others) if self._is_allowed(one[2]))
        to_be_sure = tuple(self.requests.put(tx, user_id, *one) for one in sorted(doubtful) if self._is_allowed(one[2]))
        threepids.delete_bindings_of_user(tx, user_id)
        return Plan(len(jobs) == len(others), jobs, to_be_sure)

    # -- stored associations

    async def _bind_remote(
        self,
        user_id: str,
        id_server: str,
        sid: str,
        client_secret: str,
        id_access_token: str | None,
        origin: Origin,
    ) -> None:
        def begin(tx: Tx) -> None:
            self._check_room(tx, user_id)
            limits.take_outbound(tx, self._context, account=user_id)

        await self._context.database.write(begin)
        bound = await self._identity.bind(id_server, sid, client_secret, user_id, id_access_token)
        try:
            canonical = parse_address(bound.medium, bound.address).canonical
        except InvalidAddress:
            raise RemoteError("an association of no address in the answer") from None

        def step(tx: Tx) -> bool:
            # Nobody held the account's row while the server was asked: the account may have been deactivated, and other requests
            # may have bound addresses. Then this one must be unbound.
            is_active = accounts.lock(tx, user_id) is not None
            known = threepids.bindings(tx, user_id, bound.medium, canonical)
            has_room = any(one.id_server == id_server.lower() for one in known) or self._has_room(tx, user_id)
            if is_active and has_room:
                self._remember(tx, user_id, bound.medium, canonical, id_server, origin, here=False)
            else:
                self.requests.put(tx, user_id, bound.medium, canonical, id_server.lower())
            return has_room

        if not await self._context.database.write(step):
            raise _no_room()

    def _remember(
        self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str, origin: Origin, *, here: bool
    ) -> None:
        known = threepids.bindings(tx, user_id, medium, canonical)
        threepids.insert_binding(
            tx,
            user_id=user_id,
            medium=medium,
            canonical=canonical,
            id_server=id_server.lower(),
            bound_at=self._context.clock.now(),
            here=here,
        )
        self._note(tx, audit.Event.BOUND, user_id, medium, canonical, origin)
        if not any(binding.id_server == id_server.lower() for binding in known):
            self._notices.bound(tx, user_id, medium, canonical)

    def _note(self, tx: Tx, event: audit.Event, user_id: str, medium: str, canonical: str, origin: Origin) -> None:
        audit.note(
            tx,
            self._context,
            event,
            user_id,
            origin,
            medium=medium,
            contact=audit.contact(self._context, medium, canonical),
        )

    def _forget(self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str) -> bool:
        return threepids.delete_binding(
            tx,
            user_id=user_id,
            medium=medium,
            canonical=canonical,
            id_server=id_server,
            bound_until=self._context.clock.now(),
        )

    def _is_here(self, binding: Binding) -> bool:
        """Was the address bound at our own identity server, under its present name or an earlier one?"""
        return self._associations is not None and (binding.here_at is not None or self.is_ours(binding.id_server))

    def _has_room(self, tx: Tx, user_id: str) -> bool:
        most = self._context.config.policy.contacts_per_account * _SERVERS_PER_CONTACT
        return threepids.count_bindings(tx, user_id) < most

    def _check_room(self, tx: Tx, user_id: str) -> None:
        if not self._has_room(tx, user_id):
            raise _no_room()

    def _is_allowed(self, id_server: str) -> bool:
        return matches(id_server, self._settings.identity_servers_allowed)


def _no_room() -> Forbidden:
    return Forbidden(Text("This account has reached its limit of bound addresses."))


def _passed_on(refusal: Refusal) -> MatrixError:
    """The error that passes another server's rejection on: its text and code, except codes about the caller's own token."""
    cause = str(refusal)
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        return LimitExceeded(min(refusal.retry_after_ms or _WAIT, DAY), refusal.sentence, cause=cause)
    is_error = HTTPStatus.BAD_REQUEST <= refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR
    status = refusal.status if is_error else HTTPStatus.BAD_REQUEST
    if status == HTTPStatus.UNAUTHORIZED:
        status = HTTPStatus.FORBIDDEN
    errcode = Unauthorized.errcode if refusal.errcode in _OF_OUR_OWN else refusal.errcode
    return PassedOn(errcode, refusal.sentence, status=status, cause=cause)
