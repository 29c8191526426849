"""Password changes, authenticated by the old password or by a contact of the account, or made by an operator.

https://spec.matrix.org/latest/client-server-api/#post_matrixclientv3accountpassword
"""

from collections.abc import Callable, Iterable

from msgspec import Struct

from threepid.domain import audit
from threepid.domain.accounts.accounts import require_active
from threepid.domain.accounts.notices import Notices
from threepid.domain.accounts.provisioning import Provisioning
from threepid.domain.addresses import Address
from threepid.domain.authentication import flows
from threepid.domain.authentication.authentication import Authentication
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import WebSession, WebSessions
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.lifecycle.owner import authenticate_owner
from threepid.domain.origin import Origin, of_caller
from threepid.domain.secrets.passwords import Passwords
from threepid.domain.validation.purposes import Consumer, Purpose
from threepid.domain.validation.resets import close_resets, refuse_stale
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, NoValidSession
from threepid.storage import accounts, devices, threepids, uia, web_sessions
from threepid.storage.engine.database import Tx
from threepid.storage.validations import Session


class ResetCode(Struct, frozen=True):
    """The session of a browser in which the right code was typed."""

    sid: str
    client_secret: str

    def __repr__(self) -> str:
        """Leave out the secret, because it must not get into a log."""
        return f"{type(self).__name__}()"


class ResetLink(Struct, frozen=True):
    """A mailed link that a browser has opened."""

    link: str

    def __repr__(self) -> str:
        """Leave out the link, because it must not get into a log."""
        return f"{type(self).__name__}()"


class Reset(Struct, frozen=True):
    """A password to choose: the account, and the origin of the request for a link."""

    user_id: str
    origin: Origin


