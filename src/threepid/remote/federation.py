"""Calls to homeservers: where one is found, and whose OpenID token it says that a token is.

https://spec.matrix.org/latest/server-server-api/#resolving-server-names
SRV records, caching and signed requests belong to the complete identity server.
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

from msgspec import Struct

from threepid.remote.guard import MAX_REDIRECTS, Call, Guard, RemoteAnswer, RemoteError, RemoteRefused
from threepid.spec.server_name import ServerAddress, parse_server_name
from threepid.spec.types import parse_user_id

_DEFAULT_PORT: Final = 8448
_USERINFO_BYTES: Final = 5_000
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


class Destination(Struct, frozen=True):
    """Where a homeserver answers, and the name that it must answer to."""

    host: str
    port: int
    host_header: str


class Federation:
    """Calls homeservers."""

    def __init__(self, guard: Guard) -> None:
        """Call through `guard`."""
        self._guard = guard

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
