"""The proof, by a code to a contact, that whoever uses a browser is the owner of the account that is signed in there.

It serves accounts without a password, and people who have forgotten theirs. It permits as much as a new password does, so only
contacts that can recover the account do.
"""

from threepid.domain import addresses
from threepid.domain.authentication import flows
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.contacts.portal import Browser
from threepid.domain.context import Context
from threepid.domain.validation.purposes import Consumer, Purpose
from threepid.domain.validation.resets import is_stale, refuse_stale
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.spec.errors import Forbidden, NoValidSession
from threepid.storage import threepids
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid
from threepid.storage.validations import Session


class Confirming:
    """Sends codes to an account's contacts, and confirms browser sessions by them."""

    def __init__(self, context: Context, validation: Validation, sessions: WebSessions) -> None:
        """`validation` sends and checks the codes, `sessions` are those of browsers."""
        self._context = context
        self._validation = validation
        self._sessions = sessions

    async def contacts(self, user_id: str) -> list[Threepid]:
        """The contacts of the account that can get a code, oldest first."""
        media = flows.recovery_media(self._context.config)
        found = await self._context.database.read(lambda tx: threepids.of_user(tx, user_id))
        return [contact for contact in found if contact.medium in media]

    async def is_only_way(self, user_id: str, medium: str, canonical: str) -> bool:
        """Can this contact recover the account, and no other one of it?"""
        able = [one for one in await self.contacts(user_id) if not is_stale(self._context, one)]
        return [(one.medium, one.canonical) for one in able] == [(medium, canonical)]

    async def request(self, browser: Browser, medium: str, canonical: str, nonce: str) -> str:
        """Send a code to a contact of the account, and return the name of what was sent. The name is no secret.

        The session of `nonce` sends one code only.
        Raises Forbidden if the account cannot be recovered by it, and as `Validation.request_token`.
        """
        contacts = await self.contacts(browser.user_id)
        contact = next((one for one in contacts if (one.medium, one.canonical) == (medium, canonical)), None)
        if contact is None:
            raise Forbidden(Text("Your account has no such contact any more."))
        sid = await self._validation.request_token(
            Purpose.CONFIRM,
            addresses.parse_address(contact.medium, contact.address),
            owner=browser.user_id,
            client=browser.client,
            client_secret=self._secret(browser, nonce),
            send_attempt=1,
            origin=browser.origin,
            languages=browser.languages,
        )
        return f"{sid}.{nonce}"

    async def opened(self, browser: Browser, sent: str) -> Session | None:
        """The validation session of a code that this browser has asked for; None if it is over, or was used up."""
        sid, _, nonce = sent.partition(".")
        return await self._validation.opened(Purpose.CONFIRM, sid, self._secret(browser, nonce))

    async def confirm(self, browser: Browser, token: str, sent: str, code: str) -> str:
        """Confirm the browser session with the secret `token` by a code, and return its new secret.

        Raises NoValidSession, SessionExpired and TokenIncorrect, and Forbidden if the browser was signed out, or if the contact
        was removed or was validated too long ago.
        """
        sid, _, nonce = sent.partition(".")
        secret, user_id = self._secret(browser, nonce), browser.user_id
        await self._validation.submit_token(sid, secret, code, caller=user_id, purpose=Purpose.CONFIRM)

        def step(tx: Tx) -> str:
            new = self._sessions.confirm(tx, token, user_id)
            session = self._validation.check(tx, sid, secret, Consumer.CONFIRM_PAGE, user_id)
            if threepids.owner(tx, session.medium, session.canonical) != user_id:
                raise Forbidden(Text("Your account has no such contact any more."))
            refuse_stale(tx, self._context, session)
            if not self._validation.consume(tx, session):
                raise NoValidSession
            return new

        return await self._context.database.write(step)

    def _secret(self, browser: Browser, nonce: str) -> str:
        return self._context.vault.form_token(f"confirm secret {browser.session_id} {nonce}")
