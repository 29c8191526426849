"""Peppers of imported password hashes: texts that another server appended to every password before it was hashed.

A pepper is a secret that the database must not have. Each is in a file of its own, `<data_dir>/keys/password_pepper_<id>`, and an
imported hash names it: `$peppered$<id>`, then the other server's hash. A login replaces such a hash with one of our own.
"""

import re
from pathlib import Path
from typing import Final

from threepid.clock import Entropy
from threepid.domain.secrets.keys import keep_text, read_text

_PREFIX: Final = "password_pepper_"
_MARKED: Final = re.compile(r"\$peppered\$(?P<id>[a-z]{12})(?=\$)")
_ID: Final = re.compile("[a-z]{12}")
_ID_LENGTH: Final = 12
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


class PasswordPeppers:
    """The peppers in the directory of the keys. They are read when a hash needs them, so an import needs no restart."""

    def __init__(self, directory: Path) -> None:
        """`directory` need not exist."""
        self._directory = directory
        self._known: dict[str, str] = {}

    def split(self, password_hash: str) -> tuple[str, str]:
        """The pepper of a stored hash, and the hash as the other server had it. Raises KeyFileError if the file is missing."""
        found = _MARKED.match(password_hash)
        if found is None:
            return "", password_hash
        return self._read(found["id"]), password_hash[found.end() :]

    def mark(self, pepper: str, entropy: Entropy | None) -> str:
        """What is put before a hash that was made with `pepper`; '' without a pepper. Raises KeyFileError.

        A pepper that is new is kept in a file. Without `entropy`, it is not, and gets a name that nobody else has.
        """
        if not pepper:
            return ""
        name = self._find(pepper)
        if name is None:
            name = entropy.letters(_ID_LENGTH, _LETTERS) if entropy else _LETTERS[:_ID_LENGTH]
            if entropy:
                keep_text(self._path(name), pepper)
        return f"$peppered${name}"

    def _find(self, pepper: str) -> str | None:
        """The ID of a pepper, or None."""
        names = sorted(file.name.removeprefix(_PREFIX) for file in self._directory.glob(f"{_PREFIX}*"))
        return next((name for name in names if _ID.fullmatch(name) and self._read(name) == pepper), None)

    def _read(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = read_text(self._path(name))
        return self._known[name]

    def _path(self, name: str) -> Path:
        return self._directory / f"{_PREFIX}{name}"
