"""Confirm by a code to a contact that it is still the same person: for accounts without a password, and forgotten ones."""

from typing import Final
from urllib.parse import quote

from threepid.clock import MINUTE
from threepid.domain.validation.lifetimes import ATTEMPTS, CODE_LIFE
from threepid.domain.validation.sessions import Session
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    NoValidSession,
    SessionExpired,
    ThreepidDenied,
    ThreepidMediumNotSupported,
    TokenIncorrect,
)
from threepid.web import once
from threepid.web.dispatch import CONFIRM
from threepid.web.page import Form, page
from threepid.web.typed import typed_code
from threepid.web.visit import SignedIn, signed_in_cookies

_CONTACT: Final = f"{CONFIRM}/contact"
_CODE: Final = f"{CONFIRM}/code"
_TOO_LATE: Final = Text("This code has expired. Please ask for a new one.")


class ContactForm(Form, frozen=True):
    """The contact that gets the code, and the key of the form."""

    medium: str = ""
    address: str = ""
    key: str = ""


class CodeForm(Form, frozen=True):
    """The code from the message."""

    code: str = ""


def path(visit: SignedIn) -> str:
    """The page that asks for a contact, and leads to the page that comes next."""
    return _leading_on(visit, f"{_CONTACT}?")


async def has_password(visit: SignedIn) -> bool:
    """Has the account a password?"""
    account = await visit.homeserver.accounts.get(visit.user_id)
    return account is not None and account.password_hash is not None


@page("GET", _CONTACT)
async def show_contacts(visit: SignedIn) -> Answer:
    """Ask which contact shall get a code."""
    if visit.homeserver.web_sessions.is_confirmed(visit.session):
        return visit.redirect(visit.next)
    return await _ask_contact(visit)


@page("POST", _CONTACT)
async def send_code(visit: SignedIn, form: ContactForm) -> Answer:
    """Send a code to the contact."""

    async def send(nonce: str, _attempt: int) -> str:
        return await visit.homeserver.confirming.request(visit.browser, form.medium, form.address, nonce)

    try:
        sent = await once.request(visit.services.context.entropy, send, once.read_key(form.key))
    except (Forbidden, LimitExceeded, SessionExpired, ThreepidDenied, ThreepidMediumNotSupported) as error:
        return await _ask_contact(visit, error)
    return visit.redirect(_leading_on(visit, f"{_CODE}?sent={quote(sent, safe='')}&"))


@page("GET", _CODE)
async def show_code(visit: SignedIn) -> Answer:
    """Ask for the code."""
    session = await visit.homeserver.confirming.opened(visit.browser, visit.query.get("sent", ""))
    return visit.redirect(path(visit)) if session is None else _ask_code(visit, session)


@page("POST", _CODE)
async def confirm_by_code(visit: SignedIn, form: CodeForm) -> Answer:
    """Confirm the session, and show the page that it was sent here from."""
    confirming, sent = visit.homeserver.confirming, visit.query.get("sent", "")
    code = typed_code(form.code)
    try:
        token = await confirming.confirm(visit.browser, visit.token, sent, code)
    except (SessionExpired, TokenIncorrect) as error:
        session = await confirming.opened(visit.browser, sent)
        if session is not None:
            return _ask_code(visit, session, error)
        return await _ask_contact(visit, SessionExpired(_TOO_LATE))
    except NoValidSession:
        return await _ask_contact(visit, SessionExpired(_TOO_LATE))
    except Forbidden as error:
        return await _ask_contact(visit, error)
    return visit.redirect(visit.next, set_cookies=signed_in_cookies(token))


async def _ask_contact(visit: SignedIn, error: MatrixError | None = None) -> Answer:
    return visit.show(
        "portal/confirm_contact.html",
        status=error.status if error else 200,
        contacts=await visit.homeserver.confirming.contacts(visit.user_id),
        has_password=await has_password(visit),
        key=visit.services.context.entropy.token(),
        by_password=_leading_on(visit, f"{CONFIRM}?"),
        problem=error.text if error else None,
    )


def _ask_code(visit: SignedIn, session: Session, error: MatrixError | None = None) -> Answer:
    over = session.wrong_attempts >= ATTEMPTS
    return visit.show(
        "portal/confirm_code.html",
        status=error.status if error else 200,
        sent=session,
        again=False,
        over=over,
        start=path(visit),
        code_minutes=CODE_LIFE // MINUTE,
        problem=Text("Too many wrong codes were entered. Please start again.")
        if over
        else error.text
        if error
        else None,
    )


def _leading_on(visit: SignedIn, start: str) -> str:
    return f"{start}next={quote(visit.next, safe='')}"


PAGES: Final = (show_contacts, send_code, show_code, confirm_by_code)
