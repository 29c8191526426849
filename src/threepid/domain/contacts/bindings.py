"""Where contacts are published: at our own identity server in the transaction of the reason, at others over HTTP.

https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3account3pidbind
What was published is remembered with its server until it is known to be withdrawn there. Another server is asked to withdraw
once at once, and what failed waits in the outbox for the worker: nothing that somebody does here depends on another server.
"""

import asyncio
from enum import Enum, auto
from http import HTTPStatus
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from threepid import config
from threepid.clock import DAY, SECOND
from threepid.domain import limits, policy
from threepid.domain.accounts.accounts import require_active
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.posting import Urgency, post, seal
from threepid.remote.guard import RemoteError, RemoteRefused
from threepid.remote.identity import IdentityClient, Refusal, matches
from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    PassedOn,
    ServerNotTrusted,
    Unauthorized,
    UpstreamFailed,
)
from threepid.spec.signing import Signer
from threepid.storage import accounts, outbox, threepids
from threepid.storage.engine.database import StorageError, Tx
from threepid.storage.outbox import Order
from threepid.storage.threepids import Binding

_log = structlog.get_logger()

CHANNEL: Final = "unbind"
"""Of requests to other identity servers in the outbox; `recipient` is the server."""
PATIENCE_SECONDS: Final = 5.0
"""How long somebody waits for other identity servers, for all of them together."""
_REPEAT_AFTER: Final = 30 * SECOND
"""When the worker takes over: long after the try that is made at once has ended."""
_LIFE: Final = 7 * DAY
_SERVERS_PER_CONTACT: Final = 5
"""How often the contacts of an account can be published, on average."""
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
"""Codes that would tell a client something of its account with us: that is not another server's to say."""


class Withdrawal(Struct, frozen=True):
    """What an identity server is asked to forget: an address of `mxid`."""

    mxid: str
    medium: str
    address: str


class Asking(Enum):
    """How a named identity server is asked to forget an address where we know of no publication there."""

    UNTIL_DONE = auto()
    ONCE = auto()
    NEVER = auto()


class Plan(Struct, frozen=True):
    """What is left of a withdrawal after its transaction: `known` as far as it was done, and whom to ask for the rest."""

    known: bool
    orders: tuple[Order, ...] = ()
    besides: tuple[Order, ...] = ()
    """Whom to ask as well: what they answer changes nothing about `known`."""


