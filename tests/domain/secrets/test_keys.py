"""Signing keys live in files that only the server can read; the newest signs, old ones stay known."""

import subprocess
import sys
from pathlib import Path

import pytest
from signedjson.key import decode_verify_key_bytes
from signedjson.sign import SignatureVerifyException, verify_signed_json
from unpaddedbase64 import decode_base64

from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import (
    Keyring,
    adopt_keys,
    ensure_keyring,
    ensure_secret,
    import_keys,
    load_keyring,
    rotate_keyring,
)
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


# -- taking over the keys of another server

SEEDS = ["QUFB" * 10 + "QUE", "QkJC" * 10 + "QkI", "Q0ND" * 10 + "Q0M"]
OF_SYDENT = f"""[general]
server.name = id.example.org
log.level = INFO

[crypto]
# the private key
ed25519.signingkey = ed25519 7 {SEEDS[0]}

[sms]
bodytemplate = Your code is {{token}}
"""


def states(keyring: Keyring) -> dict[str, bool]:
    """Which keys are in force."""
    return {key.key_id: key.retired_at is None for key in keyring.keys}


def files(directory: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in directory.iterdir()}


@pytest.mark.parametrize(
    "text",
    [
        OF_SYDENT,
        OF_SYDENT.replace(" = ed25519 7", ":ed25519 7"),
        OF_SYDENT.replace("\n", "\r\n"),
        f"ed25519 7 {SEEDS[0]}",
        f"ed25519 7 {SEEDS[0]}=\n",
        f"\n# the key\n  ed25519\t7  {SEEDS[0]}\n\n",
    ],
)
def test_a_key_that_is_taken_over_keeps_its_id_and_signs(tmp_path: Path, text: str) -> None:
    directory = tmp_path / "data" / "keys"
    keyring = import_keys(directory, text, HandClock())
    assert states(keyring) == {"ed25519:7": True}
    assert bytes(keyring.current.key) == b"A" * 32
    signed = load_keyring(directory).sign("id.example.org", {"a": 1})
    public_key = decode_base64(keyring.current.public_key)
    verify_signed_json(signed, "id.example.org", decode_verify_key_bytes("ed25519:7", public_key))
    assert directory.stat().st_mode & 0o777 == 0o700
    assert [file.stat().st_mode & 0o777 for file in directory.iterdir()] == [0o600]


