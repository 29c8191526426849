"""What ma1sd's configuration says of its name, its database and its folder of keys.

https://github.com/ma1uta/ma1sd/blob/master/docs/configure.md
"""

from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from threepid.importers.files import read_yaml, section, text_of
from threepid.importers.source import SourceError

_WHAT: Final = "ma1sd's ma1sd.yaml"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings that an import needs."""

    server_name: str
    database: str
    """The URL of the database: `sqlite:path`, or `postgresql:` with `arguments`."""
    arguments: dict[str, str] = {}
    """libpq's arguments, which may include a password."""
    keys: Path | None = None
    """The folder of the keys; None if it is not known."""


def read(file: Path, *, database: str | None = None) -> Settings:
    """The settings of a configuration file; `database` is a URL in place of the configured one. Raises SourceError."""
    tree = read_yaml(file, _WHAT)
    name = text_of(section(tree, "server"), "name") or text_of(section(tree, "matrix"), "domain")
    if not name:
        raise SourceError(f"{file} has neither server.name nor matrix.domain. `--config` names {_WHAT}.")
    keys = text_of(section(tree, "key"), "path")
    url, arguments = (database, {}) if database else _database(section(tree, "storage"), file.parent)
    return Settings(server_name=name, database=url, arguments=arguments, keys=file.parent / keys if keys else None)


def _database(storage: dict[str, Any], folder: Path) -> tuple[str, dict[str, str]]:
    provider = section(storage, "provider")
    backend = text_of(storage, "backend") or "sqlite"
    chosen = section(provider, backend)
    name = text_of(chosen, "database")
    if backend == "sqlite" and name:
        return f"sqlite:{folder / name}", {}
    if backend == "postgresql" and name:
        given = {"user": text_of(chosen, "username"), "password": text_of(chosen, "password")}
        # The part of a JDBC URL after `jdbc:postgresql:`, which libpq reads alike: `//host/name`, or the name alone.
        url = f"postgresql:{name}" if name.startswith("//") else f"postgresql:///{name}"
        return url, {key: value for key, value in given.items() if value}
    raise SourceError("The configuration names no database that can be read. Name one with `--database`.")
