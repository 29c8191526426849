"""The vault's hashes."""

import hmac

from threepid.clock import Entropy
from threepid.domain.secrets.vault import Vault


def test_hashes_are_those_of_the_standard_library() -> None:
    """Rows that are hashed with HMAC-SHA-256 must be found again, whichever code computes it."""
    secret = b"a secret of at least 32 bytes in a test"
    vault = Vault(secret, Entropy())
    key = hmac.digest(secret, b"threepid limit", "sha256")
    for text in ("", "message to email alice@example.com", "x" * 500):
        assert vault.hash_limit_key(text) == hmac.digest(key, text.encode(), "sha256").hex()
