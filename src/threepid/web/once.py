"""Forms that ask for a message: one that is sent twice, or again by a reload, sends one message, and its code is right.

The page gives the form a key, from which the client secret of the validation session follows, and the number of the message in
that session. The same form finds the same session.
"""

import contextlib
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from threepid.clock import Entropy
from threepid.spec.errors import SessionExpired
from threepid.spec.types import ClientSecret

T = TypeVar("T")
_MOST_DIGITS: Final = 15


def read_key(text: str) -> str:
    """The key that a form gives: it becomes a client secret, and a part of a cookie. '' if `text` cannot be one."""
    try:
        return msgspec.convert(text, ClientSecret)
    except msgspec.ValidationError:
        return ""


def read_attempt(text: str, otherwise: int) -> int:
    """The number of the message that a form asks for."""
    plain = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if plain else otherwise


async def request(entropy: Entropy, send: Callable[[str, int], Awaitable[T]], key: str, attempt: int = 1) -> T:
    """Call `send` for the session of `key`, '' for a new one, or for the next session if that one takes no more codes.

    The next one's key follows from the first, so that a form that is sent again finds the same session.
    """
    for known, number in ((key, attempt), (sha256(key.encode()).hexdigest(), 1)) if key else ():
        with contextlib.suppress(SessionExpired):
            return await send(known, number)
    return await send(entropy.token(), 1)
