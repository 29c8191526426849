"""A PostgreSQL that can be reached and not be used: messages say why, and quote neither a URL nor a row."""

import re
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from postgres import PostgresServer
from threepid.clock import Clock
from threepid.importers.source import SourceError, open_source
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.migrate import migrate
from threepid.storage.engine.reach import why_unusable

PARAMETER = "postgresql://threepid:hunter2@localhost/threepid?ssl_mode=require"
PERCENT = "postgresql://threepid:hunter%2@localhost/threepid"
UNREADABLE = "libpq cannot read the URL: check its options and percent signs"


@pytest.fixture
def stranger(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a database in which the role may make no tables, as PostgreSQL 15 has it for all roles but the owner."""
    role, name = f"stranger_{uuid4().hex}", f"others_{uuid4().hex}"
    own = postgres_server.create_database(name)
    postgres_server.execute(f"CREATE ROLE {role} LOGIN")
    yield own.replace("://threepid@", f"://{role}@")
    postgres_server.drop_database(name)
    postgres_server.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("url", [PARAMETER, PERCENT])
def test_a_url_that_libpq_cannot_read_is_named_and_not_quoted(url: str) -> None:
    assert why_unusable(url, password=None, seconds=1) == f"PostgreSQL cannot be used: {UNREADABLE}"
    with pytest.raises(StorageError, match=f"^The schema could not be migrated: {UNREADABLE}$"):
        migrate(url, password=None, clock=Clock())
    with pytest.raises(SourceError, match=rf"^The source's PostgreSQL cannot be used: {UNREADABLE}\.$"):
        open_source(url)


def test_what_the_role_may_not_do_is_named(stranger: str) -> None:
    with pytest.raises(StorageError, match=r"^The schema could not be migrated: permission denied for schema public$"):
        migrate(stranger, password=None, clock=Clock())


def test_a_table_that_the_role_of_an_import_may_not_read_is_named(stranger: str) -> None:
    with psycopg.connect(re.sub("://[^@]*@", "://threepid@", stranger), autocommit=True) as owner:
        owner.execute("CREATE TABLE users (name TEXT)")
    with (
        open_source(stranger) as source,
        pytest.raises(SourceError, match=r"^The source's PostgreSQL failed: permission denied for table users\.$"),
    ):
        list(source.rows("SELECT name FROM users"))
