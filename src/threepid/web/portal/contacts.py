"""The contacts of an account: add, verify, remove, and let people find the account by them."""

import contextlib
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import msgspec

from threepid.clock import MINUTE
from threepid.domain import policy
from threepid.domain.addresses import Address, Email, Phone
from threepid.domain.contacts.portal import Ref
from threepid.domain.validation.lifetimes import CODE_LIFE
from threepid.http.exchange import Answer
from threepid.i18n import Text, negotiation
from threepid.spec.errors import (
    Forbidden,
    InvalidParam,
    LimitExceeded,
    MatrixError,
    NotFound,
    NoValidSession,
    SessionExpired,
    TermsNotSigned,
    ThreepidAuthFailed,
)
from threepid.web import countries, once
from threepid.web.page import Access, Form, page
from threepid.web.render import json_answer
from threepid.web.typed import typed_address, typed_code
from threepid.web.visit import SignedIn

CONTACTS: Final = "/account/contacts"
_VERIFY: Final = "/account/contacts/verify"


class AddForm(Form, frozen=True):
    """The address of a new contact. A phone number may be typed as it is dialled in `country`. `key` is that of the form."""

    kept = ("medium", "address", "country")

    medium: str = Email.medium
    address: str = ""
    country: str = ""
    key: str = ""


class VerifyForm(Form, frozen=True):
    """What a person does to verify an address: type the code, ask for message `attempt`, or say that the link was opened."""

    kept = ("code",)

    action: str = "code"
    code: str = ""
    attempt: str = ""


class DiscoveryForm(Form, frozen=True):
    """Whether people may find the account by a contact, and whether the person accepts the terms."""

    action: str = ""
    accept: str = ""


@page("GET", CONTACTS)
async def show_contacts(visit: SignedIn) -> Answer:
    """List the contacts."""
    settings, media = visit.homeserver.settings, _media(visit)
    return visit.show(
        "portal/contacts.html",
        contacts=await visit.homeserver.portal_contacts.list_of(visit.user_id),
        media=media,
        sign_in_and_recover=set(media) & set(settings.login_with) & set(settings.recover_with),
        may_change=visit.config.policy.changes_allowed,
        has_identity_server=visit.services.identity is not None,
    )


@page("GET", "/account/contacts/add", access=Access.CONFIRMED)
async def show_add(visit: SignedIn) -> Answer:
    """Ask for the address of a new contact."""
    policy.check_changes(visit.config)
    form = AddForm(medium=visit.query.get("medium", Email.medium))
    kept = visit.kept(AddForm)
    return _ask_address(visit, kept if kept is not None and kept.medium == form.medium else form)


@page("POST", "/account/contacts/add", access=Access.CONFIRMED)
async def add(visit: SignedIn, form: AddForm) -> Answer:
    """Send a code to the address, and ask for the code."""
    try:
        address = typed_address(form.medium, form.address, form.country or None)
        ref = await _send(visit, address, once.read_key(form.key), 1)
    except MatrixError as error:
        return _ask_address(visit, form, error)
    return visit.redirect(_verify_path(ref))


@page("GET", _VERIFY, access=Access.CONFIRMED)
async def show_verify(visit: SignedIn) -> Answer:
    """Ask for the code, or say that the link in the mail does as well."""
    kept = visit.kept(VerifyForm)
    return await _ask_code(visit, code=kept.code if kept else "")


@page("POST", _VERIFY, access=Access.CONFIRMED)
async def verify(visit: SignedIn, form: VerifyForm) -> Answer:
    """Add the contact if its address is proved."""
    contacts, ref = visit.homeserver.portal_contacts, _ref(visit)
    try:
        if form.action == "again":
            pending = await contacts.pending(visit.browser, ref)
            address = typed_address(pending.medium, pending.address)
            attempt = once.read_attempt(form.attempt, pending.send_attempt + 1)
            ref = await _send(visit, address, ref.nonce, attempt)
            return visit.redirect(f"{_verify_path(ref)}&again=1")
        if form.action == "look":
            added = await contacts.finish(visit.browser, ref)
        else:
            added = await contacts.enter_code(visit.browser, ref, typed_code(form.code))
    except ThreepidAuthFailed as error:
        not_yet = Text("We have not seen that yet. Open the link in the mail and press the button on the page.")
        return await _ask_code(visit, ThreepidAuthFailed(not_yet) if form.action == "look" else error)
    except NoValidSession:
        return await _ask_code(visit, SessionExpired(Text("This took too long. Please start again.")))
    except NotFound:
        raise
    except MatrixError as error:
        return await _ask_code(visit, error)
    return visit.redirect(f"{CONTACTS}?added={'email' if added.medium == Email.medium else 'msisdn'}")


@page("GET", "/account/contacts/verified")
async def show_verified(visit: SignedIn) -> Answer:
    """Tell the script of the page before whether the link was opened: `{"verified": true}`."""
    pending = await visit.homeserver.portal_contacts.pending(visit.browser, _ref(visit))
    return json_answer({"verified": pending.is_validated})


