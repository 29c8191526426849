"""The real servers at one origin, with what the apps and browsers of `oauth_app.py` and `web/portal_browser.py` need of a World."""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar, cast

import httpx

from federated_synapse import trust
from one_origin import OneOrigin
from world import BASE, World

T = TypeVar("T")


class _Http(httpx.Client):
    def __init__(self, origin: OneOrigin) -> None:
        super().__init__(base_url=origin.base, verify=trust(), timeout=30)

    def request(self, method: str, url: Any, **more: Any) -> httpx.Response:
        headers = dict(more.pop("headers", None) or {})
        if headers.get("Origin") == BASE:  # where the pages of a World are
            headers["Origin"] = str(self.base_url).rstrip("/")
        return super().request(method, url, headers=headers, **more)


class _OriginWorld:
    def __init__(self, origin: OneOrigin) -> None:
        self.http = _Http(origin)

    def run(self, done: T) -> T:
        """Requests are answered already."""
        return done

    def call(self, method: str, path: str, body: Any, **more: Any) -> httpx.Response:
        if isinstance(body, str):
            return self.http.request(method, path, content=body, **more)
        return self.http.request(method, path, json=body, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.http.request("GET", path, **more)

    def post(self, path: str, body: Any, **more: Any) -> httpx.Response:
        return self.call("POST", path, body, **more)


@contextlib.contextmanager
def world_of(origin: OneOrigin) -> Iterator[World]:
    """What can be asked of the real servers as of a World."""
    made = _OriginWorld(origin)
    with made.http:
        yield cast(World, made)
