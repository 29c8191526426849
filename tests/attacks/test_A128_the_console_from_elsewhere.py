"""A128: somebody looks for the console from elsewhere, or on a server that has none. There is no hint of it."""

from pathlib import Path

import httpx
import pytest

from operators import operator_token, world_of_operators
from threepid.web.console.pages import OF_ACCOUNTS, PAGES
from web.console_pages import operator_browser
from world import World

PATHS = sorted({page.path for page in (*PAGES, *OF_ACCOUNTS)})
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO")
ELSEWHERE = {"X-Forwarded-For": "203.0.113.7"}


def told(world: World, method: str, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    """What the answer says, without the path."""
    answer: httpx.Response = world.run(world.http.request(method, path, headers=headers))
    fields = {name: value for name, value in answer.headers.items() if name not in ("content-length", "x-request-id")}
    return answer.status_code, answer.text.replace(path, "PATH"), fields


def test_every_page_of_the_console_is_among_them() -> None:
    assert len(PATHS) > 15
    assert all(path.startswith("/admin/") for path in PATHS)


@pytest.mark.parametrize("method", METHODS)
def test_the_console_is_off_until_its_networks_are_named(database_url: str, tmp_path: Path, method: str) -> None:
    with World(database_url, tmp_path) as world:
        operator_token(world)
        for path in PATHS:
            assert told(world, method, path) == told(world, method, "/nosuch/path"), path
            assert told(world, method, path)[0] == 404


@pytest.mark.parametrize("method", METHODS)
def test_a_caller_from_elsewhere_gets_the_answer_of_an_unknown_path(
    database_url: str, tmp_path: Path, method: str
) -> None:
    with world_of_operators(database_url, tmp_path) as world:
        desk = operator_browser(world)
        cookie = "; ".join(f"{name}={value}" for name, value in desk.cookies.items())
        before = world.database.writes
        for path in PATHS:
            for headers in (ELSEWHERE, {**ELSEWHERE, "Cookie": cookie}):
                assert told(world, method, path, **headers) == told(world, method, "/nosuch/path", **headers), path
                assert told(world, method, path, **headers)[0] == 404
        assert world.database.writes == before
        assert world.get("/admin/sign-in").status_code == 200


def test_the_admin_api_has_no_other_answer_for_a_wrong_method(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path) as world:
        path = "/_threepid/admin/v1/accounts"
        assert told(world, "DELETE", path)[0] == 405
        for method in METHODS:
            assert told(world, method, path, **ELSEWHERE) == told(world, method, "/_threepid/admin/v1/x", **ELSEWHERE)


def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(database_url: str, tmp_path: Path) -> None:
    changes = {"admin__networks": ["10.0.0.0/8"], "server__trusted_proxies": []}
    with world_of_operators(database_url, tmp_path, **changes) as world:
        assert world.get("/admin/sign-in", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 404
    changes = {"admin__networks": ["10.0.0.0/8"]}
    with world_of_operators(database_url, tmp_path / "second", **changes) as world:
        assert world.get("/admin/sign-in", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 200
        assert world.get("/admin/sign-in", headers={"X-Forwarded-For": "10.0.0.1, 203.0.113.7"}).status_code == 404


def test_no_other_page_names_the_console(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path) as world:
        for path in ("/", "/account/sign-in", "/.well-known/matrix/client", "/nosuch"):
            assert "/admin" not in world.get(path).text


def test_the_description_of_the_endpoints_does_not_tell_of_the_admin_api_elsewhere(
    database_url: str, tmp_path: Path
) -> None:
    with World(database_url, tmp_path) as world:
        without = told(world, "GET", "/openapi.json")[:2], told(world, "GET", "/docs/api")[:2]
    with world_of_operators(database_url, tmp_path / "second") as world:
        assert (
            told(world, "GET", "/openapi.json", **ELSEWHERE)[:2],
            told(world, "GET", "/docs/api", **ELSEWHERE)[:2],
        ) == without
        assert told(world, "GET", "/docs/api/search_accounts", **ELSEWHERE) == told(
            world, "GET", "/docs/api/search_nosuch", **ELSEWHERE
        )
        assert "/_threepid/admin/" not in told(world, "GET", "/openapi.json", **ELSEWHERE)[1]


def test_near_the_description_has_the_admin_api_and_no_cache_keeps_it(database_url: str, tmp_path: Path) -> None:
    with world_of_operators(database_url, tmp_path) as world:
        near = world.get("/openapi.json")
        assert "/_threepid/admin/v1/accounts" in near.text
        assert near.headers["cache-control"] == "no-store"
        assert "/_threepid/admin/v1/accounts" in world.get("/docs/api").text
        assert world.get("/docs/api/search_accounts").status_code == 200
        assert world.get("/openapi.json", headers=ELSEWHERE).headers["cache-control"] == "public, max-age=300"
