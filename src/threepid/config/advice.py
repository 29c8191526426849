"""What starts all the same, and should be looked at."""

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from threepid.config.load import ConfigError, Listen, database_url, listen_address, tcp_address
from threepid.config.permissions import why_open
from threepid.config.problem import Problem, is_loopback
from threepid.config.settings import Config

_SHORT_PASSWORD: Final = 8
_IN_THE_CLEAR: Final = frozenset({"disable", "allow"})
"""What libpq calls connections without TLS, and those that try without first."""


def warnings(config: Config) -> list[Problem]:
    """What may be meant in `config` but often is not, each with what it means and what to change."""
    return [warning for rule in (_listeners, _database, _data_dir, _passwords) for warning in rule(config)]


def _listeners(config: Config) -> Iterator[Problem]:
    try:
        listen = listen_address(config)
    except ConfigError:
        return
    if config.server.tls is None and isinstance(listen, Listen) and _is_everywhere(listen.host):
        yield Problem(
            "[server] listen",
            f"plain HTTP on {listen.host}: whoever reaches this port past the proxy is not protected. "
            "Listen on an address that only the proxy reaches, or set [server.tls]",
        )
    if not config.server.metrics_listen:
        return
    try:
        metrics = tcp_address(config.server.metrics_listen)
    except ValueError:
        return
    if _is_everywhere(metrics.host):
        yield Problem(
            "[server] metrics_listen",
            f"everybody who reaches {metrics.host} can read the metrics: listen on an address that only Prometheus reaches",
        )


def _is_everywhere(host: str) -> bool:
    """Is this every address of the machine, or one that the whole internet reaches?"""
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_unspecified or address.is_global


def _database(config: Config) -> Iterator[Problem]:
    try:
        url = urlsplit(database_url(config))
    except ValueError:
        return
    if url.scheme not in {"postgresql", "postgres"}:
        return
    options = parse_qs(url.query)
    hosts = [
        host
        for given in (url.hostname or "", *options.get("host", ()), *options.get("hostaddr", ()))
        for host in unquote(given).split(",")
    ]
    remote = [host for host in hosts if host and not host.startswith(("/", "@")) and not is_loopback(host)]
    if remote and not _IN_THE_CLEAR.isdisjoint(options.get("sslmode", ())):
        yield Problem(
            "[database] url",
            f"everything travels to {remote[0]} in the clear: set sslmode=verify-full, or sslmode=require at least",
        )


def _data_dir(config: Config) -> Iterator[Problem]:
    if trouble := why_open(Path(config.server.data_dir)):
        yield Problem("[server] data_dir", trouble)


def _passwords(config: Config) -> Iterator[Problem]:
    length = config.policy.password_min_length
    if length < _SHORT_PASSWORD:
        yield Problem(
            "[policy] password_min_length",
            f"passwords of {length} characters are guessed: set {_SHORT_PASSWORD} or more",
        )
