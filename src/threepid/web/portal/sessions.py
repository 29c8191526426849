"""What is signed in to the account: devices of apps, and browsers."""

import re
from typing import Final

import msgspec
from msgspec import Struct

from threepid.domain.origin import of_caller
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.oauth.accounts import SESSIONS
from threepid.spec.types import DisplayName
from threepid.web.page import Access, Form, page
from threepid.web.visit import SignedIn

_ON_A_PAGE: Final = 50
_START: Final = re.compile(r"[0-9]{1,4}")


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
    app: str = ""
    """The name of the app that got the device by the OAuth 2.0 API; '' for none."""


class EndForm(Form, frozen=True):
    """What to sign out: one device or browser, or all others."""

    kind: str = ""
    id: str = ""


class RenameForm(Form, frozen=True):
    """The new display name of a device."""

    kept = ("id", "name")

    id: str = ""
    name: str = ""


@page("GET", SESSIONS)
async def show_sessions(visit: SignedIn) -> Answer:
    """List devices and browsers, the one that was seen last first."""
    return await _list(visit, renamed=visit.kept(RenameForm))


@page("POST", SESSIONS, access=Access.CONFIRMED)
async def end(visit: SignedIn, form: EndForm) -> Answer:
    """Sign out what was chosen. What is gone already is no error."""
    homeserver = visit.homeserver
    if form.kind == "others":
        await homeserver.sessions.end_others(visit.user_id, visit.session.session_id, visit.grant)
    elif form.kind == "browser":
        await homeserver.web_sessions.end(visit.user_id, form.id, visit.origin, grant=visit.grant)
    elif form.kind == "device":
        await homeserver.devices.delete(visit.user_id, [form.id], visit.grant)
    return visit.redirect(f"{SESSIONS}?done=1")


@page("POST", f"{SESSIONS}/rename", access=Access.CONFIRMED)
async def rename(visit: SignedIn, form: RenameForm) -> Answer:
    """Give a device another display name, or none."""
    try:
        name = msgspec.convert(form.name.strip(), DisplayName)
    except msgspec.ValidationError:
        problem = Text("This name is too long, or has characters that apps can't show. Choose another one.")
        return await _list(visit, renamed=form, problem=problem)
    await visit.homeserver.devices.rename(visit.user_id, form.id, name or None, grant=visit.grant)
    return visit.redirect(f"{SESSIONS}?renamed=1")


async def _list(visit: SignedIn, *, renamed: RenameForm | None = None, problem: Text | None = None) -> Answer:
    """A page of the list; the one with the device of `renamed`, whose new name was not accepted or not saved yet."""
    rows = await _rows(visit)
    wanted = visit.query.get("device", "")
    if only := [row for row in rows if row.kind == "device" and row.id == wanted]:
        rows = only
    start = int(found[0]) if (found := _START.fullmatch(visit.query.get("from", ""))) else 0
    if renamed is not None:
        start = next((number for number, row in enumerate(rows) if row.id == renamed.id), 0)
    return visit.show(
        "portal/sessions.html",
        status=200 if problem is None else 400,
        set_cookies=visit.shown if renamed is not None else (),
        rows=rows[start : start + _ON_A_PAGE],
        count=len(rows),
        only=bool(only),
        older=start + _ON_A_PAGE if len(rows) > start + _ON_A_PAGE else None,
        renamed=renamed,
        problem=problem,
    )


async def _rows(visit: SignedIn) -> list[Row]:
    oauth = visit.homeserver.oauth
    apps = await oauth.clients.names_of(visit.user_id, visit.languages) if oauth else {}
    found = [
        Row(
            "device",
            device.device_id,
            device.display_name or "",
            of_caller(0, "", device.user_agent or "").client,
            device.seen_at or device.created_at,
            device.seen_from or "",
            is_here=False,
            app=apps.get(device.device_id, ""),
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


PAGES: Final = (show_sessions, end, rename)
