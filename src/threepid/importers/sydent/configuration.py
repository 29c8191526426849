"""What Sydent's configuration says of its name, its database, its signing key and its terms.

https://github.com/matrix-org/sydent/blob/main/sydent/config/__init__.py
"""

import configparser
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from threepid.importers.files import read_data, read_yaml
from threepid.importers.source import SourceError

_DATABASE: Final = "sydent.db"
_WHAT: Final = "Sydent's sydent.conf"


class Settings(Struct, frozen=True, kw_only=True):
    """The settings that an import needs."""

    server_name: str
    database: str
    """The URL of the database: `sqlite:path`."""
    key: str = ""
    """The signing key, as a line of the configuration; '' if it has none yet."""
    terms_version: str | None = None
    """The version of the terms that people must have accepted; None if there are no terms."""


def read(file: Path, *, database: str | None = None) -> Settings:
    """The settings of a configuration file; `database` is a URL in place of the configured one. Raises SourceError."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_data(file).decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        # The error quotes lines, which may be secrets.
        raise SourceError(
            f"{file} is not an INI file. `--config` names {_WHAT}, and `-c` the file of threepid."
        ) from None
    name = _get(parser, "general", "server.name")
    if not name:
        raise SourceError(f"{file} has no server.name. `--config` names {_WHAT}.")
    terms = _get(parser, "general", "terms.path")
    return Settings(
        server_name=name,
        database=database or f"sqlite:{file.parent / (_get(parser, 'db', 'db.file') or _DATABASE)}",
        key=_key(_get(parser, "crypto", "ed25519.signingkey")),
        terms_version=_version_of(file.parent / terms) if terms else None,
    )


def _get(parser: configparser.ConfigParser, section: str, name: str) -> str:
    """A setting of a section, or of the section DEFAULT, where early versions of Sydent wrote all of them."""
    sections: Iterable[str] = (section,) if parser.has_section(section) else ()
    for place in (*sections, parser.default_section):
        found = parser[place].get(name)
        if found is not None:
            return found.strip()
    return ""


def _key(setting: str) -> str:
    return f"ed25519.signingkey = {setting}" if setting else ""


def _version_of(file: Path) -> str | None:
    version = read_yaml(file, _WHAT).get("master_version")
    if not isinstance(version, str):
        raise SourceError(f"{file} has no master_version. It should be the file of Sydent's terms.")
    return version
