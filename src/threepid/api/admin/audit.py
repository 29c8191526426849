"""The audit log, for operators."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from threepid.api.admin.types import Count, Typed, admin
from threepid.api.call import OperatorCall
from threepid.domain.audit import Event
from threepid.domain.operators.directory import MOST_LISTED
from threepid.domain.operators.trail import EntryView, SumView, Which
from threepid.domain.sums import Kind
from threepid.spec import errors
from threepid.spec.endpoint import Auth, endpoint
from threepid.spec.operator_scopes import Scope
from threepid.spec.types import MAX_INTEGER

_Time = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]


class Place(Struct, frozen=True, forbid_unknown_fields=True):
    """Where a page begins, and from when until when its entries are."""

    after: Typed | None = None
    since: _Time = 0
    """The earliest time, in milliseconds since 1970."""
    until: _Time = MAX_INTEGER
    """The time before which the entries are, in milliseconds since 1970."""
    limit: Count = MOST_LISTED


class WhichEntries(Place, frozen=True, forbid_unknown_fields=True):
    """Which entries of the audit log to read."""

    event: Event | None = None
    """Only what the log calls so, such as `locked`."""
    account: Typed | None = None
    """Only about this account, by user ID; with the scope `accounts:read` also by username, email address or phone number."""


class WhichSums(Place, frozen=True, forbid_unknown_fields=True):
    """Which sums to read."""

    event: Kind | None = None
    """Only what the log calls so, such as `login_failed`."""


class Entries(Struct, frozen=True):
    """A page of the audit log, oldest first; `next` is the `after` of the next page, or null."""

    entries: list[EntryView]
    next: str | None


class Sums(Struct, frozen=True):
    """A page of sums, oldest first; `next` is the `after` of the next page, or null."""

    sums: list[SumView]
    next: str | None


@endpoint(
    "GET",
    admin("/audit"),
    auth=Auth.OPERATOR_TOKEN,
    scope=Scope.AUDIT_READ,
    errors=(errors.NotFound, errors.InvalidParam),
)
async def read_audit_log(call: OperatorCall, query: WhichEntries) -> Entries:
    """Read the audit log, oldest entries first: of all events and accounts, or of one.

    `until` is later than `since`.
    """
    account = await call.services.account_in_log(query.account or "", call.operator)
    which = Which(query.event or "", account, query.since, query.until)
    found = await call.services.trail.page(which, after=query.after, count=query.limit)
    return Entries(found, found[-1].id if len(found) == query.limit else None)


@endpoint("GET", admin("/audit/sums"), auth=Auth.OPERATOR_TOKEN, scope=Scope.AUDIT_READ, errors=(errors.InvalidParam,))
async def read_audit_sums(call: OperatorCall, query: WhichSums) -> Sums:
    """Read how many failed logins and used-up limits there were, by minute, network and kind.

    `until` is later than `since`.
    """
    found = await call.services.trail.sums(
        after=_place(query.after),
        since=query.since,
        until=query.until,
        event=query.event or "",
        count=query.limit,
    )
    last = found[-1] if len(found) == query.limit else None
    return Sums(found, None if last is None else f"{last.at} {last.event} {last.network}")


def _place(text: str | None) -> SumView | None:
    """The sum after which a page begins, without its count. Raises InvalidParam."""
    if text is None:
        return None
    at, _, rest = text.partition(" ")
    event, space, network = rest.partition(" ")
    if not (at.isascii() and at.isdigit() and space and int(at[:17]) <= MAX_INTEGER):
        raise errors.InvalidParam
    return SumView(int(at[:17]), event, network, 0)


ENDPOINTS: Final = (read_audit_log, read_audit_sums)
