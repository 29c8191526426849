"""Key files: the server's signing keys, present and retired, and the server's secret.

`<data_dir>/keys/ed25519_<version>.key` holds one key as `ed25519 <version> <seed>`, the format of homeservers and identity
servers. Retiring a key adds a line `retired <milliseconds>`. All files have mode 0600. Keys are stored nowhere else, neither in
the configuration nor in the database. Servers read them at start, so changes take effect after a restart.
https://spec.matrix.org/latest/appendices/#signing-details
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from msgspec import Struct
from signedjson.key import decode_signing_key_base64, encode_signing_key_base64
from signedjson.sign import sign_json
from unpaddedbase64 import decode_base64, encode_base64

from threepid.clock import DAY, Clock, Entropy
from threepid.domain.secrets.files import KeyFileError, create, make_directory, read_private, replace
from threepid.spec.signing import Signer

_ALGORITHM: Final = "ed25519"
_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(r"ed25519[ \t]+(?P<version>[a-zA-Z0-9_-]{1,100})[ \t]+(?P<seed>[a-zA-Z0-9+/]{43}=?)[ \t]*")
_RETIRED: Final = re.compile(r"retired (?P<at>[0-9]{1,15})")
_OF_SYDENT: Final = re.compile(r"^[ \t]*ed25519\.signingkey[ \t]*[=:][ \t]*(?P<key>.*)$", re.MULTILINE)
"""The setting `ed25519.signingkey` of Sydent's configuration, in its section `crypto`."""
_OLD_SEED: Final = re.compile(r"[0-9a-fA-F]{64}")
"""The seed alone, as early versions of Sydent wrote it; its key is `ed25519:0`."""
PUBLISHED_LIFE: Final = DAY
"""How long other servers may cache our public keys."""


class SigningKey(Struct, frozen=True):
    """One generation of the signing key."""

    version: str
    key: Any
    retired_at: int | None = None

    @property
    def key_id(self) -> str:
        """The key ID, `ed25519:<version>`."""
        return f"{_ALGORITHM}:{self.version}"

    @property
    def public_key(self) -> str:
        """The public key in unpadded base64."""
        return encode_base64(bytes(self.key.verify_key))


class Keyring(Struct, frozen=True):
    """All generations of the signing key, oldest first. The last one that is not retired signs."""

    keys: tuple[SigningKey, ...]

    @property
    def current(self) -> SigningKey:
        """The key that signs."""
        return next(key for key in reversed(self.keys) if key.retired_at is None)

    @property
    def is_half_rotated(self) -> bool:
        """Are several keys in force, because a rotation or an import was killed before it retired the others?"""
        return sum(key.retired_at is None for key in self.keys) > 1

    def get(self, key_id: str) -> SigningKey | None:
        """The key with the ID `ed25519:<version>`, which may be retired: old signatures are checked with retired keys."""
        return next((key for key in self.keys if key.key_id == key_id), None)

    def is_valid(self, public_key: str) -> bool:
        """Is this the public key (base64, URL-safe or not) of a key that is not retired?"""
        try:
            wanted = decode_base64(public_key)
        except ValueError:
            return False
        return any(bytes(key.key.verify_key) == wanted for key in self.keys if key.retired_at is None)

    def signer(self, server_name: str) -> Signer:
        """The signer of requests of the homeserver `server_name`."""
        return Signer(server_name, self.current.key)

    def published(self, server_name: str, now: int) -> dict[str, Any]:
        """The signed keys for other servers. https://spec.matrix.org/latest/server-server-api/#publishing-keys."""
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
    """Load the keys in `directory`. Raises KeyFileError if none is active, or a file is invalid or readable by others."""
    keyring = Keyring(_read_keys(directory))
    if not any(key.retired_at is None for key in keyring.keys):
        raise KeyFileError(f"There is no signing key in {directory}. Create one with `threepid keys generate`.")
    return keyring


def ensure_keyring(directory: Path, entropy: Entropy) -> Keyring:
    """Load the keys in `directory`, and first generate one if none is active. Raises KeyFileError."""
    keys = _read_keys(directory)
    if not any(key.retired_at is None for key in keys):
        make_directory(directory)
        new = _new_key(keys, entropy)
        create(_path(directory, new.version), _text(new))
    return load_keyring(directory)


class Change(Struct, frozen=True):
    """The key IDs that a change of the keys adds, and those that it retires."""

    added: tuple[str, ...]
    retired: tuple[str, ...]

    @property
    def details(self) -> dict[str, str]:
        """The change for the audit log."""
        return {name: " ".join(ids) for name, ids in (("added", self.added), ("retired", self.retired)) if ids}


