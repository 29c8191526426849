"""A73: what an account bound is unbound though it is no contact, and whatever our identity server was called then."""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fake_identity_server import V2, FakeIdentityServer
from threepid.clock import DAY, MINUTE, Clock
from threepid.storage import outbox, threepids
from threepid.storage.engine.migrate import migrate
from world import PASSWORD, World

C = "/_matrix/client/v3/account"
DELETE, UNBIND = f"{C}/3pid/delete", f"{C}/3pid/unbind"
ALICE, BOB = "@alice:example.org", "@bob:example.org"
OURS, OLD = "matrix.example.org", "id.old.example"
ADDRESS = {"medium": "email", "address": "Alice@Example.com"}
SUCCESS = {"id_server_unbind_result": "success"}
NO_SUPPORT = {"id_server_unbind_result": "no-support"}


@pytest.fixture
def home(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> Iterator[World]:
    with World(database_url, tmp_path, **other.settings) as made:
        yield made


def named(name: str | None) -> dict[str, str]:
    return ADDRESS if name is None else {**ADDRESS, "id_server": name}


def publish(home: World, token: str, secret: str = "secret", user_id: str = ALICE) -> None:
    """As an app does that asks the identity server itself."""
    home.clock.advance(1)
    identity = home.identity_token(token, user_id[1:].partition(":")[0])
    body = {"sid": home.validated(identity, secret=secret), "client_secret": secret, "mxid": user_id}
    answer = home.post("/_matrix/identity/v2/3pid/bind", body, token=identity)
    assert answer.status_code == 200, answer.text


def bind(home: World, token: str, id_server: str = OURS, secret: str = "secret") -> None:
    """As an app does that asks its homeserver."""
    home.clock.advance(1)
    sid = home.validated(home.identity_token(token), secret=secret)
    body = {"sid": sid, "client_secret": secret, "id_server": id_server, "id_access_token": "token"}
    answer = home.post(f"{C}/3pid/bind", body, token=token)
    assert answer.status_code == 200, answer.text


def bind_elsewhere(home: World, token: str, other: FakeIdentityServer) -> None:
    body = {"sid": "1", "client_secret": "secret", "id_server": other.name, "id_access_token": "token"}
    assert home.post(f"{C}/3pid/bind", body, token=token).json() == {}


def published(home: World) -> list[str]:
    lookup = home.identity.lookup
    assert lookup is not None
    return [one.mxid for one in home.run(lookup.lookup_plain([("email", "alice@example.com")]))]


def bound(home: World, user_id: str = ALICE) -> list[str]:
    found = home.run(home.server.context.database.read(lambda tx: threepids.bindings_of_user(tx, user_id)))
    return sorted(one.id_server for one in found)


def waiting(home: World) -> int:
    home.run(home.server.worker.run_once())
    return home.run(home.server.context.database.read(outbox.depth))


def deactivate(home: World, token: str, **more: Any) -> Any:
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    answer = home.post(f"{C}/deactivate", {"auth": auth, **more}, token=token)
    assert answer.status_code == 200, answer.text
    return answer.json()


# -- bound, but no contact


@pytest.mark.parametrize(
    ("path", "how", "name"),
    [
        (DELETE, publish, None),
        (DELETE, bind, OURS.upper()),
        (DELETE.replace("v3", "r0"), publish, OURS),
        (UNBIND, publish, OURS),
        (UNBIND.replace("v3", "unstable"), bind, None),
    ],
)
def test_what_is_bound_here_and_no_contact_is_unbound(
    home: World, path: str, how: Callable[[World, str], None], name: str | None
) -> None:
    token = home.register()
    how(home, token)
    assert (published(home), home.contacts(token)) == ([ALICE], [])
    assert home.post(path, named(name), token=token).json() == SUCCESS
    assert (published(home), bound(home)) == ([], [])
    assert home.post(path, named(name), token=token).json() == NO_SUPPORT


@pytest.mark.parametrize("name", [True, False])
def test_what_is_bound_elsewhere_and_no_contact_is_unbound_there(
    home: World, other: FakeIdentityServer, name: bool
) -> None:
    token = home.register()
    bind_elsewhere(home, token, other)
    assert home.post(DELETE, named(other.name if name else None), token=token).json() == SUCCESS
    assert (other.paths()[1:], bound(home), waiting(home)) == ([f"{V2}/3pid/unbind"], [], 0)


def test_what_is_bound_elsewhere_and_cannot_be_unbound_yet_is_tried_again(
    home: World, other: FakeIdentityServer
) -> None:
    token = home.register()
    bind_elsewhere(home, token, other)
    other.replies[f"{V2}/3pid/unbind"] = 500, b""
    assert home.post(DELETE, named(other.name), token=token).json() == NO_SUPPORT
    assert (bound(home), waiting(home)) == ([other.name], 1)
    other.unbinds()
    home.clock.advance(MINUTE)
    assert (waiting(home), bound(home)) == (0, [])


def test_what_is_neither_bound_nor_a_contact_is_asked_of_nobody(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    for name in (None, OURS, other.name, OLD):
        assert home.post(DELETE, named(name), token=token).json() == NO_SUPPORT
    assert (other.asked, waiting(home)) == ([], 0)


def test_nobody_unbinds_what_another_account_bound(home: World, other: FakeIdentityServer) -> None:
    alice, bob = home.register("alice"), home.register("bob")
    publish(home, alice)
    bind_elsewhere(home, alice, other)
    count = len(other.asked)
    for path in (DELETE, UNBIND):
        for name in (None, OURS, OLD):
            assert home.post(path, named(name), token=bob).json() == NO_SUPPORT
    assert home.post(DELETE, named(other.name), token=bob).json() == NO_SUPPORT
    assert (published(home), bound(home), len(other.asked)) == ([ALICE], [other.name], count)


def test_an_account_that_ends_takes_with_it_what_is_bound_and_no_contact(home: World) -> None:
    token = home.register()
    publish(home, token)
    assert deactivate(home, token) == SUCCESS
    assert published(home) == []


# -- bound while our identity server had another name


@pytest.fixture
def renamed(database_url: str, tmp_path: Path, other: FakeIdentityServer) -> Iterator[tuple[World, World]]:
    with (
        World(database_url, tmp_path, **other.settings, identity__name=OLD) as old,
        old.again(identity__name="id.new.example") as new,
    ):
        yield old, new


@pytest.mark.parametrize(
    ("path", "contact", "by_homeserver", "name"),
    [
        (DELETE, True, True, OLD),
        (DELETE, True, False, OLD.upper()),
        (DELETE, False, True, "id.even.older.example"),
        (DELETE, False, False, OLD),
        (DELETE, True, True, None),
        (UNBIND, True, True, "id.new.example"),
        (UNBIND, False, False, "id.even.older.example"),
        (UNBIND, False, True, OLD),
    ],
)
def test_what_was_bound_under_an_earlier_name_is_found_by_any(
    renamed: tuple[World, World], path: str, contact: bool, by_homeserver: bool, name: str | None
) -> None:
    old, new = renamed
    token = old.register()
    if by_homeserver:
        bind(old, token, OLD)
    else:
        publish(old, token)
    if contact:
        old.clock.advance(1)
        old.add(token, old.validated(old.identity_token(token), secret="t"), secret="t")
    assert published(new) == [ALICE]
    assert new.post(path, named(name), token=token).json() == SUCCESS
    assert (published(new), bound(new)) == ([], [])
    assert new.contacts(token) == (["alice@example.com"] if contact and path == UNBIND else [])
    assert new.post(path, named(None), token=token).json() == NO_SUPPORT


@pytest.mark.parametrize("name", [None, OLD])
def test_an_earlier_name_of_ours_is_called_by_nobody(renamed: tuple[World, World], name: str | None) -> None:
    old, new = renamed
    token = old.register()
    bind(old, token, OLD)
    assert new.post(DELETE, named(name), token=token).json() == SUCCESS
    assert waiting(new) == 0


@pytest.mark.parametrize("name", [None, OLD, "id.new.example"])
def test_an_account_that_ends_takes_with_it_what_was_bound_under_an_earlier_name(
    renamed: tuple[World, World], name: str | None
) -> None:
    old, new = renamed
    token = old.register()
    bind(old, token, OLD)
    old.clock.advance(1)
    old.add(token, old.validated(old.identity_token(token), "b@example.com"))
    assert deactivate(new, token, **({} if name is None else {"id_server": name})) == SUCCESS
    assert (published(new), bound(new), waiting(new)) == ([], [], 0)


# -- bound here, and at another server too


def test_a_server_where_it_was_bound_too_is_not_taken_for_ours(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    bind(home, token)
    bind_elsewhere(home, token, other)
    assert home.post(UNBIND, named(other.name), token=token).json() == SUCCESS
    assert (published(home), bound(home)) == ([ALICE], [OURS])
    other.replies[f"{V2}/3pid/unbind"] = 400, {"errcode": "M_INVALID_PARAM", "error": "x"}
    bind_elsewhere(home, token, other)
    assert home.post(DELETE, named(other.name), token=token).json() == NO_SUPPORT
    assert (published(home), bound(home)) == ([ALICE], sorted([OURS, other.name]))


def test_a_name_that_we_do_not_know_means_us_and_is_asked_all_the_same(home: World, other: FakeIdentityServer) -> None:
    token = home.register()
    publish(home, token)
    assert home.post(DELETE, named(other.name), token=token).json() == SUCCESS
    assert (published(home), other.paths(), waiting(home)) == ([], [f"{V2}/3pid/unbind"], 0)
    publish(home, token, secret="t")
    other.replies[f"{V2}/3pid/unbind"] = 500, b""
    assert home.post(DELETE, named(other.name), token=token).json() == SUCCESS
    assert (published(home), waiting(home)) == ([], 1)
    other.unbinds()
    home.clock.advance(MINUTE)
    assert waiting(home) == 0
    home.clock.advance(DAY)
    assert len(other.asked) == 3


def test_a_name_that_became_another_servers_is_that_servers(
    renamed: tuple[World, World], other: FakeIdentityServer, database_url: str, tmp_path: Path
) -> None:
    with renamed[0].again(identity__name=other.name) as old:
        token = old.register()
        bind(old, token, other.name)
        new = renamed[1]
        bind_elsewhere(new, token, other)
        assert new.post(UNBIND, named(other.name), token=token).json() == SUCCESS
        assert other.paths() == [f"{V2}/3pid/bind", f"{V2}/3pid/unbind"]
        assert published(new) == [ALICE]
        assert new.post(UNBIND, named(None), token=token).json() == SUCCESS
        assert published(new) == []


def test_another_identity_server_alone_is_asked_under_the_name_that_was_ours(
    database_url: str, tmp_path: Path, other: FakeIdentityServer
) -> None:
    """The identity server has moved to a machine of its own, with its name."""
    with World(database_url, tmp_path, **other.settings, identity__name=other.name) as home:
        token = home.register()
        bind(home, token, other.name)
        with home.again(identity=None) as accounts:
            assert accounts.post(DELETE, named(None), token=token).json() == SUCCESS
    assert other.paths() == [f"{V2}/3pid/unbind"]


# -- a database of before


def undo(database_url: str, *statements: str) -> None:
    """Bring a database back to where it was before a migration."""
    if database_url.startswith("sqlite:"):
        with sqlite3.connect(database_url.removeprefix("sqlite:")) as connection:
            for statement in statements:
                connection.execute(statement)
        connection.close()
        return
    with psycopg.connect(database_url, autocommit=True) as postgres:
        for statement in statements:
            postgres.execute(statement.encode())


def test_what_was_bound_before_this_was_remembered_is_found_by_its_time(
    database_url: str, tmp_path: Path, other: FakeIdentityServer
) -> None:
    with World(database_url, tmp_path, **other.settings, identity__name=OLD) as home:
        token = home.register()
        bind(home, token, OLD)
        home.clock.advance(DAY)
        bind_elsewhere(home, token, other)
    undo(
        database_url,
        "ALTER TABLE threepid_bindings DROP COLUMN here_at",
        "DELETE FROM schema_migrations WHERE version = 13",
    )
    assert migrate(database_url, password=None, clock=Clock()) == ["0013_published_here"]
    with home.again(identity__name="id.new.example") as new:
        found = new.run(new.server.context.database.read(lambda tx: threepids.bindings_of_user(tx, ALICE)))
        assert [(one.id_server, one.here_at is None) for one in found] == [(OLD, False), (other.name, True)]
        assert new.post(DELETE, named(None), token=token).json() == SUCCESS
        assert (published(new), bound(new)) == ([], [])
