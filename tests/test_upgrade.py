"""A database that version 0.1.0 left, in the hands of this one: what people had goes on, on both engines.

`data/version_0_1_0` was written by that version, through its own API.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import psycopg
import pytest

from fake_homeserver import FakeHomeserver, homeserver
from postgres import PostgresServer
from threepid.clock import Clock
from threepid.importers.copying.tables import tables_of
from threepid.importers.copying.target import PostgresqlTarget
from threepid.storage.engine.migrate import known_migrations, migrate
from world import PASSWORD, World

DATA: Final = Path(__file__).parent / "data" / "version_0_1_0"
SCHEMA: Final = 15
FACTS: Final[dict[str, Any]] = json.loads((DATA / "facts.json").read_text())
C: Final = "/_matrix/client/v3"
IS: Final = "/_matrix/identity/v2"
VERSIONS: Final = "CREATE TABLE schema_migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, applied_at BIGINT NOT NULL)"


def write_sqlite(path: Path) -> apsw.Connection:
    """The database as that version left it."""
    connection = apsw.Connection(str(path))
    connection.execute(VERSIONS)
    for migration in known_migrations()[:SCHEMA]:
        connection.execute(migration.script("sqlite"))
        connection.execute("INSERT INTO schema_migrations VALUES (?, ?, 0)", (migration.version, migration.name))
    connection.execute(DATA.joinpath("rows.sql").read_text())
    return connection


def write_postgresql(url: str) -> None:
    """The same rows in PostgreSQL."""
    connection = write_sqlite(Path(":memory:"))
    with psycopg.connect(url) as server:
        server.execute(VERSIONS.encode())
        for migration in known_migrations()[:SCHEMA]:
            server.execute(migration.script("postgresql").encode())
    with PostgresqlTarget(url, None) as target:
        for table in tables_of(connection):
            target.insert(table, connection.execute(table.select))
        target.commit()


@pytest.fixture
def left(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of the database that the old version left."""
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name, text in FACTS["keys"].items():
        (keys / name).write_text(text)
        (keys / name).chmod(0o600)
    if engine == "sqlite":
        write_sqlite(tmp_path / "threepid.db").close()
        return f"sqlite:{tmp_path / 'threepid.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database(f"upgrade_{tmp_path.name}")
    write_postgresql(url)
    return url


@pytest.fixture
def elsewhere() -> Iterator[FakeHomeserver]:
    with homeserver() as made:
        yield made


@pytest.fixture
def world(left: str, tmp_path: Path, elsewhere: FakeHomeserver) -> Iterator[World]:
    applied = migrate(left, password=None, clock=Clock())
    assert applied == [migration.name for migration in known_migrations()[SCHEMA:]]
    with World(left, tmp_path, seed="new", sms__countries=["GB"], **elsewhere.settings) as made:
        yield made


def user_of(world: World, token: str) -> str:
    answer = world.get(f"{C}/account/whoami", token=token)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["user_id"])


def test_everybody_stays_logged_in_and_passwords_stay(world: World) -> None:
    assert user_of(world, FACTS["access_token"]) == "@alice:example.org"
    assert user_of(world, FACTS["short_lived"]["access_token"]) == "@alice:example.org"
    refreshed = world.post(f"{C}/refresh", {"refresh_token": FACTS["short_lived"]["refresh_token"]})
    assert user_of(world, refreshed.json()["access_token"]) == "@alice:example.org"
    devices = world.get(f"{C}/devices", token=FACTS["access_token"]).json()["devices"]
    assert {device["display_name"] for device in devices} == {"", "Phone"}
    for identifier in (
        {"type": "m.id.user", "user": "alice"},
        {"type": "m.id.thirdparty", "medium": "email", "address": "alice@example.com"},
    ):
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        assert world.post(f"{C}/login", body).status_code == 200


def test_who_left_stays_away_and_the_name_stays_taken(world: World) -> None:
    body = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "bob"}, "password": PASSWORD}
    assert world.post(f"{C}/login", body).json()["errcode"] == "M_FORBIDDEN"
    taken = world.post(f"{C}/register", {"username": "bob", "password": PASSWORD, "auth": {"type": "m.login.dummy"}})
    assert taken.json()["errcode"] == "M_USER_IN_USE"


def test_contacts_and_what_others_can_look_up_stay(world: World) -> None:
    assert world.contacts(FACTS["access_token"]) == ["alice@example.com"]
    assert world.get(f"{IS}/hash_details", token=FACTS["identity_token"]).json()["lookup_pepper"] == FACTS["pepper"]
    assert world.look_up(FACTS["identity_token"], "alice@example.com") == "@alice:example.org"
    body = {"medium": "email", "address": "alice@example.com"}
    assert world.post(f"{C}/account/3pid/delete", body, token=FACTS["access_token"]).status_code == 200
    world.mails()
    assert world.look_up(FACTS["identity_token"], "alice@example.com") is None


def test_a_link_that_was_mailed_before_works(world: World) -> None:
    page = world.post(FACTS["carol_link"], b"")
    assert page.status_code == 200, page.text
    creds = {"sid": FACTS["carol_sid"], "client_secret": "secret"}
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "carol"}, "password": PASSWORD}
    added = world.post(f"{C}/account/3pid/add", {**creds, "auth": auth}, token=FACTS["carol"])
    assert added.status_code == 200, added.text
    assert world.contacts(FACTS["carol"]) == ["carol@example.com"]


def test_a_mail_that_waited_is_sent_and_its_link_works(world: World) -> None:
    (mail,) = [one for one in world.mails() if one.recipient == "dave@example.com"]
    page = world.post(mail.link, b"")
    assert page.status_code == 200, page.text
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "dave"}, "password": PASSWORD}
    creds = {"sid": FACTS["dave_sid"], "client_secret": "secret", "auth": auth}
    assert world.post(f"{C}/account/3pid/add", creds, token=FACTS["dave"]).status_code == 200


def test_an_invitation_that_waited_is_delivered(world: World, elsewhere: FakeHomeserver) -> None:
    server_key, ephemeral = FACTS["invite"]["public_keys"]
    for path, key in (("pubkey", server_key), ("pubkey/ephemeral", ephemeral)):
        assert world.get(f"{IS}/{path}/isvalid", params={"public_key": key}).json() == {"valid": True}
    token = str(world.post(f"{IS}/account/register", elsewhere.openid("guest")).json()["token"])
    world.mails()
    world.clock.advance(1)  # the newest mail is the one with the code
    sid = world.validated(token, "guest@example.net")
    mxid = elsewhere.user_id("guest")
    bound = world.post(f"{IS}/3pid/bind", {"sid": sid, "client_secret": "secret", "mxid": mxid}, token=token)
    assert bound.status_code == 200, bound.text
    world.run(world.server.worker.run_once())
    (told,) = elsewhere.told
    (invite,) = told.body["invites"]
    assert invite["signed"]["token"] == FACTS["invite"]["token"]
