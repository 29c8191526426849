"""Sign in, confirm that it is still the same person, and sign out."""

from typing import Final
from urllib.parse import quote

from threepid.http.exchange import Answer
from threepid.spec.errors import Forbidden, LimitExceeded, MatrixError, UserLocked
from threepid.web import countries
from threepid.web.dispatch import CONFIRM, SIGN_IN
from threepid.web.page import Access, Form, page
from threepid.web.portal import confirm_by_code
from threepid.web.visit import SignedIn, Visit, signed_in_cookies, signed_out_cookies

_LONGEST_NAME: Final = 255
"""Maximum number of characters of the name that an app fills in."""


class SignInForm(Form, frozen=True):
    """What a person types to sign in: username, email address or phone number, and the password."""

    name: str = ""
    password: str = ""


class ConfirmForm(Form, frozen=True):
    """What a person types to confirm that it is still the same person."""

    password: str = ""


@page("GET", SIGN_IN, access=Access.ANYONE)
async def show_sign_in(visit: Visit) -> Answer:
    """Ask for name and password."""
    if visit.session is not None:
        return visit.redirect(visit.next)
    return visit.show(
        "portal/sign_in.html",
        ways=visit.homeserver.settings.login_with,
        name=visit.query.get("name", "")[:_LONGEST_NAME],
        problem=None,
    )


@page("POST", SIGN_IN, access=Access.ANYONE)
async def sign_in(visit: Visit, form: SignInForm) -> Answer:
    """Sign the browser in and show the page that it was sent here from."""
    homeserver = visit.homeserver
    try:
        country = countries.at_home(visit.languages, visit.config.sms)
        named = await homeserver.accounts.find_typed(form.name, country=country)
        token = await homeserver.logins.sign_in(named, form.password, client=visit.client, user_agent=visit.user_agent)
    except (Forbidden, LimitExceeded, UserLocked) as error:
        return visit.show(
            "portal/sign_in.html",
            status=error.status,
            ways=homeserver.settings.login_with,
            name=form.name,
            problem=error.text,
        )
    if visit.session is not None:  # another tab signed in meanwhile
        await homeserver.web_sessions.end(visit.session.user_id, visit.session.session_id, visit.origin)
    return visit.redirect(visit.next, set_cookies=signed_in_cookies(token))


@page("GET", CONFIRM)
async def show_confirm(visit: SignedIn) -> Answer:
    """Ask for the password again."""
    if visit.homeserver.web_sessions.is_confirmed(visit.session):
        return visit.redirect(visit.next)
    if not await confirm_by_code.has_password(visit):
        return visit.redirect(confirm_by_code.path(visit))
    return await _ask_to_confirm(visit)


@page("POST", CONFIRM)
async def confirm(visit: SignedIn, form: ConfirmForm) -> Answer:
    """Confirm the session, and show the page that it was sent here from."""
    try:
        token = await visit.homeserver.logins.confirm(
            visit.user_id, form.password, token=visit.token, client=visit.client, user_agent=visit.user_agent
        )
    except (Forbidden, LimitExceeded) as error:
        return await _ask_to_confirm(visit, error)
    return visit.redirect(visit.next, set_cookies=signed_in_cookies(token))


async def _ask_to_confirm(visit: SignedIn, error: MatrixError | None = None) -> Answer:
    contacts = await visit.homeserver.confirming.contacts(visit.user_id)
    return visit.show(
        "portal/confirm.html",
        status=error.status if error else 200,
        problem=error.text if error else None,
        by_code=confirm_by_code.path(visit) if contacts else None,
    )


@page("POST", "/account/sign-out")
async def sign_out(visit: SignedIn) -> Answer:
    """Sign the browser out. A browser that is signed out already gets the same page, without this."""
    await visit.homeserver.web_sessions.end(visit.user_id, visit.session.session_id, visit.origin)
    back = f"&next={quote(visit.next, safe='')}" if "next" in visit.query else ""
    return visit.redirect(f"{SIGN_IN}?signed_out=1{back}", set_cookies=signed_out_cookies())


PAGES: Final = (show_sign_in, sign_in, show_confirm, confirm, sign_out)
