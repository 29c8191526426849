"""What Synapse's configuration says of its database, and of who may sign in.

https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from threepid.importers.files import read_yaml, section
from threepid.importers.source import SourceError

_WHAT: Final = "Synapse's homeserver.yaml"
_OF_THE_POOL: Final = "cp_"
"""What the names of arguments begin with that are Synapse's own, and not libpq's."""


class Settings(Struct, frozen=True, kw_only=True):
    """The settings that an import needs."""

    server_name: str
    database: str
    """The URL of the database: `sqlite:path`, or `postgresql:` with `arguments`."""
    arguments: dict[str, str] = {}
    """libpq's arguments, which may include a password."""
    pepper: str = ""
    has_passwords: bool = True
    """May people sign in with the passwords that are in the database?"""
    needs_approval: bool = True
    """Are accounts locked until an administrator approves them?"""
    expires_accounts: bool = True
    """Are accounts locked after the end of their validity?"""


def read(files: Iterable[Path], *, database: str | None = None) -> Settings:
    """The settings of configuration files, of which later ones replace sections of earlier ones, as Synapse does.

    Of a folder, these are its files `*.yaml`. `database` is a URL in place of the configured database. Raises SourceError.
    """
    tree = load(files)
    if section(tree, "matrix_authentication_service").get("enabled") or section(
        section(tree, "experimental_features"), "msc3861"
    ).get("enabled"):
        raise SourceError(
            "This Synapse delegates authentication already, so its accounts are out of date. "
            "Import with the configuration that it had before."
        )
    name = tree.get("server_name")
    if not isinstance(name, str) or not name:
        raise SourceError(
            "The configuration has no server_name. Is it Synapse's? Debian's has it in the folder `conf.d`: name all files and "
            "folders with which Synapse is started."
        )
    passwords = section(tree, "password_config")
    pepper = passwords.get("pepper", "")
    if not isinstance(pepper, str):
        raise SourceError("password_config.pepper is not a text: put it in quotation marks, as Synapse read it.")
    approval = section(section(tree, "experimental_features"), "msc3866")
    url, arguments = (database, {}) if database else _database(tree)
    return Settings(
        server_name=name,
        database=url,
        arguments=arguments,
        pepper=pepper,
        # `only_for_reauth` accepts passwords for changes, but not to sign in.
        has_passwords=passwords.get("enabled", True) is True and passwords.get("localdb_enabled", True) is True,
        needs_approval=bool(approval.get("enabled") and approval.get("require_approval_for_new_accounts")),
        expires_accounts=bool(section(tree, "account_validity").get("enabled")),
    )


def load(files: Iterable[Path], *, option: str = "--config") -> dict[str, Any]:
    """All settings of configuration files that `option` names, with those of later ones in place of earlier ones.

    Of a folder, these are its files `*.yaml` in order, of which some may be empty. Raises SourceError.
    """
    tree: dict[str, Any] = {}
    for file in files:
        if file.is_dir():
            for part in _files_in(file):
                tree |= read_yaml(part, _WHAT, option=option, may_be_empty=True)
        else:
            tree |= read_yaml(file, _WHAT, option=option)
    return tree


def _files_in(folder: Path) -> list[Path]:
    """The files of a folder such as Debian's `conf.d` that Synapse reads. Raises SourceError."""
    try:
        found = [one for one in folder.iterdir() if one.name.endswith(".yaml") and one.is_file()]
    except OSError as error:
        raise SourceError(f"{folder} cannot be read: {error.strerror}.") from None
    return sorted(found)


def _database(tree: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    chosen = section(tree, "database")
    if isinstance(tree.get("databases"), dict):
        # Tables may be in several databases; those of users are in the one that has the store `main`.
        chosen = next((one for one in tree["databases"].values() if isinstance(one, dict) and _has_users(one)), {})
    arguments = section(chosen, "args")
    if chosen.get("name") == "sqlite3" and isinstance(arguments.get("database"), str):
        return f"sqlite:{arguments['database']}", {}
    if chosen.get("name") == "psycopg2":
        given = {
            ("dbname" if key == "database" else str(key)): str(value)
            for key, value in arguments.items()
            if not str(key).startswith(_OF_THE_POOL) and isinstance(value, str | int) and value != ""
        }
        return "postgresql:", given
    raise SourceError("The configuration names no database that can be read. Name one with `--database`.")


def _has_users(database: Mapping[str, Any]) -> bool:
    """Is the store `main` in the database? One without `data_stores` has all stores."""
    stores = database.get("data_stores")
    return stores is None or (isinstance(stores, list) and "main" in stores)
