"""Choose a new password without the old one, by a code or a link that is sent to a contact of the account.

The new password is chosen only in a browser where the code was typed or the mailed link was opened. A link that is opened
somewhere else never lets the page that asked for it go on: a stranger may have asked.
"""

from typing import Final
from urllib.parse import quote

from threepid.clock import MINUTE, SECOND
from threepid.domain.addresses import Address, Email, Phone
from threepid.domain.lifecycle.recovery import ResetCode, ResetLink
from threepid.domain.validation.lifetimes import ATTEMPTS, CODE_LIFE, SESSION_LIFE
from threepid.domain.validation.purposes import Purpose
from threepid.domain.validation.sessions import Session
from threepid.http.cookies import Cookie
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import (
    Forbidden,
    InvalidParam,
    LimitExceeded,
    MatrixError,
    NoValidSession,
    SessionExpired,
    SessionNotValidated,
    ThreepidDenied,
    ThreepidMediumNotSupported,
    TokenIncorrect,
    WeakPassword,
)
from threepid.web import countries, once
from threepid.web.page import Access, Form, page
from threepid.web.portal.password import NewPasswordForm
from threepid.web.typed import typed_address, typed_code
from threepid.web.visit import AFTER, Visit, signed_in_cookies

RESET: Final = "threepid-reset"
"""The cookie of the browser that asked for a code: the session ID and the client secret of the validation session."""
FORGOT: Final = "/account/forgot"
_CODE: Final = f"{FORGOT}/code"
_PASSWORD: Final = f"{FORGOT}/password"
_LINK: Final = "/reset/{link}"
_NOT_SENT: Final = (Forbidden, InvalidParam, LimitExceeded, ThreepidDenied, ThreepidMediumNotSupported)
_OVER: Final = (Forbidden, NoValidSession, SessionExpired)
_TOO_LATE: Final = Text("This code or link has expired or was used.")


class AddressForm(Form, frozen=True):
    """A contact of the account, and the key of the form."""

    address: str = ""
    key: str = ""


class CodeForm(Form, frozen=True):
    """The code from the message."""

    code: str = ""


class AgainForm(Form, frozen=True):
    """The number of the message that is asked for."""

    attempt: str = ""


def reset_path(link: str) -> str:
    """The page behind the mailed `link` of a reset."""
    return f"/reset/{quote(link, safe='')}"


@page("GET", FORGOT, access=Access.ANYONE)
async def show_forgot(visit: Visit) -> Answer:
    """Ask for a contact of the account."""
    return _ask_address(visit)


