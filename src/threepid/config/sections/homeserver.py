"""`[homeserver]`: its settings, and the rules that reject unsafe values."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from threepid.config.problem import Problem, is_loopback, is_server_name
from threepid.config.section import Example, SecretFile, Section


class Homeserver(Section, frozen=True):
    """`[homeserver]`: a Synapse that has the rooms and lets this server authenticate its users. Absent = accounts stand alone."""

    kind: Annotated[Literal["synapse"], Example('"synapse"')]
    """Kind of the homeserver."""
    url: Annotated[str, Example('"http://127.0.0.1:8008"')]
    """URL at which this server reaches the homeserver; `http` only on this machine or in a private network."""
    secret_file: Annotated[SecretFile, Example('"synapse.secret"')]
    """File with the secret of `matrix_authentication_service` in the homeserver's configuration."""
    binds: Literal["homeserver", "threepid"] = "homeserver"
    """Server that answers `3pid/bind` and `3pid/unbind`: `threepid` only with the homeserver's signing key (`keys import`)."""


def problems(homeserver: Homeserver, *, has_accounts: bool, has_oauth: bool) -> Iterator[Problem]:
    """Yield the unsafe values in `[homeserver]`."""
    if not has_accounts:
        yield Problem("[homeserver]", "needs [accounts]: the homeserver gets its users from there")
    if not has_oauth:
        yield Problem("[oauth] enabled", "is false, but the homeserver checks tokens by it: set it to true")
    if not homeserver.secret_file:
        yield Problem("[homeserver] secret_file", "names no file")
    try:
        url = urlsplit(homeserver.url)
        host = url.hostname or ""
    except ValueError:
        url, host = urlsplit(""), ""
    if (
        not re.fullmatch("[!-~]+", homeserver.url)
        or url.scheme not in ("http", "https")
        or not is_server_name(url.netloc)
        or {*homeserver.url} & {"?", "#"}
    ):
        yield Problem("[homeserver] url", f"{homeserver.url!r} is not a URL such as http://127.0.0.1:8008")
    elif url.scheme == "http" and not _is_near(host):
        yield Problem(
            "[homeserver] url",
            f"would send the secret to {host} unencrypted: use https, or an address of this machine or of a private network",
        )


def _is_near(host: str) -> bool:
    """Is `host` this machine, a private address, or a name without dots, which only a network of containers knows?"""
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host
    return address.is_private and not address.is_unspecified
