"""Calls to other identity servers. https://spec.matrix.org/latest/identity-service-api/."""

import re
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct

from threepid.i18n import Verbatim
from threepid.remote.guard import Call, Guard, RemoteAnswer, RemoteError, RemoteRefused
from threepid.spec.server_name import parse_server_name
from threepid.spec.signing import DESTINATION_MEMBERS, SignedRequest, Signer

_V1: Final = "/_matrix/identity/api/v1"
_V2: Final = "/_matrix/identity/v2"
_NO: Final = frozenset({"M_NO_VALID_SESSION", "M_SESSION_NOT_VALIDATED", "M_SESSION_EXPIRED"})
_ERRCODE: Final = re.compile(r"[A-Z][A-Z0-9_.]{0,254}")
_JSON: Final = {"Content-Type": "application/json"}
_MAX_SENTENCE: Final = 500
_SIGNATURE_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class SessionRefused(Exception):
    """The identity server says that the session proves nothing."""


class Refusal(RemoteRefused):
    """An identity server's own error, with its sentence for people."""

    def __init__(self, status: int, content: dict[str, Any]) -> None:
        """Read `content`, a standard error response with this HTTP status."""
        super().__init__(status, content["errcode"])
        sentence = content.get("error")
        self.sentence = (
            Verbatim(sentence[:_MAX_SENTENCE]) if isinstance(sentence, str) and sentence.isprintable() else None
        )
        wait = content.get("retry_after_ms")
        self.retry_after_ms = wait if isinstance(wait, int) and wait > 0 else None


class ValidatedThreepid(Struct, frozen=True):
    """The address that a session at another identity server proves; the time is in milliseconds."""

    medium: Annotated[str, Meta(max_length=32)]
    address: Annotated[str, Meta(min_length=1, max_length=500)]
    validated_at: Annotated[int, Meta(ge=1)]


class Bound(Struct, frozen=True):
    """The members that we read of an association that another identity server has made."""

    medium: Annotated[str, Meta(max_length=32)]
    address: Annotated[str, Meta(min_length=1, max_length=500)]
    mxid: str


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Does the server `name` match one of `patterns`: exactly, or as `*.example.org`, `localhost:*`, `*`?"""
    try:
        parse_server_name(name)
    except ValueError:
        return False
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


class IdentityClient:
    """Calls other identity servers: v2 with the user's token, or v1 if they support only v1."""

    def __init__(self, guard: Guard) -> None:
        """Call through `guard`."""
        self._guard = guard

    async def validated_threepid(
        self, id_server: str, sid: str, client_secret: str, id_access_token: str | None
    ) -> ValidatedThreepid:
        """The address that the session proves. Raises SessionRefused, or RemoteError if the server cannot say.

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

    async def bind(self, id_server: str, sid: str, client_secret: str, mxid: str, id_access_token: str | None) -> Bound:
        """Bind the session's address to `mxid`. Raises Refusal, or RemoteError if the outcome is unknown.

        https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidbind
        """
        body = msgspec.json.encode({"sid": sid, "client_secret": client_secret, "mxid": mxid})

        def ask(base: str, headers: dict[str, str]) -> Call:
            return self._to(id_server, method="POST", path=f"{base}/3pid/bind", headers={**headers, **_JSON}, body=body)

        # The caller must learn that v2 rejects the token: v1 would bind without any token.
        answer = await self._v2_then_v1(ask, id_access_token, without_token=False)
        try:
            bound = msgspec.convert(answer, Bound)
        except msgspec.ValidationError:
            raise RemoteError("no association in the answer") from None
        if bound.mxid != mxid:
            raise RemoteError("an association of somebody else in the answer")
        return bound

    async def unbind(self, id_server: str, signer: Signer, *, mxid: str, medium: str, address: str) -> None:
        """Unbind an address of `mxid`, with a signature of its homeserver.

        Raises RemoteRefused if the server rejects the request, RemoteError if it may accept it later. Servers differ in what they
        verify and where, so a rejected signature is tried in the other forms.
        https://spec.matrix.org/latest/identity-service-api/#post_matrixidentityv23pidunbind
        """
        content = {"mxid": mxid, "threepid": {"medium": medium, "address": address}}
        body = msgspec.json.encode(content)
        for base in (_V2, _V1):
            for member in DESTINATION_MEMBERS:
                request = SignedRequest("POST", f"{base}/3pid/unbind", content)
                headers = {"Authorization": signer.authorization(request, id_server, member=member), **_JSON}
                answer = await self._guard.call(
                    self._to(id_server, method="POST", path=request.uri, headers=headers, body=body)
                )
                if _is_done(answer):
                    return
                if answer.status not in _SIGNATURE_REFUSED:
                    break
            if answer.status not in _SIGNATURE_REFUSED and not _is_unserved(answer):
                break
        raise RemoteRefused(answer.status, _errcode(answer) or "no errcode")

    async def _v2_then_v1(
        self, ask: Callable[[str, dict[str, str]], Call], token: str | None, *, without_token: bool = True
    ) -> dict[str, Any]:
        """The answer of v2, or of v1 if there is no token, no v2 or, with `without_token`, v2 rejects the token."""
        if token is not None:
            answer = await self._guard.call(ask(_V2, {"Authorization": f"Bearer {token}"}))
            untaken = without_token and answer.status == HTTPStatus.UNAUTHORIZED and _errcode(answer) not in _NO
            if not untaken and not _is_unserved(answer):
                return _content(answer)
        return _content(await self._guard.call(ask(_V1, {})))

    @staticmethod
    def _to(id_server: str, **parts: Any) -> Call:
        try:
            address = parse_server_name(id_server)
        except ValueError:
            raise RemoteError("no server name") from None
        return Call(host=address.host, port=address.port or 443, host_header=id_server, **parts)


def _is_unserved(answer: RemoteAnswer) -> bool:
    """Does the server lack this operation? An operation that it has may answer 404, too, with an errcode that says why."""
    return answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED) and _errcode(answer) in (
        None,
        "M_UNRECOGNIZED",
    )


def _is_done(answer: RemoteAnswer) -> bool:
    """Did the server accept the request, not reject it? Raises RemoteError if it may still accept it later."""
    if answer.status in _LATER or (
        answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and answer.status != HTTPStatus.NOT_IMPLEMENTED
    ):
        raise RemoteError(f"status {answer.status}")
    return answer.status == HTTPStatus.OK and "errcode" not in answer.json()


def _errcode(answer: RemoteAnswer) -> str | None:
    try:
        errcode = answer.json().get("errcode")
    except RemoteError:
        return None
    return errcode if isinstance(errcode, str) and _ERRCODE.fullmatch(errcode) else None


def _content(answer: RemoteAnswer) -> dict[str, Any]:
    content = answer.json()
    if _errcode(answer) is not None and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Refusal(answer.status, content)  # old servers send errors with status 200
    if answer.status != HTTPStatus.OK or "errcode" in content:
        raise RemoteError(f"status {answer.status}")
    return content
