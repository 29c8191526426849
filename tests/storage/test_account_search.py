"""Searches among accounts: what is found, in which order, and by which way."""

import pytest

from plans import plan
from threepid.storage import accounts
from threepid.storage.engine.database import Tx
from world import World

NAMES = ("al", "ala", "alb", "al-b", "al_b", "AlB", "alz", "am", "zoë", "b")


@pytest.fixture
def filled(world: World) -> World:
    def fill(tx: Tx) -> None:
        for name in NAMES:
            accounts.insert(tx, user_id=f"@{name}:example.org", password_hash=None, created_at=1)

    world.run(world.database.write(fill))
    return world


def found(world: World, beginning: str, after: str = "", count: int = 100) -> list[str]:
    rows = world.run(world.database.read(lambda tx: accounts.by_beginning(tx, beginning, after, count)))
    return [row.user_id.removesuffix(":example.org") for row in rows]


def test_accounts_are_found_by_their_beginning_in_the_order_of_codes(filled: World) -> None:
    whole = [f"{name}:example.org" for name in found(filled, "@")]
    assert whole == sorted(whole)
    assert set(found(filled, "@al")) == {"@al", "@ala", "@alb", "@al-b", "@al_b", "@alz"}
    assert found(filled, "@zo") == ["@zoë"]
    assert found(filled, "@c") == []
    assert found(filled, "@%") == found(filled, "@_") == []
    assert len(found(filled, "@")) == len(NAMES)


def test_pages_have_every_account_once(filled: World) -> None:
    for beginning in ("@", "@al"):
        whole, pages, after = found(filled, beginning), [], ""
        while page := found(filled, beginning, after, 2):
            pages += page
            after = f"{page[-1]}:example.org"
        assert pages == whole
    assert found(filled, "@al", after="@b:example.org") == []
    assert found(filled, "@b", after="@al:example.org") == ["@b"]


def test_no_search_by_the_beginning_reads_all_accounts(filled: World, engine: str) -> None:
    parameters = {"first": "@user", "last": "@user\U0010ffff", "user_id": "", "count": "2"}
    way = plan(filled, engine, accounts._sql.accounts_between, parameters)
    assert ("accounts_in_code_order" if engine == "postgresql" else "user_id>? AND user_id<?") in way, way