class Bindings:
    """Publishes and withdraws the contacts of this server's accounts."""

    def __init__(
        self,
        context: Context,
        settings: config.Accounts,
        signer: Signer,
        associations: Associations | None,
        identity: IdentityClient,
    ) -> None:
        """`associations` is our own identity server, if there is one; `identity` calls others, signed by `signer`."""
        self._context = context
        self._settings = settings
        self._signer = signer
        self._associations = associations
        self._identity = identity

    def is_ours(self, id_server: str) -> bool:
        """Is this our own identity server?"""
        return self._associations is not None and self._associations.is_named(id_server)

    # -- publishing

    async def bind(
        self, user_id: str, *, id_server: str, sid: str, client_secret: str, id_access_token: str | None
    ) -> None:
        """Publish the address of an identity server's session for the account, which need not have it as a contact.

        Raises Forbidden, ServerNotTrusted, UpstreamFailed, and what the identity server says: of ours NoValidSession,
        SessionExpired, SessionNotValidated; of others PassedOn or LimitExceeded.
        """
        policy.check_changes(self._context.config)
        await self._context.database.read(lambda tx: self._check_room(tx, user_id))
        if self._associations is not None and self.is_ours(id_server):
            ours = self._associations

            def step(tx: Tx) -> None:
                require_active(tx, user_id)
                published = ours.bind_in(tx, sid, client_secret, user_id, caller=user_id)
                self._remember(tx, user_id, published.medium, published.canonical, id_server, here=True)

            await self._context.database.write(step)
            return
        if not self._is_allowed(id_server):
            raise ServerNotTrusted
        try:
            await self._bind_remote(user_id, id_server, sid, client_secret, id_access_token)
        except Refusal as error:
            raise _passed_on(error) from error
        except RemoteError as error:
            raise UpstreamFailed(
                "The identity server could not be reached.", cause=f"{id_server}: {error.cause}"
            ) from error

    async def try_bind(
        self, user_id: str, *, id_server: str, sid: str, client_secret: str, id_access_token: str | None
    ) -> None:
        """Publish at another identity server what was added already: a failure is logged and changes nothing."""
        if not self._is_allowed(id_server):
            _log.info("bind_refused", id_server=id_server, cause="not allowed")
            return
        try:
            await self._bind_remote(user_id, id_server, sid, client_secret, id_access_token)
        except (RemoteError, RemoteRefused, LimitExceeded) as error:
            _log.warning("bind_failed", id_server=id_server, cause=str(error))

    def publish(self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str) -> None:
        """Publish a proven address at our own identity server, in the transaction of its proof's use."""
        if self._associations is not None:
            self._associations.publish(tx, medium, canonical, user_id)
            self._remember(tx, user_id, medium, canonical, id_server, here=True)

    # -- withdrawing

    async def unbind(self, user_id: str, medium: str, address: str, id_server: str | None) -> bool:
        """Withdraw an address from `id_server` (None: wherever it was published); the contact stays.

        True if it is known to be withdrawn. Nobody else's associations can be touched, and what is not known changes nothing.
        Raises LimitExceeded; then nothing is withdrawn.
        """
        try:
            canonical = parse_address(medium, address).canonical
        except InvalidAddress:
            return False

        def step(tx: Tx) -> Plan:
            plan = self.withdraw(tx, user_id, medium, canonical, id_server, asking=Asking.ONCE)
            if plan.orders or plan.besides:
                limits.take_outbound(tx, self._context, account=user_id)
            return plan

        return await self.carry_out(await self._context.database.write(step))

    def withdraw(
        self,
        tx: Tx,
        user_id: str,
        medium: str,
        canonical: str,
        id_server: str | None,
        *,
        asking: Asking = Asking.UNTIL_DONE,
    ) -> Plan:
        """Withdraw an address from our own identity server, and order the rest, in the transaction of the reason.

        `asking` is for a server at which we did not publish it: people can name any.
        """
        remembered = threepids.bindings(tx, user_id, medium, canonical)
        here = {binding.id_server for binding in remembered if self._is_here(binding)}
        elsewhere = {binding.id_server for binding in remembered} - here
        named = None if id_server is None else id_server.lower()
        is_ours = named is None or named in here or self.is_ours(named)
        withdrawn = False
        if self._associations is not None and (is_ours or named not in elsewhere):
            withdrawn = self._associations.withdraw(tx, medium, canonical, user_id)
            if is_ours or withdrawn:
                forgotten = [self._forget(tx, user_id, medium, canonical, name) for name in sorted(here)]
                withdrawn = withdrawn or any(forgotten)
        if named is None:
            wanted = elsewhere
        elif is_ours or (asking is Asking.NEVER and named not in elsewhere and not withdrawn):
            wanted = set()
        else:
            wanted = {named}
        allowed = [(medium, canonical, name) for name in sorted(wanted) if self._is_allowed(name)]
        orders = tuple(
            self._order(tx, user_id, *one, keep=one[2] in elsewhere or asking is not Asking.ONCE) for one in allowed
        )
        if withdrawn and not is_ours:
            # The name means us, who may have had it once. In case it means somebody else as well, they are asked too.
            return Plan(known=True, besides=orders)
        return Plan(len(orders) == len(wanted) and (withdrawn or bool(orders)), orders)

    def withdraw_all(self, tx: Tx, user_id: str, id_server: str | None) -> Plan:
        """Withdraw everything of an account that ends; to be called while its contacts are still there.

        What we published is withdrawn wherever that was; `id_server` is asked for all contacts besides.
        """
        remembered = threepids.bindings_of_user(tx, user_id)
        here = {(known.medium, known.canonical, known.id_server) for known in remembered if self._is_here(known)}
        elsewhere = {(known.medium, known.canonical, known.id_server) for known in remembered} - here
        published = set() if self._associations is None else self._associations.withdraw_all(tx, user_id)
        besides: set[tuple[str, str, str]] = set()
        if id_server is not None and not self.is_ours(id_server) and id_server.lower() not in {one[2] for one in here}:
            addresses = {(one.medium, one.canonical) for one in threepids.of_user(tx, user_id)}
            addresses |= {(known.medium, known.canonical) for known in remembered}
            besides = {(medium, canonical, id_server.lower()) for medium, canonical in addresses} - here - elsewhere
        # Where we do not know under which name it was published here, it may have been this one.
        doubtful = {one for one in besides if one[:2] in published - {known[:2] for known in here}}
        others = elsewhere | (besides - doubtful)
        orders = tuple(self._order(tx, user_id, *one) for one in sorted(others) if self._is_allowed(one[2]))
        to_be_sure = tuple(self._order(tx, user_id, *one) for one in sorted(doubtful) if self._is_allowed(one[2]))
        threepids.delete_bindings_of_user(tx, user_id)
        return Plan(len(orders) == len(others), orders, to_be_sure)

    async def carry_out(self, plan: Plan) -> bool:
        """Ask other identity servers what was ordered; True if everything is known to be withdrawn.

        Takes no longer than PATIENCE_SECONDS: what is not done by then is in the outbox.
        """
        if not plan.orders and not plan.besides:
            return plan.known
        tries = [asyncio.create_task(self._try(order)) for order in (*plan.orders, *plan.besides)]
        done, late = await asyncio.wait(tries, timeout=PATIENCE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        counted = tries[: len(plan.orders)]
        return plan.known and all(task in done and task.result() for task in counted)

    async def repeat(self, order: Order) -> None:
        """Ask what an order in the outbox says. Raises RemoteRefused if it will never be done, RemoteError if perhaps later."""
        withdrawal = msgspec.json.decode(order.params, type=Withdrawal)
        if await self._context.database.read(lambda tx: _is_moot(tx, order, withdrawal)):
            return
        await self._ask(order, withdrawal)
        await self._context.database.write(lambda tx: _forget_until(tx, order, withdrawal))

    async def _try(self, order: Order) -> bool:
        withdrawal = msgspec.json.decode(order.params, type=Withdrawal)
        now = self._context.clock.now()
        refusal = None
        try:
            await self._ask(order, withdrawal)
        except RemoteRefused as error:
            refusal = str(error)
        except RemoteError as error:
            _log.warning("unbind_delayed", id_server=order.recipient, cause=error.cause)
            return False

        def note(tx: Tx) -> None:
            if refusal is None:
                outbox.sent(tx, order.id, now)
                _forget_until(tx, order, withdrawal)
            else:
                outbox.failed(tx, order, now=now, last_error=refusal)

        try:
            await self._context.database.write(note)
        except StorageError as error:  # then the worker asks once more, which does no harm
            _log.warning("unbind_not_noted", cause=type(error).__name__, order=order.id)
        if refusal is not None:
            _log.info("unbind_refused", id_server=order.recipient, cause=refusal)
        return refusal is None

    async def _ask(self, order: Order, withdrawal: Withdrawal) -> None:
        await self._identity.unbind(
            order.recipient,
            self._signer,
            mxid=withdrawal.mxid,
            medium=withdrawal.medium,
            address=withdrawal.address,
        )

    def _order(self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str, *, keep: bool = True) -> Order:
        """An order to ask `id_server`; with `keep` it is in the outbox, once only."""
        now = self._context.clock.now()
        withdrawal = Withdrawal(user_id, medium, canonical)
        params = msgspec.json.encode(withdrawal).decode("utf-8")
        waiting = outbox.waiting_withdrawal(tx, id_server, seal(self._context, withdrawal))
        if waiting is not None and not _is_moot(tx, waiting, withdrawal):
            return msgspec.structs.replace(waiting, params=params)
        expires_at = now + _LIFE
        order_id = ""
        if keep:
            order_id = post(
                tx,
                self._context,
                withdrawal,
                channel=CHANNEL,
                recipient=id_server,
                template=CHANNEL,
                urgency=Urgency.CALL,
                caller=user_id,
                now=now,
                expires_at=expires_at,
                due_at=now + _REPEAT_AFTER,
            )
        return Order(
            id=order_id or self._context.entropy.id(now),
            channel=CHANNEL,
            recipient=id_server,
            language="",
            template=CHANNEL,
            params=params,
            created_at=now,
            expires_at=expires_at,
            attempts=0,
        )

    # -- what is remembered

    async def _bind_remote(
        self, user_id: str, id_server: str, sid: str, client_secret: str, id_access_token: str | None
    ) -> None:
        await self._context.database.write(lambda tx: limits.take_outbound(tx, self._context, account=user_id))
        bound = await self._identity.bind(id_server, sid, client_secret, user_id, id_access_token)
        try:
            canonical = parse_address(bound.medium, bound.address).canonical
        except InvalidAddress:
            raise RemoteError("an association of no address in the answer") from None

        def step(tx: Tx) -> None:
            if accounts.lock(tx, user_id):
                self._remember(tx, user_id, bound.medium, canonical, id_server, here=False)
            else:  # the account has ended in the meantime: nothing of it may stay
                self._order(tx, user_id, bound.medium, canonical, id_server.lower())

        await self._context.database.write(step)

    def _remember(self, tx: Tx, user_id: str, medium: str, canonical: str, id_server: str, *, here: bool) -> None:
        threepids.insert_binding(
            tx,
            user_id=user_id,
            medium=medium,
            canonical=canonical,
            id_server=id_server.lower(),
            bound_at=self._context.clock.now(),
            here=here,
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
        """Was it published at our own identity server, whatever that was called then?"""
        return self._associations is not None and (binding.here_at is not None or self.is_ours(binding.id_server))

    def _check_room(self, tx: Tx, user_id: str) -> None:
        most = self._context.config.policy.contacts_per_account * _SERVERS_PER_CONTACT
        if threepids.count_bindings(tx, user_id) >= most:
            raise Forbidden("This account has published as much as it may.")

    def _is_allowed(self, id_server: str) -> bool:
        return matches(id_server, self._settings.identity_servers_allowed)


def _is_moot(tx: Tx, order: Order, withdrawal: Withdrawal) -> bool:
    """Was the address published at that server once more after it was to be withdrawn?"""
    known = threepids.bindings(tx, withdrawal.mxid, withdrawal.medium, withdrawal.address)
    return any(binding.id_server == order.recipient and binding.bound_at > order.created_at for binding in known)


def _forget_until(tx: Tx, order: Order, withdrawal: Withdrawal) -> None:
    threepids.delete_binding(
        tx,
        user_id=withdrawal.mxid,
        medium=withdrawal.medium,
        canonical=withdrawal.address,
        id_server=order.recipient,
        bound_until=order.created_at,
    )


def _passed_on(refusal: Refusal) -> MatrixError:
    """What the caller is told of another server's refusal: its own words, but nothing that speaks of our tokens."""
    cause = str(refusal)
    if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
        return LimitExceeded(min(refusal.retry_after_ms or _WAIT, DAY), refusal.message, cause=cause)
    is_error = HTTPStatus.BAD_REQUEST <= refusal.status < HTTPStatus.INTERNAL_SERVER_ERROR
    status = refusal.status if is_error else HTTPStatus.BAD_REQUEST
    if status == HTTPStatus.UNAUTHORIZED:
        status = HTTPStatus.FORBIDDEN
    errcode = Unauthorized.errcode if refusal.errcode in _OF_OUR_OWN else refusal.errcode
    return PassedOn(errcode, refusal.message, status=status, cause=cause)
