"""Connect a device that has no browser: enter the code that it shows, and allow it.

https://www.rfc-editor.org/rfc/rfc8628#section-3.3
"""

from typing import Final
from urllib.parse import quote

from threepid.domain.oauth.consent import NOT_AN_ADMIN
from threepid.domain.oauth.device_grants import Waiting
from threepid.http.exchange import Answer
from threepid.spec.errors import Forbidden, LimitExceeded, MatrixError
from threepid.spec.oauth.server import LINK
from threepid.web.dispatch import CONFIRM
from threepid.web.page import Form, page
from threepid.web.visit import SignedIn

_DECIDE: Final = f"{LINK}/decide"
_LONGEST: Final = 32


class CodeForm(Form, frozen=True):
    """The code that the device shows."""

    code: str = ""


class DecisionForm(Form, frozen=True):
    """The code, and what the person decides about its device."""

    code: str = ""
    decision: str = ""


@page("GET", LINK)
async def show_link(visit: SignedIn) -> Answer:
    """Ask for the code, or say what was decided. A code in the address is only filled in: opening an address decides nothing."""
    if "decided" in visit.query:
        return visit.show("oauth/linked.html", allowed=visit.query["decided"] == "allowed")
    return _ask_code(visit, visit.query.get("code", "")[:_LONGEST])


@page("POST", LINK)
async def link(visit: SignedIn, form: CodeForm) -> Answer:
    """Show which device has the code, and ask whether to allow it."""
    try:
        waiting = await visit.oauth.device_grants.waiting(form.code, client=visit.client)
    except (Forbidden, LimitExceeded) as error:
        return _ask_code(visit, form.code[:_LONGEST], error)
    if not waiting.scope.needs_admin:
        return await _ask(visit, waiting)
    if not await visit.oauth.consents.is_admin(visit.user_id):
        return await _ask(visit, waiting, Forbidden(NOT_AN_ADMIN))
    if not visit.homeserver.web_sessions.is_confirmed(visit.session):
        return visit.redirect(_confirm(waiting))
    return await _ask(visit, waiting)


@page("POST", _DECIDE)
async def decide(visit: SignedIn, form: DecisionForm) -> Answer:
    """Allow or deny the device, which learns of it when it asks the next time."""
    allowed = form.decision == "allow"
    try:
        await visit.oauth.device_grants.decide(
            form.code, visit.user_id, visit.grant, allowed=allowed, client=visit.client
        )
    except (Forbidden, LimitExceeded) as error:
        return _ask_code(visit, form.code[:_LONGEST], error)
    # Phones drop a page that their person leaves for the device, and load it again: that must not send the code again.
    return visit.redirect(f"{LINK}?decided={'allowed' if allowed else 'denied'}")


def _confirm(waiting: Waiting) -> str:
    back = quote(f"{LINK}?code={waiting.user_code}", safe="")
    return f"{CONFIRM}?next={back}"


def _ask_code(visit: SignedIn, code: str, error: MatrixError | None = None) -> Answer:
    return visit.show(
        "oauth/link.html", status=error.status if error else 200, code=code, problem=error.text if error else None
    )


async def _ask(visit: SignedIn, waiting: Waiting, error: MatrixError | None = None) -> Answer:
    client = waiting.client
    return visit.show(
        "oauth/link_consent.html",
        status=error.status if error else 200,
        app=client.name(visit.languages),
        client=client,
        scope=waiting.scope,
        user_id=visit.user_id,
        origin=waiting.origin,
        code=waiting.user_code,
        action=_DECIDE,
        replaces=await visit.oauth.consents.knows_device(visit.user_id, waiting.scope.device_id),
        terms=client.link("tos_uri", visit.languages),
        privacy=client.link("policy_uri", visit.languages),
        problem=error.text if error else None,
    )


PAGES: Final = (show_link, link, decide)
