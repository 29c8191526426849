"""What operators read that belongs to no account: the queue of messages and the audit log."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from threepid.clock import DAY
from threepid.domain import origin as origins
from threepid.domain.audit import Event
from threepid.domain.operators.directory import message_view
from threepid.domain.operators.trail import ALWAYS, EntryView, Which
from threepid.http.exchange import Answer
from threepid.i18n import Text
from threepid.spec.errors import InvalidParam, MatrixError
from threepid.spec.operator_scopes import Scope
from threepid.web.console.account import DONE
from threepid.web.console.people import LONGEST, ON_A_PAGE
from threepid.web.console.visit import Operating
from threepid.web.page import Access, page
from threepid.web.portal.security import EVENTS

_QUEUE: Final = "/admin/queue"
_AUDIT: Final = "/admin/audit"
_EVENTS: Final[Mapping[Event, Text]] = {
    **EVENTS,
    Event.CONTACT_VERIFIED: Text("A contact was confirmed"),
    Event.LINK_SENT: Text("A link for a new password was sent"),
    Event.LIMITS_CLEARED: Text("Limits were cleared"),
    Event.MESSAGE_RESENT: Text("A message was sent again"),
    Event.MESSAGE_DROPPED: Text("Messages were given up"),
    Event.SUPPRESSION_REMOVED: Text("An address gets mails again"),
    Event.INVITE_CANCELLED: Text("An invitation was cancelled"),
    Event.REGISTRATION_TOKEN_CREATED: Text("A registration token was created"),
    Event.REGISTRATION_TOKEN_DELETED: Text("A registration token was deleted"),
    Event.CONSOLE_OPENED: Text("The console was opened"),
    Event.CONSOLE_CLOSED: Text("The console was closed"),
    Event.OPERATOR_TOKEN_CREATED: Text("An operator token was created"),
    Event.OPERATOR_TOKEN_REVOKED: Text("An operator token was revoked"),
    Event.SIGNING_KEY_ROTATED: Text("The signing key was rotated"),
    Event.SIGNING_KEYS_IMPORTED: Text("Signing keys were imported"),
    Event.SECRET_ACCEPTED: Text("A new secret of the database was accepted"),
    Event.PEPPER_ROTATION_BEGAN: Text("A rotation of the lookup pepper began"),
    Event.HOMESERVER_RESYNCED: Text("The homeserver is told of all accounts again"),
    Event.IMPORT_BEGAN: Text("An import from another server began"),
    Event.IMPORT_FINISHED: Text("An import from another server was finished"),
    Event.DATABASE_COPIED: Text("The database was copied"),
}


class Line(msgspec.Struct, frozen=True):
    """An entry of the audit log, in words."""

    entry: EntryView
    what: Text | str
    """A sentence, or the name of an event that a newer version of the server wrote."""
    origin: origins.Origin
    details: Mapping[str, Any]


@page("GET", _QUEUE, access=Access.OPERATOR, scope=Scope.MESSAGES_READ)
async def show_queue(visit: Operating) -> Answer:
    """Show how long the oldest message waits, why messages wait and fail, and the messages themselves."""
    queue, failed = visit.services.queue, "failed" in visit.query
    jobs = await queue.page(after=visit.query.get("after"), failed=failed, count=ON_A_PAGE + 1)
    more = {"after": jobs[ON_A_PAGE - 1].id, **({"failed": "1"} if failed else {})} if len(jobs) > ON_A_PAGE else None
    return visit.show(
        "console/queue.html",
        overview=await queue.overview(),
        messages=[message_view(job) for job in jobs[:ON_A_PAGE]],
        failed=failed,
        next_page=f"{_QUEUE}?{urlencode(more)}" if more else None,
        done=DONE.get(visit.query.get("done", "")),
    )


@page("GET", _AUDIT, access=Access.OPERATOR, scope=Scope.AUDIT_READ)
async def show_audit(visit: Operating) -> Answer:
    """Show the newest entries of the audit log, of the kind, account and days that the query names, a page at a time."""
    typed = {name: visit.query.get(name, "")[:LONGEST].strip() for name in ("user", "event", "since", "until")}
    event = typed["event"] if typed["event"] in set(Event) else ""
    found: list[EntryView] = []
    error: MatrixError | None = None
    try:
        since, until = _day(typed["since"], 0), _day(typed["until"], ALWAYS - DAY) + DAY
        user_id = await visit.services.account_in_log(typed["user"], visit.operator)
        which = Which(event, user_id, max(0, since), until)
        found = await visit.services.trail.recent(which, before=visit.query.get("before"), count=ON_A_PAGE + 1)
    except MatrixError as raised:
        error = raised
    more = {**typed, "before": found[ON_A_PAGE - 1].id} if len(found) > ON_A_PAGE else None
    return visit.show(
        "console/audit.html",
        status=error.status if error else 200,
        lines=[_line(entry) for entry in found[:ON_A_PAGE]],
        events=sorted((one.value, _EVENTS[one]) for one in Event),
        typed=typed,
        next_page=f"{_AUDIT}?{urlencode({name: text for name, text in more.items() if text})}" if more else None,
        problem=error.text if error else None,
    )


def _day(text: str, otherwise: int) -> int:
    """The beginning of a day such as `2027-12-31` in UTC, in milliseconds; `otherwise` without one. Raises InvalidParam."""
    if not text:
        return otherwise
    try:
        return (date.fromisoformat(text) - date(1970, 1, 1)).days * DAY
    except ValueError:
        raise InvalidParam(Text("Write a day as in %(example)s.", example="2027-12-31")) from None


def _line(entry: EntryView) -> Line:
    known = entry.event in set(Event)
    return Line(
        entry,
        _EVENTS[Event(entry.event)] if known else entry.event,
        origins.from_text(bytes(entry.origin).decode("utf-8")),
        msgspec.json.decode(entry.details, type=dict[str, Any]),
    )


PAGES: Final = (show_queue, show_audit)
