"""Makes records of Synapse's rows, and findings of what is not carried. No row stops an import, whatever is in it."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from threepid.clock import SECOND
from threepid.domain.addresses import InvalidAddress, parse_address
from threepid.importers import records
from threepid.importers.records import Account, Finding, Kind
from threepid.importers.synapse import reader
from threepid.importers.synapse.configuration import Settings
from threepid.importers.synapse.reader import Rows
from threepid.importers.values import SHORTEST_TOKEN, TOKEN, shown, time_of
from threepid.storage.threepids import Threepid

_LOCALPART: Final = re.compile(r"[\x21-\x39\x3b-\x7e]+")
"""All user IDs that any version of the specification allowed: https://spec.matrix.org/latest/appendices/#historical-user-ids"""
_MOST_USER_ID: Final = 255
_DEVICE_ID: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")
_NO_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_BCRYPT: Final = re.compile(r"\$2[aby]\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}")
_COSTS: Final = range(4, 16)
"""Costs of bcrypt that are verified: each more doubles the time, and 15 takes seconds."""
_LONGEST_NAME: Final = 256
_LONGEST_USER_AGENT: Final = 256
_LONGEST_IP: Final = 60


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
        sessions = _Sessions(self._now, self._hash_token, user_id, created_at or 0, findings)
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


class _Sessions:
    """The devices and tokens of one user."""

    def __init__(
        self, now: int, hash_token: Callable[[str], bytes], user_id: str, created_at: int, findings: list[Finding]
    ) -> None:
        self._now = now
        self._hash_token = hash_token
        self._user_id = user_id
        self._created_at = created_at
        self._findings = findings
        self.devices: dict[str, records.Device] = {}
        self.refresh: dict[bytes, records.RefreshToken] = {}
        self.access: dict[bytes, records.AccessToken] = {}
        self._hashes: set[bytes] = set()

    def read(self, rows: Rows) -> None:
        """Take what can be carried."""
        for device in rows.devices:
            self._device(device)
        hashes = self._refresh_tokens(rows)
        for token in rows.access_tokens:
            self._access_token(token, hashes)

    def _device(self, row: reader.Device) -> None:
        if row.hidden or (row.dehydrated is not None and row.dehydrated == row.device_id):
            self._note(Kind.HIDDEN_DEVICE, shown(row.device_id))
            return
        if not isinstance(row.device_id, str) or not _DEVICE_ID.fullmatch(row.device_id):
            self._note(Kind.INVALID_DEVICE, shown(row.device_id))
            return
        seen_at = time_of(row.last_seen)
        self.devices[row.device_id] = records.Device(
            device_id=row.device_id,
            display_name=_text(row.display_name, _LONGEST_NAME),
            created_at=self._created_at,
            seen_at=seen_at,
            seen_from=_ip(row.ip) if isinstance(row.ip, str) and len(row.ip) <= _LONGEST_IP else None,
            user_agent=_text(row.user_agent, _LONGEST_USER_AGENT),
        )

    def _refresh_tokens(self, rows: Rows) -> dict[Any, tuple[bytes, bytes | None]]:
        """Take the valid refresh tokens.

        Returns the hash of each by the row's ID, with the hash of the token that it replaces, while that is valid too.
        """
        if not rows.refresh_tokens:
            return {}
        spent = _spent(rows)
        valid: dict[Any, tuple[reader.RefreshToken, bytes, int | None]] = {}
        for token in rows.refresh_tokens:
            if token.id in spent:
                self._note(Kind.SPENT_TOKEN, "refresh token")
            elif (found := self._valid(token)) is not None:
                valid[token.id] = token, *found
        replaces = {token.next_token_id: token_hash for token, token_hash, _ in valid.values()}
        hashes = {}
        for token_id, (token, token_hash, expires_at) in valid.items():
            parent = replaces.get(token_id)
            hashes[token_id] = token_hash, parent
            self.refresh[token_hash] = records.RefreshToken(token.device_id, token_hash, parent, expires_at)
        return hashes

    def _valid(self, token: reader.RefreshToken) -> tuple[bytes, int | None] | None:
        """The hash of a refresh token and when it expires, or None if it cannot be carried."""
        ends = [time_of(at) for at in (token.expiry_ts, token.ultimate_session_expiry_ts) if at is not None]
        expires_at = min((end for end in ends if end is not None), default=None)
        if None in ends:
            self._note(Kind.DAMAGED, "refresh_tokens")
            return None
        if expires_at is not None and expires_at <= self._now:
            self._note(Kind.EXPIRED_TOKEN, "refresh token")
            return None
        token_hash = self._hash(token, "refresh token")
        return None if token_hash is None else (token_hash, expires_at)

    def _access_token(self, token: reader.AccessToken, refresh: Mapping[Any, tuple[bytes, bytes | None]]) -> None:
        if token.puppets_user_id is not None:
            self._note(Kind.PUPPET_TOKEN, f"for {shown(token.puppets_user_id)}")
            return
        expires_at = None if token.valid_until_ms is None else time_of(token.valid_until_ms)
        if token.valid_until_ms is not None and expires_at is None:
            self._note(Kind.DAMAGED, "access_tokens")
            return
        if expires_at is not None and expires_at <= self._now:
            self._note(Kind.EXPIRED_TOKEN, "access token")
            return
        token_hash = self._hash(token, "access token")
        if token_hash is None:
            return
        with_refresh = token.refresh_token_id is not None
        refresh_hash, parent = refresh.get(token.refresh_token_id, (None, None)) if with_refresh else (None, None)
        self.access[token_hash] = records.AccessToken(
            token.device_id, token_hash, expires_at, refresh_hash, None if token.used else parent
        )

    def _hash(self, token: reader.AccessToken | reader.RefreshToken, what: str) -> bytes | None:
        """The hash of a token that can be carried, or None."""
        if not isinstance(token.device_id, str) or token.device_id not in self.devices:
            self._note(Kind.TOKEN_WITHOUT_DEVICE, f"{what} of {shown(token.device_id)}")
            return None
        if not isinstance(token.token, str) or not TOKEN.fullmatch(token.token):
            self._note(Kind.DAMAGED, what)
            return None
        if len(token.token) < SHORTEST_TOKEN:
            self._note(Kind.WEAK_TOKEN, what)
            return None
        token_hash = self._hash_token(token.token)
        if token_hash in self._hashes:
            self._note(Kind.TOKEN_TAKEN, what)
            return None
        self._hashes.add(token_hash)
        return token_hash

    def _note(self, kind: Kind, detail: str) -> None:
        self._findings.append(Finding(kind, self._user_id, detail))


