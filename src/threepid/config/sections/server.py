"""`[server]`: its settings, and the rules that reject unsafe values."""

import ipaddress
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta

from threepid.config.listen import Listen, UnixListen, tcp_address
from threepid.config.permissions import why_changeable, why_open, why_unreadable
from threepid.config.problem import Problem, first_trouble, is_loopback, is_server_name, network_problems
from threepid.config.section import Example, Folder, ListenAddress, NewFolder, PublicFile, SecretFile, Section


class Tls(Section, frozen=True):
    """`[server.tls]`: the certificate chain and its private key, both PEM files."""

    certificate_file: Annotated[PublicFile, Example('"fullchain.pem"')]
    """File with the certificate chain (PEM)."""
    key_file: Annotated[SecretFile, Example('"privkey.pem"')]
    """File with the private key (PEM), which only the server's user may read."""


class Server(Section, frozen=True):
    """`[server]`: the name of the server and its listeners."""

    name: str = "localhost"
    """Matrix server name: the part after the colon in `@alice:example.org`."""
    public_base_url: str = "http://localhost:8008"
    """URL, without a path, at which clients and people reach this server; all links in mails and pages start with it."""
    listen: ListenAddress = "127.0.0.1:8008"
    """Address to listen on: `address:port`, `[v6]:port`, `localhost:port` or `unix:/path`."""
    listen_mode: Literal["0600", "0660", "0666"] = "0660"
    """Mode of the socket file of `unix:/path`: only its user may connect, its group too, or everybody on the machine."""
    metrics_listen: str = ""
    """Address of the Prometheus metrics, as `address:port`; empty = off."""
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    """Number of server processes."""
    tls: Tls | None = None
    """Certificate and key. Absent = plain HTTP, behind a reverse proxy."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Networks whose `X-Forwarded-For` is trusted, none wider than /8 (IPv6: /16); empty = none."""
    query_token: tuple[Literal["r0", "v3", "unstable", "v1", "identity_v2"], ...] = ("r0", "unstable")
    """API versions that accept `?access_token=`; `hash_details` always does, because Synapse sends it; empty = none."""
    data_dir: Annotated[NewFolder, Meta(min_length=1)] = "data"
    """Folder of the keys and the SQLite database; it is created if it does not exist."""
    secret_dirs: tuple[Folder, ...] = ()
    """Further folders of secrets, besides `/run/secrets`, `/var/run/secrets` and `$CREDENTIALS_DIRECTORY`; empty = none.
    Everybody may read a secret file there if root owns it, as container platforms mount secrets."""


def listener(server: Server) -> Listen | UnixListen:
    """The address that the server listens on. Raises ValueError, which says what to write."""
    text = server.listen
    if text.startswith("unix:") and text != "unix:":
        return UnixListen(Path(text.removeprefix("unix:")))
    return tcp_address(text)


def is_public(server: Server) -> bool:
    """Can other machines reach the server?"""
    try:
        where = listener(server)
        host = urlsplit(server.public_base_url).hostname or ""
    except ValueError:
        return True
    return not is_loopback(host) or (isinstance(where, Listen) and not is_loopback(where.host))


def problems(server: Server) -> Iterator[Problem]:
    """Yield the unsafe values in `[server]`."""
    if not is_server_name(server.name):
        yield Problem("[server] name", f"{server.name!r} is not the name of a server")
    yield from _addresses(server)
    yield from network_problems("[server] trusted_proxies", server.trusted_proxies)
    yield from _certificate(server)
    for name in server.secret_dirs:
        if Path(name).resolve() == Path("/"):
            yield Problem("[server] secret_dirs", f"{name} is every folder: name the one that the secrets are in")
    yield from first_trouble("[server] data_dir", Path(server.data_dir) / "keys", why_changeable, why_open)


def warnings(server: Server) -> Iterator[Problem]:
    """Yield the values in `[server]` that are accepted with a warning."""
    yield from _listeners(server)
    if trouble := why_open(Path(server.data_dir)):
        yield Problem("[server] data_dir", trouble)


def _addresses(server: Server) -> Iterator[Problem]:
    try:
        listener(server)
    except ValueError as error:
        yield Problem("[server] listen", str(error))
    place, text = "[server] public_base_url", server.public_base_url
    try:
        base = urlsplit(text)
    except ValueError:
        yield Problem(place, "is not a URL")
        return
    if "@" in base.netloc or "?" in text or "#" in text:
        yield Problem(place, "has more than scheme, host and port")
    elif base.scheme not in {"http", "https"} or not re.fullmatch("[!-~]+", text) or not is_server_name(base.netloc):
        yield Problem(place, "is not an http or https URL in plain ASCII: links in mails start with it")
    elif base.scheme == "http" and not is_loopback(base.hostname or ""):
        yield Problem(place, "people would validate addresses over plain HTTP: use https")
    elif base.path not in {"", "/"}:
        yield Problem(
            place,
            f"has the path {base.path}: cookies, style sheets and .well-known must be at the root of a host. "
            "Use a separate host name for threepid",
        )
    if server.metrics_listen:
        try:
            tcp_address(server.metrics_listen)
        except ValueError as error:
            yield Problem("[server] metrics_listen", str(error))


def _certificate(server: Server) -> Iterator[Problem]:
    tls = server.tls
    if tls is None or why_unreadable(tls.certificate_file) or why_unreadable(tls.key_file):
        return
    try:
        # Give a wrong password: otherwise OpenSSL would prompt for the password of an encrypted key.
        ssl.create_default_context().load_cert_chain(tls.certificate_file, tls.key_file, password="")
    except (ssl.SSLError, OSError):
        yield Problem(
            "[server] tls",
            f"{tls.certificate_file} and {tls.key_file} are not a certificate chain and its private key, in PEM form and "
            "without a password",
        )


def _listeners(server: Server) -> Iterator[Problem]:
    try:
        listen = listener(server)
    except ValueError:
        return
    if server.tls is None and isinstance(listen, Listen) and _is_everywhere(listen.host):
        yield Problem(
            "[server] listen",
            f"plain HTTP on {listen.host}: requests that bypass the proxy are not protected. "
            "Listen on an address that only the proxy can reach, or set [server.tls]",
        )
    if not server.metrics_listen:
        return
    try:
        metrics = tcp_address(server.metrics_listen)
    except ValueError:
        return
    if _is_everywhere(metrics.host):
        yield Problem(
            "[server] metrics_listen",
            f"everybody who can reach {metrics.host} can read the metrics: listen on an address that only Prometheus can reach",
        )


def _is_everywhere(host: str) -> bool:
    """Is this the wildcard address, or an address on the internet?"""
    address = ipaddress.ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    return address.is_unspecified or address.is_global
