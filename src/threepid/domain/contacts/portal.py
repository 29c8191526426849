"""Contacts of an account that is signed in to in a browser: each with its state, added by a code or a link, bound and unbound.

No secret is in an address of a page: the client secret of a validation session follows from the browser session, the contact's
address and a nonce.
"""

from msgspec import Struct

from threepid.domain.addresses import Address, Email
from threepid.domain.authentication.grants import Grant
from threepid.domain.contacts.bindings import Bindings
from threepid.domain.contacts.threepids import Threepids
from threepid.domain.context import Context
from threepid.domain.identity.associations import Associations
from threepid.domain.identity.terms import Terms
from threepid.domain.origin import Origin
from threepid.domain.suppressions import Suppression, find
from threepid.domain.validation.lifetimes import ATTEMPTS
from threepid.domain.validation.purposes import Purpose
from threepid.domain.validation.sessions import Validation
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, NotFound, TermsNotSigned
from threepid.spec.threepid_creds import ThreepidCreds
from threepid.storage import threepids, validations
from threepid.storage.engine.database import Tx
from threepid.storage.threepids import Threepid
from threepid.storage.validations import Session


class Contact(Struct, frozen=True):
    """A contact as its owner sees it. Times in milliseconds."""

    id: str
    """A name for links to the contact that does not contain its address."""
    medium: str
    address: str
    canonical: str
    validated_at: int
    is_bound: bool
    """Is it bound at our own identity server, so that people who know the address find the account?"""
    suppression: Suppression | None = None
    """Why it gets no notices, if it does not."""


class Ref(Struct, frozen=True):
    """Names a validation session in the address of a page. It opens nothing: only the browser that began it knows its secret."""

    sid: str
    nonce: str


class Pending(Struct, frozen=True):
    """An address that waits for its proof."""

    sid: str
    medium: str
    address: str
    send_attempt: int
    """The number of the latest message."""
    is_validated: bool
    is_over: bool
    """Is a new message needed, because of the session's age or too many wrong codes?"""


class Browser(Struct, frozen=True):
    """The browser in which the owner of the account acts: its session and the permission that this session gives."""

    user_id: str
    session_id: str
    grant: Grant
    client: str
    languages: tuple[str, ...] = ()
    """The languages that the person has chosen or the browser accepts, best first."""

    @property
    def origin(self) -> Origin:
        """The origin of the request."""
        return self.grant.origin


