"""Passwords, tokens and the server's own secret: how each is made, kept and compared.

Tokens have 256 random bits, so their SHA-256 is all that is kept. Codes and client secrets can be guessed, so what is kept
of them is an HMAC under a key that is not in the database.
"""

import base64
import hashlib
import hmac
import unicodedata
from array import array
from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import argon2
import bcrypt
import nacl.pwhash.argon2id
import nacl.secret
import structlog
from argon2.exceptions import VerificationError, VerifyMismatchError
from canonicaljson import encode_canonical_json
from nacl.exceptions import CryptoError, InvalidkeyError

from threepid.clock import Clock, Entropy
from threepid.config import ConfigError, Policy
from threepid.domain.turns import Turns
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
_SEALED: Final = "sealed:"


class Vault:
    """The server's secret, and everything that is derived from it."""

    def __init__(self, secret: bytes, entropy: Entropy) -> None:
        """Derive from `secret`, of 32 bytes or more, which all processes of a server share."""
        self._entropy = entropy
        self._code_mac = self._mac(secret, b"code")
        self._client_secret_mac = self._mac(secret, b"client_secret")
        self._limit_mac = self._mac(secret, b"limit")
        self._request_mac = self._mac(secret, b"uia request")
        self._registration_token_mac = self._mac(secret, b"registration token")
        self._fingerprint_mac = self._mac(secret, b"fingerprint")
        self._outbox_mac = self._mac(secret, b"outbox")
        self._outbox_box = nacl.secret.SecretBox(self._outbox_mac(b"key"))

    @staticmethod
    def _mac(secret: bytes, purpose: bytes) -> Callable[[bytes], bytes]:
        keyed = hmac.new(hmac.digest(secret, b"threepid " + purpose, "sha256"), digestmod="sha256")

        # A copy costs a third of a new one; and hmac.digest gives the interpreter away, which takes long to come back.
        def mac(text: bytes) -> bytes:
            one = keyed.copy()
            one.update(text)
            return one.digest()

        return mac

    def fingerprint(self) -> bytes:
        """By what the database recognises the secret: a keyed hash, from which nobody gets the secret."""
        return self._fingerprint_mac(b"")

    @staticmethod
    def hash_token(token: str) -> bytes:
        """What is kept of a token that has 128 random bits or more."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

    def hash_code(self, sid: str, code: str) -> bytes:
        """What is kept of a short code of the session `sid`."""
        return self._code_mac(f"{sid} {code}".encode("utf-8", "surrogatepass"))

    def hash_client_secret(self, client_secret: str) -> bytes:
        """What is kept of a client secret."""
        return self._client_secret_mac(client_secret.encode("utf-8", "surrogatepass"))

    def hash_limit_key(self, key: str) -> str:
        """What is kept of the name of a limit, which may hold an address."""
        return self._limit_mac(key.encode("utf-8", "surrogatepass")).hex()

    def hash_registration_token(self, token: str) -> str:
        """What is kept of a registration token, which an operator may have chosen."""
        return self._registration_token_mac(token.encode("utf-8", "surrogatepass")).hex()

    def mac_request(self, request: dict[str, Any]) -> bytes:
        """What is compared of a request whose authentication takes several steps."""
        return self._request_mac(encode_canonical_json(request))

    def seal(self, token: str, request: dict[str, Any]) -> bytes:
        """Encrypt a request so that only the holder of `token` can have it read."""
        return bytes(
            nacl.secret.SecretBox(self._box_key(token)).encrypt(
                encode_canonical_json(request), self._entropy.bytes(nacl.secret.SecretBox.NONCE_SIZE)
            )
        )

    def unseal(self, token: str, sealed: bytes) -> bytes:
        """The canonical JSON of what was sealed for `token`."""
        return nacl.secret.SecretBox(self._box_key(token)).decrypt(sealed)

    def seal_job(self, params: str) -> str:
        """Encrypt what a message in the outbox holds, among it links and codes; the same is sealed alike."""
        text = params.encode("utf-8")
        nonce = self._outbox_mac(b"nonce " + text)[: nacl.secret.SecretBox.NONCE_SIZE]
        return _SEALED + base64.urlsafe_b64encode(self._outbox_box.encrypt(text, nonce)).decode("ascii")

    def unseal_job(self, params: str) -> str:
        """What was sealed so; what an earlier version did not seal, as it is.

        Raises ValueError if it was sealed with another secret.
        """
        if not params.startswith(_SEALED):
            return params
        try:
            return self._outbox_box.decrypt(base64.urlsafe_b64decode(params.removeprefix(_SEALED))).decode("utf-8")
        except (CryptoError, ValueError):
            raise ValueError("sealed with another secret, or damaged") from None

    @staticmethod
    def _box_key(token: str) -> bytes:
        # Not the hash that is kept as the key of the row: who reads the row must not be able to open it.
        return hashlib.blake2b(token.encode("utf-8"), digest_size=32, person=b"threepid seal").digest()


def same(one: bytes, other: bytes) -> bool:
    """Are two hashes equal? Takes the same time whatever they hold."""
    return hmac.compare_digest(one, other)


class Passwords:
    """Hashes passwords with argon2id in a pool as wide as the machine, with a short queue.

    m = 19 MiB, t = 2, p = 1, as https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html advises.
    Hashes of other kinds that other servers made are verified, and should be replaced then.
    """

    def __init__(self, clock: Clock, policy: Policy) -> None:
        """Refuse new passwords that `policy` does not allow. Raises ConfigError if its file cannot be read."""
        self._policy = policy
        self._denied = _Denied(policy.passwords_denied_file)
        # Verified when there is no hash to verify, so that "no such account" costs what "wrong password" costs.
        self._nobody = _nobodys_hash()
        self.turns = Turns(clock, "argon2", lambda: self._matches("", self._nobody))

    async def hash(self, password: str, *, username: str | None = None, account: str | None = None) -> str:
        """The hash of a new password. Raises what `check` raises, and LimitExceeded when overloaded.

        Here and below, `account` is the one that the caller probably owns, if there is one: it goes before strangers.
        """
        hashed: str = await self.turns.do(_hash, self.check(password, username=username), account=account)
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
        right = await self.turns.do(self._matches, normalised, password_hash or self._nobody, account=account)
        return right and bool(password_hash)

    @staticmethod
    def needs_rehash(password_hash: str) -> bool:
        """Was it made in another way than `hash` would make it now? To be replaced when the password is at hand."""
        return not password_hash.startswith(_OURS)

    async def rehash(self, password: str, *, account: str | None = None) -> str:
        """The hash of a password that is in use, whatever the policy says of it by now. Raises LimitExceeded."""
        hashed: str = await self.turns.do(_hash, self.normalise(password), account=account)
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

    @staticmethod
    def _matches(password: str, password_hash: str) -> bool:
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


def _hash(password: str) -> str:
    # libsodium's argon2id: it uses the wide registers of the machine, which halves the time where there are any.
    return nacl.pwhash.argon2id.str(password.encode(), opslimit=_TIME_COST, memlimit=_MEMORY_COST * 1024).decode()


@cache
def _nobodys_hash() -> str:
    return _hash("nobody has this password")


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