def rotation(directory: Path) -> Change:
    """What `rotate_keyring` would change now. Raises KeyFileError."""
    keyring = load_keyring(directory)
    if keyring.is_half_rotated:
        return Change(
            (), tuple(key.key_id for key in keyring.keys if key.retired_at is None and key != keyring.current)
        )
    return Change((f"{_ALGORITHM}:{_next_version(keyring.keys)}",), (keyring.current.key_id,))


def rotate_keyring(directory: Path, entropy: Entropy, clock: Clock) -> Keyring:
    """Generate a new signing key, and retire the present one. After a rotation that was killed: complete it.

    Raises KeyFileError.
    """
    keyring = load_keyring(directory)
    if keyring.is_half_rotated:
        _retire(directory, [key for key in keyring.keys if key != keyring.current], clock.now())
        return load_keyring(directory)
    new = _new_key(keyring.keys, entropy)
    create(_path(directory, new.version), _text(new))
    _retire(directory, keyring.keys, clock.now())
    return load_keyring(directory)


def importing(directory: Path, text: str, *, retired: bool = False) -> Change:
    """What `import_keys` would change now. Raises KeyFileError."""
    _, missing, replaced = _plan(directory, text, retired=retired)
    return Change(tuple(key.key_id for key in missing), tuple(key.key_id for key in replaced))


def import_keys(directory: Path, text: str, clock: Clock, *, retired: bool = False) -> Keyring:
    """Import the keys in `text`: Sydent's configuration, or a key file of Synapse or threepid.

    The first key becomes the signing key, and all others are retired. With `retired`, all keys of `text` are imported as
    retired, to check old signatures. They keep their IDs. An import that was killed can be repeated. Raises KeyFileError for an
    invalid key and for one that exists.
    """
    signing, missing, replaced = _plan(directory, text, retired=retired)
    make_directory(directory)
    now = clock.now()
    # The key that signs comes last but for the retirement of the present one: until then, nothing changes for others.
    for key in reversed(missing):
        if not create(_path(directory, key.version), _text(key, retired_at=None if key is signing else now)):
            raise KeyFileError(f"The key {key.key_id} exists already.")
    _retire(directory, replaced, now)
    return Keyring(_read_keys(directory))


def _plan(directory: Path, text: str, *, retired: bool) -> tuple[SigningKey | None, list[SigningKey], list[SigningKey]]:
    """The key of `text` that signs after an import, those that are missing here, and those here that are to be retired."""
    given, known = _parse(text), _read_keys(directory)
    signing = None if retired else given[0]
    missing = _missing(given, known, signing)
    replaced = [key for key in known if key.retired_at is None and signing and key.key_id != signing.key_id]
    if not missing and not replaced:
        raise KeyFileError(f"{given[0].key_id} exists already, as {given[0].key_id}.")
    return signing, missing, replaced


def adopt_keys(directory: Path, text: str, clock: Clock, *, unused: bool, dry_run: bool = False) -> int:
    """Import the keys of a server that this one replaces, like `import_keys`, and return how many are new.

    Keys that were imported before stay as they are, so this can be repeated. `unused`: this server has signed nothing yet, so its
    own keys make room. A dry run only looks for errors. Raises KeyFileError for an invalid key, and another key of the same ID.
    """
    given, known = _parse(text), _read_keys(directory)
    there = {(key.key_id, key.public_key): key for key in known}
    new = [key for key in given if (key.key_id, key.public_key) not in there]
    own = [key for key in known if unused and new and key.public_key not in {one.public_key for one in given}]
    _missing(new, [key for key in known if key not in own], None)
    if dry_run:
        return len(new)
    make_directory(directory)
    for key in own:
        _path(directory, key.version).unlink()
    now = clock.now()
    signs, *_ = given
    for key in new:
        create(_path(directory, key.version), _text(key, retired_at=None if key is signs else now))
    # An interrupted import may have left them. If ours has been rotated since the import, it is retired itself.
    before = there.get((signs.key_id, signs.public_key))
    if before is None or before.retired_at is None:
        _retire(directory, (key for key in _read_keys(directory) if key.key_id != signs.key_id), now)
    return len(new)


def check_files(directory: Path) -> None:
    """Check the existing key files. Raises KeyFileError for a file that a server would reject at start."""
    _read_keys(directory)
    if (secret := directory / "vault.secret").exists():
        read_private(secret)


def secret_file(data_dir: str) -> Path:
    """The file of the server's secret."""
    return Path(data_dir) / "keys" / "vault.secret"


def ensure_secret(path: Path, entropy: Entropy) -> bytes:
    """Load the server's secret from `path`, and first generate it if there is none. All processes of a server share it."""
    if not path.exists():
        make_directory(path.parent)
        create(path, encode_base64(entropy.bytes(_SECRET_BYTES)) + "\n")
    return load_secret(path)


