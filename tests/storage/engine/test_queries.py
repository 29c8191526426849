"""The named queries and what is refused of them."""

import asyncio
from importlib import resources
from pathlib import PurePath

import pytest
from aiosql.utils import SQLLoadException, SQLParseException

from threepid import storage
from threepid.storage.engine import queries
from threepid.storage.engine.connect import open_database
from threepid.storage.engine.queries import Queries

NOUNS = sorted(
    PurePath(file.name).stem
    for file in resources.files(storage).joinpath("sql").iterdir()
    if file.name.endswith(".sql")
)


@pytest.mark.parametrize(
    ("text", "error", "what"),
    [
        ("-- name: x()\nSELECT 1;\n", ValueError, "x has no sentence"),
        ("-- name: x()\n-- Says it.\nSELECT :other;\n", SQLParseException, "undeclared parameter .*: other"),
        ("-- name: x(other)\n-- Says it.\nSELECT 1;\n", SQLParseException, "unused declared parameter"),
        ("-- name: x\n-- Says it.\nSELECT 1;\n", SQLParseException, "missing mandatory parameter list"),
        ("-- name: x()\n-- A.\nSELECT 1;\n-- name: x()\n-- B.\nSELECT 2;\n", SQLLoadException, "override.*: x"),
    ],
)
def test_a_careless_query_is_refused(text: str, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=what):
        queries.parse("test", text)


def test_a_percent_sign_means_itself_on_each_engine(database_url: str) -> None:
    text = "-- name: x(number)\n-- Says it.\nSELECT CAST(:number AS BIGINT) % 5 WHERE 'abc' LIKE 'a%';\n"
    query = queries.parse("t", text)["x"]

    async def run() -> object:
        database = open_database(database_url, pool_size=1, password=None)
        try:
            return await database.read(lambda tx: tx.value(query, number=13))
        finally:
            await database.close()

    assert asyncio.run(run()) == 3


@pytest.mark.parametrize("noun", NOUNS)
def test_every_file_of_queries_loads_and_offers_each_query_once(noun: str) -> None:
    names = [query.name for query in Queries(noun)]
    assert names
    assert all(name.startswith(f"{noun}.") for name in names)
    assert not [name for name in names if name.endswith(("_cursor", "_on_postgresql"))]
    with pytest.raises(AttributeError):
        Queries(noun).no_such_query  # noqa: B018
