"""The server's own secret: how tokens, codes and client secrets are hashed, and messages and requests sealed.

Tokens have 256 random bits, so their SHA-256 is all that is kept. Codes and client secrets can be guessed, so what is kept
of them is an HMAC under a key that is not in the database.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any, Final

import nacl.secret
from canonicaljson import encode_canonical_json
from nacl.exceptions import CryptoError

from threepid.clock import Entropy

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
