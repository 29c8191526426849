"""Passwords: policy checks, hashing and verification."""

import unicodedata
from array import array
from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import Final

import argon2
import bcrypt
import nacl.pwhash.argon2id
import structlog
from argon2.exceptions import VerificationError, VerifyMismatchError
from nacl.exceptions import InvalidkeyError

from threepid.clock import Clock
from threepid.config import ConfigError, Policy
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.hashing import Turns
from threepid.domain.secrets.password_peppers import PasswordPeppers
from threepid.i18n import Text, counted
from threepid.spec.errors import InvalidParam, WeakPassword

_log = structlog.get_logger()

PASSWORD_MAX_LENGTH: Final = 512
"""Maximum number of code points of a normalised password."""
PASSWORD_MAX_BYTES: Final = 4096
"""Maximum number of UTF-8 bytes of a password as it was sent."""
PASSES: Final = 2
MEMORY_KIB: Final = 19_456
"""The cost of a new hash, with one thread, as advised by
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html.
"""
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES: Final = 72
_SALT_DIGITS: Final = 22
"""Digits of Base64 of an argon2 salt of 16 bytes, and of a digest of 32 bytes below."""
_DIGEST_DIGITS: Final = 43


class Hasher:
    """Hashes and verifies passwords: argon2id with libsodium, other servers' hashes with the bcrypt and argon2 libraries."""

    def __init__(self, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB) -> None:
        """Make hashes of this cost. Only tests use another one than the default."""
        self._passes = passes
        self._memory_kib = memory_kib
        self._ours = f"$argon2id$v=19$m={memory_kib},t={passes},p=1$"

    @property
    def nobody(self) -> str:
        """A hash for accounts without one, of no known password: verifying it takes as long as verifying a wrong password."""
        return f"{self._ours}{'A' * _SALT_DIGITS}${'A' * _DIGEST_DIGITS}"

    @cached_property
    def seconds(self) -> float:
        """Seconds that a hash takes on this machine."""
        clock = Clock()
        start = clock.monotonic()
        Hasher.matches(self, "a password", self.nobody)
        return clock.monotonic() - start

    def hash(self, password: str) -> str:
        """The hash of a normalised password."""
        # libsodium uses SIMD instructions where available, which halves the time.
        memory = self._memory_kib * 1024
        return nacl.pwhash.argon2id.str(password.encode(), opslimit=self._passes, memlimit=memory).decode()

    def is_current(self, password_hash: str) -> bool:
        """Does the hash have the algorithm and cost that `hash` uses now?"""
        return password_hash.startswith(self._ours)

    def matches(self, password: str, password_hash: str) -> bool:
        """Does the normalised password match the hash?"""
        try:
            if self.is_current(password_hash) and len(password_hash) < nacl.pwhash.argon2id.PWHASH_SIZE:
                return nacl.pwhash.argon2id.verify(password_hash.encode(), password.encode())
            if password_hash.startswith(_BCRYPT):
                # bcrypt only uses this many bytes. The servers that made the hash silently truncated the rest.
                return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
            # libsodium does not verify all variants of argon2.
            return argon2.PasswordHasher().verify(password_hash, password)
        except (InvalidkeyError, VerifyMismatchError):
            return False
        except (VerificationError, ValueError) as error:
            _log.warning("password_hash_unusable", reason=str(error) or type(error).__name__)
            return False


