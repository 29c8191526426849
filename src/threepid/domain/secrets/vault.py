"""The server's secret: hashes of tokens, codes and client secrets, and encryption of jobs and requests.

Tokens have at least 128 random bits, so a SHA-256 hash of them is stored. Codes and client secrets can be guessed, so an HMAC
with a key that is not in the database is stored.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import nacl.secret
from canonicaljson import encode_canonical_json
from nacl.bindings import crypto_secretbox
from nacl.exceptions import CryptoError

from threepid.clock import Entropy

_SEALED: Final = "sealed:"
_ENVELOPE_MAC_BYTES: Final = 10
_LIMIT_KEYS: Final = 4096


class Vault:
    """The server's secret and the keys derived from it."""

    def __init__(self, secret: bytes, entropy: Entropy) -> None:
        """Derive all keys from `secret`, which has at least 32 bytes and is shared by all processes of a server."""
        self._entropy = entropy
        self._code_mac = self._mac(secret, b"code")
        self._client_secret_mac = self._mac(secret, b"client_secret")
        limit_mac = self._mac(secret, b"limit")
        # Most requests share their limits: those of all callers, and those of a network behind which many people are.
        self._limit_key = lru_cache(_LIMIT_KEYS)(lambda key: limit_mac(key.encode("utf-8", "surrogatepass")).hex())
        self._request_mac = self._mac(secret, b"uia request")
        self._registration_token_mac = self._mac(secret, b"registration token")
        self._fingerprint_mac = self._mac(secret, b"fingerprint")
        self._form_mac = self._mac(secret, b"form")
        self._envelope_mac = self._mac(secret, b"envelope")
        self._outbox_mac = self._mac(secret, b"outbox")
        self._outbox_key = self._outbox_mac(b"key")
        self._outbox_box = nacl.secret.SecretBox(self._outbox_key)

    @staticmethod
    def _mac(secret: bytes, purpose: bytes) -> Callable[[bytes], bytes]:
        """An HMAC-SHA-256 whose key is hashed once. It takes half the time of `hmac.digest`, and does not release the GIL.

        https://www.rfc-editor.org/rfc/rfc2104#section-4
        """
        key = hmac.digest(secret, b"threepid " + purpose, "sha256").ljust(hashlib.sha256().block_size, b"\0")
        inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key))
        outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in key))

        def mac(text: bytes) -> bytes:
            inside, whole = inner.copy(), outer.copy()
            inside.update(text)
            whole.update(inside.digest())
            return whole.digest()

        return mac

    def fingerprint(self) -> bytes:
        """The keyed hash by which the database recognises the secret. It does not reveal the secret."""
        return self._fingerprint_mac(b"")

    @staticmethod
    def hash_token(token: str) -> bytes:
        """The stored hash of a token of at least 128 random bits."""
        return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()

    def hash_code(self, sid: str, code: str) -> bytes:
        """The stored HMAC of a short code of the session `sid`."""
        return self._code_mac(f"{sid} {code}".encode("utf-8", "surrogatepass"))

    def hash_client_secret(self, client_secret: str) -> bytes:
        """The stored HMAC of a client secret."""
        return self._client_secret_mac(client_secret.encode("utf-8", "surrogatepass"))

    def hash_limit_key(self, key: str) -> str:
        """The stored HMAC of a limit's name, which may contain an address."""
        return self._limit_key(key)

    def hash_registration_token(self, token: str) -> str:
        """The stored HMAC of a registration token, which an operator may have chosen."""
        return self._registration_token_mac(token.encode("utf-8", "surrogatepass")).hex()

    def mac_request(self, request: dict[str, Any]) -> bytes:
        """The HMAC by which the requests of one authentication session are compared."""
        return self._request_mac(encode_canonical_json(request))

    def form_token(self, cookie: str) -> str:
        """The token that proves that a form comes from a page which this server gave to the browser with this cookie."""
        return self._form_mac(cookie.encode("utf-8", "surrogatepass")).hex()

    def mac_envelope(self, job_id: bytes) -> bytes:
        """The MAC in the envelope sender of a mail, by which a report about this mail is recognised: 80 bits."""
        return self._envelope_mac(job_id)[:_ENVELOPE_MAC_BYTES]

    def seal(self, token: str, request: dict[str, Any]) -> bytes:
        """Encrypt a request with a key derived from `token`, so that it can only be read with the token."""
        return bytes(
            nacl.secret.SecretBox(self._box_key(token)).encrypt(
                encode_canonical_json(request), self._entropy.bytes(nacl.secret.SecretBox.NONCE_SIZE)
            )
        )

    def unseal(self, token: str, sealed: bytes) -> bytes:
        """The canonical JSON that was sealed with `token`."""
        return nacl.secret.SecretBox(self._box_key(token)).decrypt(sealed)

    def seal_job(self, params: str) -> str:
        """Encrypt the parameters of a job, which may hold links and codes. Equal parameters give equal results."""
        text = params.encode("utf-8")
        nonce = self._outbox_mac(b"nonce " + text)[: nacl.secret.SecretBox.NONCE_SIZE]
        # What `SecretBox.encrypt` returns, which takes half as long again.
        sealed = nonce + crypto_secretbox(text, nonce, self._outbox_key)
        return _SEALED + base64.urlsafe_b64encode(sealed).decode("ascii")

    def unseal_job(self, params: str) -> str:
        """Decrypt what `seal_job` returned. Unencrypted parameters, of earlier versions, are returned unchanged.

        Raises ValueError if they were sealed with another secret or are damaged.
        """
        if not params.startswith(_SEALED):
            return params
        try:
            return self._outbox_box.decrypt(base64.urlsafe_b64decode(params.removeprefix(_SEALED))).decode("utf-8")
        except (CryptoError, ValueError):
            raise ValueError("sealed with another secret, or damaged") from None

    @staticmethod
    def _box_key(token: str) -> bytes:
        # Another hash than `hash_token`, which is stored in the same row: the row alone must not be enough to decrypt it.
        return hashlib.blake2b(token.encode("utf-8"), digest_size=32, person=b"threepid seal").digest()


def same(one: bytes, other: bytes) -> bool:
    """Are two hashes equal? Compares them in constant time."""
    return hmac.compare_digest(one, other)
