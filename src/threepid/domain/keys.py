"""The server's secrets in files: its signing keys, of several generations, and the secret of its vault.

`<data_dir>/keys/ed25519_<version>.key` holds one key as `ed25519 <version> <seed>`, the format that homeservers and identity
servers use, and after its retirement a second line `retired <milliseconds>`. All files have mode 0600.
https://spec.matrix.org/latest/appendices/#signing-details
"""

import os
import stat
from pathlib import Path
from typing import Any, Final

import nacl.signing
from msgspec import Struct
from signedjson.key import decode_signing_key_base64, encode_signing_key_base64
from signedjson.sign import sign_json
from unpaddedbase64 import decode_base64, encode_base64

from threepid.clock import DAY, Clock, Entropy
from threepid.spec.signing import Signer

_ALGORITHM: Final = "ed25519"
_SECRET_BYTES: Final = 32
PUBLISHED_LIFE: Final = DAY
"""How long others may keep our public keys before they ask again."""


class KeyFileError(Exception):
    """A key file that must not or cannot be used; the message says why."""


class SigningKey(Struct, frozen=True):
    """One generation of the signing key."""

    version: str
    key: Any
    retired_at: int | None = None

    @property
    def key_id(self) -> str:
        """`ed25519:<version>`."""
        return f"{_ALGORITHM}:{self.version}"

    @property
    def public_key(self) -> str:
        """The public half as unpadded base64."""
        return encode_base64(bytes(self.key.verify_key))


class Keyring(Struct, frozen=True):
    """All generations, oldest first; the last one that is not retired signs."""

    keys: tuple[SigningKey, ...]

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return next(key for key in reversed(self.keys) if key.retired_at is None)

    def get(self, key_id: str) -> SigningKey | None:
        """The key called `ed25519:<version>`, retired ones too: old signatures are checked with them."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def is_valid(self, public_key: str) -> bool:
        """Is this the public half (base64, URL-safe or not) of a key that is in force?"""
        try:
            wanted = decode_base64(public_key)
        except ValueError:
            return False
        return any(bytes(key.key.verify_key) == wanted for key in self.keys if key.retired_at is None)

    def signer(self, server_name: str) -> Signer:
        """What signs the requests of the homeserver `server_name`."""
        return Signer(server_name, self.current.key)

    def published(self, server_name: str, now: int) -> dict[str, Any]:
        """The keys as other servers get them. https://spec.matrix.org/latest/server-server-api/#publishing-keys."""
        in_force = {key.key_id: {"key": key.public_key} for key in self.keys if key.retired_at is None}
        retired = {
            key.key_id: {"key": key.public_key, "expired_ts": key.retired_at}
            for key in self.keys
            if key.retired_at is not None
        }
        body = {
            "server_name": server_name,
            "verify_keys": in_force,
            "old_verify_keys": retired,
            "valid_until_ts": now + PUBLISHED_LIFE,
        }
        return self.sign(server_name, body)

    def sign(self, server_name: str, body: dict[str, Any]) -> dict[str, Any]:
        """`body` with a signature of `server_name`. https://spec.matrix.org/latest/appendices/#signing-json."""
        signed: dict[str, Any] = sign_json(dict(body), server_name, self.current.key)
        return signed


def load_keyring(directory: Path) -> Keyring:
    """The keys in `directory`. Raises KeyFileError if there is none in force, or one that others can read."""
    keys = sorted((_read_key(path) for path in directory.glob(f"{_ALGORITHM}_*.key")), key=_by_version)
    if not any(key.retired_at is None for key in keys):
        raise KeyFileError(f"There is no signing key in {directory}: make one with `threepid keys generate`.")
    return Keyring(tuple(keys))


def ensure_keyring(directory: Path, entropy: Entropy) -> Keyring:
    """The keys in `directory`; the first one is made if there is none."""
    if not any(directory.glob(f"{_ALGORITHM}_*.key")):
        _make_directory(directory)
        _create(_path(directory, "0"), _line("0", entropy))
    return load_keyring(directory)


def rotate_keyring(directory: Path, entropy: Entropy, clock: Clock) -> Keyring:
    """Make a new key that signs from now on, and retire the one before."""
    keyring = load_keyring(directory)
    version = str(max((int(key.version) for key in keyring.keys if key.version.isdigit()), default=-1) + 1)
    _create(_path(directory, version), _line(version, entropy))
    for old in keyring.keys:
        if old.retired_at is None:
            encoded = encode_signing_key_base64(old.key)
            _replace(_path(directory, old.version), f"{_ALGORITHM} {old.version} {encoded}\nretired {clock.now()}\n")
    return load_keyring(directory)


def ensure_secret(path: Path, entropy: Entropy) -> bytes:
    """The server's secret in `path`; it is made if there is none. All processes of a server need the same."""
    if not path.exists():
        _make_directory(path.parent)
        _create(path, encode_base64(entropy.bytes(_SECRET_BYTES)) + "\n")
    secret = bytes(decode_base64(_read_private(path).strip()))
    if len(secret) < _SECRET_BYTES:
        raise KeyFileError(f"{path} is too short to be a secret.")
    return secret


def _by_version(key: SigningKey) -> tuple[int, str]:
    return (int(key.version), "") if key.version.isdigit() else (-1, key.version)


def _path(directory: Path, version: str) -> Path:
    return directory / f"{_ALGORITHM}_{version}.key"


def _line(version: str, entropy: Entropy) -> str:
    key = nacl.signing.SigningKey(entropy.bytes(_SECRET_BYTES))
    return f"{_ALGORITHM} {version} {encode_base64(bytes(key))}\n"


def _read_key(path: Path) -> SigningKey:
    lines = _read_private(path).splitlines()
    try:
        algorithm, version, seed = lines[0].split()
        retired_at = int(lines[1].removeprefix("retired ")) if len(lines) > 1 else None
        if algorithm != _ALGORITHM:
            raise ValueError(algorithm)
        return SigningKey(version, decode_signing_key_base64(algorithm, version, seed), retired_at)
    except (ValueError, IndexError):
        raise KeyFileError(f"{path} is not a signing key of the form `ed25519 <version> <seed>`.") from None


def _read_private(path: Path) -> str:
    status = path.stat()
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise KeyFileError(f"{path} can be read by others: `chmod 600 {path}`.")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileError(f"{path} belongs to another user.")
    return path.read_text(encoding="ascii")


def _make_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _create(path: Path, text: str) -> None:
    """Write a whole new file or none; one that somebody else made at the same time stays."""
    temporary = _write_aside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()


def _replace(path: Path, text: str) -> None:
    _write_aside(path, text).replace(path)


def _write_aside(path: Path, text: str) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return temporary
