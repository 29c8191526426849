"""Fixtures: a fresh database for each test, on SQLite and with `--postgres` on a real PostgreSQL as well."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings

from distribution import source, wheel  # noqa: F401 - fixtures
from fake_identity_server import FakeIdentityServer, identity_server
from identity_of_synapse import Servers, federation
from postgres import PostgresServer
from rig import RUNNING
from scratch import in_memory
from threepid.clock import Clock
from threepid.storage.engine.migrate import migrate
from whole_database import fill
from world import World

# How long an example takes says how busy the machine is.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", action="store_true", help="run on a real PostgreSQL as well")


def pytest_configure(config: pytest.Config) -> None:
    if (memory := in_memory()) is not None and config.getoption("basetemp") is None:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: with it they are busy all the time."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what lives to the end: modules and ten thousand tests."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """End the servers of tests that failed before they could."""
    for server in list(RUNNING):
        server.kill()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        engines = ["sqlite", "postgresql"] if metafunc.config.getoption("postgres") else ["sqlite"]
        metafunc.parametrize("engine", engines, scope="function")


def pytest_report_header(config: pytest.Config) -> str:
    return "databases: SQLite" + (" and PostgreSQL" if config.getoption("postgres") else " (PostgreSQL: --postgres)")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    server = PostgresServer(tmp_path_factory.mktemp("postgresql"))
    server.start()
    try:
        migrate(server.create_database("template_threepid"), password=None, clock=Clock())
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate(f"sqlite:{path}", password=None, clock=Clock())
    return path


@pytest.fixture
def database_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh migrated database."""
    if engine == "sqlite":
        path = tmp_path / "threepid.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:{path}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name, url = server.lend("template_threepid")
    yield url
    server.take_back(name, "template_threepid")


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    """The real application with a hand on the clock."""
    with World(database_url, tmp_path) as made:
        yield made


@pytest.fixture
def filled_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A SQLite database with rows in every table."""
    path = tmp_path / "filled.db"
    shutil.copy(sqlite_template, path)
    fill(path)
    return f"sqlite:{path}"


@pytest.fixture
def empty_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that does not exist, or that has no tables."""
    if engine == "sqlite":
        return f"sqlite:{tmp_path / 'new.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.create_database(f"copy_{uuid4().hex}")


@pytest.fixture(scope="session")
def federated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Two real Synapses with accounts of their own, and threepid as their identity server."""
    with federation(tmp_path_factory.mktemp("federated")) as made:
        yield made


@pytest.fixture
def other() -> Iterator[FakeIdentityServer]:
    """Another identity server, which binds and unbinds Alice's address."""
    with identity_server() as made:
        made.binds("email", "alice@example.com")
        made.unbinds()
        yield made
