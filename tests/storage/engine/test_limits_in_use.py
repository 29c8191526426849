"""What the housekeeping of limits and a request that takes from them do to one another on PostgreSQL."""

import psycopg

from storage.engine.test_postgresql import on, postgresql_url
from threepid.storage import limits
from threepid.storage.engine.database import Database

__all__ = ["postgresql_url"]


def test_housekeeping_does_not_wait_for_a_limit_that_somebody_takes_from(postgresql_url: str) -> None:
    wanted = [limits.Wanted(key, 1_000, 5) for key in ("a", "b", "c")]

    async def work(database: Database) -> None:
        await database.write(lambda tx: limits.take_each(tx, wanted, now=0))
        with psycopg.connect(postgresql_url) as other:
            other.execute(b"UPDATE limits SET taken_at = 1 WHERE key = 'b'")
            assert await database.write(lambda tx: limits.delete_full(tx, "", "c", 10_000)) == 2
        left = await database.read(lambda tx: limits.page(tx, "", 10_000, count=9))
        assert (left.last, left.full_again) == ("b", 1)
        assert await database.write(lambda tx: limits.delete_full(tx, "", "c", 10_000)) == 1

    on(postgresql_url, work)
