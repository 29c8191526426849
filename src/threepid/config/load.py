"""Reading the configuration: TOML and the environment into Structs, and what is derived from them."""

import functools
import ipaddress
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from threepid.config import wording
from threepid.config.settings import (
    Accounts,
    Config,
    ConsoleTransport,
    Email,
    Identity,
    Limits,
    MailboxTransport,
    Server,
    Sms,
)


class ConfigError(Exception):
    """A configuration that cannot be used; the message names the place and says what to change."""


class Secret(str):
    """A text that must never be printed."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Three stars."""
        return "***"

    def __str__(self) -> str:
        """Three stars; use `reveal` for the text."""
        return "***"

    def reveal(self) -> str:
        """The text itself."""
        return str.__str__(self)


class Listen(Struct, frozen=True):
    """A TCP listener."""

    host: str
    port: int


class UnixListen(Struct, frozen=True):
    """A listener on a socket file."""

    path: Path


_DEVELOPMENT_COUNTRIES: Final = (
    *("AT", "AU", "BE", "CA", "CH", "DE", "DK", "ES", "FI", "FR"),
    *("GB", "IE", "IN", "IT", "NL", "NO", "PL", "PT", "SE", "US"),
)


def development() -> Config:
    """The server that starts without a configuration."""
    return Config(
        server=Server(data_dir="threepid-data"),
        accounts=Accounts(registration="open"),
        identity=Identity(),
        email=Email(sender="threepid <noreply@localhost.test>", via=(MailboxTransport(),)),
        sms=Sms(via=(ConsoleTransport(),), countries=_DEVELOPMENT_COUNTRIES),
        limits=Limits(all="off"),
    )


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration in `path` (None: the development server), with what the environment overrides.

    `THREEPID__SERVER__NAME` overrides `server.name`; the value is TOML where it is that, else text. Paths are relative to
    the file's folder. Raises ConfigError, which names the place.
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
    # In the order of their names, so that a whole table comes before its members.
    for name, value in sorted(environ.items()):
        if name.startswith(_ENVIRONMENT):
            _override(tree, name, value)
    try:
        return msgspec.convert(_absolute(tree, folder), Config)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path or 'environment'}: {_readable(str(error))}") from None


_ENVIRONMENT: Final = "THREEPID__"
_PLACE: Final = re.compile(r" - at `(?:key` in `)?\$(?P<path>[^`]*)`$")
_PATHS: Final = frozenset(
    {
        "data_dir",
        "secret_dirs",
        "certificate_file",
        "key_file",
        "password_file",
        "ca_file",
        "directory",
        "template_dir",
        "secret_file",
        "passwords_denied_file",
        "email_domains_denied_file",
    }
)
_PREFIXED_PATHS: Final = {"url": "sqlite:", "listen": "unix:"}


_MAX_PORT: Final = 65_535
_TCP: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s:\[\]]+)):(?P<port>[0-9]{1,5})")


def _override(tree: dict[str, Any], name: str, value: str) -> None:
    *tables, key = name.removeprefix(_ENVIRONMENT).lower().split("__")
    for table in tables:
        # A table that is off is None in the development server's tree.
        if tree.get(table) is None:
            tree[table] = {}
        tree = tree[table]
        if not isinstance(tree, dict):
            raise ConfigError(f"environment: {name}: `{table}` is not a table")
    try:
        tree[key] = tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        tree[key] = value


def _absolute(value: Any, folder: Path, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _absolute(member, folder, name) for name, member in value.items()}
    if isinstance(value, list):
        return [_absolute(member, folder, key) for member in value]
    if key in _PATHS and isinstance(value, str) and value:
        return str(folder / value)
    if key in _PREFIXED_PATHS and isinstance(value, str) and value.startswith(_PREFIXED_PATHS[key]):
        path = value.removeprefix(_PREFIXED_PATHS[key])
        # What SQLite takes for another thing than a path must still look like it when it is checked.
        return f"{_PREFIXED_PATHS[key]}{folder / path}" if path and not path.startswith((":", "file:")) else value
    return value


