"""Signing keys live in files that only the server can read; the newest signs, old ones stay known."""

from pathlib import Path

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64

from threepid.domain.keys import KeyFileError, ensure_keyring, ensure_secret, load_keyring, rotate_keyring
from world import HandClock, SeededEntropy


def test_the_first_key_is_made_once_and_only_readable_by_its_owner(tmp_path: Path) -> None:
    first = ensure_keyring(tmp_path / "keys", SeededEntropy("a"))
    again = ensure_keyring(tmp_path / "keys", SeededEntropy("b"))
    assert first.current.key_id == again.current.key_id == "ed25519:0"
    assert first.current.public_key == again.current.public_key
    assert [file.stat().st_mode & 0o777 for file in (tmp_path / "keys").iterdir()] == [0o600]
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_after_a_rotation_old_signatures_verify_and_the_old_key_is_not_valid(tmp_path: Path) -> None:
    old = ensure_keyring(tmp_path, SeededEntropy("a"))
    signed = old.sign("id.example.org", {"a": 1})
    new = rotate_keyring(tmp_path, SeededEntropy("b"), HandClock())
    assert [key.key_id for key in new.keys] == ["ed25519:0", "ed25519:1"]
    assert new.current.key_id == "ed25519:1"
    kept = new.get("ed25519:0")
    assert kept is not None
    assert kept.retired_at == HandClock().now()
    verify_signed_json(signed, "id.example.org", decode_verify_key_bytes("ed25519:0", decode_base64(kept.public_key)))
    assert not new.is_valid(kept.public_key)
    assert new.is_valid(new.current.public_key)
    with pytest.raises(SignatureVerifyException):
        verify_signed_json(
            new.sign("id.example.org", {"a": 1}) | {"a": 2},
            "id.example.org",
            decode_verify_key_bytes("ed25519:1", decode_base64(new.current.public_key)),
        )


def test_both_alphabets_of_base64_are_taken_and_nonsense_is_not_valid(tmp_path: Path) -> None:
    keyring = ensure_keyring(tmp_path, SeededEntropy("with / and +"))
    public = keyring.current.public_key
    assert keyring.is_valid(public.replace("+", "-").replace("/", "_"))
    for nonsense in ("", "x", "ä", "A" * 43, public[:-1]):
        assert not keyring.is_valid(nonsense)


def test_ten_generations_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("0"))
    for number in range(1, 12):
        rotate_keyring(tmp_path, SeededEntropy(str(number)), HandClock())
    assert load_keyring(tmp_path).current.key_id == "ed25519:11"


def test_a_key_of_synapses_or_sydents_format_is_read(tmp_path: Path) -> None:
    file = tmp_path / "ed25519_a_XyZ.key"
    file.touch(0o600)
    file.write_text("ed25519 a_XyZ 1234567890123456789012345678901234567890123\n")
    file.chmod(0o600)
    assert load_keyring(tmp_path).current.key_id == "ed25519:a_XyZ"


@pytest.mark.parametrize("text", ["", "rsa 0 x", "ed25519 0", "ed25519 0 !!", "ed25519 0 short"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ed25519_0.key"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(KeyFileError, match="not a signing key"):
        load_keyring(tmp_path)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    (tmp_path / "ed25519_0.key").chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_keyring(tmp_path)


def test_the_vaults_secret_is_made_once(tmp_path: Path) -> None:
    first = ensure_secret(tmp_path / "keys" / "vault.secret", SeededEntropy("a"))
    assert ensure_secret(tmp_path / "keys" / "vault.secret", SeededEntropy("b")) == first
    assert len(first) == 32
    (tmp_path / "keys" / "vault.secret").write_text("c2hvcnQ\n")
    with pytest.raises(KeyFileError, match="too short"):
        ensure_secret(tmp_path / "keys" / "vault.secret", SeededEntropy("a"))
