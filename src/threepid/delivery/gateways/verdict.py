"""What a gateway's answer says: the SMS was accepted, was rejected, or may have been sent."""

import re
from typing import Any, Final

import msgspec

from threepid.clock import SECOND
from threepid.config import HttpTransport
from threepid.config.sections.gateways import keys_of_pointer
from threepid.delivery.errors import DeliveryError
from threepid.delivery.gateways.gateway import InDoubt
from threepid.delivery.outcome import Cause

MOST_READ: Final = 65_536
"""Maximum number of bytes of an answer that are read."""
_SUCCESS: Final = range(200, 300)
_SECONDS: Final = re.compile(r"[0-9]{1,6}")
_SERVER_ERRORS: Final = range(500, 600)
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_ABSENT: Final = object()


def reads_body(settings: HttpTransport) -> bool:
    """Does the gateway's answer have to be read?"""
    return bool(settings.accepted_json or settings.accepted_text)


def judge_status(settings: HttpTransport, status: int, retry_after: str) -> None:
    """Raise InDoubt or DeliveryError if this status does not say that the SMS was accepted."""
    if status in (settings.accepted_status or _SUCCESS):
        return
    cause = f"answered {status}"
    if status == _TOO_MANY or (status == _UNAVAILABLE and retry_after):
        after = int(retry_after) * SECOND if _SECONDS.fullmatch(retry_after) else 0
        raise DeliveryError(cause, retry=True, after=after, rest=after, cause=Cause.DEFERRED)
    if status in _SERVER_ERRORS:  # a proxy may have lost only the gateway's answer
        raise InDoubt(cause)
    raise _rejected(cause)


def judge_body(settings: HttpTransport, status: int, body: bytes) -> None:
    """Raise DeliveryError if the answer says that the SMS was not accepted, InDoubt if it cannot be read.

    `body` is at most MOST_READ + 1 bytes; if it is longer than MOST_READ, the rest is unknown. The answer may contain the
    number or the text, so errors do not repeat it.
    """
    is_whole = len(body) <= MOST_READ
    if settings.accepted_json:
        value = _decoded(body) if is_whole else _ABSENT
        if value is _ABSENT:
            raise InDoubt(f"answered {status} without valid JSON")
        for pointer, expected in settings.accepted_json.items():
            if _spelling(_at(value, pointer)) not in _spellings(expected):
                raise _rejected(f"answered {status} with another {pointer} than expected")
    if settings.accepted_text and settings.accepted_text.encode() not in body:
        if not is_whole:
            raise InDoubt(f"answered {status} with more than {MOST_READ} bytes")
        raise _rejected(f"answered {status} without the expected text")


def _rejected(text: str) -> DeliveryError:
    """A definite no: the SMS was not sent, and another gateway may send it."""
    return DeliveryError(text, retry=False, cause=Cause.REJECTED)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _ABSENT


def _at(value: Any, pointer: str) -> Any:
    """The value at a JSON Pointer, or _ABSENT. https://www.rfc-editor.org/rfc/rfc6901#section-4."""
    for key in keys_of_pointer(pointer):
        if isinstance(value, dict):
            value = value.get(key, _ABSENT)
        elif isinstance(value, list) and key.isascii() and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return _ABSENT
    return value


def _spellings(expected: Any) -> list[str | None]:
    return [_spelling(one) for one in (expected if isinstance(expected, tuple) else (expected,))]


def _spelling(value: Any) -> str | None:
    """A text, number or truth value as text, so that 0 equals "0"; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None
