"""The security log of the account, and the download of its data."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from threepid.domain import audit
from threepid.domain.audit import Event
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.web.page import Access, page
from threepid.web.render import download
from threepid.web.visit import SignedIn

_ON_A_PAGE: Final = 50
EVENTS: Final[Mapping[Event, Text]] = {
    Event.REGISTERED: Text("The account was created"),
    Event.SIGNED_IN: Text("Signed in"),
    Event.SIGN_IN_FAILED: Text("Somebody tried to sign in with a wrong password"),
    Event.CONFIRMATION_FAILED: Text("A wrong password was entered for a change"),
    Event.SIGNED_OUT: Text("Signed out"),
    Event.SIGNED_OUT_EVERYWHERE: Text("Signed out everywhere"),
    Event.TOKEN_REUSED: Text("A sign-in was copied: the app was signed out"),
    Event.CONTACT_ADDED: Text("A contact was added"),
    Event.CONTACT_REMOVED: Text("A contact was removed"),
    Event.BOUND: Text("People can find you by a contact"),
    Event.UNBOUND: Text("People can't find you by a contact any more"),
    Event.PASSWORD_CHANGED: Text("The password was changed"),
    Event.DATA_DOWNLOADED: Text("The data of the account was downloaded"),
    Event.NOTICES_CHANGED: Text("Notices were switched on or off"),
    Event.LANGUAGE_CHANGED: Text("The language was changed"),
    Event.DEACTIVATED: Text("The account was closed"),
    Event.LOCKED: Text("The account was locked"),
    Event.UNLOCKED: Text("The account was unlocked"),
    Event.REACTIVATED: Text("The account was opened again"),
    Event.KEY_RESET_ALLOWED: Text("A reset of the identity was allowed"),
    Event.ADMIN_GRANTED: Text("The account may administer the server"),
    Event.ADMIN_REVOKED: Text("The account may not administer the server any more"),
    **dict.fromkeys(
        (
            Event.CONTACT_VERIFIED,
            Event.LINK_SENT,
            Event.LIMITS_CLEARED,
            Event.MESSAGE_RESENT,
            Event.MESSAGE_DROPPED,
            Event.SUPPRESSION_REMOVED,
            Event.INVITE_CANCELLED,
            Event.REGISTRATION_TOKEN_CREATED,
            Event.REGISTRATION_TOKEN_DELETED,
            Event.CONSOLE_OPENED,
            Event.CONSOLE_CLOSED,
            Event.OPERATOR_TOKEN_CREATED,
            Event.OPERATOR_TOKEN_REVOKED,
            Event.SIGNING_KEY_ROTATED,
            Event.SIGNING_KEYS_IMPORTED,
            Event.SECRET_ACCEPTED,
            Event.PEPPER_ROTATION_BEGAN,
            Event.HOMESERVER_RESYNCED,
            Event.IMPORT_BEGAN,
            Event.IMPORT_FINISHED,
            Event.DATABASE_COPIED,
        ),
        Text("An operator helped with the account"),
    ),
}
"""What the log calls each event."""


@page("GET", "/account/security")
async def show_security(visit: SignedIn) -> Answer:
    """Show the newest entries of the log, or those before the one in the query."""
    context = visit.services.context
    entries = await audit.entries_of(context, visit.user_id, count=_ON_A_PAGE + 1, before=visit.query.get("before"))
    older = quote(entries[_ON_A_PAGE - 1].id, safe="") if len(entries) > _ON_A_PAGE else None
    return visit.show("portal/security.html", entries=entries[:_ON_A_PAGE], events=EVENTS, older=older)


@page("GET", "/account/data", access=Access.CONFIRMED)
async def show_data(visit: SignedIn) -> Answer:
    """Say what the file contains."""
    return visit.show("portal/data.html")


@page("POST", "/account/data", access=Access.CONFIRMED)
async def download_data(visit: SignedIn) -> Answer:
    """Answer everything that the server keeps about the account as a JSON file."""
    data = await visit.homeserver.export.of(visit.user_id, visit.grant)
    return data_file(visit.user_id, data)


def data_file(user_id: str, data: Mapping[str, Any]) -> Answer:
    """The data of an account as a file that the browser saves."""
    text = msgspec.json.format(msgspec.json.encode(data), indent=2)
    return download(text, "application/json", f"account-{user_id[1:].partition(':')[0]}.json")


PAGES: Final = (show_security, show_data, download_data)
