"""`Tx.run_many`: one statement for many rows."""

from typing import Any

import pytest

from storage.engine.test_database import DOUBLE, on, query
from threepid.storage import accounts
from threepid.storage.engine.database import AT_MOST_ONE, Database, Tx, UniqueViolation, WrongRowCount

LOOSE = query("INSERT INTO accounts (user_id, created_at) VALUES (:user, 1) ON CONFLICT (user_id) DO NOTHING")


def users(*numbers: int) -> list[dict[str, Any]]:
    return [{"user": f"@u{number:05}:x"} for number in numbers]


async def names(database: Database) -> list[str]:
    return [found.user_id for found in await database.read(lambda tx: accounts.after(tx, "", 5000))]


def test_thousands_of_rows_are_inserted_and_counted(database_url: str) -> None:
    async def work(database: Database) -> None:
        assert await database.write_aside(lambda tx: tx.run_many(DOUBLE, users(*range(2500)))) == 2500
        assert await names(database) == [user["user"] for user in users(*range(2500))]
        assert await database.write(lambda tx: tx.run_many(DOUBLE, [])) == 0

    on(database_url, work)


def test_rows_that_exist_are_left_out_of_the_count_or_undo_everything(database_url: str) -> None:
    async def work(database: Database) -> None:
        await database.write(lambda tx: tx.run(DOUBLE, user="@u00001:x"))
        with pytest.raises(UniqueViolation):
            await database.write(lambda tx: tx.run_many(DOUBLE, users(0, 1, 2)))
        with pytest.raises(WrongRowCount):
            await database.write(lambda tx: tx.run_many(LOOSE, users(0, 1, 2)))
        assert await names(database) == ["@u00001:x"]
        assert await database.write(lambda tx: tx.run_many(LOOSE, users(0, 1, 2), AT_MOST_ONE)) == 2
        assert await names(database) == ["@u00000:x", "@u00001:x", "@u00002:x"]

    on(database_url, work)


def test_the_transaction_goes_on_after_many_rows(database_url: str) -> None:
    def step(tx: Tx) -> int:
        tx.run_many(DOUBLE, users(*range(700)))
        tx.run(DOUBLE, user="@u00900:x")
        tx.run_many(DOUBLE, users(800))
        return len(accounts.after(tx, "", 5000))

    async def work(database: Database) -> None:
        assert await database.write_aside(step) == 702

    on(database_url, work)
