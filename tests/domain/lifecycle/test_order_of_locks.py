"""Everything that changes an account locks it first: who locks a contact, a device or a validation session before could deadlock.

PostgreSQL alone locks rows. It ends a deadlock after a second, in which all who wait for the account wait.
"""

import asyncio
from typing import Any

import psycopg
import pytest

from flows.test_password_and_end import CHANGE, DEACTIVATE, NEW, reset_proof
from storage.engine.test_postgresql import postgresql_url
from world import World

__all__ = ["postgresql_url"]

DELETE = "/_matrix/client/v3/account/3pid/delete"
LOG_OUT = "/_matrix/client/v3/logout/all"
ADDRESS = {"medium": "email", "address": "alice@example.com"}
HOLD = "SELECT 1 FROM accounts WHERE user_id = '@alice:example.org' FOR NO KEY UPDATE"
OTHERS_THAT_WAIT = "SELECT count(*) FROM pg_locks WHERE NOT granted"
FREE = (
    "SELECT 1 FROM validation_sessions FOR NO KEY UPDATE NOWAIT",
    "SELECT 1 FROM threepids FOR NO KEY UPDATE NOWAIT",
    "SELECT 1 FROM devices FOR NO KEY UPDATE NOWAIT",
    "SELECT 1 FROM oauth_codes FOR NO KEY UPDATE NOWAIT",
)


async def waits_with_nothing_held(world: World, url: str, path: str, body: Any, token: str | None) -> int:
    """The status of a request that finds the account locked; it must not have locked anything else of it."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as onlooker:
        holder.execute(HOLD)
        asked = asyncio.create_task(world.acall("POST", path, body, token=token))
        for _ in range(500):
            if asked.done() or (onlooker.execute(OTHERS_THAT_WAIT.encode()).fetchone() or (0,))[0]:
                break
            await asyncio.sleep(0.02)
        assert not asked.done()
        for statement in FREE:
            onlooker.execute(statement.encode())
    return (await asked).status_code


@pytest.mark.parametrize("act", ["a new password", "a deactivation", "the removal of a contact", "a logout everywhere"])
def test_an_account_is_locked_before_what_belongs_to_it(postgresql_url: str, tmp_path: Any, act: str) -> None:
    with World(postgresql_url, tmp_path, accounts__deactivate_without_token=True, accounts__notices=[]) as world:
        token = world.register()
        world.add(token, world.validated(world.identity_token(token)))
        world.clock.advance(1)
        proof = reset_proof(world)
        path, body, sent = {
            "a new password": (CHANGE, {"new_password": NEW, "auth": proof}, None),
            "a deactivation": (DEACTIVATE, {"auth": proof}, None),
            "the removal of a contact": (DELETE, ADDRESS, token),
            "a logout everywhere": (LOG_OUT, {}, token),
        }[act]
        assert world.run(waits_with_nothing_held(world, postgresql_url, path, body, sent)) == 200