class PortalContacts:
    """What a browser does with the contacts of its account."""

    def __init__(
        self,
        context: Context,
        validation: Validation,
        contacts: Threepids,
        bindings: Bindings,
        associations: Associations | None,
        terms: Terms | None,
    ) -> None:
        """`associations` and `terms` are our own identity server's, if there is one: contacts can be bound there."""
        self._context = context
        self._validation = validation
        self._contacts = contacts
        self._bindings = bindings
        self._associations = associations
        self._terms = terms

    async def list_of(self, user_id: str) -> list[Contact]:
        """The contacts of the account, oldest first."""

        def step(tx: Tx) -> list[Contact]:
            return [self._shown(tx, user_id, contact) for contact in threepids.of_user(tx, user_id)]

        return await self._context.database.read(step)

    async def get(self, user_id: str, contact_id: str) -> Contact:
        """The contact of the account with this ID. Raises NotFound."""
        found = next((one for one in await self.list_of(user_id) if one.id == contact_id), None)
        if found is None:
            raise NotFound(Text("Your account has no such contact any more."))
        return found

    async def request(self, browser: Browser, address: Address, nonce: str, attempt: int) -> Ref:
        """Send a code to an address that shall become a contact, if `attempt` is new in the session of `nonce`.

        Raises as `request_token` does, and InvalidParam if the account has the address already.
        """
        owner = await self._context.database.read(lambda tx: threepids.owner(tx, address.medium, address.canonical))
        if owner == browser.user_id:
            raise InvalidParam(Text("Your account has this contact already."))
        sid = await self._validation.request_token(
            Purpose.ADD,
            address,
            owner=browser.user_id,
            client=browser.client,
            client_secret=self._secret(browser, address.medium, address.canonical, nonce),
            send_attempt=attempt,
            origin=browser.origin,
            languages=browser.languages,
        )
        return Ref(sid, nonce)

    async def pending(self, browser: Browser, ref: Ref) -> Pending:
        """The state of an address that this browser wants to add. Raises NotFound if this browser does not."""
        session = await self._session(browser, ref)
        now = self._context.clock.now()
        return Pending(
            session.sid,
            session.medium,
            session.address,
            session.send_attempt,
            session.validated_at is not None,
            validations.is_over(session, now) or (session.validated_at is None and session.wrong_attempts >= ATTEMPTS),
        )

    async def enter_code(self, browser: Browser, ref: Ref, code: str) -> Threepid:
        """Validate an address by its code, and add it. Raises as `submit_token` does, and as `finish`."""
        session = await self._session(browser, ref)
        secret = self._secret(browser, session.medium, session.canonical, ref.nonce)
        await self._validation.submit_token(ref.sid, secret, code, caller=browser.user_id, purpose=Purpose.ADD)
        return await self.finish(browser, ref)

    async def finish(self, browser: Browser, ref: Ref) -> Threepid:
        """Add an address that is validated. Raises ThreepidAuthFailed, ThreepidInUse and Forbidden."""
        session = await self._session(browser, ref)
        creds = ThreepidCreds(ref.sid, self._secret(browser, session.medium, session.canonical, ref.nonce))
        return await self._contacts.add_granted(browser.user_id, creds, browser.grant)

    async def remove(self, browser: Browser, contact: Contact) -> None:
        """Remove a contact, and unbind its address. Raises Forbidden and LimitExceeded."""
        await self._contacts.remove(
            browser.user_id, contact.medium, contact.canonical, None, origin=browser.origin, grant=browser.grant
        )

    async def bind(self, browser: Browser, contact: Contact, *, accepts_terms: bool) -> None:
        """Bind a contact at our own identity server. With `accepts_terms`, the person accepts its terms by this.

        Raises TermsNotSigned if the terms were not accepted, NotFound if it is no contact any more, and Forbidden.
        """
        user_id = browser.user_id

        def step(tx: Tx) -> None:
            if self._terms is not None and not self._terms.are_accepted_in(tx, user_id):
                if not accepts_terms:
                    raise TermsNotSigned
                self._terms.accept_in(tx, user_id, self._terms.urls())
            self._bindings.bind_contact(tx, user_id, contact.medium, contact.canonical, browser.grant)

        await self._context.database.write(step)

    async def unbind(self, browser: Browser, contact: Contact) -> None:
        """Unbind a contact wherever it is bound. It stays a contact. Raises LimitExceeded and Forbidden."""
        await self._bindings.unbind(
            browser.user_id, contact.medium, contact.canonical, None, origin=browser.origin, grant=browser.grant
        )

    def _shown(self, tx: Tx, user_id: str, contact: Threepid) -> Contact:
        medium, canonical = contact.medium, contact.canonical
        # An address may stand in no URL, so a link has this in its place.
        name = self._context.vault.form_token(f"contact {user_id} {medium} {canonical}")[:24]
        bound = self._associations is not None and self._associations.is_bound(tx, medium, canonical, user_id)
        suppression = find(tx, self._context, canonical) if medium == Email.medium else None
        return Contact(name, medium, contact.address, canonical, contact.validated_at, bound, suppression)

    async def _session(self, browser: Browser, ref: Ref) -> Session:
        session = await self._context.database.read(lambda tx: validations.by_sid(tx, ref.sid))
        if session is None or session.owner != browser.user_id or session.purpose != Purpose.ADD:
            raise NotFound(Text("This took too long. Please start again."))
        return session

    def _secret(self, browser: Browser, medium: str, canonical: str, nonce: str) -> str:
        return self._context.vault.form_token(f"client secret {browser.session_id} {medium} {canonical} {nonce}")
