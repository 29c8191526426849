"""The folder of ma1sd's keys: `current` names the key that signs; `regular` and `ephemeral` have a file for each key.

A file is `<type>/<algorithm>/<serial>` and holds a JSON object, whose `key` is the seed in base64. Early versions of mxisd had
one file in place of the folder, with nothing but the seed.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nacl.signing
from unpaddedbase64 import decode_base64, encode_base64

from threepid.importers.files import read_data
from threepid.importers.source import SourceError

_ALGORITHM: Final = "ed25519"
_SEED_BYTES: Final = 32


def signing_keys(folder: Path) -> str:
    """The signing keys as lines of a key file, the one that signs first. Raises SourceError."""
    if folder.is_file():
        return _line("0", _seed(folder, read_data(folder).decode("ascii", "replace").strip()))
    current = _object(folder / "current").get("serial")
    found = {file.name: _line(file.name, _seed_in(file)) for file in _files(folder, "regular")}
    if not isinstance(current, str) or current not in found:
        raise SourceError(
            f"{folder} has no signing key. `key.path` of ma1sd's configuration names the folder of its keys."
        )
    signs = found.pop(current)
    return "\n".join((signs, *found.values()))


def invitation_keys(folder: Path) -> Iterator[str]:
    """The public keys of invitations in unpadded base64; '' for a file that holds none."""
    if folder.is_dir():
        for file in _files(folder, "ephemeral"):
            try:
                seed = _seed_in(file)
            except SourceError:
                yield ""
                continue
            yield encode_base64(bytes(nacl.signing.SigningKey(seed).verify_key))


def _files(folder: Path, kind: str) -> list[Path]:
    try:
        return sorted(file for file in (folder / kind / _ALGORITHM).iterdir() if file.is_file())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SourceError(f"{folder / kind} cannot be read: {error.strerror}.") from None


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_data(file))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SourceError(f"{file} is not a file of a ma1sd.")
    return found


def _seed_in(file: Path) -> bytes:
    return _seed(file, _object(file).get("key"))


def _seed(file: Path, text: Any) -> bytes:
    try:
        seed: bytes = decode_base64(text) if isinstance(text, str) else b""
    except ValueError:
        seed = b""
    if len(seed) != _SEED_BYTES:
        raise SourceError(f"{file} holds no ed25519 key.")
    return seed


def _line(serial: str, seed: bytes) -> str:
    return f"{_ALGORITHM} {serial} {encode_base64(seed)}"
