"""Single sign-on of the old login: a person signs in here and lets the app in that asked.

Any program can ask, for any address. So opening a link hands nothing out: the person reads where the token goes, and allows it.
https://spec.matrix.org/latest/client-server-api/#sso-client-loginauthentication
"""

from typing import Final
from urllib.parse import quote, urlencode

from threepid.domain.oauth.requests import UNKNOWN_APP
from threepid.http.exchange import Answer
from threepid.spec.errors import InvalidParam
from threepid.spec.sso import PAGE, SsoTarget, parse_target
from threepid.web.dispatch import SIGN_IN
from threepid.web.page import Access, Form, page
from threepid.web.portal.register import REGISTER
from threepid.web.visit import HOME, SignedIn, Visit


class DecisionForm(Form, frozen=True):
    """What the person decides."""

    decision: str = ""


@page("GET", PAGE, access=Access.ANYONE)
async def show_sso(visit: Visit) -> Answer:
    """Ask the person to sign in and, every time, to let the app in."""
    target = _target(visit)
    here = quote(f"{PAGE}?{urlencode(visit.query)}", safe="")
    if visit.session is None:
        registers = visit.query.get("action") == "register" and visit.homeserver.settings.registration != "closed"
        return visit.redirect(f"{REGISTER if registers else SIGN_IN}?next={here}")
    return visit.show(
        "oauth/sso.html",
        # Chromium applies `form-action` to redirects, too: without the directive, it blocks the answer to the app.
        allow={"form-action": f"'self' {target.policy_source}"},
        app=target.shown,
        user_id=visit.session.user_id,
        again=here,
    )


@page("POST", PAGE)
async def sign_app_in(visit: SignedIn, form: DecisionForm) -> Answer:
    """Send the browser to the app with a login token, if the person allows it."""
    target = _target(visit)
    if form.decision != "allow":
        return visit.redirect(HOME)
    token = await visit.homeserver.login_tokens.issue_to_browser(visit.session, visit.grant)
    return visit.redirect(target.answer(token))


def _target(visit: Visit) -> SsoTarget:
    target = parse_target(visit.query.get("redirectUrl", ""))
    if target is None:
        raise InvalidParam(UNKNOWN_APP)
    return target


PAGES: Final = (show_sso, sign_app_in)
