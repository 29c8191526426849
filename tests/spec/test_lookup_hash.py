"""The specification's own examples. https://spec.matrix.org/latest/identity-service-api/#sha256."""

import pytest

from threepid.spec.lookup_hash import lookup_hash


@pytest.mark.parametrize(
    ("address", "medium", "expected"),
    [
        ("alice@example.com", "email", "4kenr7N9drpCJ4AfalmlGQVsOn3o2RHjkADUpXJWZUc"),
        ("bob@example.com", "email", "LJwSazmv46n0hlMlsb_iYxI0_HXEqy_yj6Jm636cdT8"),
        ("18005552067", "msisdn", "nlo35_T5fzSGZzJApqu8lgIudJvmOQtDaHtr-I4rU7I"),
    ],
)
def test_addresses_are_hashed_as_the_specification_shows(address: str, medium: str, expected: str) -> None:
    assert lookup_hash(address, medium, "matrixrocks") == expected
