"""Scopes and the proof of a code's owner."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from threepid.spec.errors import (
    Forbidden,
    LimitExceeded,
    MatrixError,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    Unavailable,
    Unknown,
)
from threepid.spec.oauth.errors import InvalidScope, in_oauth
from threepid.spec.oauth.pkce import is_challenge, proves
from threepid.spec.oauth.scopes import ADMIN, parse_scope

BOTH = [
    ("urn:matrix:client:", False),
    ("urn:matrix:org.matrix.msc2967.client:", True),
]


@pytest.mark.parametrize(("prefix", "is_unstable"), BOTH)
@pytest.mark.parametrize("is_admin", [False, True])
def test_a_scope_reads_as_it_was_written(prefix: str, is_unstable: bool, is_admin: bool) -> None:
    text = f"{prefix}api:* {prefix}device:AAAABBBBCC" + (f" {ADMIN}" if is_admin else "")
    scope = parse_scope(f"openid {text} email")
    assert str(scope) == text
    assert (scope.device_id, scope.is_admin, scope.is_unstable) == ("AAAABBBBCC", is_admin, is_unstable)
    assert parse_scope(str(scope)) == scope


@given(st.text())
def test_any_text_is_a_scope_or_an_error(text: str) -> None:
    try:
        scope = parse_scope(text)
    except InvalidScope:
        return
    assert scope.device_id in text


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N"]), min_size=43, max_size=128))
def test_a_challenge_is_proven_by_its_verifier_alone(verifier: str) -> None:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    assert is_challenge(challenge)
    assert proves(verifier, challenge)
    assert not proves(verifier[:-1] + "~", challenge)
    assert not proves(challenge, challenge)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Forbidden(), 400, "invalid_request"),
        (MethodNotAllowed(), 405, "M_UNRECOGNIZED"),
        (TooLarge(), 413, "invalid_request"),
    ],
)
def test_every_error_is_told_in_the_words_of_oauth(error: Exception, status: int, code: str) -> None:
    found, body = in_oauth(error)  # type: ignore[arg-type]
    assert found == status
    assert code in (body["error"], body.get("errcode"))
    assert all(" " <= letter <= "~" and letter not in '"\\' for letter in body.get("error_description", ""))


@pytest.mark.parametrize(
    ("error", "status"), [(RequestTimeout(), 408), (LimitExceeded(1), 429), (Unavailable(), 503), (Unknown(), 500)]
)
def test_what_passes_has_no_code_that_an_app_would_log_out_for(error: MatrixError, status: int) -> None:
    """matrix-js-sdk 41 takes every `error` for the end of the session, 43 takes one of a 4xx for it, and an `errcode` too."""
    found, body = in_oauth(error)
    assert (found, [*body]) == (status, ["error_description"])
