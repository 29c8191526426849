"""Reads the configuration from TOML and the environment, and the files that settings name."""

import functools
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from threepid.config import wording
from threepid.config.problem import ConfigError
from threepid.config.section import PathTo
from threepid.config.sections import Config
from threepid.config.sections.accounts import Accounts
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.gateways import ConsoleTransport
from threepid.config.sections.identity import Identity
from threepid.config.sections.limits import Limits
from threepid.config.sections.relays import MailboxTransport
from threepid.config.sections.server import Server
from threepid.config.walk import members, path_kind, sections

C = TypeVar("C", bound=Struct)


class Secret(str):
    """A string that must never be printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Three stars."""
        return "***"

    def __str__(self) -> str:
        """Three stars; use `reveal` for the secret itself."""
        return "***"

    def reveal(self) -> str:
        """The secret itself."""
        return str.__str__(self)


_DEVELOPMENT_COUNTRIES: Final = (
    *("AT", "AU", "BE", "CA", "CH", "DE", "DK", "ES", "FI", "FR"),
    *("GB", "IE", "IN", "IT", "NL", "NO", "PL", "PT", "SE", "US"),
)


def development() -> Config:
    """The configuration of the development server, which starts without a file."""
    return Config(
        server=Server(data_dir="threepid-data"),
        accounts=Accounts(registration="open"),
        identity=Identity(),
        email=Email(sender="threepid <noreply@localhost.test>", via=(MailboxTransport(),)),
        sms=Sms(via=(ConsoleTransport(),), countries=_DEVELOPMENT_COUNTRIES),
        limits=Limits(all="off"),
    )


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration in `path` (None: the development server), with the overrides of the environment.

    `THREEPID__SERVER__NAME` overrides `server.name`. A value is parsed as TOML, or is text if it is not valid TOML. Paths are
    relative to the file's folder. Raises ConfigError, which names the place.
    """
    if path is None:
        tree: dict[str, Any] = msgspec.to_builtins(development())
        folder = Path.cwd()
    else:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{path}: is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: is not TOML: {wording.of_toml(str(error))}") from None
        folder = path.resolve().parent
    # Sorted by name, so that a whole table comes before its members.
    for name, value in sorted(environ.items()):
        if name.startswith(_ENVIRONMENT):
            _override(tree, name, value)
    try:
        return convert(tree, folder, Config)
    except ConfigError as error:
        raise ConfigError(f"{path or 'environment'}: {error}") from None


def convert(tree: Mapping[str, Any], folder: Path, to: type[C]) -> C:
    """The configuration in a parsed TOML tree, with paths made absolute from `folder`. Raises ConfigError."""
    try:
        return msgspec.convert(_absolute(tree, to, folder), to)
    except msgspec.ValidationError as error:
        raise ConfigError(_readable(str(error), to)) from None


_ENVIRONMENT: Final = "THREEPID__"
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")


def _override(tree: dict[str, Any], name: str, value: str) -> None:
    *tables, key = name.removeprefix(_ENVIRONMENT).lower().split("__")
    for table in tables:
        # In the tree of the development server, an absent table is None.
        if tree.get(table) is None:
            tree[table] = {}
        tree = tree[table]
        if not isinstance(tree, dict):
            raise ConfigError(f"environment: {name}: `{table}` is not a table")
    try:
        tree[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        tree[key] = value


def _absolute(value: Any, type_: Any, folder: Path) -> Any:
    """`value` with absolute paths for the strings that an annotation in `type_` marks as paths."""
    if isinstance(value, Mapping):
        types = {key: member for section in _tables(type_, value) for key, member in members(section).items()}
        return {key: _absolute(member, types.get(key), folder) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(member, type_, folder) for member in value]
    kind = path_kind(type_) if isinstance(value, str) else None
    return value if kind is None else _absolute_path(value, kind, folder)


def _tables(type_: Any, value: Mapping[str, Any]) -> list[type[Struct]]:
    """The tables in `type_` that `value` may be; for a transport, only the one that it names."""
    return [
        section
        for section in sections(type_)
        if (tag := section.__struct_config__.tag_field) is None or value.get(tag) == section.__struct_config__.tag
    ]


def _absolute_path(text: str, kind: PathTo, folder: Path) -> str:
    path = text.removeprefix(kind.prefix)
    if not path or not text.startswith(kind.prefix):
        return text
    if kind.prefix and path.startswith((":", "file:")):
        return text  # SQLite does not treat these as paths; unchanged, the checks recognise and reject them
    return f"{kind.prefix}{folder / path}"


def _readable(message: str, root: type[Struct]) -> str:
    """A message of msgspec as `[table] key: fault`, with a suggestion for a misspelt name."""
    found = _PLACE.search(message)
    what = message[: found.start()] if found else message
    place = (found["path"] if found else "").lstrip(".").replace("[...]", "")
    types, keys = _at(place, root)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what, re.DOTALL)
    wrong = re.fullmatch(r"Invalid (?:enum )?value '(.*)'", what, re.DOTALL)
    if unknown:
        place = f"{place}.{unknown[1]}" if place else unknown[1]
        what = f"there is no such setting{_hint(unknown[1], keys)}"
    elif missing:
        what = f"`{missing[1]}` is missing"
    elif wrong:
        choices = [choice for type_ in types for choice in _choices(type_)]
        what = f"{wrong[1]!r} is none of {', '.join(choices)}{_hint(wrong[1], choices)}"
    else:
        what = wording.of_value(what, types)
    table, _, key = place.partition(".")
    return f"[{table}] {key}: {what}" if key else f"[{table}]: {what}" if table else what


def _at(place: str, root: type[Struct]) -> tuple[list[Any], list[str]]:
    """The possible types of the value at `place`, and the keys that it may have."""
    types: list[Any] = [root]
    for key in re.sub(r"\[[^]]*\]", "", place).split(".") if place else ():
        tables = [members(section) for type_ in types for section in sections(type_)]
        types = [table[key] for table in tables if key in table]
    return types, [key for type_ in types for section in sections(type_) for key in members(section)]


def _choices(type_: Any) -> Iterable[str]:
    if get_origin(type_) is Literal:
        return [str(choice) for choice in get_args(type_)]
    return [choice for argument in get_args(type_) for choice in _choices(argument)]


def _hint(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def read_secret(path: Path) -> Secret:
    """The secret in a file, without final line ends. Raises ConfigError."""
    try:
        return Secret(path.read_text(encoding="utf-8").rstrip("\r\n"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None


@functools.cache
def read_lines(file: str) -> frozenset[str]:
    """The lines of a file in lower case, without blank lines and comments (`#`); cached. Raises ConfigError."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))
