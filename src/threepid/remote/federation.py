"""Calls to homeservers: fetches their signing keys and the user IDs of their OpenID tokens."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64

from threepid.clock import DAY, MINUTE
from threepid.remote.discovery import Discovery
from threepid.remote.guard import MAX_BODY, Call, Guard, RemoteAnswer, RemoteError, RemoteRefused, Unreachable
from threepid.remote.homeserver.synapse import Synapse
from threepid.remote.patience import PATIENCE
from threepid.spec.types import parse_user_id

_USERINFO_BYTES: Final = 5_000
_KEYS_LIFE: Final = 7 * DAY
"""Maximum time for which keys are trusted, whatever their server says."""
_KEYS_PAUSE: Final = 5 * MINUTE
"""Pause before a server is asked again for a key that it did not have."""
_SERVERS_KNOWN: Final = 1_000
_KEY_ID: Final = re.compile(r"ed25519:\w{1,255}")
_KEY_BYTES: Final = 32


class VerifyKey(Struct, frozen=True):
    """A public key as unpadded base64."""

    key: Annotated[str, Meta(max_length=64)]


class PublishedKeys(Struct, frozen=True):
    """A server's published keys. https://spec.matrix.org/latest/server-server-api/#publishing-keys."""

    server_name: str
    verify_keys: Annotated[dict[str, Any], Meta(max_length=50)]
    """Keys of any algorithm by ID, because those of algorithms to come must not hide the others."""
    valid_until_ts: int
    signatures: dict[str, dict[str, str]] = {}


class KnownKeys(Struct, frozen=True):
    """The keys of a server, when it was asked, and until when they are trusted; times in milliseconds."""

    keys: dict[str, bytes]
    asked_at: int
    good_until: int


class Federation:
    """Calls homeservers."""

    def __init__(
        self,
        guard: Guard,
        discovery: Discovery,
        beside: Mapping[str, Synapse] | None = None,
        *,
        seconds: float = PATIENCE.federation,
    ) -> None:
        """Call the servers that `discovery` finds, through `guard`, and by their URL those that stand `beside` us, by name.

        `seconds` is the time limit of one request.
        """
        self._guard = guard
        self._discovery = discovery
        self._beside = beside or {}
        self._seconds = seconds
        self._known: dict[str, KnownKeys] = {}

    async def request(
        self,
        server_name: str,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        max_body: int = MAX_BODY,
    ) -> RemoteAnswer:
        """The answer of the homeserver `server_name`, from the first of its places that is reachable. Raises RemoteError."""
        if (beside := self._beside.get(server_name)) is not None:
            return await beside.federate(method, path, headers or {}, body or b"")
        try:
            async with asyncio.timeout(self._seconds):
                destination = await self._discovery.find(server_name)
                for place in destination.places:
                    call = Call(
                        method=method,
                        host=place.host,
                        port=place.port,
                        path=path,
                        host_header=destination.host_header,
                        tls_name=destination.tls_name,
                        headers=headers or {},
                        body=body,
                    )
                    try:
                        return await self._guard.call(call, max_body=max_body)
                    except Unreachable as error:
                        unreached = error
        except TimeoutError:
            raise RemoteError("took too long") from None
        raise unreached

    def knows(self, server_name: str, key_id: str, now: int) -> bool:
        """Can `public_key` answer from the cache?"""
        known = self._known.get(server_name)
        return (
            known is not None
            and known.good_until > now >= known.asked_at
            and (key_id in known.keys or known.asked_at + _KEYS_PAUSE > now)
        )

    async def public_key(self, server_name: str, key_id: str, now: int) -> bytes | None:
        """The signing key `ed25519:…` that `server_name` publishes, or None. Raises RemoteError.

        https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
        """
        if not self.knows(server_name, key_id, now):
            asked = await self._ask_for_keys(server_name, now)
            self._known.pop(server_name, None)
            if len(self._known) >= _SERVERS_KNOWN:  # names are untrusted input, so the cache is bounded
                del self._known[next(iter(self._known))]
            self._known[server_name] = asked
        return self._known[server_name].keys.get(key_id)

    async def _ask_for_keys(self, server_name: str, now: int) -> KnownKeys:
        answer = await self.request(server_name, "/_matrix/key/v2/server")
        content = answer.json()
        try:
            published = msgspec.convert(content, PublishedKeys)
        except msgspec.ValidationError:
            raise RemoteError("no keys in the answer") from None
        if answer.status != HTTPStatus.OK or published.server_name != server_name or published.valid_until_ts <= now:
            raise RemoteError("no keys in force in the answer")
        understood = {key_id: key for key_id, key in published.verify_keys.items() if _KEY_ID.fullmatch(key_id)}
        if not understood:
            raise RemoteError("no keys of a known algorithm in the answer")
        keys = {}
        for key_id, offered in understood.items():
            try:
                raw = decode_base64(msgspec.convert(offered, VerifyKey).key)
                if len(raw) != _KEY_BYTES:
                    continue
                verify_signed_json(content, server_name, decode_verify_key_bytes(key_id, raw))
            except (ValueError, SignatureVerifyException):
                continue  # a key that did not sign the list may belong to another server
            keys[key_id] = raw
        return KnownKeys(keys, now, min(published.valid_until_ts, now + _KEYS_LIFE))

    async def openid_userinfo(self, server_name: str, openid_token: str) -> str:
        """The user ID of an OpenID token, always a user of `server_name`. Raises RemoteRefused or RemoteError.

        https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1openiduserinfo
        """
        query = urlencode({"access_token": openid_token})
        answer = await self.request(
            server_name, f"/_matrix/federation/v1/openid/userinfo?{query}", max_body=_USERINFO_BYTES
        )
        content = answer.json()
        if answer.status != HTTPStatus.OK:
            errcode = content.get("errcode")
            if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and isinstance(errcode, str):
                raise RemoteRefused(answer.status, errcode)
            raise RemoteError(f"status {answer.status}")
        subject = content.get("sub")
        try:
            if not isinstance(subject, str) or parse_user_id(subject).server_name != server_name:
                raise ValueError(server_name)
        except ValueError:
            raise RemoteError("the user is not one of that server") from None
        return subject