def test_the_key_before_retires_and_the_next_one_gets_a_new_id(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    clock = HandClock()
    imported = import_keys(tmp_path, f"ed25519 a_XyZ {SEEDS[0]}\n", clock)
    assert states(imported) == {"ed25519:a_XyZ": True, "ed25519:0": False}
    assert imported.current.key_id == "ed25519:a_XyZ"
    assert [key.retired_at for key in imported.keys] == [None, clock.now()]
    clock.advance(1)
    rotated = rotate_keyring(tmp_path, SeededEntropy("b"), clock)
    assert states(rotated) == {"ed25519:a_XyZ": False, "ed25519:0": False, "ed25519:1": True}
    assert [key.retired_at for key in rotated.keys] == [clock.now(), clock.now() - 1, None]


def test_of_several_keys_the_first_signs_as_it_did_at_synapse(tmp_path: Path) -> None:
    text = "".join(f"ed25519 a_{number} {seed}\n" for number, seed in enumerate(SEEDS))
    keyring = import_keys(tmp_path, text, HandClock())
    assert states(keyring) == {"ed25519:a_0": True, "ed25519:a_1": False, "ed25519:a_2": False}
    assert [bytes(key.key)[:1] for key in keyring.keys] == [b"A", b"B", b"C"]


def test_retired_keys_do_not_sign_and_do_not_stop_the_first_start(tmp_path: Path) -> None:
    imported = import_keys(tmp_path, OF_SYDENT, HandClock(), retired=True)
    assert states(imported) == {"ed25519:7": False}
    started = ensure_keyring(tmp_path, SeededEntropy("a"))
    assert states(started) == {"ed25519:7": False, "ed25519:8": True}
    kept = started.get("ed25519:7")
    assert kept is not None
    assert not started.is_valid(kept.public_key)
    more = import_keys(tmp_path, f"ed25519 old {SEEDS[1]}", HandClock(), retired=True)
    assert states(more) == {"ed25519:old": False, "ed25519:7": False, "ed25519:8": True}


def test_a_rotation_that_was_killed_is_completed_by_the_next_one(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    before = files(tmp_path)
    rotated = rotate_keyring(tmp_path, SeededEntropy("b"), HandClock())
    for name, text in before.items():
        (tmp_path / name).write_text(text)  # not retired yet
    assert load_keyring(tmp_path).is_half_rotated
    assert load_keyring(tmp_path).current == rotated.current
    completed = rotate_keyring(tmp_path, SeededEntropy("c"), HandClock())
    assert states(completed) == {"ed25519:0": False, "ed25519:1": True}
    assert not completed.is_half_rotated


@pytest.mark.parametrize("retired", [False, True])
def test_an_import_that_was_killed_can_be_repeated(tmp_path: Path, retired: bool) -> None:
    """It wrote some of the keys, or all of them and has not retired the one before."""
    text = "".join(f"ed25519 a_{number} {seed}\n" for number, seed in enumerate(SEEDS))
    whole = tmp_path / "whole"
    ensure_keyring(whole, SeededEntropy("a"))
    before = files(whole)
    wanted = states(import_keys(whole, text, HandClock(), retired=retired))
    for count in range(1, 3 if retired else 4):
        directory = tmp_path / str(count)
        directory.mkdir(mode=0o700)
        written = {f"ed25519_a_{number}.key" for number in range(3 - count, 3)}
        for name, kept in {**files(whole), **before}.items():
            if name in written or name in before:
                (directory / name).write_text(kept)
                (directory / name).chmod(0o600)
        assert states(import_keys(directory, text, HandClock(), retired=retired)) == wanted
        with pytest.raises(KeyFileError, match="exists already"):
            import_keys(directory, text, HandClock(), retired=retired)


@pytest.mark.parametrize("retired", [False, True])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"ed25519 0 {SEEDS[1]}", "Another key ed25519:0"),
        (f"ed25519 1 {SEEDS[0]}", "ed25519:1 exists already, as ed25519:0"),
        (f"ed25519 0 {SEEDS[0]}", "ed25519:0 exists already"),
        (f"ed25519 1 {SEEDS[1]}\ned25519 1 {SEEDS[2]}", "Another key ed25519:1"),
        (f"ed25519 1 {SEEDS[1]}\ned25519 2 {SEEDS[1]}", "ed25519:2 exists already, as ed25519:1"),
        (f"ed25519 a.b {SEEDS[1]}", "not a signing key"),
        (f"ed25519 ../x {SEEDS[1]}", "not a signing key"),
        (f"ed25519 \N{SUPERSCRIPT TWO} {SEEDS[1]}", "not a signing key"),
        (f"ed25519 {'1' * 101} {SEEDS[1]}", "not a signing key"),
        (f"ed25519  {SEEDS[1]}", "not a signing key"),
        (f"rsa 1 {SEEDS[1]}", "not a signing key"),
        (f"ed25519 1 {SEEDS[1]} more", "not a signing key"),
        (f"ed25519 1 {SEEDS[1][:-1]}", "not a signing key"),
        (f"ed25519 1 {SEEDS[1]}AAAA", "not a signing key"),
        (f"ed25519 1 {SEEDS[1][:-1]}!", "not a signing key"),
        (f"ed25519 1 {SEEDS[1]}\nnonsense", "not a signing key"),
        ("[crypto]\ned25519.signingkey =\n", "not a signing key"),
        ("", "no key in the file"),
        ("# nothing\n\n", "no key in the file"),
    ],
)
def test_what_is_no_new_key_is_refused_and_nothing_has_changed(
    tmp_path: Path, text: str, sentence: str, retired: bool
) -> None:
    import_keys(tmp_path, f"ed25519 0 {SEEDS[0]}", HandClock())
    before = files(tmp_path)
    with pytest.raises(KeyFileError, match=sentence) as refusal:
        import_keys(tmp_path, text, HandClock(), retired=retired)
    assert files(tmp_path) == before
    assert not any(seed in str(refusal.value) for seed in SEEDS)


@pytest.mark.parametrize("more", ["1800000000000", "retired soon", "retired 1\nretired 2", f"ed25519 1 {SEEDS[1]}"])
def test_a_retirement_that_cannot_be_read_is_none(tmp_path: Path, more: str) -> None:
    import_keys(tmp_path, f"ed25519 0 {SEEDS[0]}", HandClock())
    file = tmp_path / "ed25519_0.key"
    file.write_text(f"{file.read_text()}{more}\n")
    with pytest.raises(KeyFileError, match="not a signing key"):
        load_keyring(tmp_path)


