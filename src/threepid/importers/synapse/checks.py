"""Makes records of Synapse's rows, and findings of what is not carried. No row stops an import, whatever is in it.

`sessions` does this for devices and their tokens.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from threepid.clock import SECOND
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.importers.records import Account, Finding, Kind
from threepid.importers.synapse import reader
from threepid.importers.synapse.configuration import Settings
from threepid.importers.synapse.reader import Rows
from threepid.importers.synapse.sessions import Sessions
from threepid.importers.values import shown, text, time_of
from threepid.storage.threepids import Threepid

_LOCALPART: Final = re.compile(r"[\x21-\x39\x3b-\x7e]+")
"""All user IDs that any version of the specification allowed: https://spec.matrix.org/latest/appendices/#historical-user-ids"""
_MOST_USER_ID: Final = 255
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_LONGEST_SERVICE: Final = 256
_COSTS: Final = range(4, 16)
"""Costs of bcrypt that are verified: each more doubles the time, and 15 takes seconds."""


class Checks:
    """Checks the rows of one Synapse."""

    def __init__(
        self,
        settings: Settings,
        *,
        now: int,
        hash_token: Callable[[str], bytes],
        peppered: Callable[[str], str],
        spellings: Mapping[tuple[str, str], list[tuple[Any, ...]]],
    ) -> None:
        """`peppered` marks a hash of Synapse as one with its pepper. `spellings`: see `Reader.spellings`."""
        self._settings = settings
        self._now = now
        self._hash_token = hash_token
        self._peppered = peppered
        self._losers = {(user, address): owner for rows in spellings.values() for user, address, owner in _losers(rows)}
        self.seen = dict.fromkeys(reader.COUNTED, 0)
        """How many rows of each table were looked at."""

    def account(self, rows: Rows) -> tuple[Account | None, list[Finding]]:
        """The account of a user, or None if it is not carried, and the findings."""
        self._count(rows)
        findings: list[Finding] = []
        user = rows.user
        if (kind := self._refused(user)) is not None:
            return None, [Finding(kind, shown(user.name))]
        user_id: str = user.name
        created_at = time_of(user.creation_ts, SECOND)
        if created_at is None:
            findings.append(Finding(Kind.DAMAGED, user_id, "users.creation_ts"))
        self._note(rows, findings)
        if user.deactivated:
            # Synapse leaves rows of its own behind in some versions.
            left = len(rows.contacts) + len(rows.access_tokens) + len(rows.devices)
            findings += [Finding(Kind.DEACTIVATED, user_id, f"{left} rows")] if left else []
            return Account(
                user_id=user_id, created_at=created_at or 0, deactivated=True, application_service=_service(user)
            ), findings
        sessions = Sessions(self._now, self._hash_token, user_id, created_at or 0, findings)
        if user.appservice_id:
            count = len(rows.devices) + len(rows.access_tokens)
            findings += [Finding(Kind.APPLICATION_SERVICE, user_id, f"{count} rows")] if count else []
        else:
            sessions.read(rows)
        account = Account(
            user_id=user_id,
            created_at=created_at or 0,
            password_hash=self._password(user, findings),
            locked=self._is_locked(user, findings),
            admin=self._is_admin(user, findings),
            application_service=_service(user),
            contacts=self._contacts(rows, findings),
            devices=tuple(sessions.devices.values()),
            refresh_tokens=tuple(sessions.refresh.values()),
            access_tokens=tuple(sessions.access.values()),
        )
        if account.password_hash is None and not account.contacts and not user.appservice_id:
            findings.append(Finding(Kind.NO_WAY_IN, user_id))
        return account, findings

    def _count(self, rows: Rows) -> None:
        seen = self.seen
        seen["users"] += 1
        seen["user_threepids"] += len(rows.contacts)
        seen["devices"] += len(rows.devices)
        seen["access_tokens"] += len(rows.access_tokens)
        seen["refresh_tokens"] += len(rows.refresh_tokens)

    def _refused(self, user: reader.User) -> Kind | None:
        name = user.name
        if not isinstance(name, str):
            return Kind.DAMAGED
        localpart, colon, server_name = name.removeprefix("@").partition(":")
        if not name.startswith("@") or not colon or len(name) > _MOST_USER_ID or not _LOCALPART.fullmatch(localpart):
            return Kind.INVALID_USER
        if server_name != self._settings.server_name:
            return Kind.OTHER_SERVER
        return Kind.GUEST if user.is_guest else None

    @staticmethod
    def _note(rows: Rows, findings: list[Finding]) -> None:
        """Note what stays with the homeserver."""
        user, user_id = rows.user, rows.user.name
        if user.shadow_banned:
            findings.append(Finding(Kind.SHADOW_BANNED, user_id))
        if user.suspended:
            findings.append(Finding(Kind.SUSPENDED, user_id))
        if user.erased:
            findings.append(Finding(Kind.ERASED, user_id))
        findings += [
            Finding(Kind.EXTERNAL_ID, user_id, f"{shown(one.auth_provider)}: {shown(one.external_id)}")
            for one in rows.external_ids
        ]
        findings += [
            Finding(Kind.BINDING, user_id, f"{_contact(one)} at {shown(one.id_server)}") for one in rows.bindings
        ]

    def _is_locked(self, user: reader.User, findings: list[Finding]) -> bool:
        expired = self._settings.expires_accounts and isinstance(user.expires_at, int) and user.expires_at <= self._now
        waits = self._settings.needs_approval and user.approved is not None and not user.approved
        reasons = [
            reason
            for reason, holds in (("locked", user.locked), ("waits for approval", waits), ("validity is over", expired))
            if holds
        ]
        if reasons:
            findings.append(Finding(Kind.LOCKED, user.name, ", ".join(reasons)))
        return bool(reasons)

    @staticmethod
    def _is_admin(user: reader.User, findings: list[Finding]) -> bool:
        # Exactly 1, as Synapse writes it: a damaged value must not make administrators.
        if user.admin == 1 and isinstance(user.admin, int):
            findings.append(Finding(Kind.ADMIN, user.name))
            return True
        return False

    def _password(self, user: reader.User, findings: list[Finding]) -> str | None:
        if user.password_hash is None or user.password_hash == "":
            return None
        if not self._settings.has_passwords:
            findings.append(Finding(Kind.PASSWORD_OFF, user.name))
            return None
        found = _BCRYPT.fullmatch(user.password_hash) if isinstance(user.password_hash, str) else None
        if found is None or int(found["cost"]) not in _COSTS:
            findings.append(Finding(Kind.UNKNOWN_PASSWORD, user.name))
            return None
        return self._peppered(found[0])

    def _contacts(self, rows: Rows, findings: list[Finding]) -> tuple[Threepid, ...]:
        user_id = rows.user.name
        found: dict[tuple[str, str], Threepid] = {}
        for row in rows.contacts:
            validated_at, added_at = time_of(row.validated_at), time_of(row.added_at)
            if not isinstance(row.medium, str) or not isinstance(row.address, str) or None in (validated_at, added_at):
                findings.append(Finding(Kind.DAMAGED, user_id, f"user_threepids: {_contact(row)}"))
                continue
            try:
                address = parse_address(row.medium, row.address)
            except InvalidAddress:
                findings.append(Finding(Kind.INVALID_CONTACT, user_id, _contact(row)))
                continue
            if (owner := self._losers.get((user_id, row.address))) is not None:
                findings.append(
                    Finding(Kind.CONTACT_TAKEN, user_id, f"{_contact(row)}, which belongs to {shown(owner)}")
                )
                continue
            contact = Threepid(address.medium, address.canonical, address.address, validated_at or 0, added_at or 0)
            other = found.get((contact.medium, contact.canonical))
            if other is not None:
                findings.append(Finding(Kind.CONTACT_TAKEN, user_id, f"{_contact(row)}, which is another spelling"))
            if other is None or contact.added_at < other.added_at:
                found[contact.medium, contact.canonical] = contact
        if len(found) < 2:  # noqa: PLR2004 - nothing to sort, as for most people
            return tuple(found.values())
        return tuple(sorted(found.values(), key=lambda contact: (contact.added_at, contact.canonical)))


def _losers(rows: list[tuple[Any, ...]]) -> list[tuple[Any, Any, Any]]:
    """Of several users' spellings of one address, those that do not get it, each with the user who does.

    Synapse looks an address up in lower case, so the user who has that spelling owns it today; else who added it first.
    """
    rows = [row for row in rows if isinstance(row[0], str) and isinstance(row[1], str)]
    if not rows:
        return []
    owner = next((user for user, address, _ in rows if address == address.lower()), rows[0][0])
    return [(user, address, owner) for user, address, _ in rows if user != owner]


def _service(user: reader.User) -> str | None:
    """The application service that owns the user. A damaged name counts too: the user's devices are not ours."""
    return (text(user.appservice_id, _LONGEST_SERVICE) or "unknown") if user.appservice_id else None


def _contact(row: reader.Contact | reader.Binding) -> str:
    return f"{shown(row.medium)} {shown(row.address)}"
