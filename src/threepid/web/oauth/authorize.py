"""The authorization endpoint: an app sends a person here, who signs in and allows it, or does not.

https://spec.matrix.org/latest/client-server-api/#authorization-code-grant
"""

from typing import Final
from urllib.parse import quote, urlencode

from threepid.domain.oauth.consent import NOT_AN_ADMIN
from threepid.domain.oauth.requests import Target, Wish, read_target, read_wish
from threepid.http.exchange import Answer
from threepid.spec.errors import Forbidden
from threepid.spec.oauth.errors import AccessDenied, OAuthError
from threepid.spec.oauth.server import AUTHORIZE, issuer
from threepid.web.dispatch import CONFIRM, SIGN_IN
from threepid.web.page import Access, Form, page
from threepid.web.portal.register import REGISTER
from threepid.web.visit import SignedIn, Visit

_LONGEST_HINT: Final = 255
_MXID: Final = "mxid:"


class DecisionForm(Form, frozen=True):
    """What the person decides."""

    decision: str = ""


@page("GET", AUTHORIZE, access=Access.ANYONE)
async def show_authorize(visit: Visit) -> Answer:
    """Ask the person to sign in and, every time, to allow the app."""
    target = await _target(visit)
    try:
        wish = read_wish(target, visit.query)
    except OAuthError as error:
        return visit.redirect(target.refusal(error))
    if visit.session is None:
        return visit.redirect(_before(visit))
    user_id = visit.session.user_id
    if wish.scope.needs_admin and not await visit.oauth.consents.is_admin(user_id):
        return await _ask(visit, wish, user_id, error=Forbidden(NOT_AN_ADMIN))
    if wish.scope.needs_admin and not visit.homeserver.web_sessions.is_confirmed(visit.session):
        return visit.redirect(f"{CONFIRM}?next={_here(visit)}")
    return await _ask(visit, wish, user_id)


@page("POST", AUTHORIZE)
async def authorize(visit: SignedIn, form: DecisionForm) -> Answer:
    """Send the browser back to the app, with a code if the person allows it."""
    target = await _target(visit)
    try:
        wish = read_wish(target, visit.query)
        if form.decision != "allow":
            raise AccessDenied
    except OAuthError as error:
        return visit.redirect(target.refusal(error))
    if wish.scope.needs_admin and not visit.homeserver.web_sessions.is_confirmed(visit.session):
        return visit.redirect(f"{CONFIRM}?next={_here(visit)}")
    try:
        code = await visit.oauth.consents.allow(wish, visit.session, visit.grant)
    except Forbidden as error:
        return await _ask(visit, wish, visit.user_id, error=error)
    return visit.redirect(target.answer(code=code))


async def _target(visit: Visit) -> Target:
    client = await visit.oauth.clients.get(visit.query.get("client_id", ""))
    return read_target(client, visit.query, issuer(visit.config.server.public_base_url))


def _here(visit: Visit) -> str:
    """This request as the value of a parameter, by which the person comes back to it."""
    return quote(f"{AUTHORIZE}?{urlencode(visit.query)}", safe="")


def _before(visit: Visit) -> str:
    """The page on which a person signs in or, if the app asks for it, creates an account."""
    if "create" in visit.query.get("prompt", "").split() and visit.homeserver.settings.registration != "closed":
        return f"{REGISTER}?next={_here(visit)}"
    hint = visit.query.get("login_hint", "").removeprefix(_MXID)[:_LONGEST_HINT]
    return f"{SIGN_IN}?next={_here(visit)}" + (f"&{urlencode({'name': hint})}" if hint else "")


async def _ask(visit: Visit, wish: Wish, user_id: str, *, error: Forbidden | None = None) -> Answer:
    client = wish.target.client
    return visit.show(
        "oauth/consent.html",
        status=error.status if error else 200,
        # Chromium applies `form-action` to redirects, too: without the directive, it blocks the answer to the app.
        allow={"form-action": f"'self' {wish.target.policy_source}"},
        app=client.name(visit.languages),
        client=client,
        scope=wish.scope,
        user_id=user_id,
        target=wish.target.shown,
        replaces=await visit.oauth.consents.knows_device(user_id, wish.scope.device_id),
        terms=client.link("tos_uri", visit.languages),
        privacy=client.link("policy_uri", visit.languages),
        again=_here(visit),
        problem=error.text if error else None,
    )


PAGES: Final = (show_authorize, authorize)
