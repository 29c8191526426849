"""Validation sessions: people prove an address by a link or a code that the server sends to it.

https://spec.matrix.org/latest/identity-service-api/#establishing-associations
A session has one purpose and at most one owner, the account that opened it. One consumer of that purpose uses it up.
"""

from collections.abc import Callable, Iterable
from enum import Enum

from threepid.clock import DAY
from threepid.domain import languages as speaking
from threepid.domain import messages, outbox, policy
from threepid.domain.addresses import Address, Phone
from threepid.domain.context import Context
from threepid.domain.limits import charge_for_refusal, count_confirmed, take_message
from threepid.domain.origin import Origin
from threepid.domain.outbox import Recipient
from threepid.domain.secrets.vault import same
from threepid.domain.suppressions import lift
from threepid.domain.validation.lifetimes import (
    ADDRESS_ATTEMPTS,
    ATTEMPTS,
    CODE_LIFE,
    LINK_LIFE,
    SESSION_LIFE,
    life_after,
    lives,
)
from threepid.domain.validation.links import Links
from threepid.domain.validation.proofs import Asked, is_taken, message_for, recipient_of
from threepid.domain.validation.purposes import OF_PAGES, Consumer, Purpose
from threepid.i18n import Text
from threepid.spec.errors import (
    LimitExceeded,
    MatrixError,
    NoValidSession,
    SessionExpired,
    SessionNotValidated,
    ThreepidInUse,
    ThreepidNotFound,
    TokenIncorrect,
)
from threepid.storage import threepids, validations
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Holder
from threepid.storage.validations import Session, Tokens

__all__ = ["Session", "Validation", "Verdict"]


class Verdict(Enum):
    """The result of checking a token. If the value is an error type, the caller gets that error."""

    RIGHT = None
    UNKNOWN = NoValidSession
    EXPIRED = SessionExpired
    WRONG = TokenIncorrect
    OLD = "old"
    DEAD = "dead"


