"""The base class of all tables, and annotations for paths, which loading, checks and reference use."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Struct

from threepid.config.permissions import why_no_secret, why_unreadable


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of the file. Unknown keys are errors."""


class PathTo(Struct, frozen=True):
    """An annotation: the string is a path, relative to the file's folder."""

    noun: str
    """The word for the path's target in the reference."""
    why_not: Callable[[str, Sequence[Path]], str | None] | None = None
    """Function of the path and the folders of secrets: why the path cannot be used, and what to change; None if it can."""
    prefix: str = ""
    """A scheme before the path; a string without it is not a path."""
    credential: bool = False
    """Whether a name without a folder means a file in `$CREDENTIALS_DIRECTORY`, if there is one."""


class Example(Struct, frozen=True):
    """An annotation: the value of a required setting in the example file, in TOML."""

    toml: str


def _why_no_file(name: str, _folders: Sequence[Path]) -> str | None:
    return why_unreadable(name)


def _why_no_authorities(name: str, _folders: Sequence[Path]) -> str | None:
    if trouble := why_unreadable(name):
        return trouble
    try:
        ssl.create_default_context(cafile=name)
    except (ssl.SSLError, OSError):
        return f"{name} holds no certificates in PEM form"
    return None


def _why_no_folder(name: str, _folders: Sequence[Path]) -> str | None:
    return None if Path(name).is_dir() else f"there is no folder {name}"


SecretFile = Annotated[str, PathTo("secret file", why_no_secret, credential=True)]
"""A file that only the server's user may read, or that a container platform or systemd mounts."""
PublicFile = Annotated[str, PathTo("file", _why_no_file)]
"""A file that anybody may read."""
AuthoritiesFile = Annotated[str, PathTo("file", _why_no_authorities)]
"""A file of certificates in PEM form."""
Folder = Annotated[str, PathTo("folder", _why_no_folder)]
"""A folder that exists."""
NewFolder = Annotated[str, PathTo("folder")]
"""A folder that the server creates if it does not exist."""
DatabaseUrl = Annotated[str, PathTo("text", prefix="sqlite:")]
"""A database URL; after `sqlite:` comes a path."""
ListenAddress = Annotated[str, PathTo("text", prefix="unix:")]
"""An address and a port, or the path of a socket file."""
