"""Which server answers which path behind the public URL: the declarations of `threepid proxy`, asked one by one.

No request has a token, and each body is not JSON: both servers reject it before they do anything.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Final

from msgspec import Struct

from threepid.api.endpoints import served
from threepid.cli.doctor.check import OK, Verdict, check, failure, is_beside, warning
from threepid.cli.doctor.checks.address import url_leads_here
from threepid.cli.doctor.checks.homeserver import homeserver_answers
from threepid.cli.doctor.scene import NoAnswer, Reply, Scene
from threepid.cli.proxy.rules import plan
from threepid.config import Config
from threepid.spec.endpoint import Auth, Beside
from threepid.spec.oauth.server import INTROSPECT

_AT_ONCE: Final = 8
"""Maximum number of requests at a time."""
_ENOUGH: Final = 8
"""Number of requests without an answer after which no further ones are sent: each takes the whole limit."""
_NAMED: Final = 5
_PATIENCE: Final = 6
_VARIABLE: Final = re.compile(r"\{[a-z_]+\}")
_EITHER: Final = frozenset({"/.well-known/matrix/client", "/.well-known/matrix/server"})
"""Files that any server may serve: another module reads them."""
_COUNTED: Final = frozenset({Auth.BOUNCE_SECRET, Auth.HOMESERVER, Auth.OPERATOR_TOKEN})
"""Requests without the right secret are counted in the audit log, so these endpoints get a harmless one."""
_VERSION: Final = "/_matrix/client/v3"
_PAGES: Final = (
    f"{_VERSION}/auth/m.login.terms/fallback/web",
    f"{_VERSION}/login/sso/redirect",
    "/_matrix/static/client/login/",
)
_OF_THE_HOMESERVER: Final = (
    f"{_VERSION}/auth/m.oauth/fallback/web",
    f"{_VERSION}/auth/org.matrix.cross_signing_reset/fallback/web",
    f"{_VERSION}/joined_rooms",
    f"{_VERSION}/keys/changes",
    "/_matrix/media/v3/config",
)
_BROKEN: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})


class Asked(Struct, frozen=True):
    """A request."""

    method: str
    path: str

    def __str__(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


def asked(settings: Config, *, here: bool) -> list[Asked]:
    """The requests that this server must answer, or those that the homeserver must answer."""
    made = plan(settings)
    return [one for one in dict.fromkeys(_all(settings)) if made.is_here(one.method, one.path) is here]


def _all(settings: Config) -> Iterator[Asked]:
    for endpoint in served(settings):
        if endpoint.beside is Beside.HIDDEN:
            continue
        method = "OPTIONS" if endpoint.auth in _COUNTED else endpoint.method
        for path in endpoint.paths:
            if path.template not in _EITHER:
                yield Asked(method, _VARIABLE.sub("x", path.template))
    if settings.accounts is not None:
        yield from (Asked("GET", path) for path in (*_PAGES, "/account/sign-in"))
    if settings.homeserver is not None:
        yield from (Asked("GET", path) for path in _OF_THE_HOMESERVER)


@check("Does this server get the requests that it answers?", needs=(url_leads_here,), patience=_PATIENCE)
async def ours_come_here(scene: Scene) -> Verdict:
    """Send each of them through the public URL."""
    wrong = [
        str(one) for one, reply in await _ask(scene, asked(scene.settings, here=True)) if not _is(reply, here=True)
    ]
    if not wrong:
        return OK
    return failure(f"{_listed(wrong)} {_do(wrong)} not come here. {_CURE}")


@check(
    "Does the homeserver get the requests that it answers?",
    where=is_beside,
    needs=(url_leads_here, homeserver_answers),
    patience=_PATIENCE,
)
async def others_go_there(scene: Scene) -> Verdict:
    """Send each of them through the public URL."""
    wrong = [
        str(one) for one, reply in await _ask(scene, asked(scene.settings, here=False)) if not _is(reply, here=False)
    ]
    if not wrong:
        return OK
    return failure(f"{_listed(wrong)} {_do(wrong)} not go to the homeserver. {_CURE}")


@check("Is what only the two servers ask each other hidden?", where=is_beside, needs=(url_leads_here,))
async def internals_are_hidden(scene: Scene) -> Verdict:
    """Send requests that both servers answer, if they get them."""
    introspection = Asked("OPTIONS", INTROSPECT)
    provisioning = Asked("GET", "/_synapse/mas/query_user?localpart=x")
    open_ones = []
    for one, reply in await _ask(scene, [introspection, provisioning]):
        if reply is not None and (
            reply.is_ours or (one is provisioning and reply.errcode not in ("", "M_UNRECOGNIZED"))
        ):
            open_ones.append(one.path.partition("?")[0])
    if not open_ones:
        return OK
    return warning(f"Everybody can send guesses of the secret to {' and '.join(open_ones)}. {_CURE}")


_CURE: Final = "Take the configuration of the reverse proxy from `threepid proxy` again."


async def _ask(scene: Scene, questions: Iterable[Asked]) -> list[tuple[Asked, Reply | None]]:
    """The answers to requests; None for one that got none, or was not sent after too many others had got none."""
    places = asyncio.Semaphore(_AT_ONCE)
    silent = 0

    async def ask(one: Asked) -> tuple[Asked, Reply | None]:
        nonlocal silent
        body = one.method in ("POST", "PUT", "DELETE")
        headers = {"Content-Type": "application/json"} if body else {}
        async with places:
            if silent >= _ENOUGH:
                return one, None
            try:
                return one, await scene.ask(
                    one.method, f"{scene.base}{one.path}", headers=headers, body=b"[" if body else b""
                )
            except NoAnswer:
                silent += 1
                return one, None

    return await asyncio.gather(*map(ask, questions))


def _is(reply: Reply | None, *, here: bool) -> bool:
    if reply is None or (not reply.is_ours and reply.status in _BROKEN):
        return False
    return reply.is_ours is here


def _listed(wrong: list[str]) -> str:
    if len(wrong) <= _NAMED:
        return ", ".join(wrong)
    return f"{', '.join(wrong[:_NAMED])} and {len(wrong) - _NAMED} other requests"


def _do(wrong: list[str]) -> str:
    return "does" if len(wrong) == 1 else "do"


CHECKS: Final = (ours_come_here, others_go_there, internals_are_hidden)
