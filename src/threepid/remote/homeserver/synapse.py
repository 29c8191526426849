"""Calls to a Synapse that lets this server authenticate its users: what its `matrix_authentication_service` listens for.

The calls bypass `remote/guard.py` on purpose. The guard keeps names that strangers choose away from private networks; this URL is
one that the operator has configured, and the homeserver is usually on this machine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog
from msgspec import Struct
from yarl import URL

from threepid import __version__
from threepid.config import Secret
from threepid.remote.guard import RemoteAnswer, RemoteError, RemoteRefused, Unreachable
from threepid.remote.tls import checked_tls
from threepid.spec.errors import MatrixError, UserInUse
from threepid.spec.strict_json import parse_object

_log = structlog.get_logger()

CONNECT_SECONDS: Final = 3.0
TOTAL_SECONDS: Final = 15.0
MAX_BODY: Final = 1_000_000
LONGEST_DEVICE_NAME: Final = 100
"""Synapse rejects longer names of devices."""
_MAS: Final = "/_synapse/mas/"
_REFUSED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class Failed(RemoteError):
    """The homeserver answered that it cannot do this now. It does not work on the call any more."""


class WrongSecret(Failed):
    """The homeserver does not accept our secret. Once the operator has corrected it, the same call succeeds."""


class User(Struct, frozen=True):
    """What the homeserver says of a user."""

    user_id: str
    display_name: str | None = None
    avatar_url: str | None = None
    is_suspended: bool = False
    is_deactivated: bool = False


class Synapse:
    """One Synapse.

    Every call raises RemoteRefused if it will never succeed. It raises Unreachable if nothing was sent, Failed or WrongSecret if
    the homeserver cannot do it now, and RemoteError if the outcome is unknown.
    """

    def __init__(self, url: str, secret: Secret, *, ca_file: str = "", total_seconds: float = TOTAL_SECONDS) -> None:
        """Call the Synapse at `url`; `ca_file` has further certificate authorities."""
        self._url = url.rstrip("/")
        self._secret = secret
        self._tls = checked_tls(ca_file)
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        self._total_seconds = total_seconds

    async def is_localpart_available(self, localpart: str) -> None:
        """Raise RemoteRefused (`M_INVALID_USERNAME`, `M_USER_IN_USE`, `M_EXCLUSIVE`) if no new user can have this name."""
        await self._call("GET", "is_localpart_available", {"localpart": localpart})

    async def query_user(self, localpart: str) -> User | None:
        """What the homeserver says of a user, or None."""
        try:
            answer = await self._call("GET", "query_user", {"localpart": localpart})
            return msgspec.convert(answer.json(), User)
        except RemoteRefused as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise
        except msgspec.ValidationError:
            raise RemoteError("no user in the answer") from None

    async def provision_user(
        self, localpart: str, *, emails: list[str] | None = None, locked: bool | None = None
    ) -> None:
        """Create a user, or change an existing one. None leaves something as it is.

        `emails` is the whole list. Every address must be canonical, because the homeserver compares bytes: an address in another
        spelling is removed, which also unbinds it, and is added again.
        """
        body: dict[str, Any] = {"localpart": localpart}
        if emails is not None:
            body |= {"set_emails": emails} if emails else {"unset_emails": True}
        if locked is not None:
            body["locked"] = locked
        try:
            await self._call("POST", "provision_user", body)
        except RemoteRefused as error:
            if error.errcode != UserInUse.errcode:
                raise
            # Another call made the user at the same moment, so now there is one to change.
            await self._call("POST", "provision_user", body)

    async def upsert_device(self, localpart: str, device_id: str, display_name: str | None) -> None:
        """Make a device, if it does not exist. A name replaces that of an existing device; None leaves it."""
        body = {"localpart": localpart, "device_id": device_id}
        if display_name is not None:
            body["display_name"] = display_name[:LONGEST_DEVICE_NAME]
        await self._call("POST", "upsert_device", body)

    async def update_device_display_name(self, localpart: str, device_id: str, display_name: str) -> None:
        """Rename a device. RemoteRefused (404) if there is none."""
        body = {"localpart": localpart, "device_id": device_id, "display_name": display_name[:LONGEST_DEVICE_NAME]}
        await self._call("POST", "update_device_display_name", body)

    async def delete_device(self, localpart: str, device_id: str) -> None:
        """Delete a device with its keys; no error if there is none."""
        await self._call("POST", "delete_device", {"localpart": localpart, "device_id": device_id})

    async def sync_devices(self, localpart: str, device_ids: list[str]) -> None:
        """Make the missing ones of these devices, and delete all others with their keys."""
        await self._call("POST", "sync_devices", {"localpart": localpart, "devices": device_ids})

    async def delete_user(self, localpart: str, *, erase: bool) -> None:
        """Deactivate a user. Doing it again is no error."""
        await self._call("POST", "delete_user", {"localpart": localpart, "erase": erase})

    async def reactivate_user(self, localpart: str) -> None:
        """Undo a deactivation. Doing it again is no error."""
        await self._call("POST", "reactivate_user", {"localpart": localpart})

    async def set_displayname(self, localpart: str, displayname: str) -> None:
        """Set a user's display name, also where users may not."""
        await self._call("POST", "set_displayname", {"localpart": localpart, "displayname": displayname})

    async def unset_displayname(self, localpart: str) -> None:
        """Remove a user's display name."""
        await self._call("POST", "unset_displayname", {"localpart": localpart})

    async def allow_cross_signing_reset(self, localpart: str) -> None:
        """Let the user replace the cross-signing keys once in the next ten minutes."""
        await self._call("POST", "allow_cross_signing_reset", {"localpart": localpart})

    async def forward(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> RemoteAnswer:
        """The answer to a client's request that the homeserver must answer. Our secret is not sent. Raises RemoteError."""
        return await self._request(method, target, headers, body)

    async def federate(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> RemoteAnswer:
        """The answer to a request as other servers make it, without our secret. Raises RemoteError."""
        path = target.partition("?")[0]
        try:
            answer = await self._request(method, target, headers, body)
        except RemoteError as error:
            _log.warning("homeserver_call_failed", call=path, cause=error.cause, setting="homeserver.url")
            raise
        if answer.status == HTTPStatus.NOT_FOUND:
            cause = "status 404: its listener lacks the resource federation"
            _log.warning("homeserver_call_failed", call=path, cause=cause, setting="homeserver.url")
        return answer

    async def _call(self, method: str, name: str, parameters: dict[str, Any]) -> RemoteAnswer:
        target, body = f"{_MAS}{name}", b""
        headers = {"Authorization": f"Bearer {self._secret.reveal()}"}
        if method == "GET":
            target = f"{target}?{urlencode(parameters)}"
        else:
            body = msgspec.json.encode(parameters)
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._request(method, target, headers, body)
            _check(answer)
        except RemoteError as error:
            setting = "homeserver.secret_file" if isinstance(error, WrongSecret) else "homeserver.url"
            _log.warning("homeserver_call_failed", call=name, cause=error.cause, setting=setting)
            raise
        except RemoteRefused as error:
            _log.info("homeserver_call_refused", call=name, cause=str(error))
            raise
        return answer

    async def _request(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> RemoteAnswer:
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                self._session() as session,
                session.request(
                    method,
                    URL(f"{self._url}{target}", encoded=True),
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    ssl=self._tls(),
                ) as response,
            ):
                content = await response.content.read(MAX_BODY + 1)
                while len(content) <= MAX_BODY and (more := await response.content.read(MAX_BODY)):
                    content += more
                if len(content) > MAX_BODY:
                    raise RemoteError("the answer is too large")
                names = {name.lower(): value for name, value in response.headers.items()}
                return RemoteAnswer(response.status, names, content)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(type(error).__name__) from None
        except TimeoutError:
            raise RemoteError("took too long") from None
        except aiohttp.ClientError as error:
            raise RemoteError(type(error).__name__) from None

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """A session for one call: a kept connection could be one that the homeserver is just closing."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True),
            timeout=self._timeout,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": f"threepid/{__version__}"},
        ) as session:
            yield session


def _check(answer: RemoteAnswer) -> None:
    """Raise the error that the answer to a call is, if it is one."""
    if answer.status in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.NO_CONTENT):
        return
    if answer.status in _REFUSED:
        raise WrongSecret(f"status {answer.status}")
    try:
        errcode = str(parse_object(answer.body).get("errcode", ""))
    except MatrixError:
        errcode = ""
    if (
        answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or answer.status in _LATER
        # Without an errcode something else than Synapse answers, and with this one a Synapse that has not been set up for us.
        or errcode in ("", "M_UNRECOGNIZED")
    ):
        raise Failed(f"status {answer.status} {errcode}".rstrip())
    raise RemoteRefused(answer.status, errcode)