def _readable(message: str) -> str:
    """What msgspec says, as `[table] key: what is wrong`, with the name that was probably meant."""
    found = _PLACE.search(message)
    what = message[: found.start()] if found else message
    place = (found["path"] if found else "").lstrip(".").replace("[...]", "")
    types, names = _at(place)
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", what, re.DOTALL)
    wrong = re.fullmatch(r"Invalid (?:enum )?value '(.*)'", what, re.DOTALL)
    if unknown:
        place = f"{place}.{unknown[1]}" if place else unknown[1]
        what = f"there is no such setting{_hint(unknown[1], names)}"
    elif missing:
        what = f"`{missing[1]}` is missing"
    elif wrong:
        choices = [choice for type_ in types for choice in _choices(type_)]
        what = f"{wrong[1]!r} is none of {', '.join(choices)}{_hint(wrong[1], choices)}"
    else:
        what = wording.of_value(what, types)
    table, _, key = place.partition(".")
    return f"[{table}] {key}: {what}" if key else f"[{table}]: {what}" if table else what


def _at(place: str) -> tuple[list[Any], list[str]]:
    """The types that a value at `place` may have, and the keys that may stand in it."""
    types: list[Any] = [Config]
    for key in re.sub(r"\[[^]]*\]", "", place).split(".") if place else ():
        tables = [_members(section) for type_ in types for section in _sections(type_)]
        types = [table[key] for table in tables if key in table]
    return types, [name for type_ in types for section in _sections(type_) for name in _members(section)]


def _members(section: type[Struct]) -> dict[str, Any]:
    members: dict[str, Any] = {field.encode_name: field.type for field in msgspec.structs.fields(section)}
    if section.__struct_config__.tag_field:
        members[section.__struct_config__.tag_field] = Literal[section.__struct_config__.tag]
    return members


def _sections(type_: Any) -> list[type[Struct]]:
    if isinstance(type_, type) and issubclass(type_, Struct):
        return [type_]
    return [section for argument in get_args(type_) for section in _sections(argument)]


def _choices(type_: Any) -> Iterable[str]:
    if get_origin(type_) is Literal:
        return [str(choice) for choice in get_args(type_)]
    return [choice for argument in get_args(type_) for choice in _choices(argument)]


def _hint(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def read_secret(path: Path) -> Secret:
    """The secret in a file, without the line feed at its end. Raises ConfigError."""
    try:
        return Secret(path.read_text(encoding="utf-8").rstrip("\r\n"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text") from None


@functools.cache
def read_lines(file: str) -> frozenset[str]:
    """The lines of a file in lower case, without blank ones and comments (`#`); read once. Raises ConfigError."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    return frozenset(line.strip().lower() for line in lines if line.strip() and not line.startswith("#"))


def listen_address(config: Config) -> Listen | UnixListen:
    """Where the server listens. Raises ConfigError."""
    text = config.server.listen
    if text.startswith("unix:") and text != "unix:":
        return UnixListen(Path(text.removeprefix("unix:")))
    try:
        return tcp_address(text)
    except ValueError as error:
        raise ConfigError(f"[server] listen: {error}") from None


def tcp_address(text: str) -> Listen:
    """The address and port of `v4:port`, `[v6]:port` or `localhost:port`. Raises ValueError, which says what to write."""
    match = _TCP.fullmatch(text)
    if match is None or not 0 < int(match["port"]) <= _MAX_PORT:
        raise ValueError(f"{text!r} is not an address and a port such as 127.0.0.1:8008 or [::1]:8008")
    host = match["v6"] or match["host"]
    if host == "localhost" or host.endswith(".localhost"):  # https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        host = "127.0.0.1"
    try:
        return Listen(
            str(ipaddress.IPv6Address(host) if match["v6"] else ipaddress.IPv4Address(host)), int(match["port"])
        )
    except ValueError:
        raise ValueError(
            f"{host!r} is not an IP address: write that of the interface to listen on, or 0.0.0.0 for all of them"
        ) from None


def identity_name(config: Config) -> str:
    """What clients give as `id_server`."""
    given = config.identity.name if config.identity else ""
    return given or urlsplit(config.server.public_base_url).netloc


def sqlite_file(url: str) -> Path | None:
    """The file of a URL `sqlite:path`; None for another kind of database. Raises ValueError if nothing would be kept."""
    if not url.startswith("sqlite:"):
        return None
    path = url.removeprefix("sqlite:")
    if path.lstrip("/").startswith("file:"):
        raise ValueError("is a URI, and possibly in memory: write the path alone after sqlite:")
    if any(word in path.lower() for word in (":memory:", "mode=memory", "vfs=memdb")):
        raise ValueError("is in memory: every account would be lost at the next stop. Name a file")
    return Path(path)


def database_url(config: Config) -> str:
    """The database's URL."""
    return config.database.url or f"sqlite:{Path(config.server.data_dir) / 'threepid.db'}"


def trusted_proxies(config: Config) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The networks whose `X-Forwarded-For` is believed."""
    return [ipaddress.ip_network(network) for network in config.server.trusted_proxies]