class Validation:
    """Opens sessions, sends their messages and checks their tokens."""

    def __init__(self, context: Context, wake_delivery: Callable[[], None]) -> None:
        """`wake_delivery` tells the delivery that a message waits in the outbox."""
        self._context = context
        self._wake_delivery = wake_delivery
        self.links = Links(context)
        """The links of the messages."""

    async def request_token(
        self,
        purpose: Purpose,
        address: Address,
        *,
        owner: str = "",
        client: str = "",
        client_secret: str,
        send_attempt: int,
        next_link: str | None = None,
        origin: Origin | None = None,
        closes: bool = False,
        languages: Iterable[str] = (),
        note: Callable[[Tx], None] | None = None,
    ) -> str:
        """Open a session for `address` or find the open one, and send a message if `send_attempt` is new. Returns the sid.

        The message tells the address's owner whether an account has it. The caller learns this only if `hide_existence` is off,
        by ThreepidInUse (for `register`, and for `add` if another account has it) or ThreepidNotFound (for `reset`). Raises
        ThreepidDenied, ThreepidMediumNotSupported, SessionExpired after too many wrong codes, and LimitExceeded after too many
        messages to the address or by the caller at the IP address `client`. The message shows `origin`. With `closes`, the
        message of a `reset` says that its code can close the account.

        The message is in the language of the account that has the address, or of `owner`; else in the one that fits `languages`.
        `note` writes down who caused it, in the same transaction; it may also raise, and rely on locks.
        """
        context = self._context
        if purpose is Purpose.ADD:
            policy.check_changes(context.config)
        policy.check_address(context.config, address, new_account=purpose is Purpose.REGISTER)
        secret_hash = context.vault.hash_client_secret(client_secret)
        key = validations.Key(purpose, owner, address.medium, address.canonical, secret_hash)
        now = context.clock.now()
        sid = context.entropy.id(now)
        code = context.entropy.digits(6)
        link = context.entropy.token(count=24)
        of_new = self._tokens(sid, now + SESSION_LIFE, link, code, now)
        origin = origin or Origin()
        asked_from = origin.to_text()
        has_link = not isinstance(address, Phone) and purpose is not Purpose.CONFIRM

        def step(tx: Tx) -> str:
            if note is not None:
                note(tx)
            holder, chosen = threepids.holder_and_language(tx, address.medium, address.canonical, owner)
            self._refuse_to_tell_nothing(purpose, holder, owner)
            session, is_new = validations.open_session(
                tx,
                key,
                sid=sid,
                address=address.address,
                send_attempt=send_attempt,
                next_link=next_link,
                tokens=of_new,
                origin=asked_from,
                now=now,
                expires_at=now + SESSION_LIFE,
            )
            if session.wrong_attempts >= ATTEMPTS:
                raise SessionExpired(Text("Too many wrong codes were entered. Please start a new validation session."))
            if is_new:
                tokens = of_new
            elif session.validated_at is None and validations.raise_send_attempt(tx, session.sid, send_attempt):
                tokens = self._tokens(session.sid, session.expires_at, link, code, now)
                validations.insert_tokens(tx, session.sid, send_attempt, tokens, origin=asked_from)
            else:
                return session.sid
            language = speaking.chosen_or_fitting(context.config, chosen, languages)
            asked = Asked(purpose, session, holder, owner, link, code, origin, closes)
            job = messages.to_person(
                message_for(context, asked),
                Recipient(recipient_of(asked), language),
                channel=address.channel,
                expires_at=tokens.link_expires_at if has_link else tokens.code_expires_at,
                caller=client,
            )
            outbox.put(tx, context, job, now=now)
            # Last: on PostgreSQL, what was inserted before goes out with this statement.
            take_message(tx, context, address, client=client, user_id=owner, account=holder.user_id if holder else None)
            return session.sid

        # Every message counts against one limit.
        try:
            found = await context.database.write_together(step, alone=note is not None)
        except LimitExceeded as error:
            raise await charge_for_refusal(context, error, client=client) from None
        self._wake_delivery()
        return found

    async def submit_token(
        self, sid: str, client_secret: str, token: str, *, caller: str | None = "", purpose: Purpose | None = None
    ) -> Session:
        """Validate the session by a link token or a code. Submitting a correct token again is no error.

        `caller` is the account that submits the token, '' for none, None to check the owner only when the session is used.
        With `purpose`, sessions for another purpose count as unknown; without, those of our own pages do. Raises NoValidSession,
        SessionExpired or TokenIncorrect.
        """
        secret_hash = self._context.vault.hash_client_secret(client_secret)

        def step(tx: Tx) -> tuple[Verdict, Session | None]:
            session = validations.by_sid(tx, sid)
            if (
                session is None
                or not same(session.secret_hash, secret_hash)
                or (caller is not None and session.owner not in ("", caller))
                or (session.purpose in OF_PAGES if purpose is None else session.purpose != purpose)
            ):
                return Verdict.UNKNOWN, None
            return self._judge(tx, session, token), session

        # An exception would roll the transaction back, and with it the count of wrong codes. So the step returns the verdict.
        verdict, session = await self._context.database.write(step)
        if session is None or verdict is not Verdict.RIGHT:
            raise _refusal(verdict)
        return session

    async def validated(self, sid: str, client_secret: str) -> Session:
        """The validated session. Raises NoValidSession, SessionExpired or SessionNotValidated.

        Those of our own pages count as unknown.
        """
        session = await self._context.database.read(lambda tx: validations.by_sid(tx, sid))
        if session is not None and session.purpose in OF_PAGES:
            raise NoValidSession
        return self._checked(session, client_secret)

    async def opened(self, purpose: Purpose, sid: str, client_secret: str) -> Session | None:
        """The session as the page of ours that opened it shows it; None if it is over, or was used up."""
        session = await self._context.database.read(lambda tx: validations.by_sid(tx, sid))
        if (
            session is None
            or session.purpose != purpose
            or session.consumed_at is not None
            or not same(session.secret_hash, self._context.vault.hash_client_secret(client_secret))
            or validations.is_over(session, self._context.clock.now())
        ):
            return None
        return session

    def find(self, tx: Tx, sid: str) -> Session | None:
        """The session with this sid, not yet checked; None if this server has none."""
        return validations.by_sid(tx, sid)

    def check(self, tx: Tx, sid: str, client_secret: str, consumer: Consumer, caller: str) -> Session:
        """The validated session, if `consumer` may use it up for `caller`.

        Raises NoValidSession (for an unknown sid and for a wrong secret, purpose or owner alike), SessionExpired and
        SessionNotValidated. A session that was used up is returned, with its `consumed_at`.
        """
        return self.check_found(validations.by_sid(tx, sid), client_secret, consumer, caller)

    def check_found(self, session: Session | None, client_secret: str, consumer: Consumer, caller: str) -> Session:
        """As `check`, for what `find` returned."""
        if session is not None and (not consumer.takes(session) or session.owner not in ("", caller)):
            session = None
        return self._checked(session, client_secret)

    def consume(self, tx: Tx, session: Session) -> bool:
        """Use a checked session up; False if it was used up before, perhaps by a concurrent request."""
        return session.consumed_at is None and validations.consume(tx, session.sid, self._context.clock.now())

    def _checked(self, session: Session | None, client_secret: str) -> Session:
        if session is None or not same(session.secret_hash, self._context.vault.hash_client_secret(client_secret)):
            raise NoValidSession
        if validations.is_over(session, self._context.clock.now()):
            raise SessionExpired
        if session.validated_at is None and session.consumed_at is not None:
            raise NoValidSession(cause="closed")
        if session.validated_at is None:
            raise SessionNotValidated
        return session

    def _judge(self, tx: Tx, session: Session, token: str) -> Verdict:
        now = self._context.clock.now()
        if validations.is_over(session, now):
            return Verdict.EXPIRED
        if session.validated_at is None:
            if not validations.spend_attempt(tx, session.sid, ATTEMPTS):
                again = validations.by_sid(tx, session.sid)
                if again is None or again.validated_at is None:
                    return Verdict.DEAD
                return self._compare(tx, again, token, now)  # another request validated it in the meantime
            verdict = self._compare(tx, session, token, now)
            if verdict is Verdict.RIGHT:
                validations.validate(tx, session.sid, now=now, expires_at=life_after(session, now))
                lift(tx, session.medium, session.canonical)
                if session.medium == Phone.medium:
                    count_confirmed(tx, self._context, session.canonical)
            return verdict
        return self._compare(tx, session, token, now)

    def _compare(self, tx: Tx, session: Session, token: str, now: int) -> Verdict:
        link_hash = self._context.vault.hash_token(token)
        code_hash = self._context.vault.hash_code(session.sid, token)
        codes_taken = (
            session.validated_at is not None
            or validations.wrong_attempts_at(tx, session.medium, session.canonical, now - DAY, now) <= ADDRESS_ATTEMPTS
        )
        verdict = Verdict.WRONG
        for known in validations.tokens_of(tx, session.sid):
            by_link = same(known.link_hash, link_hash)
            by_code = same(known.code_hash, code_hash) and codes_taken
            if (by_link and lives(known.link_expires_at, LINK_LIFE, now)) or (
                by_code and lives(known.code_expires_at, CODE_LIFE, now)
            ):
                return Verdict.RIGHT
            if by_link or by_code:
                verdict = Verdict.RIGHT if session.validated_at is not None else Verdict.OLD
        return verdict

    def _refuse_to_tell_nothing(self, purpose: Purpose, holder: Holder | None, owner: str) -> None:
        accounts = self._context.config.accounts
        if accounts is None or accounts.hide_existence:
            return
        if is_taken(purpose, holder, owner):
            raise ThreepidInUse
        if purpose is Purpose.RESET and holder is None:
            raise ThreepidNotFound

    def _tokens(self, sid: str, expires_at: int, link: str, code: str, now: int) -> Tokens:
        """The hashes of a message's link and code. They live no longer than the session, which ends at `expires_at`."""
        vault = self._context.vault
        return Tokens(
            link_hash=vault.hash_token(link),
            link_expires_at=min(now + LINK_LIFE, expires_at),
            code_hash=vault.hash_code(sid, code),
            code_expires_at=min(now + CODE_LIFE, expires_at),
        )


def _refusal(verdict: Verdict) -> MatrixError:
    if verdict is Verdict.OLD:
        return SessionExpired(Text("This code has expired. Please ask for a new one."))
    if verdict is Verdict.DEAD:
        return SessionExpired(Text("Too many wrong codes were entered. Please start again."))
    error: type[MatrixError] = verdict.value
    return error()
