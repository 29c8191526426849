"""Which server answers which path: derived from the declarations of the endpoints, for the role of a configuration.

Pages are everything outside `/_matrix/` and `/_synapse/`, and the few pages below `/_matrix/` that are named here.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

from threepid import config
from threepid.config import Config, Listen
from threepid.spec.endpoint import Beside, Endpoint

_VERSIONS: Final = "/_matrix/client/(?:r0|v3|unstable)"
_PAGES: Final = (
    # The homeserver sends people on from its own two stages.
    (("GET", "POST"), rf"{_VERSIONS}/auth/(?!m\.oauth/|org\.matrix\.cross_signing_reset/)[^/]+/fallback/web"),
    (("GET",), rf"{_VERSIONS}/login/sso/redirect(?:/[^/]*)?"),
    (("GET", "POST"), r"/_matrix/static/client/login/?"),
)
"""Pages below `/_matrix/client/`: their methods, and regular expressions of their paths."""
_IDENTITY: Final = r"/_matrix/identity(?:/.*)?"
_VARIABLE: Final = re.compile(r"\\\{[a-z_]+\\\}")
_FAMILIES: Final = re.compile(r"/_matrix/client/(?P<family>r0|v1|v3|unstable)/(?P<rest>.+)")
_PORTS: Final = {"https": 443, "http": 80}


class Rule(Struct, frozen=True):
    """Requests that this server answers among those of the homeserver; without methods, all methods."""

    methods: tuple[str, ...]
    pattern: str
    """A regular expression of the whole path, after percent-decoding."""

    def matches(self, method: str, path: str) -> bool:
        """Does this server answer?"""
        return (not self.methods or method in self.methods) and re.fullmatch(self.pattern, path) is not None


class Plan(Struct, frozen=True):
    """What a reverse proxy has to do."""

    scheme: str
    host: str
    port: int
    threepid: str
    """Where this server listens: `address:port`, or `unix:` and a path."""
    threepid_tls: bool
    homeserver: str | None
    """`address:port` of the homeserver; None if this server answers everything."""
    homeserver_tls: bool
    rules: tuple[Rule, ...]
    """What this server answers below `/_matrix/`; everything else there is the homeserver's."""

    def is_here(self, method: str, path: str) -> bool:
        """Does this server answer?"""
        if self.homeserver is None or not path.startswith(("/_matrix/", "/_synapse/")):
            return True
        return any(rule.matches(method, path) for rule in self.rules)


def plan(settings: Config) -> Plan:
    """The plan for a configuration. Raises ConfigError."""
    # Imported here, because the endpoints import the whole server, and other commands start faster.
    from threepid.api.endpoints import served  # noqa: PLC0415

    public = urlsplit(settings.server.public_base_url)
    address = config.listen_address(settings)
    homeserver = settings.homeserver
    url = urlsplit(homeserver.url) if homeserver is not None else None
    return Plan(
        scheme=public.scheme,
        host=public.hostname or "localhost",
        port=public.port or _PORTS[public.scheme],
        threepid=_joined(address) if isinstance(address, Listen) else f"unix:{address.path}",
        threepid_tls=settings.server.tls is not None,
        homeserver=None
        if url is None
        else f"{_bracketed(url.hostname or '')}:{url.port or (443 if url.scheme == 'https' else 80)}",
        homeserver_tls=url is not None and url.scheme == "https",
        rules=() if homeserver is None else _rules(served(settings), binds_here=homeserver.binds == "threepid"),
    )


def answers_here(endpoint: Endpoint, path_beside: Beside | None, *, binds_here: bool) -> bool:
    """Does this server answer a path of an endpoint beside a homeserver?"""
    beside = path_beside or endpoint.beside
    return beside is Beside.HERE or (beside is Beside.BINDS and binds_here)


def _rules(endpoints: Iterable[Endpoint], *, binds_here: bool) -> tuple[Rule, ...]:
    """The rules for paths below `/_matrix/client/`, those of one path in all its versions together."""
    here: dict[str, dict[str, set[str]]] = {}
    there: set[str] = set()
    for endpoint in endpoints:
        for path in endpoint.paths:
            found = _FAMILIES.fullmatch(path.template)
            if found is None:
                continue
            rest = _expression(found["rest"])
            if answers_here(endpoint, path.beside, binds_here=binds_here):
                here.setdefault(rest, {}).setdefault(endpoint.method, set()).add(found["family"])
            else:
                there.add(rest)
    rules = []
    for rest, methods in here.items():
        families = {family for of_method in methods.values() for family in of_method}
        pattern = f"/_matrix/client/(?:{'|'.join(sorted(families))})/{rest}"
        # A browser asks before a request to another origin. Both servers let it, so that of a shared path is the homeserver's.
        rules.append(Rule(tuple(sorted(methods)) if rest in there else (), pattern))
    rules += [Rule((*methods, "OPTIONS", "HEAD"), pattern) for methods, pattern in _PAGES]
    rules.append(Rule((), _IDENTITY))
    return tuple(sorted(rules, key=lambda rule: rule.pattern))


def _expression(template: str) -> str:
    """A regular expression of a path template. The last variable may hold slashes, which were percent-encoded."""
    pattern = re.escape(template)
    variables = [*_VARIABLE.finditer(pattern)]
    if variables and variables[-1].end() == len(pattern):
        pattern = f"{pattern[: variables[-1].start()]}.+"
    return _VARIABLE.sub("[^/]+", pattern).replace(r"\-", "-")


def _joined(address: Listen) -> str:
    return f"{_bracketed(address.host)}:{address.port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
