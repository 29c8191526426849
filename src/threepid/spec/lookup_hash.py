"""The hashes of addresses in lookups. https://spec.matrix.org/latest/identity-service-api/#sha256."""

import hashlib
from base64 import urlsafe_b64encode


def lookup_hash(canonical: str, medium: str, pepper: str) -> str:
    """The SHA-256 of an address, its medium and the pepper, as unpadded URL-safe base64."""
    digest = hashlib.sha256(f"{canonical} {medium} {pepper}".encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest)[:-1].decode("ascii")
