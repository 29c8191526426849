"""The data of an account, for its owner: what the server keeps about it, except secrets and their hashes.

`MEMBERS` and `docs/account-data.md` describe the file.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from threepid.domain import audit
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import (
    accounts,
    associations,
    devices,
    invites,
    oauth,
    outbox,
    preferences,
    profiles,
    suppressions,
    terms,
    threepids,
    validations,
)
from threepid.storage.engine.database import Tx

FORMAT: Final = 1
"""Version of the shape of the file. A member that is added does not raise it."""
MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "account": ("user_id", "created_at", "locked_at", "is_admin"),
    "profile": ("displayname", "avatar_url"),
    "contacts": ("medium", "address", "validated_at", "added_at"),
    "bindings": ("medium", "canonical", "id_server", "bound_at"),
    "associations": ("medium", "canonical", "bound_at", "not_before", "not_after"),
    "devices": ("device_id", "display_name", "created_at", "seen_at", "seen_from", "user_agent"),
    "apps": ("device_id", "client_id", "client_name", "client_uri", "scope", "created_at"),
    "browser_sessions": ("session_id", "created_at", "seen_at", "confirmed_at", "seen_from", "user_agent"),
    "validations": ("medium", "address", "created_at", "expires_at", "validated_at"),
    "proofs": ("id_server", "medium", "canonical", "used_at"),
    "invitations": (
        "sender",
        "medium",
        "canonical",
        "room_id",
        "created_at",
        "expires_at",
        "cancelled_at",
        "delivered_at",
    ),
    "messages": (
        *("channel", "recipient", "template", "language", "created_at", "sent_at", "failed_at", "returned_at"),
        "returned_status",
    ),
    "suppressions": ("canonical", "kind", "status", "first_at", "latest_at"),
    "accepted_terms": ("document", "version", "accepted_at"),
    "preferences": ("language", "muted_notices"),
    "security_log": ("at", "event", "by", "origin", "details"),
}
"""The members of the file besides `format` and `exported_at`, and the members of each object in them."""
_MOST_ENTRIES: Final = 10_000


class Export:
    """Collects the data of accounts."""

    def __init__(self, context: Context, sessions: WebSessions) -> None:
        """`sessions` lists the browsers."""
        self._context = context
        self._sessions = sessions

    async def of(self, user_id: str, grant: Grant) -> dict[str, Any]:
        """The data of the account as a JSON object; times in milliseconds since the Unix epoch. Raises Forbidden."""

        def note(tx: Tx) -> None:
            grant.consume(tx)
            audit.note(tx, self._context, audit.Event.DATA_DOWNLOADED, user_id, grant.origin, by=grant.by)

        def collect(tx: Tx) -> dict[str, Any]:
            account, profile = accounts.get(tx, user_id), profiles.get(tx, user_id)
            if account is None or profile is None:
                raise Forbidden(Text("This account has been deactivated."))
            chosen = preferences.get(tx, user_id)
            contacts = threepids.of_user(tx, user_id)
            canonical = [contact.canonical for contact in contacts]
            reports = [found for one in canonical if (found := suppressions.get(tx, one)) is not None]
            return {
                "account": {
                    "user_id": account.user_id,
                    "created_at": account.created_at,
                    "locked_at": account.locked_at,
                    "is_admin": accounts.is_admin(tx, user_id),
                },
                "profile": _object("profile", profile),
                "contacts": _objects("contacts", contacts),
                "bindings": _objects("bindings", threepids.bindings_of_user(tx, user_id)),
                "associations": _objects("associations", associations.of_user(tx, user_id)),
                "devices": _objects("devices", devices.of_user(tx, user_id)),
                "apps": [_of_app(app) for app in oauth.apps_of(tx, user_id)],
                "validations": _objects("validations", validations.of_owner(tx, user_id)),
                "proofs": _objects("proofs", validations.remote_of_user(tx, user_id)),
                "invitations": _objects("invitations", invites.of_user(tx, user_id, count=_MOST_ENTRIES)),
                "messages": _objects("messages", _messages(tx, contacts)),
                "suppressions": _objects("suppressions", reports),
                "accepted_terms": _objects("accepted_terms", terms.accepted(tx, user_id)),
                "preferences": {"language": chosen.language, "muted_notices": sorted(chosen.muted)},
            }

        await self._context.database.write(note)
        data = await self._context.database.read_aside(collect)
        browsers = await self._sessions.list_of(user_id)
        log = await audit.entries_of(self._context, user_id, count=_MOST_ENTRIES)
        return {
            "format": FORMAT,
            "exported_at": self._context.clock.now(),
            **data,
            "browser_sessions": _objects("browser_sessions", browsers),
            "security_log": [_of_log(entry) for entry in log],
        }


def _messages(tx: Tx, contacts: Iterable[threepids.Threepid]) -> list[outbox.Listed]:
    """The newest messages to these contacts. Those from before somebody had the address may be another person's."""
    found: list[outbox.Listed] = []
    for contact in contacts:
        addresses = {contact.canonical, contact.address}
        found += outbox.to_recipients(tx, addresses, since=contact.added_at, count=_MOST_ENTRIES)
    found.sort(key=lambda job: (job.created_at, job.id), reverse=True)
    return found[:_MOST_ENTRIES]


def _of_log(entry: audit.Entry) -> dict[str, Any]:
    """An entry of the log. Who an operator is, is not the owner's affair."""
    origin = {"network": entry.origin.network, "browser": entry.origin.browser, "system": entry.origin.system}
    return {
        "at": entry.at,
        "event": entry.event,
        "by": entry.caller_kind,
        "origin": origin,
        "details": entry.details,
    }


def _of_app(app: oauth.App) -> dict[str, Any]:
    """A device of an app, with what the app says of itself."""
    told = msgspec.json.decode(app.metadata, type=dict[str, Any])
    own = {"client_name": told.get("client_name"), "client_uri": told.get("client_uri")}
    return {name: own[name] if name in own else getattr(app, name) for name in MEMBERS["apps"]}


def _object(member: str, row: Struct) -> dict[str, Any]:
    return {name: getattr(row, name) for name in MEMBERS[member]}


def _objects(member: str, rows: Iterable[Struct]) -> list[dict[str, Any]]:
    return [_object(member, row) for row in rows]
