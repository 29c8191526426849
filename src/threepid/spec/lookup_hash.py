"""The hashes that stand for addresses in lookups. https://spec.matrix.org/latest/identity-service-api/#sha256."""

import hashlib
from base64 import urlsafe_b64encode


def lookup_hash(canonical: str, medium: str, pepper: str) -> str:
    """The sha256 of an address for lookups."""
    digest = hashlib.sha256(f"{canonical} {medium} {pepper}".encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(digest)[:-1].decode("ascii")
