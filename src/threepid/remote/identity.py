"""Calls to other identity servers. https://spec.matrix.org/latest/identity-service-api/."""

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from threepid.remote.guard import Call, Guard, RemoteAnswer, RemoteError, RemoteRefused
from threepid.spec.server_name import parse_server_name

_V1: Final = "/_matrix/identity/api/v1"
_V2: Final = "/_matrix/identity/v2"
_NO: Final = frozenset({"M_NO_VALID_SESSION", "M_SESSION_NOT_VALIDATED", "M_SESSION_EXPIRED"})


class SessionRefused(Exception):
    """The identity server says that the session does not prove anything."""


class ValidatedThreepid(Struct, frozen=True):
    """What another identity server says that a session proves; the time in milliseconds."""

    medium: Annotated[str, Meta(max_length=32)]
    address: Annotated[str, Meta(min_length=1, max_length=500)]
    validated_at: Annotated[int, Meta(ge=1)]


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Is the server `name` one of `patterns`: exactly, or as `*.example.org`, `localhost:*`, `*`?"""
    try:
        parse_server_name(name)
    except ValueError:
        return False
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


class IdentityClient:
    """Calls other identity servers, by v2 with the user's token, by v1 where they speak that only."""

    def __init__(self, guard: Guard) -> None:
        """Call through `guard`."""
        self._guard = guard

    async def validated_threepid(
        self, id_server: str, sid: str, client_secret: str, id_access_token: str | None
    ) -> ValidatedThreepid:
        """What the session proves. Raises SessionRefused, or RemoteError if the server cannot say.

        https://spec.matrix.org/latest/identity-service-api/#get_matrixidentityv23pidgetvalidated3pid
        """
        query = urlencode({"sid": sid, "client_secret": client_secret})

        def ask(base: str, headers: dict[str, str]) -> Call:
            return self._to(id_server, path=f"{base}/3pid/getValidated3pid?{query}", headers=headers)

        try:
            answer = await self._v2_then_v1(ask, id_access_token)
        except RemoteRefused as error:
            if error.errcode in _NO:
                raise SessionRefused(error.errcode) from error
            raise RemoteError(f"refused: {error}") from error
        try:
            return msgspec.convert(answer, ValidatedThreepid)
        except msgspec.ValidationError:
            raise RemoteError("no validated session in the answer") from None

    async def bind(self, id_server: str, sid: str, client_secret: str, mxid: str, id_access_token: str | None) -> None:
        """Publish the session's address for `mxid`. Raises RemoteRefused or RemoteError.

        https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidbind
        """
        body = msgspec.json.encode({"sid": sid, "client_secret": client_secret, "mxid": mxid})

        def ask(base: str, headers: dict[str, str]) -> Call:
            return self._to(
                id_server,
                method="POST",
                path=f"{base}/3pid/bind",
                headers={**headers, "Content-Type": "application/json"},
                body=body,
            )

        await self._v2_then_v1(ask, id_access_token)

    async def _v2_then_v1(self, ask: Callable[[str, dict[str, str]], Call], token: str | None) -> dict[str, Any]:
        if token is not None:
            answer = await self._guard.call(ask(_V2, {"Authorization": f"Bearer {token}"}))
            if answer.status not in (HTTPStatus.NOT_FOUND, HTTPStatus.UNAUTHORIZED) or _errcode(answer) in _NO:
                return _content(answer)
        return _content(await self._guard.call(ask(_V1, {})))

    @staticmethod
    def _to(id_server: str, **parts: Any) -> Call:
        try:
            address = parse_server_name(id_server)
        except ValueError:
            raise RemoteError("no server name") from None
        return Call(host=address.host, port=address.port or 443, host_header=id_server, **parts)


def _errcode(answer: RemoteAnswer) -> str | None:
    try:
        errcode = answer.json().get("errcode")
    except RemoteError:
        return None
    return errcode if isinstance(errcode, str) else None


def _content(answer: RemoteAnswer) -> dict[str, Any]:
    content = answer.json()
    errcode = content.get("errcode")
    if isinstance(errcode, str):  # old servers answer errors with 200
        raise RemoteRefused(answer.status, errcode)
    if answer.status != HTTPStatus.OK:
        raise RemoteError(f"status {answer.status}")
    return content
