"""Makes records of the values of rows, and findings of what is not carried. No row stops an import, whatever is in it."""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

from unpaddedbase64 import decode_base64, encode_base64

from threepid.config import TermsDocument
from threepid.domain.addresses import InvalidAddress, canonical_form
from threepid.importers.identity.records import Acceptance, Binding, Invitation, InvitationKey, Token, Unbinding
from threepid.importers.records import Finding, Kind
from threepid.importers.values import SHORTEST_TOKEN, TOKEN, end_of, shown, time_of
from threepid.spec.server_name import is_server_name

_ROOM_ID: Final = re.compile(r"![^\x00-\x20\x7f\ud800-\udfff]{1,254}")
_LOCALPART: Final = re.compile(r"[\x21-\x39\x3b-\x7e]+")
"""All user IDs that any version of the specification allowed: https://spec.matrix.org/latest/appendices/#historical-user-ids"""
_MOST_USER_ID: Final = 255
_KEY_BYTES: Final = 32


class Checks:
    """Checks rows, and gathers the findings of a batch."""

    def __init__(self, *, now: int, hash_token: Callable[[str], bytes], documents: Iterable[TermsDocument]) -> None:
        """`documents` are the terms of this identity server."""
        self._now = now
        self._hash_token = hash_token
        self._documents = {
            text.url: (document.id, document.version) for document in documents for text in document.languages.values()
        }
        self._findings: list[Finding] = []

    def taken(self) -> list[Finding]:
        """The findings since the last call."""
        found, self._findings = self._findings, []
        return found

    def note(self, kind: Kind, user_id: Any = "", detail: str = "") -> None:
        """Note a finding."""
        self._findings.append(Finding(kind, shown(user_id) if user_id != "" else "", detail))

    def binding(self, medium: Any, address: Any, mxid: Any, times: Sequence[Any]) -> Binding | None:
        """An association; `times` are those of binding, beginning and end."""
        canonical = self._canonical(medium, address, mxid)
        if canonical is None or not self._is_user(mxid):
            return None
        bound_at, not_before, not_after = time_of(times[0]), time_of(times[1]), end_of(times[2])
        if bound_at is None or not_before is None or not_after is None:
            self.note(Kind.DAMAGED, mxid, f"times of {shown(medium)} {shown(address)}")
            return None
        if not_after <= self._now:
            self.note(Kind.EXPIRED_ASSOCIATION, mxid, f"{medium} {shown(address)}")
            return None
        spelling = "" if address == canonical else address
        return Binding(medium, canonical, mxid, bound_at, not_before, not_after, spelling)

    def unbinding(self, medium: Any, address: Any, time: Any) -> Unbinding | None:
        """An address that was unbound."""
        canonical = self._canonical(medium, address, "")
        unbound_at = time_of(time)
        if canonical is None or unbound_at is None:
            return None
        return Unbinding(medium, canonical, unbound_at)

    def token(self, user_id: Any, token: Any, created_at: int) -> Token | None:
        """An access token."""
        if not self._is_user(user_id):
            return None
        if not isinstance(token, str) or not TOKEN.fullmatch(token):
            self.note(Kind.DAMAGED, user_id, "access token")
            return None
        if len(token) < SHORTEST_TOKEN:
            self.note(Kind.WEAK_TOKEN, user_id, "access token")
            return None
        return Token(user_id, self._hash_token(token), created_at)

    def invitation(
        self,
        medium: Any,
        address: Any,
        room_id: Any,
        sender: Any,
        token: Any,
        *,
        public_key: str,
        created_at: int | None,
    ) -> Invitation | None:
        """An invitation that waits."""
        canonical = self._canonical(medium, address, sender)
        if canonical is None:
            return None
        if (
            not isinstance(room_id, str)
            or not _ROOM_ID.fullmatch(room_id)
            or not isinstance(token, str)
            or not TOKEN.fullmatch(token)
            or len(token) < SHORTEST_TOKEN
            or not _is_user_id(sender)
        ):
            self.note(Kind.INVALID_INVITE, sender, f"{medium} {shown(address)}")
            return None
        made = self._now if created_at is None else created_at
        return Invitation(token, medium, canonical, room_id, sender, public_key, made)

    def key(self, public_key: Any, created_at: int | None) -> InvitationKey | None:
        """A public key of an invitation, in base64 of any kind."""
        plain = plain_key(public_key)
        if plain is None:
            self.note(Kind.INVALID_KEY, detail=shown(public_key))
            return None
        return InvitationKey(plain, self._now if created_at is None else created_at)

    def acceptance(self, user_id: Any, url: Any, accepted_at: int | None) -> Acceptance | None:
        """An accepted document."""
        if not self._is_user(user_id):
            return None
        document = self._documents.get(url) if isinstance(url, str) else None
        if document is None:
            self.note(Kind.UNKNOWN_TERMS, user_id, shown(url))
            return None
        return Acceptance(user_id, *document, self._now if accepted_at is None else accepted_at)

    def _canonical(self, medium: Any, address: Any, user_id: Any) -> str | None:
        if isinstance(medium, str) and isinstance(address, str):
            try:
                return canonical_form(medium, address)
            except InvalidAddress:
                pass
        self.note(Kind.INVALID_CONTACT, user_id or "", f"{shown(medium)} {shown(address)}")
        return None

    def _is_user(self, user_id: Any) -> bool:
        if _is_user_id(user_id):
            return True
        self.note(Kind.INVALID_USER, user_id)
        return False


def plain_key(public_key: Any) -> str | None:
    """A public key as unpadded standard base64; None if it is no ed25519 key."""
    if not isinstance(public_key, str) or not public_key.isascii():
        return None
    try:
        key = decode_base64(public_key)
    except ValueError:
        return None
    return encode_base64(key) if len(key) == _KEY_BYTES else None


def _is_user_id(user_id: Any) -> bool:
    if not isinstance(user_id, str) or not user_id.startswith("@") or len(user_id) > _MOST_USER_ID:
        return False
    localpart, colon, server_name = user_id[1:].partition(":")
    return bool(colon) and _LOCALPART.fullmatch(localpart) is not None and _is_server(server_name)


@lru_cache(10_000)
def _is_server(name: str) -> bool:
    """Is it a server name? Many users have the same one."""
    return is_server_name(name)
