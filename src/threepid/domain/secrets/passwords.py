"""Passwords: how they are checked, hashed and compared."""

import unicodedata
from array import array
from bisect import bisect_left
from functools import cache
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
from threepid.domain.secrets.hashing import Turns
from threepid.spec.errors import InvalidParam, WeakPassword

_log = structlog.get_logger()

PASSWORD_MAX_LENGTH: Final = 512
"""Code points of a password in its normal form."""
PASSWORD_MAX_BYTES: Final = 4096
"""UTF-8 bytes of a password as it came."""
_TIME_COST: Final = 2
_MEMORY_COST: Final = 19_456
"""Passes, and KiB of memory, of a hash that we make."""
_OURS: Final = f"$argon2id$v=19$m={_MEMORY_COST},t={_TIME_COST},p=1$"
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES: Final = 72


class Hasher:
    """Hashes and verifies: argon2id by libsodium, and hashes of other servers by their own libraries. Stateless."""

    def hash(self, password: str) -> str:
        """The hash of a password in its normal form."""
        # libsodium uses the wide registers of the machine, which halves the time where there are any.
        return nacl.pwhash.argon2id.str(password.encode(), opslimit=_TIME_COST, memlimit=_MEMORY_COST * 1024).decode()

    def matches(self, password: str, password_hash: str) -> bool:
        """Is this the password of the hash?"""
        try:
            if password_hash.startswith(_OURS) and len(password_hash) < nacl.pwhash.argon2id.PWHASH_SIZE:
                return nacl.pwhash.argon2id.verify(password_hash.encode(), password.encode())
            if password_hash.startswith(_BCRYPT):
                # It never looked at more than this; the servers that made the hash cut the rest off in silence.
                return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES], password_hash.encode())
            # libsodium knows only one form of argon2.
            return argon2.PasswordHasher().verify(password_hash, password)
        except (InvalidkeyError, VerifyMismatchError):
            return False
        except (VerificationError, ValueError) as error:
            _log.warning("password_hash_unusable", reason=str(error) or type(error).__name__)
            return False


class Passwords:
    """Hashes passwords with argon2id in a pool as wide as the machine, with a short queue.

    m = 19 MiB, t = 2, p = 1, as https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html advises.
    Hashes of other kinds that other servers made are verified, and should be replaced then.
    """

    def __init__(self, clock: Clock, policy: Policy, hasher: Hasher | None = None) -> None:
        """Reject new passwords that `policy` does not allow. Raises ConfigError if its file cannot be read."""
        self._policy = policy
        self._hasher = hasher or Hasher()
        self._denied = _Denied(policy.passwords_denied_file)
        # Verified when there is no hash to verify, so that "no such account" costs what "wrong password" costs.
        self.nobody = _nobodys_hash()
        self.turns = Turns(clock, "argon2", _seconds_of_a_hash())

    async def hash(self, password: str, *, username: str | None = None, account: str | None = None) -> str:
        """The hash of a new password. Raises what `check` raises, and LimitExceeded when overloaded.

        Here and below, `account` is the one that the caller probably owns, if there is one: it goes before strangers.
        """
        hashed: str = await self.turns.do(self._hasher.hash, self.check(password, username=username), account=account)
        return hashed

    def check(self, password: str, *, username: str | None = None) -> str:
        """The new password in its normal form; `username` (or user ID) is whose it would be.

        Raises WeakPassword, InvalidParam if it is too long or no text.
        """
        normalised = self.normalise(password)
        if len(normalised) < self._policy.password_min_length:
            raise WeakPassword(f"A password has at least {self._policy.password_min_length} characters.")
        if len({_class_of(character) for character in normalised}) < self._policy.password_min_classes:
            raise WeakPassword(
                f"A password has at least {self._policy.password_min_classes} of these: "
                "small letters, capital letters, digits, other characters."
            )
        if username is not None and normalised.casefold() in _names(username):
            raise WeakPassword("A password is something else than the username.")
        if normalised in self._denied:
            raise WeakPassword("Many people use this password, so it is easily guessed: please choose another.")
        return normalised

    async def verify(self, password: str, password_hash: str | None, *, account: str | None = None) -> bool:
        """Is this the password? Without a hash to compare with, it takes as long and says no. Raises LimitExceeded."""
        try:
            normalised = self.normalise(password)
        except InvalidParam:
            return False
        right = await self.turns.do(self._hasher.matches, normalised, password_hash or self.nobody, account=account)
        return right and bool(password_hash)

    @staticmethod
    def needs_rehash(password_hash: str) -> bool:
        """Was it made in another way than `hash` would make it now? To be replaced when the password is at hand."""
        return not password_hash.startswith(_OURS)

    async def rehash(self, password: str, *, account: str | None = None) -> str:
        """The hash of a password that is in use, whatever the policy says of it by now. Raises LimitExceeded."""
        hashed: str = await self.turns.do(self._hasher.hash, self.normalise(password), account=account)
        return hashed

    @staticmethod
    def normalise(password: str) -> str:
        """NFKC, so that one keyboard's password works on another. Raises InvalidParam if it is too long or no text."""
        try:
            # The first question comes before anything else, so that a longer one costs no more.
            too_long = len(password) > PASSWORD_MAX_BYTES or len(password.encode()) > PASSWORD_MAX_BYTES
        except UnicodeEncodeError:
            raise InvalidParam("The password has characters that are not allowed.") from None
        if too_long:
            raise InvalidParam(f"A password has at most {PASSWORD_MAX_LENGTH} characters.")
        if "\0" in password:
            raise InvalidParam("The password has characters that are not allowed.")
        normalised = unicodedata.normalize("NFKC", password)
        if len(normalised) > PASSWORD_MAX_LENGTH:
            raise InvalidParam(f"A password has at most {PASSWORD_MAX_LENGTH} characters.")
        return normalised

    def close(self) -> None:
        """Stop the pool's threads."""
        self.turns.close()


@cache
def _nobodys_hash() -> str:
    return Hasher().hash("nobody has this password")


@cache
def _seconds_of_a_hash() -> float:
    """How long a hash takes on this machine."""
    clock = Clock()
    start = clock.monotonic()
    Hasher().matches("nobody has this password", _nobodys_hash())
    return clock.monotonic() - start


class _Denied:
    """Passwords of a file, without regard to case: 64 bits of each, so that a million of them take 8 MB."""

    def __init__(self, file: str) -> None:
        self._hashes = array("q")
        if not file:
            return
        try:
            # Such lists come from everywhere: a line that is no text matches nothing.
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
    """How people write the username or the user ID that they have."""
    whole = username.casefold()
    localpart = whole.removeprefix("@").partition(":")[0]
    return {whole, localpart, f"@{localpart}"}
