"""A database of many accounts, made with the storage's own functions."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from rich.progress import track

from threepid.clock import DAY, Clock
from threepid.domain.networks import known_network
from threepid.domain.secrets.vault import Vault
from threepid.storage import accounts, device_tokens, threepids, validations
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


async def _fill(url: str, count: int, posts: int, vault: Vault, password_hash: str) -> None:
    database = open_database(url, pool_size=1, password=None)
    now = Clock().now()

    def account(tx: Tx, number: int) -> None:
        user = user_id(number)
        accounts.insert(tx, user_id=user, password_hash=password_hash, created_at=now)
        device_tokens.open_device(
            tx,
            user_id=user,
            device_id="BENCH",
            display_name=None,
            seen_from="127.0.0.1",
            network=known_network("127.0.0.1"),
            user_agent="",
            tokens=device_tokens.Tokens(access_hash=vault.hash_token(token(number))),
            now=now,
        )
        for kind in ("home", "work"):
            address = f"user{number:07}@{kind}.example.com"
            threepids.insert(tx, user, Threepid("email", address, address, now, now))

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
            now=now,
            expires_at=now + DAY,
        )
        validations.validate_by_link(tx, f"bench{number:07}", now=now, expires_at=now + DAY, attempts=5)

    try:
        await in_batches(database.write, account, count, "accounts")
        await in_batches(database.write, session, posts, "validated sessions")
    finally:
        await database.close()


async def in_batches(
    write: Callable[[Callable[[Tx], None]], Awaitable[None]], one: Callable[[Tx, int], None], count: int, what: str
) -> None:
    """Make `count` of something, each by `one`."""
    for start in track(range(0, count, BATCH), description=f"making {what}"):

        def batch(tx: Tx, start: int = start) -> None:
            for number in range(start, min(start + BATCH, count)):
                one(tx, number)

        await write(batch)
