"""A database of many accounts, made with the storage's own functions."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import psycopg
from rich.progress import track

from threepid.clock import DAY, Clock
from threepid.domain.networks import known_network
from threepid.domain.secrets.vault import Vault
from threepid.storage import imports, validations
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.database import Tx
from threepid.storage.engine.migrate import migrate
from threepid.storage.threepids import Threepid

BATCH = 2_000
GET = """
local tokens = {{ {tokens} }}
local i = 0
request = function()
  i = i % #tokens + 1
  return wrk.format("GET", "{path}", {{ ["Authorization"] = "Bearer " .. tokens[i] }})
end
"""
"""A script for wrk that asks on behalf of many accounts."""


def token(number: int) -> str:
    """The access token of the account with this number."""
    return "tp_" + hashlib.sha256(f"bench {number}".encode()).hexdigest()


def lua_tokens(accounts: int) -> str:
    """The tokens of about 5,000 accounts, for a script."""
    return ",".join(f'"{token(number)}"' for number in range(0, accounts, max(1, accounts // 5_000)))


def user_id(number: int) -> str:
    return f"@user{number:07}:bench.example"


def make(url: str, *, count: int, posts: int, vault: Vault, password_hash: str) -> None:
    """`count` accounts with a device and two contacts each, and `posts` validated sessions that wait to be added.

    All have the same password: making a hash for each would take longer than everything else.
    """
    migrate(url, password=None, clock=Clock())
    asyncio.run(_fill(url, count, posts, vault, password_hash))
    if not url.startswith("sqlite:"):
        # Autovacuum does it within a minute; until then, PostgreSQL plans for empty tables.
        # Not for those that are empty now: the plan of a table that is known to be empty stays when the table fills.
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(b"VACUUM ANALYZE accounts, devices, access_tokens, threepids")


async def _fill(url: str, count: int, posts: int, vault: Vault, password_hash: str) -> None:
    database = open_database(url, pool_size=1, password=None)
    now = Clock().now()

    def account_batch(tx: Tx, numbers: range) -> None:
        users = [user_id(number) for number in numbers]
        imports.insert_accounts(
            tx, [imports.Account(user, password_hash, now, None, None, None, None) for user in users]
        )
        network = known_network("127.0.0.1")
        imports.insert_devices(
            tx, [imports.Device(user, "BENCH", None, now, now, "127.0.0.1", network, "") for user in users]
        )
        hashes = [vault.hash_token(token(number)) for number in numbers]
        imports.insert_tokens(
            tx,
            [],
            [
                imports.AccessToken(user, "BENCH", access, now, None, None, None)
                for user, access in zip(users, hashes, strict=True)
            ],
        )
        addresses = [
            (user_id(number), f"user{number:07}@{kind}.example.com") for number in numbers for kind in ("home", "work")
        ]
        imports.insert_contacts(
            tx, [imports.Contact(user, Threepid("email", each, each, now, now)) for user, each in addresses]
        )

    secret_hash = vault.hash_client_secret("bench")

    def session(tx: Tx, number: int) -> None:
        address = f"post{number:07}@new.example.com"
        key = validations.Key("add", "", "email", address, secret_hash)
        validations.open_session(
            tx,
            key,
            sid=f"bench{number:07}",
            address=address,
            send_attempt=1,
            next_link=None,
            tokens=validations.Tokens(number.to_bytes(32, "big"), now + DAY, bytes(32), now + DAY),
            origin="",
            now=now,
            expires_at=now + DAY,
        )
        validations.validate_by_link(tx, f"bench{number:07}", now=now, expires_at=now + DAY, attempts=5)

    try:
        # An import's functions, which take many rows at once: PostgreSQL gets a batch in a few round trips.
        for numbers in batches(count, "accounts"):
            await database.write(partial(account_batch, numbers=numbers))
        await in_batches(database.write, session, posts, "validated sessions")
    finally:
        await database.close()


async def in_batches(
    write: Callable[[Callable[[Tx], None]], Awaitable[None]], one: Callable[[Tx, int], None], count: int, what: str
) -> None:
    """Make `count` of something, each by `one`."""
    for numbers in batches(count, what):

        def batch(tx: Tx, numbers: range = numbers) -> None:
            for number in numbers:
                one(tx, number)

        await write(batch)


def batches(count: int, what: str) -> Iterator[range]:
    """The numbers below `count` in batches, with a progress bar."""
    for start in track(range(0, count, BATCH), description=f"making {what}"):
        yield range(start, min(start + BATCH, count))
