"""An operator of the test world: a token of the admin API, and calls with it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from threepid.clock import DAY
from threepid.domain.operators.operator import Operator
from threepid.domain.origin import Origin
from threepid.spec.operator_scopes import Scope
from world import World

ADMIN = "/_threepid/admin/v1"
NEAR = {"admin__networks": ["127.0.0.0/8", "10.0.0.0/8"], "server__trusted_proxies": ["127.0.0.1"]}
"""Settings that let the tests' own address use the admin API."""


def world_of_operators(database_url: str, directory: Path, **changes: Any) -> World:
    """A server with the admin API."""
    return World(database_url, directory, **{**NEAR, **changes})


def root(world: World) -> Operator:
    """Who is at the command line."""
    return Operator("command line: root", Origin(world.clock.now()), frozenset(Scope))


def operator_token(world: World, *scopes: Scope, name: str = "helpdesk", days: int = 30) -> str:
    """A new operator token, by default with all scopes but `admins:write`."""
    wanted: Iterable[str] = scopes or [scope for scope in Scope if scope is not Scope.ADMINS_WRITE]
    tokens = world.server.services.operator_tokens
    expires_at = world.clock.now() + days * DAY
    return world.run(tokens.create(name, wanted, expires_at=expires_at, operator=root(world)))


def get(world: World, path: str, token: str | None, **more: Any) -> httpx.Response:
    """GET an endpoint of the admin API."""
    return world.get(f"{ADMIN}{path}", token=token, **more)


def post(world: World, path: str, token: str | None, body: Any = None, **more: Any) -> httpx.Response:
    """POST to an endpoint of the admin API."""
    return world.post(f"{ADMIN}{path}", body, token=token, **more)
