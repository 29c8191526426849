"""Calls to homeservers: where one is found, with which keys it signs, and whose OpenID token it says that a token is.

https://spec.matrix.org/latest/server-server-api/#resolving-server-names
SRV records and caching of what was found belong to the complete identity server.
"""

from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec
from msgspec import Meta, Struct
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64

from threepid.clock import DAY, MINUTE
from threepid.remote.guard import MAX_REDIRECTS, Call, Guard, RemoteAnswer, RemoteError, RemoteRefused
from threepid.spec.server_name import ServerAddress, parse_server_name
from threepid.spec.types import parse_user_id

_DEFAULT_PORT: Final = 8448
_USERINFO_BYTES: Final = 5_000
_KEYS_LIFE: Final = 7 * DAY
"""Keys are not trusted for longer, whatever their server says."""
_KEYS_PAUSE: Final = 5 * MINUTE
"""A server that was just asked for its keys is not asked again for one that it did not have."""
_SERVERS_KNOWN: Final = 1_000
_KEY_BYTES: Final = 32
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class Destination(Struct, frozen=True):
    """Where a homeserver answers, and the name that it must answer to."""

    host: str
    port: int
    host_header: str


class VerifyKey(Struct, frozen=True):
    """A public key as unpadded base64."""

    key: Annotated[str, Meta(max_length=64)]


class PublishedKeys(Struct, frozen=True):
    """A server's keys as it publishes them. https://spec.matrix.org/latest/server-server-api/#publishing-keys."""

    server_name: str
    verify_keys: Annotated[dict[Annotated[str, Meta(pattern=r"\Aed25519:\w{1,255}\Z")], VerifyKey], Meta(max_length=50)]
    valid_until_ts: int


class KnownKeys(Struct, frozen=True):
    """The keys of a server, when it was asked, and until when they are good."""

    keys: dict[str, bytes]
    asked_at: int
    good_until: int


class Federation:
    """Calls homeservers."""

    def __init__(self, guard: Guard) -> None:
        """Call through `guard`."""
        self._guard = guard
        self._known: dict[str, KnownKeys] = {}

    async def public_key(self, server_name: str, key_id: str, now: int) -> bytes | None:
        """The key `ed25519:…` with which `server_name` says that it signs, or None. Raises RemoteError.

        https://spec.matrix.org/latest/server-server-api/#retrieving-server-keys
        """
        known = self._known.get(server_name)
        if known is not None and known.good_until > now:
            key = known.keys.get(key_id)
            if key is not None or known.asked_at + _KEYS_PAUSE > now:
                return key
        known = await self._ask_for_keys(server_name, now)
        if len(self._known) >= _SERVERS_KNOWN:  # names come from strangers: no endless table
            self._known.clear()
        self._known[server_name] = known
        return known.keys.get(key_id)

    async def _ask_for_keys(self, server_name: str, now: int) -> KnownKeys:
        destination = await self.find(server_name)
        answer = await self._guard.call(
            Call(
                host=destination.host,
                port=destination.port,
                host_header=destination.host_header,
                path="/_matrix/key/v2/server",
            )
        )
        content = answer.json()
        try:
            published = msgspec.convert(content, PublishedKeys)
        except msgspec.ValidationError:
            raise RemoteError("no keys in the answer") from None
        if answer.status != HTTPStatus.OK or published.server_name != server_name or published.valid_until_ts <= now:
            raise RemoteError("no keys in force in the answer")
        keys = {}
        for key_id, offered in published.verify_keys.items():
            try:
                raw = decode_base64(offered.key)
                if len(raw) != _KEY_BYTES:
                    continue
                verify_signed_json(content, server_name, decode_verify_key_bytes(key_id, raw))
            except (ValueError, SignatureVerifyException):
                continue  # a key that did not sign the list may be somebody else's
            keys[key_id] = raw
        return KnownKeys(keys, now, min(published.valid_until_ts, now + _KEYS_LIFE))

    async def openid_userinfo(self, server_name: str, openid_token: str) -> str:
        """The user ID whose OpenID token this is, always one of `server_name`. Raises RemoteRefused or RemoteError.

        https://spec.matrix.org/latest/server-server-api/#get_matrixfederationv1openiduserinfo
        """
        destination = await self.find(server_name)
        query = urlencode({"access_token": openid_token})
        answer = await self._guard.call(
            Call(
                host=destination.host,
                port=destination.port,
                host_header=destination.host_header,
                path=f"/_matrix/federation/v1/openid/userinfo?{query}",
            ),
            max_body=_USERINFO_BYTES,
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

    async def find(self, server_name: str) -> Destination:
        """Where `server_name` answers. Raises RemoteError."""
        address = _parse(server_name)
        if address.is_literal or address.port is not None:
            return Destination(address.host, address.port or _DEFAULT_PORT, server_name)
        delegated = await self._well_known(address.host)
        if delegated is not None:
            address, server_name = _parse(delegated), delegated
        return Destination(address.host, address.port or _DEFAULT_PORT, server_name)

    async def _well_known(self, host: str) -> str | None:
        url = f"https://{host}/.well-known/matrix/server"
        for _ in range(MAX_REDIRECTS + 1):
            try:
                answer = await self._get(url)
            except RemoteError:
                return None
            if answer.status not in _MOVED:
                break
            url = urljoin(url, answer.headers.get("location", ""))
        if answer.status != HTTPStatus.OK:
            return None
        try:
            delegated = answer.json().get("m.server")
            if isinstance(delegated, str):
                parse_server_name(delegated)
                return delegated
        except (RemoteError, ValueError):
            return None
        return None

    async def _get(self, url: str) -> RemoteAnswer:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port or 443
        except ValueError:
            raise RemoteError("no URL") from None
        if parts.scheme != "https" or host is None or parts.username is not None:
            raise RemoteError("redirected to something else than https")
        path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        return await self._guard.call(Call(host=host, port=port, path=path, host_header=parts.netloc))


def _parse(server_name: str) -> ServerAddress:
    try:
        return parse_server_name(server_name)
    except ValueError:
        raise RemoteError("no server name") from None
