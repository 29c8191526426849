"""What Synapse's configuration says of its database, and of who may sign in.

https://element-hq.github.io/synapse/latest/usage/configuration/config_documentation.html
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from threepid.importers.files import read_yaml, section
from threepid.importers.source import SourceError

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

    `database` is a URL in place of the configured database. Raises SourceError.
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
        raise SourceError("The configuration has no server_name. Is it Synapse's?")
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

    Raises SourceError.
    """
    tree: dict[str, Any] = {}
    for file in files:
        tree |= read_yaml(file, "Synapse's homeserver.yaml", option=option)
    return tree


def _database(tree: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    chosen = section(tree, "database")
    if isinstance(tree.get("databases"), dict):
        # Tables may be in several databases; those of users are in the one that has the store `main`.
        chosen = next(
            (
                one
                for one in tree["databases"].values()
                if isinstance(one, dict) and "main" in one.get("data_stores", ())
            ),
            {},
        )
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
