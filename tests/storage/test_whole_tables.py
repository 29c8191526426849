"""Queries that read a table from one end to the other: only those of which it is known, because a server may have a million accounts."""

from importlib import resources

import pytest

from plans import plan, read_as_a_whole
from threepid.clock import Clock
from threepid.storage import outbox
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.queries import Queries
from world import World

NOUNS = sorted(file.name.removesuffix(".sql") for file in resources.files("threepid.storage").joinpath("sql").iterdir())
KNOWN = {
    # Operators ask for all of it, or rarely.
    "accounts.account_of_another_name": {"accounts"},
    "invites.of_user": {"invites"},
    "remains.of_account": {"association_hashes", "invites"},
    "operator_tokens.all_tokens": {"operator_tokens"},
    "registration_tokens.all_tokens": {"registration_tokens"},
    "suppressions.counts": {"suppressions"},
    # Once in an import, or when a homeserver is new.
    "associations.count": {"associations"},
    "homeserver.take_unknown": {"accounts"},
    "identity_imports.is_used": {"accounts", "associations", "identity_tokens", "imported_accounts", "invites"},
    # Few rows, however many accounts there are.
    "limits.closed_prefixes": {"sms_prefixes"},
    "limits.delete_texts_outside": {"sms_prefixes"},
    "mailbox.newest": {"mailbox"},
    "mailbox.trim": {"mailbox"},
    "oauth.delete_unused_clients": {"oauth_clients"},
    "operator_sessions.delete_expired": {"operator_sessions"},
    "peppers.all": {"peppers"},
}


@pytest.mark.parametrize("noun", NOUNS)
def test_no_query_reads_a_whole_table_unnoticed(empty_url: str, engine: str, noun: str) -> None:
    # A database of its own: in one that is lent to many tests, PostgreSQL has statistics of tiny tables, and decides by them.
    migrate(empty_url, password=None, clock=Clock())
    found = {query.name: read_as_a_whole(empty_url, engine, query) for query in Queries(noun)}
    assert {name: tables for name, tables in found.items() if tables - KNOWN.get(name, set())} == {}


def test_what_waits_in_the_outbox_is_found_without_what_is_done(world: World, engine: str) -> None:
    place = {"after_at": "0", "after_id": ""}
    for query, parameters in (
        (outbox._sql.depth, {}),
        (outbox._sql.oldest, {}),
        (outbox._sql.causes, {"count": "2"}),
        (outbox._sql.causes_of_failures, {"count": "2"}),
        (outbox._sql.listed, {"count": "2", **place}),
        (outbox._sql.listed_failed, {"count": "2", **place}),
    ):
        way = plan(world, engine, query, parameters)
        assert "outbox_done" not in way, way
        assert "outbox_failed" in way or "outbox_expiring" in way, way
