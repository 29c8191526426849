"""What all clients of the tests need: names, addresses and numbers that nobody has yet, and how a story is told."""

import asyncio
import base64
import hashlib
import itertools
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

from msgspec import Struct

from clients.post import Post
from rig import ServerProcess

PASSWORD: Final = "correct horse battery"
NEW_PASSWORD: Final = "staple and then some"
SECRET: Final = "a_secret_of_the_client"
_numbers: Final[Iterator[int]] = itertools.count(1)
_films: Final[Iterator[int]] = iter(range(100, 200))


class Phone(Struct, frozen=True):
    """A number as people write it, and as accounts keep it."""

    country: str
    national: str

    @property
    def msisdn(self) -> str:
        return "1" + re.sub(r"\D", "", self.national)


def fresh_name() -> str:
    return f"py{next(_numbers)}"


def fresh_email() -> str:
    return f"{fresh_name()}@example.com"


def fresh_phone() -> Phone:
    """An American number of those that are kept for films."""
    return Phone("US", f"(202) 555-{next(_films):04}")


def by_password(user_id: str, password: str = PASSWORD, **more: Any) -> dict[str, Any]:
    """`auth` of somebody who knows the password."""
    identifier = {"type": "m.id.user", "user": user_id}
    return {"type": "m.login.password", "identifier": identifier, "password": password, **more}


def by_contact(stage: str, sid: str) -> dict[str, Any]:
    """`auth` of somebody who has proved an address."""
    return {"type": stage, "threepid_creds": {"sid": sid, "client_secret": SECRET}}


def by_email(address: str) -> dict[str, str]:
    return {"type": "m.id.thirdparty", "medium": "email", "address": address}


def by_phone(phone: Phone) -> dict[str, str]:
    return {"type": "m.id.phone", "country": phone.country, "phone": phone.national}


def hashed(address: str, pepper: str, medium: str = "email") -> str:
    """What a client looks up. https://spec.matrix.org/latest/identity-service-api/#sha256."""
    digest = hashlib.sha256(f"{address} {medium} {pepper}".encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


class Crowd:
    """The people of one story; what is on `stack` is closed at its end."""

    def __init__(self, base: str, post: Post, stack: AsyncExitStack) -> None:
        self.base = base
        self.post = post
        self.stack = stack


C = TypeVar("C", bound=Crowd)
Test = Callable[[ServerProcess, Post], None]


def teller(
    people: Callable[[str, Post, AsyncExitStack], C],
) -> Callable[[Callable[[C], Coroutine[Any, Any, None]]], Test]:
    """What makes a test of a story about `people`."""

    def tell(story: Callable[[C], Coroutine[Any, Any, None]]) -> Test:
        def test(server: ServerProcess, post: Post) -> None:
            async def whole() -> None:
                async with AsyncExitStack() as stack:
                    await story(people(server.base, post, stack))

            asyncio.run(whole())

        test.__name__ = story.__name__
        return test

    return tell
