"""Apps: registration, and what people see of them. https://spec.matrix.org/latest/client-server-api/#client-registration."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from canonicaljson import encode_canonical_json
from msgspec import Struct

from threepid.clock import DAY, SKEW
from threepid.domain.context import Context
from threepid.domain.limits import take_app
from threepid.domain.names import harmless
from threepid.spec.oauth.clients import client_id, client_metadata, localized
from threepid.spec.oauth.redirects import parse_web_uri
from threepid.storage import oauth
from threepid.storage.engine.database import Tx

KEPT_UNUSED: Final = 7 * DAY
"""How long an app without sessions stays registered: apps store their ID, and use it for the next sign-in."""
_NOTED: Final = DAY
"""How often it is noted that an app has sessions. After the last one ended, it stays up to this much less than `KEPT_UNUSED`."""
_NAME: Final = 60
"""Maximum number of characters of an app's name on a page."""


class Client(Struct, frozen=True):
    """A registered app."""

    client_id: str
    metadata: Mapping[str, Any]
    created_at: int

    @property
    def redirect_uris(self) -> tuple[str, ...]:
        """The addresses to which it may be answered."""
        return tuple(self.metadata.get("redirect_uris", ()))

    @property
    def host(self) -> str:
        """The host that is its home: its name may be anything, its host is what people can check."""
        home = parse_web_uri(self.metadata["client_uri"])
        return home.host if home else ""

    def may_use(self, grant_type: str) -> bool:
        """Did it register for this grant?"""
        return grant_type in self.metadata["grant_types"]

    def name(self, languages: Iterable[str]) -> str:
        """Its name in the first of `languages`, made harmless; its host if it has none."""
        return harmless(localized(self.metadata, "client_name", languages), _NAME) or self.host

    def link(self, member: str, languages: Iterable[str]) -> str:
        """One of its links, such as `tos_uri`; '' for none."""
        return localized(self.metadata, member, languages)


class Clients:
    """The registered apps."""

    def __init__(self, context: Context) -> None:
        """Keep the apps in the database of `context`."""
        self._context = context

    async def register(self, given: Mapping[str, Any], *, client: str) -> Client:
        """Register an app for a caller at the address `client`; one with the same metadata is the same app.

        Raises InvalidClientMetadata, InvalidRedirectUri and LimitExceeded.
        """
        metadata = client_metadata(given)
        identifier = client_id(metadata)
        text = encode_canonical_json(metadata).decode("utf-8")
        now = self._context.clock.now()

        def step(tx: Tx) -> int:
            known = oauth.client(tx, identifier) if oauth.use_client(tx, identifier, now) else None
            if known is not None:
                return known.created_at
            take_app(tx, self._context, client=client)
            if not oauth.insert_client(tx, client_id=identifier, metadata=text, now=now):
                oauth.use_client(tx, identifier, now)  # another request registered it meanwhile
            return now

        return Client(identifier, metadata, await self._context.database.write(step))

    async def get(self, identifier: str) -> Client | None:
        """The app with this ID, or None."""
        return await self._context.database.read(lambda tx: known_client(tx, identifier))

    async def names_of(self, user_id: str, languages: Iterable[str]) -> dict[str, str]:
        """The names of the apps of an account's sessions, by device ID."""
        wishes = tuple(languages)
        found = await self._context.database.read(lambda tx: oauth.apps_of(tx, user_id))
        return {app.device_id: Client("", msgspec.json.decode(app.metadata), 0).name(wishes) for app in found}


def known_client(tx: Tx, identifier: str) -> Client | None:
    """The app with this ID, or None."""
    found = oauth.client(tx, identifier)
    return None if found is None else Client(found.client_id, msgspec.json.decode(found.metadata), found.created_at)


def delete_unused(tx: Tx, now: int, *, at_most: int) -> int:
    """Delete apps without sessions that were not used lately; returns how many."""
    oauth.use_clients_with_sessions(tx, now, used_before=now - _NOTED, at_most=at_most)
    return oauth.delete_unused_clients(tx, used_before=now - KEPT_UNUSED, latest=now + SKEW, at_most=at_most)
