"""What a mailed link does: it shows its session on a page, and validates it when a person confirms that."""

from enum import Enum

from msgspec import Struct

from threepid.domain import origin as origins
from threepid.domain.context import Context
from threepid.domain.origin import Origin
from threepid.domain.secrets.vault import same
from threepid.domain.suppressions import lift
from threepid.domain.validation.lifetimes import ATTEMPTS, LINK_LIFE, life_after, lives
from threepid.domain.validation.purposes import OF_PAGES, RESETS, Consumer
from threepid.spec.errors import NoValidSession
from threepid.storage import threepids, validations
from threepid.storage.engine.database import Tx
from threepid.storage.validations import Session


class Confirmation(Enum):
    """What a mailed link can do now."""

    READY = "ready"
    DONE = "done"
    GONE = "gone"


class LinkView(Struct, frozen=True):
    """What the page behind a mailed link shows."""

    confirmation: Confirmation
    session: Session | None
    origin: Origin = Origin()
    """The origin of the request for the message."""
    account: str = ""
    """The user ID of the session's owner; for a new password, that of the account that has the address."""


class Links:
    """Shows and confirms mailed links."""

    def __init__(self, context: Context) -> None:
        """Links are found by the hash that `context.vault` makes of them."""
        self._context = context

    async def view(self, link: str) -> LinkView:
        """What the page behind a mailed link shows. Changes nothing."""
        link_hash = self._context.vault.hash_token(link)

        def step(tx: Tx) -> LinkView:
            return self._view(tx, link_hash)

        return await self._context.database.read(step)

    async def confirm(self, link: str) -> LinkView:
        """Validate the session of a mailed link when a person confirms it. A repeated confirmation gets the same answer.

        The link of a session that our own pages opened validates nothing: whoever opens it goes on there.
        """
        link_hash = self._context.vault.hash_token(link)
        now = self._context.clock.now()

        def step(tx: Tx) -> LinkView:
            view = self._view(tx, link_hash)
            session = view.session
            if view.confirmation is Confirmation.READY and session is not None and session.purpose not in OF_PAGES:
                expires_at = life_after(session, now)
                if validations.validate_by_link(tx, session.sid, now=now, expires_at=expires_at, attempts=ATTEMPTS):
                    lift(tx, session.medium, session.canonical)
                view = self._view(tx, link_hash)
            return view

        return await self._context.database.write(step)

    def check(self, tx: Tx, link: str, consumer: Consumer) -> LinkView:
        """The view of a mailed link that `consumer` may use up. Raises NoValidSession for any other."""
        view = self._view(tx, self._context.vault.hash_token(link))
        if view.confirmation is not Confirmation.READY or view.session is None or not consumer.takes(view.session):
            raise NoValidSession
        return view

    def consume(self, tx: Tx, session: Session) -> bool:
        """Use up a session whose link was checked, without validating it; False if that is too late."""
        lift(tx, session.medium, session.canonical)
        return validations.consume_by_link(tx, session.sid, now=self._context.clock.now(), attempts=ATTEMPTS)

    def _view(self, tx: Tx, link_hash: bytes) -> LinkView:
        now = self._context.clock.now()
        session = validations.by_link(tx, link_hash)
        if session is None or validations.is_over(session, now):
            return LinkView(Confirmation.GONE, None)
        if session.validated_at is not None and session.purpose not in OF_PAGES:
            return LinkView(Confirmation.DONE, session)
        alive = any(
            same(known.link_hash, link_hash) and lives(known.link_expires_at, LINK_LIFE, now)
            for known in validations.tokens_of(tx, session.sid)
        )
        if not alive or session.consumed_at is not None or session.wrong_attempts >= ATTEMPTS:
            return LinkView(Confirmation.GONE, None)
        account = session.owner
        if session.purpose in RESETS:
            account = threepids.owner(tx, session.medium, session.canonical) or ""
        return LinkView(
            Confirmation.READY, session, origins.from_text(validations.origin_of_link(tx, link_hash)), account
        )
