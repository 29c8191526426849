"""Passwords, tokens and the server's own secret: how each is made, kept and compared.

Tokens have 256 random bits, so their SHA-256 is all that is kept. Codes and client secrets can be guessed, so what is kept
of them is an HMAC under a key that is not in the database.
"""

import asyncio
import hashlib
import hmac
import os
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import argon2
import nacl.secret
from canonicaljson import encode_canonical_json

from threepid.clock import Clock, Entropy
from threepid.spec.errors import InvalidParam, LimitExceeded, WeakPassword

PASSWORD_MAX_LENGTH: Final = 512
QUEUE_SECONDS: Final = 2.0
"""How long a password may wait for its turn to be hashed."""


class Vault:
    """The server's secret, and everything that is derived from it."""

    def __init__(self, secret: bytes, entropy: Entropy) -> None:
        """Derive from `secret`, of 32 bytes or more, which all processes of a server share."""
        self._entropy = entropy
        self._code_key = self._derive(secret, b"code")
        self._client_secret_key = self._derive(secret, b"client_secret")
        self._limit_key = self._derive(secret, b"limit")
        self._request_key = self._derive(secret, b"uia request")

    @staticmethod
    def _derive(secret: bytes, purpose: bytes) -> bytes:
        return hmac.digest(secret, b"threepid " + purpose, "sha256")

    @staticmethod
    def hash_token(token: str) -> bytes:
        """What is kept of a token that has 128 random bits or more."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

    def hash_code(self, sid: str, code: str) -> bytes:
        """What is kept of a short code of the session `sid`."""
        return hmac.digest(self._code_key, f"{sid} {code}".encode("utf-8", "surrogatepass"), "sha256")

    def hash_client_secret(self, client_secret: str) -> bytes:
        """What is kept of a client secret."""
        return hmac.digest(self._client_secret_key, client_secret.encode("utf-8", "surrogatepass"), "sha256")

    def hash_limit_key(self, key: str) -> str:
        """What is kept of the name of a limit, which may hold an address."""
        return hmac.digest(self._limit_key, key.encode("utf-8", "surrogatepass"), "sha256").hex()

    def mac_request(self, request: dict[str, Any]) -> bytes:
        """What is compared of a request whose authentication takes several steps."""
        return hmac.digest(self._request_key, encode_canonical_json(request), "sha256")

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
    """

    def __init__(self, clock: Clock, min_length: int) -> None:
        """Refuse new passwords shorter than `min_length` code points."""
        self._clock = clock
        self._min_length = min_length
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._width = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._width, thread_name_prefix="argon2")
        self._waiting = 0
        self._seconds_each = 0.05
        # Verified when there is no hash to verify, so that "no such account" costs what "wrong password" costs.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash of a new password. Raises WeakPassword, InvalidParam if it is too long, LimitExceeded when overloaded."""
        hashed: str = await self._in_turn(self._hasher.hash, self.check(password))
        return hashed

    def check(self, password: str) -> str:
        """The new password in its normal form. Raises WeakPassword, InvalidParam if it is too long."""
        normalised = self.normalise(password)
        if len(normalised) < self._min_length:
            raise WeakPassword(f"A password has at least {self._min_length} characters.")
        return normalised

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Is this the password? Without a hash to compare with, it takes as long and says no."""
        try:
            normalised = self.normalise(password)
        except InvalidParam:
            return False
        right = await self._in_turn(self._matches, normalised, password_hash or self._nobody)
        return right and password_hash is not None

    @staticmethod
    def normalise(password: str) -> str:
        """NFKC, so that one keyboard's password works on another. Raises InvalidParam if it is too long."""
        if len(password) > PASSWORD_MAX_LENGTH:
            raise InvalidParam(f"A password has at most {PASSWORD_MAX_LENGTH} characters.")
        normalised = unicodedata.normalize("NFKC", password)
        if len(normalised) > PASSWORD_MAX_LENGTH:
            raise InvalidParam(f"A password has at most {PASSWORD_MAX_LENGTH} characters.")
        return normalised

    def close(self) -> None:
        """Stop the pool's threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password: str, password_hash: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (argon2.exceptions.VerifyMismatchError, argon2.exceptions.InvalidHashError):
            return False

    async def _in_turn(self, work: Any, *arguments: str) -> Any:
        # The place in the queue is freed when the work ends, not when the client leaves: the work goes on without it.
        if self._waiting * self._seconds_each / self._width > QUEUE_SECONDS:
            raise LimitExceeded(int(QUEUE_SECONDS * 1000))
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work, *arguments)
        future.add_done_callback(self._leave)
        return await asyncio.shield(future)

    def _timed(self, work: Any, *arguments: str) -> Any:
        start = self._clock.monotonic()
        result = work(*arguments)
        self._seconds_each += (self._clock.monotonic() - start - self._seconds_each) / 8
        return result

    def _leave(self, future: asyncio.Future[Any]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # the waiter may be gone: the exception counts as seen
