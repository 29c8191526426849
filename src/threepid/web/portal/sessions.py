"""What is signed in to the account: devices of apps, and browsers."""

from typing import Final

from msgspec import Struct

from threepid.domain.origin import of_caller
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.web.page import Access, Form, page
from threepid.web.visit import SignedIn

SESSIONS: Final = "/account/sessions"


class Row(Struct, frozen=True):
    """One device or browser."""

    kind: str
    """`device` or `browser`."""
    id: str
    name: str
    """What the app calls the device; '' for none."""
    program: Text
    seen_at: int
    """Milliseconds since the Unix epoch; 0 if unknown."""
    seen_from: str
    is_here: bool
    """Is it the browser that shows the page?"""


class EndForm(Form, frozen=True):
    """What to sign out: one device or browser, or all others."""

    kind: str = ""
    id: str = ""


@page("GET", SESSIONS)
async def show_sessions(visit: SignedIn) -> Answer:
    """List devices and browsers, the one that was seen last first."""
    return visit.show("portal/sessions.html", rows=await _rows(visit))


@page("POST", SESSIONS, access=Access.CONFIRMED)
async def end(visit: SignedIn, form: EndForm) -> Answer:
    """Sign out what was chosen. What is gone already is no error."""
    homeserver = visit.homeserver
    if form.kind == "others":
        await homeserver.sessions.end_others(visit.user_id, visit.session.session_id, visit.grant)
    elif form.kind == "browser":
        await homeserver.web_sessions.end(visit.user_id, form.id, visit.origin)
    elif form.kind == "device":
        await homeserver.devices.delete(visit.user_id, [form.id], visit.grant)
    return visit.redirect(f"{SESSIONS}?done=1")


async def _rows(visit: SignedIn) -> list[Row]:
    found = [
        Row(
            "device",
            device.device_id,
            device.display_name or "",
            of_caller(0, "", device.user_agent or "").client,
            device.seen_at or device.created_at,
            device.seen_from or "",
            is_here=False,
        )
        for device in await visit.homeserver.devices.of(visit.user_id)
    ]
    found += [
        Row(
            "browser",
            session.session_id,
            "",
            of_caller(0, "", session.user_agent).client,
            session.seen_at,
            session.seen_from,
            is_here=session.session_id == visit.session.session_id,
        )
        for session in await visit.homeserver.web_sessions.list_of(visit.user_id)
    ]
    return sorted(found, key=lambda row: (not row.is_here, -row.seen_at, row.id))


PAGES: Final = (show_sessions, end)