class Recovery:
    """Sets new passwords."""

    def __init__(
        self,
        context: Context,
        passwords: Passwords,
        notices: Notices,
        validation: Validation,
        sessions: WebSessions,
        associations: Associations | None,
        provisioning: Provisioning,
    ) -> None:
        """`sessions` signs browsers in, `provisioning` tells a homeserver beside us of devices.

        `associations` is our own identity server, if there is one: the account's tokens there are revoked too.
        """
        self._context = context
        self._passwords = passwords
        self._validation = validation
        self._sessions = sessions
        self._notices = notices
        self._associations = associations
        self._provisioning = provisioning

    async def change_password(self, password: str, authentication: Authentication, *, log_out_devices: bool) -> None:
        """Set a new password for the caller, as `_set` does. Raises WeakPassword, InvalidParam and Forbidden."""
        self._passwords.check(password, username=authentication.user_id or "")
        user_id, grant = await authenticate_owner(self._context, authentication)
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> None:
            # The account before the validation session, as in all transactions, so that they do not deadlock.
            require_active(tx, user_id)
            grant.consume(tx)
            but = authentication.device_id
            self._set(tx, user_id, password_hash, grant.origin, log_out_devices=log_out_devices, but_device=but)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()

    async def change_in_browser(
        self, session: WebSession, password: str, grant: Grant, *, log_out_devices: bool
    ) -> None:
        """Set the account's new or first password in a browser that stays signed in, as `_set` does.

        Raises WeakPassword, InvalidParam, LimitExceeded under overload, and Forbidden if the session has ended or must be
        confirmed again.
        """
        user_id = session.user_id
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> None:
            grant.consume(tx)
            require_active(tx, user_id)
            but = session.session_id
            self._set(tx, user_id, password_hash, grant.origin, log_out_devices=log_out_devices, but_session=but)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()

    async def set_for(self, user_id: str, password: str, grant: Grant, *, log_out_devices: bool) -> None:
        """Set the account's password for an operator, as `_set` does. Uses `grant` up.

        Raises WeakPassword, InvalidParam, LimitExceeded under overload, and Forbidden if the account is deactivated.
        """
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> None:
            require_active(tx, user_id, by=grant.by)
            grant.consume(tx)
            self._set(tx, user_id, password_hash, grant.origin, log_out_devices=log_out_devices, by=grant.by)

        await self._context.database.write_aside(step)
        self._provisioning.hurry()

    @property
    def media(self) -> tuple[str, ...]:
        """The media whose contacts can recover an account of somebody who is not signed in."""
        return flows.recovery_media(self._context.config)

    async def begin(
        self,
        address: Address,
        *,
        client: str,
        client_secret: str,
        send_attempt: int,
        origin: Origin,
        languages: Iterable[str],
        note: Callable[[Tx], None] | None = None,
    ) -> str:
        """Send a code and a link by which the owner of `address` chooses a new password. Returns the sid.

        The caller does not learn whether an account has the address; the address's owner does. Raises Forbidden if the server
        does not recover accounts by this medium, and as `Validation.request_token`, which also explains `languages` and `note`.
        """
        if address.medium not in self.media:
            raise Forbidden(Text("This server does not allow account recovery."))
        return await self._validation.request_token(
            Purpose.WEB_RESET,
            address,
            client=client,
            client_secret=client_secret,
            send_attempt=send_attempt,
            origin=origin,
            languages=languages,
            note=note,
        )

    async def find(self, proof: ResetCode | ResetLink) -> Reset:
        """The account whose password the browser with `proof` may choose. Changes nothing.

        Raises NoValidSession, SessionExpired, SessionNotValidated, and Forbidden if no account has the address, or has it for too
        long without a new validation.
        """
        return (await self._context.database.read(lambda tx: self._find(tx, proof)))[0]

    async def choose(
        self, proof: ResetCode | ResetLink, password: str, *, log_out_devices: bool, client: str, user_agent: str
    ) -> str:
        """Set a new password, as `_set` does, use `proof` up, and sign this browser in, in one transaction.

        Only the browser with `proof` chooses: a link leaves the session of the page that sent it unvalidated. Returns the secret
        for the browser's cookie. Raises WeakPassword, InvalidParam, LimitExceeded under overload, and as `find`.
        """
        user_id = (await self.find(proof)).user_id
        password_hash = await self._passwords.hash(password, username=user_id, account=user_id)

        def step(tx: Tx) -> str:
            require_active(tx, user_id)
            reset, session, consume = self._find(tx, proof)
            if reset.user_id != user_id or not consume(tx, session):
                raise NoValidSession
            here = of_caller(self._context.clock.now(), client, user_agent)
            self._set(tx, user_id, password_hash, here, log_out_devices=log_out_devices)
            return self._sessions.open(tx, user_id, client=client, user_agent=user_agent)

        token = await self._context.database.write_aside(step)
        self._provisioning.hurry()
        return token

    def _find(self, tx: Tx, proof: ResetCode | ResetLink) -> tuple[Reset, Session, Callable[[Tx, Session], bool]]:
        """What `proof` resets, its session, and how to use that up."""
        validation, origin = self._validation, Origin()
        if isinstance(proof, ResetLink):
            view = validation.links.check(tx, proof.link, Consumer.RESET_PAGE)
            session, origin, consume = view.session, view.origin, validation.links.consume
        else:
            session = validation.check(tx, proof.sid, proof.client_secret, Consumer.RESET_PAGE, "")
            consume = validation.consume
        if session is None or session.consumed_at is not None:
            raise NoValidSession
        account = accounts.by_threepid(tx, session.medium, session.canonical)
        if account is None or account.deactivated_at is not None:
            raise Forbidden(Text("No account has this address."))
        refuse_stale(tx, self._context, session)
        return Reset(account.user_id, origin), session, consume

    def _set(
        self,
        tx: Tx,
        user_id: str,
        password_hash: str,
        origin: Origin,
        *,
        log_out_devices: bool,
        but_device: str | None = None,
        but_session: str = "",
        by: audit.Caller = audit.OWNER,
    ) -> None:
        """Set a password, and end what an old one may have opened.

        That is: all browser sessions but `but_session`, open resets and authentication sessions and, with `log_out_devices`, all
        devices but `but_device`. Notifies the account's contacts. The transaction must have locked the account.
        """
        accounts.set_password_hash(tx, user_id, password_hash)
        if log_out_devices:
            devices.delete_all(tx, user_id, but=but_device)
            self._provisioning.devices_changed(tx, user_id)
            if self._associations is not None:
                self._associations.forget(tx, user_id)
        web_sessions.delete_of_user(tx, user_id, but=but_session)
        now = self._context.clock.now()
        for threepid in threepids.of_user(tx, user_id):
            close_resets(tx, medium=threepid.medium, canonical=threepid.canonical, now=now)
        uia.delete_of_user(tx, user_id)
        self._notices.password_changed(tx, user_id)
        audit.note(tx, self._context, audit.Event.PASSWORD_CHANGED, user_id, origin, by=by)