@page("POST", FORGOT, access=Access.ANYONE)
async def forgot(visit: Visit, form: AddressForm) -> Answer:
    """Send a code, whether an account has the address or not: the browser does not learn it."""
    try:
        address = _parse(visit, form.address)

        async def send(secret: str, attempt: int) -> str:
            return f"{await _send(visit, address, secret, attempt)}.{secret}"

        sent = await once.request(visit.services.context.entropy, send, once.read_key(form.key))
    except _NOT_SENT as error:
        return _ask_address(visit, form.address, error)
    asked = Cookie(RESET, sent, SESSION_LIFE // SECOND)
    return visit.redirect(_CODE, set_cookies=(asked, Cookie(AFTER, visit.next)))


@page("GET", _CODE, access=Access.ANYONE)
async def show_code(visit: Visit) -> Answer:
    """Ask for the code."""
    session = await _sent(visit)
    if session is None:
        return visit.redirect(f"{FORGOT}{visit.after_query}")
    if session.validated_at is not None:
        return visit.redirect(_PASSWORD)
    return _ask_code(visit, session)


@page("POST", _CODE, access=Access.ANYONE)
async def take_code(visit: Visit, form: CodeForm) -> Answer:
    """Check the code: this browser may choose the new password then."""
    proof, session = _proof(visit), await _sent(visit)
    if session is None:
        return _gone(visit)
    try:
        await visit.services.validation.submit_token(
            proof.sid, proof.client_secret, typed_code(form.code), purpose=Purpose.WEB_RESET
        )
    except (SessionExpired, TokenIncorrect) as error:
        return _ask_code(visit, await _sent(visit) or session, error, at_code=True)
    except NoValidSession:
        return _gone(visit)
    return visit.redirect(_PASSWORD)


@page("POST", f"{FORGOT}/again", access=Access.ANYONE)
async def send_again(visit: Visit, form: AgainForm) -> Answer:
    """Send another message for the same session. The wrong codes so far still count."""
    proof, session = _proof(visit), await _sent(visit)
    if session is None:
        return _gone(visit)
    try:
        address = typed_address(session.medium, session.address)
        await _send(visit, address, proof.client_secret, once.read_attempt(form.attempt, session.send_attempt + 1))
    except (*_NOT_SENT, SessionExpired) as error:
        return _ask_code(visit, session, error)
    return visit.redirect(f"{_CODE}?again=1")


@page("GET", _PASSWORD, access=Access.ANYONE)
async def show_choice(visit: Visit) -> Answer:
    """Ask for the new password, in the browser where the code was typed."""
    return await _ask_password(visit, _proof(visit))


@page("POST", _PASSWORD, access=Access.ANYONE)
async def choose(visit: Visit, form: NewPasswordForm) -> Answer:
    """Set the new password, and sign this browser in."""
    return await _choose(visit, _proof(visit), form)


@page("GET", _LINK, access=Access.ANYONE)
async def show_link(visit: Visit) -> Answer:
    """Ask for the new password, in the browser that opened the mailed link. Mail scanners get here, too: nothing changes."""
    return await _ask_password(visit, ResetLink(visit.variables["link"]))


@page("POST", _LINK, access=Access.ANYONE)
async def choose_by_link(visit: Visit, form: NewPasswordForm) -> Answer:
    """Set the new password, and sign this browser in."""
    return await _choose(visit, ResetLink(visit.variables["link"]), form)


def _proof(visit: Visit) -> ResetCode:
    sid, _, secret = visit.cookie(RESET).partition(".")
    return ResetCode(sid, secret)


async def _sent(visit: Visit) -> Session | None:
    proof = _proof(visit)
    return await visit.services.validation.opened(Purpose.WEB_RESET, proof.sid, proof.client_secret)


async def _send(visit: Visit, address: Address, secret: str, attempt: int) -> str:
    return await visit.homeserver.recovery.begin(
        address,
        client=visit.client,
        client_secret=secret,
        send_attempt=attempt,
        origin=visit.origin,
        languages=visit.languages,
    )


def _parse(visit: Visit, text: str) -> Address:
    """The address that a person typed. Raises InvalidParam."""
    media = visit.homeserver.recovery.media
    if len(media) > 1 and "@" not in text and not any(map(str.isdigit, text)):
        raise InvalidParam(Text("Please enter an email address or a phone number."))
    medium = Email.medium if Phone.medium not in media or "@" in text else Phone.medium
    return typed_address(medium, text, countries.at_home(visit.languages, visit.config.sms))


def _ask_address(visit: Visit, address: str = "", error: MatrixError | None = None) -> Answer:
    return visit.show(
        "portal/forgot.html",
        status=error.status if error else 200,
        media=visit.homeserver.recovery.media,
        key=visit.services.context.entropy.token(),
        address=address,
        problem=error.text if error else None,
    )


def _ask_code(visit: Visit, session: Session, error: MatrixError | None = None, *, at_code: bool = False) -> Answer:
    over = session.wrong_attempts >= ATTEMPTS
    problem = error.text if error else None
    if over:
        problem = Text("Too many wrong codes were entered. Please start again.")
    return visit.show(
        "portal/forgot_code.html",
        status=error.status if error else 200,
        sent=session,
        code_minutes=CODE_LIFE // MINUTE,
        again="again" in visit.query,
        at_code=at_code,
        over=over,
        problem=problem,
    )


async def _ask_password(
    visit: Visit, proof: ResetCode | ResetLink, error: MatrixError | None = None, *, sign_out: bool = True
) -> Answer:
    try:
        reset = await visit.homeserver.recovery.find(proof)
    except SessionNotValidated:
        return visit.redirect(_CODE)
    except _OVER as over:
        return _gone(visit, over)
    return visit.show(
        "portal/reset.html",
        status=error.status if error else 200,
        reset=reset,
        problem=error.text if error else None,
        sign_out=sign_out,
    )


async def _choose(visit: Visit, proof: ResetCode | ResetLink, form: NewPasswordForm) -> Answer:
    homeserver = visit.homeserver
    try:
        token = await homeserver.recovery.choose(
            proof,
            form.password,
            log_out_devices=bool(form.sign_out),
            client=visit.client,
            user_agent=visit.user_agent,
        )
    except SessionNotValidated:
        return visit.redirect(_CODE)
    except (InvalidParam, LimitExceeded, WeakPassword) as error:
        return await _ask_password(visit, proof, error, sign_out=bool(form.sign_out))
    except _OVER as over:
        return _gone(visit, over)
    if visit.session is not None:  # this browser was signed in to another account, perhaps
        await homeserver.web_sessions.end(visit.session.user_id, visit.session.session_id, visit.origin)
    ended = (Cookie(RESET, "", 0), Cookie(AFTER, "", 0))
    return visit.redirect(visit.after, set_cookies=(*signed_in_cookies(token), *ended))


def _gone(visit: Visit, error: MatrixError | None = None) -> Answer:
    problem = error.text if isinstance(error, Forbidden) else _TOO_LATE
    return visit.show("portal/reset_gone.html", status=404, problem=problem)


PAGES: Final = (
    show_forgot,
    forgot,
    show_code,
    take_code,
    send_again,
    show_choice,
    choose,
    show_link,
    choose_by_link,
)
