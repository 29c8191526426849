"""Makes records of the devices and tokens of one user of Synapse, and findings of those that are not carried."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Final

from threepid.importers import records
from threepid.importers.records import Finding, Kind
from threepid.importers.synapse import reader
from threepid.importers.synapse.reader import Rows
from threepid.importers.values import SHORTEST_TOKEN, TOKEN, end_of, shown, text, time_of

_LONGEST_NAME: Final = 256
_LONGEST_USER_AGENT: Final = 256
_LONGEST_IP: Final = 60
_DEVICE_ID: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,255}")


class Sessions:
    """The devices and tokens of one user."""

    def __init__(
        self, now: int, hash_token: Callable[[str], bytes], user_id: str, created_at: int, findings: list[Finding]
    ) -> None:
        """`created_at` is the account's time; `findings` gets what is not carried."""
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
            display_name=text(row.display_name, _LONGEST_NAME),
            created_at=self._created_at,
            seen_at=seen_at,
            seen_from=_ip(row.ip) if isinstance(row.ip, str) and len(row.ip) <= _LONGEST_IP else None,
            user_agent=text(row.user_agent, _LONGEST_USER_AGENT),
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
        ends = [end_of(at) for at in (token.expiry_ts, token.ultimate_session_expiry_ts) if at is not None]
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
        expires_at = None if token.valid_until_ms is None else end_of(token.valid_until_ms)
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


@lru_cache(10_000)
def _ip(text: str) -> str | None:
    """The address, in its usual form, or None if it is none. Many devices have the same one."""
    try:
        return str(ip_address(text))
    except ValueError:
        return None
