"""A59: signing keys are the server's own secret, and what they have signed can be checked after they are retired."""

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from signedjson.key import decode_signing_key_base64, decode_verify_key_bytes, get_verify_key
from signedjson.sign import sign_json, verify_signed_json
from unpaddedbase64 import decode_base64

from attacks.test_A39_plaintext_where_it_should_not_be import everything
from rig import ServerProcess
from threepid.domain.secrets.files import KeyFileError
from threepid.domain.secrets.keys import ensure_keyring, import_keys, load_keyring, rotate_keyring
from world import HandClock, SeededEntropy, World

V2 = "/_matrix/identity/v2"
V1 = "/_matrix/identity/api/v1"
KEYS = "/_matrix/key/v2/server"
US = "matrix.example.org"


def threepid(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", *arguments, "--config", "threepid.toml"],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An operator's directory, with a key."""
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://matrix.example.org"\nlisten = "127.0.0.1:1"\n'
        "[accounts]\n[identity]\n"
    )
    assert threepid("keys", "generate", cwd=tmp_path).returncode == 0
    assert threepid("migrate", cwd=tmp_path).returncode == 0
    return tmp_path


# -- who can read them


@pytest.mark.parametrize("name", ["ed25519_0.key", "vault.secret"])
def test_a_server_does_not_start_with_a_secret_that_others_can_read(directory: Path, name: str) -> None:
    path = Path("data") / "keys" / name
    (directory / path).touch()
    (directory / path).chmod(0o644)
    for command in (("serve",), ("account", "list")):
        refused = threepid(*command, cwd=directory)
        said = [line for line in refused.stderr.splitlines(keepends=True) if not line.startswith("Warning: ")]
        assert "".join(said) == f"{path} is readable by others: run `chmod 600 {path}`.\n"
        assert (refused.returncode, refused.stdout) == (1, "")


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o777])
def test_no_bit_for_others_is_borne(tmp_path: Path, mode: int) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    path = tmp_path / "ed25519_0.key"
    path.chmod(mode)
    with pytest.raises(KeyFileError) as refusal:
        ensure_keyring(tmp_path, SeededEntropy("a"))
    assert str(refusal.value) == f"{path} is readable by others: run `chmod 600 {path}`."
    path.chmod(0o400)
    assert load_keyring(tmp_path).current.key_id == "ed25519:0"