@page("GET", "/account/contacts/remove", access=Access.CONFIRMED)
async def show_remove(visit: SignedIn) -> Answer:
    """Say what removing a contact means."""
    policy.check_changes(visit.config)
    contacts, settings = visit.homeserver.portal_contacts, visit.homeserver.settings
    contact = await contacts.get(visit.user_id, visit.query.get("contact", ""))
    is_last = len(await contacts.list_of(visit.user_id)) == 1
    return visit.show(
        "portal/contact_remove.html",
        contact=contact,
        signs_in=contact.medium in settings.login_with,
        recovers=is_last and contact.medium in settings.recover_with,
        is_only_way=await visit.homeserver.confirming.is_only_way(visit.user_id, contact.medium, contact.canonical),
    )


@page("POST", "/account/contacts/remove", access=Access.CONFIRMED)
async def remove(visit: SignedIn) -> Answer:
    """Remove a contact. Doing it again is not an error."""
    contacts = visit.homeserver.portal_contacts
    with contextlib.suppress(NotFound):
        await contacts.remove(visit.browser, await contacts.get(visit.user_id, visit.query.get("contact", "")))
    return visit.redirect(f"{CONTACTS}?removed=1")


@page("GET", "/account/contacts/discovery", access=Access.CONFIRMED)
async def show_discovery(visit: SignedIn) -> Answer:
    """Say what it means that people can find the account by a contact."""
    policy.check_changes(visit.config)
    return await _ask_discovery(visit)


@page("POST", "/account/contacts/discovery", access=Access.CONFIRMED)
async def set_discovery(visit: SignedIn, form: DiscoveryForm) -> Answer:
    """Bind the contact at our identity server, or unbind it."""
    contacts = visit.homeserver.portal_contacts
    contact = await contacts.get(visit.user_id, visit.query.get("contact", ""))
    try:
        if form.action == "off":
            await contacts.unbind(visit.browser, contact)
            return visit.redirect(f"{CONTACTS}?unbound=1")
        await contacts.bind(visit.browser, contact, accepts_terms=bool(form.accept))
    except TermsNotSigned:
        return await _ask_discovery(visit, InvalidParam(Text("Read and accept the terms first.")))
    except (Forbidden, LimitExceeded) as error:
        return await _ask_discovery(visit, error)
    return visit.redirect(f"{CONTACTS}?bound=1")


async def _send(visit: SignedIn, address: Address, nonce: str, attempt: int) -> Ref:
    send = partial(visit.homeserver.portal_contacts.request, visit.browser, address)
    return await once.request(visit.services.context.entropy, send, nonce, attempt)


def _ref(visit: SignedIn) -> Ref:
    """The validation session that the address of the page names."""
    return Ref(visit.query.get("sid", ""), visit.query.get("n", ""))


def _verify_path(ref: Ref) -> str:
    return f"{_VERIFY}?sid={quote(ref.sid, safe='')}&n={quote(ref.nonce, safe='')}"


def _media(visit: SignedIn) -> list[str]:
    """The media to which the configuration can send messages."""
    config = visit.config
    has_sms = config.sms is not None and bool(config.sms.countries)
    return [*([Email.medium] if config.email is not None else []), *([Phone.medium] if has_sms else [])]


def _ask_address(visit: SignedIn, form: AddForm, error: MatrixError | None = None) -> Answer:
    if form.medium not in _media(visit):
        raise NotFound
    sms = visit.config.sms
    offered = countries.choices(sms.countries if sms else (), visit.language)
    return _page(
        visit,
        "portal/contact_add.html",
        error,
        key=visit.services.context.entropy.token(),
        form=form,
        countries=offered,
        country=form.country or negotiation.likely_country(visit.languages, [country.code for country in offered]),
    )


async def _ask_code(visit: SignedIn, error: MatrixError | None = None, *, code: str = "") -> Answer:
    pending = await visit.homeserver.portal_contacts.pending(visit.browser, _ref(visit))
    is_email = pending.medium == Email.medium
    return _page(
        visit,
        "portal/contact_verify.html",
        error,
        pending=pending,
        is_email=is_email,
        typed=code,
        over=pending.is_over or isinstance(error, SessionExpired),
        code_minutes=CODE_LIFE // MINUTE,
        allow={"connect-src": "'self'"} if is_email else None,
    )


async def _ask_discovery(visit: SignedIn, error: MatrixError | None = None) -> Answer:
    identity = visit.services.require_identity()
    contact = await visit.homeserver.portal_contacts.get(visit.user_id, visit.query.get("contact", ""))
    accepted = await identity.terms.are_accepted(visit.user_id)
    return _page(
        visit,
        "portal/contact_discovery.html",
        error,
        contact=contact,
        documents=() if accepted else identity.terms.documents(visit.language),
    )


def _page(visit: SignedIn, template: str, error: MatrixError | None, **values: Any) -> Answer:
    """A page that shows what was wrong with its form. After a limit, its button is gone."""
    answer = visit.show(
        template,
        status=error.status if error else 200,
        problem=error.text if error else None,
        limited=isinstance(error, LimitExceeded),
        set_cookies=visit.shown,
        **values,
    )
    return (
        answer if error is None else msgspec.structs.replace(answer, headers=answer.headers.replacing(error.headers()))
    )


PAGES: Final = (
    show_contacts,
    show_add,
    add,
    show_verify,
    verify,
    show_verified,
    show_remove,
    remove,
    show_discovery,
    set_discovery,
)