def test_a_key_under_the_name_of_another_is_refused(tmp_path: Path) -> None:
    import_keys(tmp_path, f"ed25519 0 {SEEDS[0]}", HandClock())
    (tmp_path / "ed25519_0.key").rename(tmp_path / "ed25519_1.key")
    with pytest.raises(KeyFileError, match=r"holds the key ed25519:0: its name must be ed25519_0\.key"):
        load_keyring(tmp_path)


def test_files_that_cannot_be_read_are_refused_in_one_sentence(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    file = tmp_path / "ed25519_0.key"
    file.write_bytes(b"\xff")
    with pytest.raises(KeyFileError, match="not plain ASCII"):
        load_keyring(tmp_path)
    file.unlink()
    file.symlink_to(tmp_path / "nothing")
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        load_keyring(tmp_path)
    secret = tmp_path / "vault.secret"
    secret.write_text("x\n")
    secret.chmod(0o600)
    with pytest.raises(KeyFileError, match="not base64"):
        ensure_secret(secret, SeededEntropy("a"))


def test_where_no_key_can_be_written_none_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="cannot be created"):
        ensure_keyring(tmp_path / "file" / "keys", SeededEntropy("a"))


def test_a_key_that_a_full_disk_cut_off_is_named_and_nothing_remains(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    program = f"""
import resource
from pathlib import Path
from threepid.clock import Entropy
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import ensure_keyring
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    ensure_keyring(Path({str(keys)!r}), Entropy())
except KeyFileError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"{keys / 'ed25519_0.key'} cannot be written: File too large.\n"
    assert [*keys.iterdir()] == []


SEED = "A" * 43
OTHER_SEED = "B" * 42 + "A"


def test_keys_of_a_replaced_server_are_adopted_once(tmp_path: Path) -> None:
    text = f"ed25519 x_1 {SEED}\ned25519 x-2 {OTHER_SEED}"
    ensure_keyring(tmp_path, SeededEntropy("own"))
    assert adopt_keys(tmp_path, text, HandClock(), unused=False, dry_run=True) == 2
    assert [key.key_id for key in load_keyring(tmp_path).keys] == ["ed25519:0"]
    for new in (2, 0):
        assert adopt_keys(tmp_path, text, HandClock(), unused=False) == new
        keyring = load_keyring(tmp_path)
        assert keyring.current.key_id == "ed25519:x_1"
        assert {key.key_id for key in keyring.keys if key.retired_at is not None} == {"ed25519:x-2", "ed25519:0"}


def test_a_key_that_was_rotated_since_stays_retired(tmp_path: Path) -> None:
    text = f"ed25519 x_1 {SEED}"
    adopt_keys(tmp_path, text, HandClock(), unused=True)
    rotate_keyring(tmp_path, SeededEntropy("b"), HandClock())
    newest = load_keyring(tmp_path).current.key_id
    assert adopt_keys(tmp_path, text, HandClock(), unused=False) == 0
    assert load_keyring(tmp_path).current.key_id == newest != "ed25519:x_1"


def test_an_own_key_of_the_same_id_makes_room_only_if_it_has_signed_nothing(tmp_path: Path) -> None:
    text = f"ed25519.signingkey = ed25519 0 {SEED}"
    own = ensure_keyring(tmp_path, SeededEntropy("own")).current.public_key
    for dry_run in (True, False):
        with pytest.raises(KeyFileError, match="Another key ed25519:0 exists already"):
            adopt_keys(tmp_path, text, HandClock(), unused=False, dry_run=dry_run)
    assert load_keyring(tmp_path).current.public_key == own
    assert adopt_keys(tmp_path, text, HandClock(), unused=True) == 1
    assert [key.public_key != own for key in load_keyring(tmp_path).keys] == [True]


def test_the_key_of_an_early_sydent_is_a_seed_in_hexadecimal_digits(tmp_path: Path) -> None:
    seed = bytes(range(32))
    adopt_keys(tmp_path, f"ed25519.signingkey = {seed.hex()}", HandClock(), unused=True)
    current = load_keyring(tmp_path).current
    assert (current.key_id, bytes(current.key)) == ("ed25519:0", seed)
