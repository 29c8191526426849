"""SMS services through the library Apprise, which is imported only if the configuration names it: it takes 30 MB of memory."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from threepid.clock import SECOND
from threepid.config import AppriseTransport, ConfigError, Secret, read_secret
from threepid.config.sections.apprise import NUMBER, name_of, why_no_service
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways.gateway import InDoubt
from threepid.delivery.outcome import Cause

T = TypeVar("T")

AT_ONCE: Final = 8
"""Maximum number of threads of one gateway: one whose service keeps it waiting without end cannot be ended."""
_EXAMPLE: Final = "+12025550123"
_LOGGERS: Final = ("apprise", "urllib3", "requests_oauthlib", "oauthlib")
"""Loggers that repeat numbers, texts and credentials."""


class _Service(Protocol):
    """One of Apprise's services for one number."""

    def notify(self, *, body: str, title: str, body_format: Any) -> bool:
        """Send the SMS; returns whether the service accepted it, as far as Apprise knows."""
        ...

    def __len__(self) -> int:
        """The number of recipients."""
        ...


class AppriseGateway:
    """One service of Apprise. Its no is in doubt, because it has one word for a rejection and for a lost answer."""

    def __init__(self, settings: AppriseTransport) -> None:
        """Import Apprise, and try the URL with an example. Raises ConfigError, which does not repeat the URL."""
        self.name = name_of(settings)
        self._timeout = settings.timeout
        self._running = 0
        self._url = read_secret(Path(settings.url_file))
        trouble = why_no_service(self._url.reveal())
        if trouble is None:
            _mute()
            service = _service(self._url, settings.timeout, _EXAMPLE)
            if service is None or len(service) != 1:
                trouble = "is not a URL that Apprise can use for one number: compare it with Apprise's documentation"
        if trouble is not None:
            raise ConfigError(f"{settings.url_file}: {trouble}")

    async def send(self, to: str, text: str) -> None:
        """Send within `timeout` seconds, in a thread. Only an SMS for which no thread began was certainly not sent."""
        if self._running >= AT_ONCE:
            raise DeliveryError(
                "too many deliveries wait for an answer", retry=True, after=SECOND, rest=0, cause=Cause.TIMEOUT
            )
        service = _service(self._url, self._timeout, to)
        if service is None or len(service) != 1:
            raise DeliveryError("Apprise does not take this number for this service", retry=False, cause=Cause.REJECTED)
        self._running += 1
        outcome = _in_thread(lambda: _notify(service, text))
        outcome.add_done_callback(self._end)
        try:
            async with asyncio.timeout(self._timeout):
                accepted = await asyncio.shield(outcome)
        except TimeoutError:
            raise InDoubt("TimeoutError", rest=0) from None
        except asyncio.CancelledError:
            raise InDoubt("broken off") from None
        if not accepted:
            raise InDoubt("answered no, or not at all")

    def _end(self, _outcome: asyncio.Future[bool]) -> None:
        self._running -= 1


def _service(url: Secret, timeout: float, to: str) -> _Service | None:
    """The service for one number, or None if Apprise does not accept the URL."""
    import apprise  # noqa: PLC0415 - see the module's docstring

    filled = NUMBER.sub(lambda match: quote(to if match[1] == "to" else to.removeprefix("+"), safe=""), url.reveal())
    ours = (
        f"rto={timeout}&cto={timeout}&overflow=upstream&format=text&emojis=no&store=no&redirect=no&verify=yes&retry=0"
    )
    asset = apprise.AppriseAsset(app_id="threepid", storage_mode="memory", allow_templates=False, http_redirects=False)
    made: _Service | None = apprise.Apprise.instantiate(f"{filled}{'&' if '?' in filled else '?'}{ours}", asset=asset)
    return made


def _notify(service: _Service, text: str) -> bool:
    from apprise import NotifyFormat  # noqa: PLC0415 - see the module's docstring

    try:
        return service.notify(body=text, title="", body_format=NotifyFormat.TEXT) is True
    except Exception:  # noqa: BLE001 - plugins raise whatever they like, and its text may repeat the number
        return False


def _mute() -> None:
    for name in _LOGGERS:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """The result of `work` in a thread of its own, which ends with the process: a pool would wait for it."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def finish(result: T) -> None:
        if not outcome.done():
            outcome.set_result(result)

    def run() -> None:
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(finish, result)

    threading.Thread(target=run, name="apprise", daemon=True).start()
    return outcome