def test_an_old_key_is_kept_as_well_as_the_one_in_force(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    rotate_keyring(tmp_path, SeededEntropy("b"), HandClock())
    assert [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()] == [0o600, 0o600]
    (tmp_path / "ed25519_0.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_keyring(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_somebody_elses_file_is_no_key_of_ours(tmp_path: Path) -> None:
    ensure_keyring(tmp_path, SeededEntropy("a"))
    path = tmp_path / "ed25519_0.key"
    os.chown(path, 12_345, -1)
    with pytest.raises(KeyFileError) as refusal:
        load_keyring(tmp_path)
    assert str(refusal.value) == (
        f"{path} belongs to another user (number 12345): run this as the server's user, or chown it."
    )


# -- where they are not


def test_a_key_is_neither_in_the_database_nor_in_an_answer_nor_in_a_log(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with World(database_url, tmp_path) as world:
        seed = bytes(world.server.services.keyring.current.key)
        association = publish(world)
        answers = [
            str(association),
            *(world.get(path).text for path in (f"{V2}/pubkey/ed25519:0", f"{V1}/pubkey/ed25519:0", KEYS)),
        ]
        dump = everything(world)
    assert b"alice@example.com" in dump
    forms = [seed, seed.hex().encode(), base64.b64encode(seed)[:43], base64.urlsafe_b64encode(seed)[:43]]
    shown = capsys.readouterr()
    seen = [dump, *(text.encode() for text in (*answers, shown.out, shown.err, repr(world.config)))]
    assert [form for form in forms for text in seen if form in text] == []
    assert forms[2] in (tmp_path / "keys" / "ed25519_0.key").read_bytes()


# -- what they have signed


def publish(world: World) -> dict[str, Any]:
    """An association that the server has signed."""
    token = world.identity_token(world.register())
    body = {"sid": world.validated(token), "client_secret": "secret", "mxid": "@alice:example.org"}
    answer = world.post(f"{V2}/3pid/bind", body, token=token)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def check(signed: dict[str, Any], name: str, served: httpx.Response) -> None:
    """The signature is good by the key that everybody can get."""
    (key_id,) = signed["signatures"][name]
    assert served.status_code == 200, served.text
    verify_signed_json(signed, name, decode_verify_key_bytes(key_id, decode_base64(served.json()["public_key"])))


@pytest.mark.parametrize("base", [V1, V2])
def test_after_a_rotation_old_signatures_can_be_checked_and_the_old_key_is_not_valid(
    database_url: str, tmp_path: Path, base: str
) -> None:
    def is_valid(world: World, key_id: str) -> bool:
        key = world.get(f"{base}/pubkey/{key_id}").json()["public_key"]
        found: bool = world.get(f"{base}/pubkey/isvalid", params={"public_key": key}).json()["valid"]
        return found

    with World(database_url, tmp_path) as world:
        association = publish(world)
        assert list(association["signatures"][US]) == ["ed25519:0"]
        assert is_valid(world, "ed25519:0")
        rotate_keyring(tmp_path / "keys", SeededEntropy("next"), world.clock)
        # The server that is running goes on with what it read at its start.
        assert is_valid(world, "ed25519:0")
        assert world.get(f"{base}/pubkey/ed25519:1").status_code == 404
        with world.again() as restarted:
            check(association, US, restarted.get(f"{base}/pubkey/ed25519:0"))
            assert not is_valid(restarted, "ed25519:0")
            assert is_valid(restarted, "ed25519:1")
            signed = restarted.get(KEYS).json()
            assert list(signed["signatures"]["example.org"]) == ["ed25519:1"]
            check(signed, "example.org", restarted.get(f"{base}/pubkey/ed25519:1"))


def test_a_key_of_sydents_goes_on_signing_and_its_old_signatures_are_good(database_url: str, tmp_path: Path) -> None:
    seed = base64.b64encode(b"s" * 32).decode().rstrip("=")
    sydents = decode_signing_key_base64("ed25519", "0", seed)
    old = sign_json({"mxid": "@alice:example.org"}, US, sydents)
    import_keys(tmp_path / "keys", f"[crypto]\ned25519.signingkey = ed25519 0 {seed}\n", HandClock())
    with World(database_url, tmp_path) as world:
        # Rooms hold invitations that point there.
        check(old, US, world.get(f"{V1}/pubkey/ed25519:0"))
        verify_signed_json(publish(world), US, get_verify_key(sydents))


def test_a_server_process_serves_the_retired_key_after_its_restart(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    with server.client() as http:
        before = http.get(KEYS).json()
    assert server.stop() == 0
    rotated = subprocess.run(
        [sys.executable, "-m", "threepid", "keys", "rotate", "--config", str(server.config)],
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert rotated.stderr == (
        "Restart the server to use the new keys.\n"
        "Invitations that were sent before can no longer be accepted by binding the address, because their rooms name the "
        "old key; the links in their mails still work.\n"
    )
    server.start()
    name = f"localhost:{server.port}"
    with server.client() as http:
        check(before, name, http.get(f"{V2}/pubkey/ed25519:0"))
        after = http.get(KEYS).json()
        check(after, name, http.get(f"{V2}/pubkey/ed25519:1"))
    assert server.stop() == 0
    assert after["old_verify_keys"]["ed25519:0"]["key"] == before["verify_keys"]["ed25519:0"]["key"]
    log = (tmp_path / "server" / "log").read_text()
    for file in (tmp_path / "server" / "data" / "keys").iterdir():
        assert file.read_text().splitlines()[0].split()[-1] not in log


# -- the command


def test_keys_are_taken_over_by_the_command(directory: Path) -> None:
    seeds = ["QUFB" * 10 + "QUE", "QkJC" * 10 + "QkI"]
    (directory / "signing.key").write_text(f"ed25519 a_AbCd {seeds[0]}\ned25519 a_old {seeds[1]}\n")
    (directory / "sydent.conf").write_text(f"[crypto]\ned25519.signingkey = ed25519 7 {seeds[0]}\n")
    taken = threepid("keys", "import", "signing.key", cwd=directory)
    assert (taken.returncode, taken.stderr) == (0, "Restart the server to use the new keys.\n")
    rows = [line.split() for line in taken.stdout.splitlines()]
    assert [[row[0], row[2]] for row in rows[1:]] == [
        ["ed25519:a_AbCd", "in"],
        ["ed25519:a_old", "retired"],
        ["ed25519:0", "retired"],
    ]
    assert not any(seed in taken.stdout for seed in seeds)
    again = threepid("keys", "import", "sydent.conf", "--retired", cwd=directory)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "ed25519:7 exists already, as ed25519:a_AbCd.\n"
    missing = threepid("keys", "import", "nosuch", cwd=directory)
    assert (missing.returncode, missing.stderr) == (2, "nosuch cannot be read: No such file or directory.\n")
    (directory / "binary").write_bytes(b"\xff\xfe")
    unreadable = threepid("keys", "import", "binary", cwd=directory)
    assert (unreadable.returncode, unreadable.stderr) == (2, "binary is not a text file.\n")