def _spent(rows: Rows) -> set[Any]:
    """The IDs of refresh tokens whose next token, or the access token that was issued with that, was used already.

    https://spec.matrix.org/latest/client-server-api/#refreshing-access-tokens
    """
    used = {token.refresh_token_id for token in rows.access_tokens if token.used}
    by_id = {token.id: token for token in rows.refresh_tokens}
    spent = set()
    for token in rows.refresh_tokens:
        if token.next_token_id is not None:
            following = by_id.get(token.next_token_id)
            if following is None or following.next_token_id is not None or following.id in used:
                spent.add(token.id)
    return spent


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
    return (_text(user.appservice_id, _LONGEST_NAME) or "unknown") if user.appservice_id else None


def _text(value: Any, most: int) -> str | None:
    """A text without control characters, cut to `most` characters."""
    if not isinstance(value, str):
        return None
    if len(value) <= most and value.isprintable():  # most texts
        return value.strip() or None
    return _NO_TEXT.sub(" ", value[: most * 2]).strip()[:most] or None


@lru_cache(10_000)
def _ip(text: str) -> str | None:
    """The address, in its usual form, or None if it is none. Many devices have the same one."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None


def _contact(row: reader.Contact | reader.Binding) -> str:
    return f"{shown(row.medium)} {shown(row.address)}"
