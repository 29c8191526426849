"""The data of an account, for its owner: everything that the server keeps about it, except secrets and their hashes."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from threepid.domain import audit
from threepid.domain.authentication.grants import Grant
from threepid.domain.authentication.web_sessions import WebSessions
from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import Forbidden
from threepid.storage import accounts, devices, preferences, profiles, terms, threepids
from threepid.storage.engine.database import Tx

FORMAT: Final = 1
"""Version of the shape of the file. A member that is added does not raise it."""
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
            audit.note(tx, self._context, audit.Event.DATA_DOWNLOADED, user_id, grant.origin)

        def collect(tx: Tx) -> dict[str, Any]:
            account = accounts.get(tx, user_id)
            if account is None:
                raise Forbidden(Text("This account has been deactivated."))
            chosen = preferences.get(tx, user_id)
            profile = profiles.get(tx, user_id)
            return {
                "format": FORMAT,
                "exported_at": self._context.clock.now(),
                "user_id": user_id,
                "profile": None if profile is None else asdict(profile),
                "contacts": _rows(threepids.of_user(tx, user_id)),
                "bindings": _rows(threepids.bindings_of_user(tx, user_id)),
                "devices": _rows(devices.of_user(tx, user_id)),
                "accepted_terms": _rows(terms.accepted(tx, user_id)),
                "preferences": {"language": chosen.language, "muted_notices": sorted(chosen.muted)},
            }

        await self._context.database.write(note)
        data = await self._context.database.read_aside(collect)
        browsers = await self._sessions.list_of(user_id)
        log = await audit.entries_of(self._context, user_id, count=_MOST_ENTRIES)
        return {
            **data,
            "browser_sessions": _rows(browsers),
            "security_log": msgspec.to_builtins(log),
        }


def _rows(found: Iterable[Struct]) -> list[dict[str, Any]]:
    return [asdict(row) for row in found]
