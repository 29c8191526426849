"""A125: somebody uses the admin API from elsewhere, with a wrong, old or weak token, or changes an administrator's account."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from operators import ADMIN, get, operator_token, post, root, world_of_operators
from pausing import pause_until
from threepid.api.endpoints import ADMIN as ENDPOINTS
from threepid.clock import DAY
from threepid.spec.operator_scopes import Scope
from threepid.storage import accounts
from threepid.storage.engine.database import Tx
from world import PASSWORD, World

ALICE = "@alice:example.org"
C = "/_matrix/client/v3"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_of_operators(database_url, tmp_path) as made:
        made.register()
        yield made


def paths() -> list[tuple[str, str, Scope]]:
    found = []
    for endpoint in ENDPOINTS:
        assert endpoint.scope is not None
        path = endpoint.paths[0].template.replace("{account}", "alice")
        found.append((endpoint.method, path.replace("{", "").replace("}", ""), endpoint.scope))
    return found


@pytest.mark.parametrize(("method", "path", "scope"), paths(), ids=str)
def test_every_endpoint_wants_its_scope_and_network(world: World, method: str, path: str, scope: Scope) -> None:
    token = operator_token(world, *(one for one in Scope if one is not scope))
    before = world.run(world.homeserver.directory.show(ALICE))
    body: dict[str, str] | None = None if method in ("GET", "DELETE") else {}
    answer = world.call(method, path, body, token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    for wrong in ("", "x", token[:-1], token + "x", token.upper(), world.register("bob")):
        answer = world.call(method, path, body, token=wrong or None)
        assert answer.status_code == 401
    everything = operator_token(world, *Scope, name="all")
    outside = world.call(method, path, body, token=everything, headers={"X-Forwarded-For": "203.0.113.7"})
    unknown = world.call(method, f"{ADMIN}/nosuch/endpoint/of/ours", body, token=everything)
    assert (outside.status_code, outside.json()) == (404, unknown.json())
    assert world.call(method, f"{path}?access_token={everything}", body).status_code == 401
    assert world.run(world.homeserver.directory.show(ALICE)) == before


def test_there_is_no_admin_api_without_networks(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        token = operator_token(world)
        for method, path, _ in paths():
            assert world.call(method, path, token=token).status_code == 404


def test_forwarded_addresses_of_strangers_do_not_count(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(
        database_url, tmp_path, admin__networks=["10.0.0.0/8"], server__trusted_proxies=[]
    ) as world:
        token = operator_token(world)
        answer = get(world, "/accounts", token, headers={"X-Forwarded-For": "10.0.0.1"})
        assert answer.status_code == 404


def test_a_token_ends_with_its_time_and_when_it_is_revoked(world: World) -> None:
    token, other = operator_token(world, days=1), operator_token(world, name="other")
    assert get(world, "/accounts", token).status_code == 200
    world.clock.advance(DAY)
    expired = get(world, "/accounts", token)
    world.run(world.server.services.operator_tokens.revoke("other", root(world)))
    revoked = get(world, "/accounts", other)
    unknown = get(world, "/accounts", "tpo_nosuch")
    assert expired.status_code == 401
    assert expired.json() == revoked.json() == unknown.json()


def test_a_token_is_nowhere_in_the_database_or_log(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    token = operator_token(world)
    get(world, "/accounts", token)
    get(world, "/accounts", token + "x")
    stored = world.run(world.server.services.operator_tokens.all_tokens())
    assert token not in repr(stored)
    assert token not in "".join(capfd.readouterr())


def test_only_a_token_for_admins_changes_an_admins_account(world: World) -> None:
    token, strong = operator_token(world), operator_token(world, *Scope, name="strong")
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    shown = get(world, "/accounts/alice", token).json()
    device_id = shown["devices"][0]["device_id"]
    contact = {"medium": "email", "address": "evil@example.com"}
    password = {"password": "the evil password"}
    for method, path, body in (
        ("PUT", "password", password),
        ("POST", "password_link", {}),
        ("POST", "contacts/add", contact),
        ("DELETE", f"devices/{device_id}", None),
        ("POST", "log_out", {}),
        ("POST", "lock", {}),
        ("POST", "unlock", {}),
        ("POST", "deactivate", {"erase": True}),
        ("POST", "reactivate", {}),
        ("POST", "export", {}),
    ):
        answer = world.call(method, f"{ADMIN}/accounts/alice/{path}", body, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN"), path
    assert post(world, "/limits/clear", token, {"account": "alice"}).status_code == 403
    assert get(world, "/accounts/alice", token).json() == shown
    log_in = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    assert world.post(f"{C}/login", log_in).status_code == 200
    assert world.call("PUT", f"{ADMIN}/accounts/alice/password", password, token=strong).status_code == 200


def test_a_closed_account_of_an_administrator_comes_back_as_an_ordinary_one(world: World) -> None:
    """Otherwise a token without `admins:write` opens it again with a password of its own."""
    token, strong = operator_token(world), operator_token(world, *Scope, name="strong")
    world.run(world.database.write(lambda tx: accounts.set_admin(tx, ALICE, world.clock.now())))
    assert post(world, "/accounts/alice/deactivate", token).status_code == 403
    assert post(world, "/accounts/alice/deactivate", strong).status_code == 200
    assert post(world, "/accounts/alice/reactivate", token, {"password": "the evil password"}).status_code == 200
    assert get(world, "/accounts/alice", token).json()["is_admin"] is False


@pytest.mark.parametrize("path", ["lock", "password_link", "deactivate"])
def test_who_is_made_an_administrator_meanwhile_is_not_changed(world: World, path: str) -> None:
    """The right is given in a transaction that has not ended when the request begins."""
    token, mails = operator_token(world), len(world.mails())
    asked = threading.Event()

    async def run() -> httpx.Response:
        loop = asyncio.get_running_loop()
        begun = asyncio.Event()

        def grant(tx: Tx) -> None:
            accounts.set_admin(tx, ALICE, world.clock.now())
            loop.call_soon_threadsafe(begun.set)
            pause_until(tx, asked.is_set, 0.5)  # the request waits for the end of this transaction

        granting = asyncio.create_task(world.database.write(grant))
        await begun.wait()
        answer = await world.acall("POST", f"{ADMIN}/accounts/alice/{path}", {}, token=token)
        asked.set()
        await granting
        return answer

    answer = world.run(run())
    assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")
    shown = get(world, "/accounts/alice", token).json()
    assert (shown["is_admin"], shown["locked_at"], shown["deactivated_at"]) == (True, None, None)
    assert len(world.mails()) == mails