def load_secret(path: Path) -> bytes:
    """Load the server's secret from `path`. Raises KeyFileError."""
    try:
        secret = bytes(decode_base64(read_private(path).strip()))
    except ValueError:
        raise KeyFileError(f"{path} is not base64.") from None
    if len(secret) < _SECRET_BYTES:
        raise KeyFileError(f"{path} is too short to be a secret.")
    return secret


def keep_text(path: Path, text: str) -> None:
    """Keep a secret text in a new file, as base64. Raises KeyFileError, also if the file exists."""
    make_directory(path.parent)
    if not create(path, encode_base64(text.encode("utf-8")) + "\n"):
        raise KeyFileError(f"{path} exists already.")


def read_text(path: Path) -> str:
    """The text that `keep_text` wrote. Raises KeyFileError."""
    try:
        return decode_base64(read_private(path).strip()).decode("utf-8")
    except ValueError:
        raise KeyFileError(f"{path} is not base64 of a text.") from None


def _parse(text: str) -> list[SigningKey]:
    settings = [_new_form(match["key"].strip()) for match in _OF_SYDENT.finditer(text)]
    lines = settings or [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
    if not lines:
        raise KeyFileError("There is no key in the file.")
    return [_decode(line, what="A line of the file") for line in lines]


def _new_form(setting: str) -> str:
    if _OLD_SEED.fullmatch(setting):
        return f"{_ALGORITHM} 0 {encode_base64(bytes.fromhex(setting))}"
    return setting


def _decode(line: str, *, what: object, retired_at: int | None = None) -> SigningKey:
    match = _KEY.fullmatch(line)
    if match is None:
        raise KeyFileError(f"{what} is not a signing key of the form `ed25519 <version> <seed>`.")
    return SigningKey(
        match["version"], decode_signing_key_base64(_ALGORITHM, match["version"], match["seed"]), retired_at
    )


def _missing(given: list[SigningKey], known: Iterable[SigningKey], signing: SigningKey | None) -> list[SigningKey]:
    """The keys of `given` that an import must still write. Raises KeyFileError for a key that is there in another way."""
    there = {(key.key_id, key.public_key) for key in known if (key.retired_at is None) == _signs(key, signing)}
    ids = {key.public_key: key.key_id for key in known}
    missing = []
    for key in given:
        if (key.key_id, key.public_key) in there:
            there.discard((key.key_id, key.public_key))
            continue
        if key.public_key in ids:
            raise KeyFileError(f"{key.key_id} exists already, as {ids[key.public_key]}.")
        if key.key_id in ids.values():
            raise KeyFileError(
                f"Another key {key.key_id} exists already. Delete its file first if it has not signed anything."
            )
        ids[key.public_key] = key.key_id
        missing.append(key)
    return missing


def _signs(key: SigningKey, signing: SigningKey | None) -> bool:
    return signing is not None and key.public_key == signing.public_key


def _next_version(keys: Iterable[SigningKey]) -> str:
    return str(max((int(key.version) for key in keys if key.version.isdigit()), default=-1) + 1)


def _new_key(keys: Iterable[SigningKey], entropy: Entropy) -> SigningKey:
    version = _next_version(keys)
    seed = encode_base64(entropy.bytes(_SECRET_BYTES))
    return SigningKey(version, decode_signing_key_base64(_ALGORITHM, version, seed))


def _retire(directory: Path, keys: Iterable[SigningKey], now: int) -> None:
    for key in keys:
        if key.retired_at is None:
            replace(_path(directory, key.version), _text(key, retired_at=now))


def _text(key: SigningKey, *, retired_at: int | None = None) -> str:
    line = f"{_ALGORITHM} {key.version} {encode_signing_key_base64(key.key)}\n"
    return line if retired_at is None else f"{line}retired {retired_at}\n"


def _by_version(key: SigningKey) -> tuple[int, str]:
    return (int(key.version), "") if key.version.isdigit() else (-1, key.version)


def _path(directory: Path, version: str) -> Path:
    return directory / f"{_ALGORITHM}_{version}.key"


def _read_keys(directory: Path) -> tuple[SigningKey, ...]:
    return tuple(sorted((_read_key(path) for path in directory.glob(f"{_ALGORITHM}_*.key")), key=_by_version))


def _read_key(path: Path) -> SigningKey:
    line, *more = read_private(path).splitlines() or [""]
    retired = _RETIRED.fullmatch(more[0]) if len(more) == 1 else None
    if more and retired is None:
        raise KeyFileError(f"{path} is not a signing key of the form `ed25519 <version> <seed>`.")
    key = _decode(line, what=path, retired_at=None if retired is None else int(retired["at"]))
    if path != _path(path.parent, key.version):
        raise KeyFileError(
            f"{path} holds the key {key.key_id}: its name must be {_path(path.parent, key.version).name}."
        )
    return key
