"""Reads the configuration from TOML and the environment, and the files that settings name."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from threepid.config import wording
from threepid.config.checks import check
from threepid.config.environment import override
from threepid.config.mistakes import mended, mistakes, tables_of
from threepid.config.permissions import credential
from threepid.config.problem import ConfigError, UnreadableConfig
from threepid.config.section import PathTo
from threepid.config.sections import Config
from threepid.config.sections.accounts import Accounts
from threepid.config.sections.delivery import Email, Sms
from threepid.config.sections.gateways import ConsoleTransport
from threepid.config.sections.identity import Identity
from threepid.config.sections.limits import Limits
from threepid.config.sections.relays import MailboxTransport
from threepid.config.sections.server import Server
from threepid.config.walk import members, path_kind

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

    Paths are relative to the file's folder. Raises ConfigError, which has a line with the place of each mistake.
    """
    if path is None:
        tree: dict[str, Any] = msgspec.to_builtins(development())
        folder = Path.cwd()
    else:
        try:
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UnreadableConfig(f"{path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UnreadableConfig(f"{path}: is not UTF-8 text") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path}: is not TOML: {wording.of_toml(str(error))}") from None
        folder = path.resolve().parent
    variables = override(tree, environ)
    made = _absolute(tree, Config, folder)
    found = [*variables.mistakes, *mistakes(made, Config)]
    if not found:
        return msgspec.convert(made, Config)
    lines = [f"{variables.origin(mistake.place) or path or 'environment'}: {mistake.sentence}" for mistake in found]
    # The rules for values are asked too, so that one run names everything; but nothing that may only follow from a mistake.
    rest = mended(made, found, Config)
    lines += [
        f"{path or 'environment'}: {problem}"
        for problem in check(msgspec.convert(rest.tree, Config))
        if not rest.tells_nothing_of(str(problem))
    ]
    raise ConfigError("\n".join(dict.fromkeys(lines)))


def convert(tree: Mapping[str, Any], folder: Path, to: type[C]) -> C:
    """The configuration in a parsed TOML tree, with paths made absolute from `folder`. Raises ConfigError."""
    try:
        return msgspec.convert(_absolute(tree, to, folder), to)
    except msgspec.ValidationError:
        raise ConfigError("\n".join(mistake.sentence for mistake in mistakes(tree, to))) from None


def _absolute(value: Any, type_: Any, folder: Path) -> Any:
    """`value` with absolute paths for the strings that an annotation in `type_` marks as paths."""
    if isinstance(value, Mapping):
        types = {key: member for section in tables_of(type_, value) for key, member in members(section).items()}
        return {key: _absolute(member, types.get(key), folder) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_absolute(member, type_, folder) for member in value]
    kind = path_kind(type_) if isinstance(value, str) else None
    return value if kind is None else _absolute_path(value, kind, folder)


def _absolute_path(text: str, kind: PathTo, folder: Path) -> str:
    path = text.removeprefix(kind.prefix)
    if not path or not text.startswith(kind.prefix):
        return text
    if kind.prefix and path.startswith((":", "file:")):
        return text  # SQLite does not treat these as paths; unchanged, the checks recognise and reject them
    if kind.credential and (mounted := credential(path)) is not None:
        return str(mounted)
    return f"{kind.prefix}{folder / path}"


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