class Passwords:
    """Checks, hashes and verifies passwords. Hashes run in a pool with one thread per core.

    New hashes are argon2id with m = 19 MiB, t = 2, p = 1, as advised by
    https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html. Other servers' hashes of other kinds are
    verified too; replace them then (see `needs_rehash`).
    """

    def __init__(
        self, clock: Clock, policy: Policy, hasher: Hasher | None = None, peppers: PasswordPeppers | None = None
    ) -> None:
        """Reject new passwords that `policy` does not allow. `peppers` are those of imported hashes, if there are any.

        Raises ConfigError if the policy's file cannot be read.
        """
        self._policy = policy
        self._peppers = peppers
        self._hasher = hasher or Hasher()
        self._denied = _Denied(policy.passwords_denied_file)
        self.turns = Turns(clock, "argon2", self._hasher.seconds)

    async def hash(self, password: str, *, username: str | None = None, account: str | None = None) -> str:
        """The hash of a new password. Raises the errors of `check`, and LimitExceeded under overload.

        Here and below, `account` is the account that the caller probably owns, if any: it gets a place before strangers.
        """
        hashed: str = await self.turns.do(self._hasher.hash, self.check(password, username=username), account=account)
        return hashed

    def check(self, password: str, *, username: str | None = None) -> str:
        """Check a new password of `username` (or user ID) against the policy, and return it normalised.

        Raises WeakPassword, or InvalidParam if the password is too long or has invalid characters.
        """
        normalised = self.normalise(password)
        if len(normalised) < self._policy.password_min_length:
            raise WeakPassword(
                counted(
                    "A password must have at least %(count)s character.",
                    "A password must have at least %(count)s characters.",
                    self._policy.password_min_length,
                )
            )
        if len({_class_of(character) for character in normalised}) < self._policy.password_min_classes:
            raise WeakPassword(
                Text(
                    "A password must have at least %(count)s of these: "
                    "lower-case letters, upper-case letters, digits, other characters.",
                    count=self._policy.password_min_classes,
                )
            )
        if username is not None and normalised.casefold() in _names(username):
            raise WeakPassword(Text("Your password must not be your username."))
        if normalised in self._denied:
            raise WeakPassword(Text("Many people use this password, so it is easy to guess. Choose another one."))
        return normalised

    async def verify(self, password: str, password_hash: str | None, *, account: str | None = None) -> bool:
        """Does the password match the hash? Without a hash, the answer is no after the same time. Raises LimitExceeded."""
        try:
            normalised = self.normalise(password)
        except InvalidParam:
            return False
        pepper, compared = self._split(password_hash or self._hasher.nobody)
        right = await self.turns.do(self._hasher.matches, normalised + pepper, compared, account=account)
        return right and bool(password_hash)

    def _split(self, password_hash: str) -> tuple[str, str]:
        """The pepper of an imported hash, and the hash without its name."""
        if self._peppers is not None:
            try:
                return self._peppers.split(password_hash)
            except KeyFileError as error:
                _log.error("password_pepper_unusable", reason=str(error))
        return "", password_hash

    def needs_rehash(self, password_hash: str) -> bool:
        """Does the hash differ in algorithm or cost from those that `hash` makes? Replace it when the password is known."""
        return not self._hasher.is_current(password_hash)

    async def rehash(self, password: str, *, account: str | None = None) -> str:
        """A new hash of an existing password, which the policy is not applied to. Raises LimitExceeded."""
        hashed: str = await self.turns.do(self._hasher.hash, self.normalise(password), account=account)
        return hashed

    @staticmethod
    def normalise(password: str) -> str:
        """The password in NFKC, so that it is the same from every keyboard.

        Raises InvalidParam if it is too long or has invalid characters.
        """
        try:
            # The number of characters is checked before encoding, so that a very long password costs nothing.
            too_long = len(password) > PASSWORD_MAX_BYTES or len(password.encode()) > PASSWORD_MAX_BYTES
        except UnicodeEncodeError:
            raise InvalidParam(Text("The password has invalid characters.")) from None
        if too_long:
            raise InvalidParam(Text("A password must have at most %(count)s characters.", count=PASSWORD_MAX_LENGTH))
        if "\0" in password:
            raise InvalidParam(Text("The password has invalid characters."))
        normalised = unicodedata.normalize("NFKC", password)
        if len(normalised) > PASSWORD_MAX_LENGTH:
            raise InvalidParam(Text("A password must have at most %(count)s characters.", count=PASSWORD_MAX_LENGTH))
        return normalised

    def close(self) -> None:
        """Stop the pool's threads."""
        self.turns.close()


class _Denied:
    """The passwords of a file, compared without case. Stores 64 bits of each, so a million passwords take 8 MB."""

    def __init__(self, file: str) -> None:
        self._hashes = array("q")
        if not file:
            return
        try:
            # Such lists may contain invalid UTF-8: a line with any matches no password.
            with Path(file).open(encoding="utf-8", errors="replace") as lines:
                self._hashes = array("q", sorted({self._hash(line.rstrip("\n")) for line in lines}))
        except OSError as error:
            raise ConfigError(f"[policy] passwords_denied_file: {file}: {error.strerror}") from None

    def __contains__(self, password: str) -> bool:
        wanted = self._hash(password)
        place = bisect_left(self._hashes, wanted)
        return place < len(self._hashes) and self._hashes[place] == wanted

    @staticmethod
    def _hash(password: str) -> int:
        return hash(unicodedata.normalize("NFKC", password).casefold())


def _class_of(character: str) -> str:
    if character.isdecimal():
        return "digit"
    return "small" if character.islower() else "capital" if character.isupper() else "other"


def _names(username: str) -> set[str]:
    """The ways to write a username or user ID as a password."""
    whole = username.casefold()
    localpart = whole.removeprefix("@").partition(":")[0]
    return {whole, localpart, f"@{localpart}"}
