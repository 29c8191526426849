"""`[database]`: its settings, and the rules that reject unsafe values."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Meta

from threepid.config.permissions import why_changeable, why_open
from threepid.config.problem import Problem, first_trouble, is_loopback
from threepid.config.section import DatabaseUrl, SecretFile, Section

_IN_THE_CLEAR: Final = frozenset({"disable", "allow"})
"""Values of libpq's `sslmode` that never use TLS, or try without TLS first."""


class Database(Section, frozen=True):
    """`[database]`: the database of the server."""

    url: DatabaseUrl = ""
    """Database URL: `sqlite:path` or `postgresql://user@host/name`; empty = `sqlite:<data_dir>/threepid.db`."""
    password_file: SecretFile = ""
    """File with the PostgreSQL password; empty = no password."""
    pool_size: Annotated[int, Meta(ge=1, le=200)] = 8
    """Maximum number of PostgreSQL connections for writes in each server process; reads use up to 4 more, and writes that
    share a commit 1 more."""


def url_of(database: Database, data_dir: str) -> str:
    """The URL of the database: the setting, or a file in the data directory."""
    return database.url or f"sqlite:{Path(data_dir) / 'threepid.db'}"


def sqlite_file(url: str) -> Path | None:
    """The file of a `sqlite:path` URL; None for another kind of database. Raises ValueError if nothing would be kept."""
    if not url.startswith("sqlite:"):
        return None
    path = url.removeprefix("sqlite:")
    if path.lstrip("/").startswith("file:"):
        raise ValueError("is a URI, and possibly in memory: write the path alone after sqlite:")
    if any(word in path.lower() for word in (":memory:", "mode=memory", "vfs=memdb")):
        raise ValueError("is in memory: every account would be lost at the next stop. Name a file")
    return Path(path)


def problems(database: Database, data_dir: str) -> Iterator[Problem]:
    """Yield the unsafe values in `[database]`."""
    url = url_of(database, data_dir)
    yield from _url(url)
    if (file := _kept_file(url)) is not None:
        for path in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
            if path == file or path.exists():
                yield from first_trouble("[database] url", path, why_changeable, why_open)


def warnings(database: Database, data_dir: str) -> Iterator[Problem]:
    """Yield the values in `[database]` that are accepted with a warning."""
    try:
        url = urlsplit(url_of(database, data_dir))
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
            f"the connection to {remote[0]} is not encrypted: set sslmode=verify-full, or at least sslmode=require",
        )


def _url(text: str) -> Iterator[Problem]:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - reading it checks it
    except ValueError:
        yield Problem("[database] url", "is not a URL")
        return
    if url.scheme not in {"sqlite", "postgresql", "postgres"}:
        yield Problem("[database] url", "must begin with sqlite: or postgresql://")
    if url.scheme == "sqlite":
        yield from _sqlite(text)
    if url.password or "password" in parse_qs(url.query):
        yield Problem("[database] url", "contains a password: put the password into a file and set password_file")


def _sqlite(url: str) -> Iterator[Problem]:
    place = "[database] url"
    try:
        file = sqlite_file(url)
    except ValueError as error:
        yield Problem(place, str(error))
        return
    if file is None or not file.name.strip() or file.is_dir():
        yield Problem(place, "has no file name after sqlite:")


def _kept_file(url: str) -> Path | None:
    """The file of the database; None if it has none."""
    try:
        file = sqlite_file(url)
    except ValueError:  # another rule reports it
        return None
    return None if file is None or not file.name or file.is_dir() else file
