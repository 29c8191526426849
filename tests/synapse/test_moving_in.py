"""The whole way of docs/guides/moving-from-synapse.md with a real Synapse: nobody is logged out, and no key is lost."""

import hashlib
import hmac
import json
import re
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from real_synapse import SECRET, SERVER_NAME, RealSynapse, needs_synapse
from rig import ServerProcess, free_port
from test_cli import threepid

PEPPER = "a pepper: ñ"
SHARED = "secret-of-registrations"
BEFORE = f"""
enable_registration: true
enable_registration_without_verification: true
registration_shared_secret: "{SHARED}"
refreshable_access_token_lifetime: 5m
rc_registration: {{per_second: 1000, burst_count: 1000}}
password_config:
  pepper: "{PEPPER}"
"""
CLIENT = "/_matrix/client/v3"
EMAIL = {"medium": "email", "address": "alice@example.com"}


class People:
    """People of a Synapse that has its own accounts."""

    def __init__(self, synapse: RealSynapse) -> None:
        self.synapse = synapse

    def post(self, path: str, body: dict[str, Any], token: str | None = None) -> dict[str, Any]:
        answer = self.synapse.request("POST", path, token, json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def register(self, name: str, *, refresh: bool = False) -> dict[str, Any]:
        body = {
            "username": name,
            "password": f"password of {name}",
            "device_id": f"PHONE_OF_{name}",
            "refresh_token": refresh,
        }
        return self.post(f"{CLIENT}/register", {**body, "auth": {"type": "m.login.dummy"}})

    def administrator(self) -> str:
        path = "/_synapse/admin/v1/register"
        nonce = self.synapse.request("GET", path, None).json()["nonce"]
        text = f"{nonce}\0root\0password of root\0admin"
        mac = hmac.new(SHARED.encode(), text.encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": "root", "password": "password of root", "admin": True, "mac": mac}
        return str(self.post(path, body)["access_token"])

    def administer(self, root: str, name: str, **body: Any) -> None:
        path = f"/_synapse/admin/v2/users/@{name}:{SERVER_NAME}"
        answer = self.synapse.request("PUT", path, root, json=body)
        assert answer.status_code in {200, 201}, answer.text


def with_its_own_accounts(synapse: RealSynapse) -> Path:
    """Write the configuration as it is before the switch; returns where that of after the switch is kept."""
    config = synapse.directory / "homeserver.yaml"
    after = synapse.directory / "after.yaml"
    shutil.copy(config, after)
    text = re.sub(r"matrix_authentication_service:\n(?: .*\n)+", "", config.read_text())
    config.write_text(text + BEFORE)
    return after


def bring(
    server: ServerProcess, config: Path, report: str, *more: str
) -> tuple[int, dict[str, Any], list[dict[str, str]]]:
    arguments = ("--config", str(config), "-c", str(server.config), "--json", "--report", report, *more)
    done = threepid("import", "synapse", *arguments, cwd=server.directory)
    assert done.stdout, done.stderr
    lines = (server.directory / report).read_text().splitlines()
    return done.returncode, json.loads(done.stdout), [json.loads(line) for line in lines]


class Story:
    """What happens before Synapse is stopped: people use it, the first import runs, and people go on."""

    def __init__(self, synapse: RealSynapse, server: ServerProcess) -> None:
        people = People(synapse)
        self.alice, self.carol = people.register("alice"), people.register("carol")
        bob = people.register("bob", refresh=True)
        self.gone, self.locked, root = people.register("gone"), people.register("locked"), people.administrator()
        people.administer(root, "alice", threepids=[EMAIL, {"medium": "msisdn", "address": "447700900123"}])
        people.administer(root, "gone", deactivated=True)
        people.administer(root, "locked", locked=True)
        key = {"user_id": self.alice["user_id"], "device_id": "PHONE_OF_alice", "algorithms": [], "signatures": {}}
        keys = {"device_keys": {**key, "keys": {"ed25519:PHONE_OF_alice": "a" * 43}}}
        people.post(f"{CLIENT}/keys/upload", keys, self.alice["access_token"])

        config = synapse.directory / "homeserver.yaml"
        status, dry, _ = bring(server, config, "dry", "--dry-run")
        assert status == 0
        status, first, _ = bring(server, config, "first")
        assert (status, first["inserted"]["accounts"], first["mismatches"]) == (0, 6, [])
        assert first["carried"] == dry["carried"]

        # Bob's client refreshes, Carol logs out, Dave comes, and Alice logs in on another device.
        self.bob = people.post(f"{CLIENT}/refresh", {"refresh_token": bob["refresh_token"]})
        assert synapse.whoami(self.bob["access_token"]).status_code == 200
        people.post(f"{CLIENT}/logout", {}, self.carol["access_token"])
        self.dave = people.register("dave")
        login = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "alice"},
            "device_id": "LAPTOP",
        }
        self.laptop = people.post(f"{CLIENT}/login", {**login, "password": "password of alice"})


@needs_synapse
@pytest.mark.timeout(240)
def test_everybody_moves_in_and_nobody_notices(tmp_path: Path) -> None:
    port = free_port()
    synapse = RealSynapse(tmp_path / "synapse", f"http://127.0.0.1:{port}/")
    after = with_its_own_accounts(synapse)
    config = synapse.directory / "homeserver.yaml"
    server = ServerProcess(tmp_path / "threepid", port=port, name=SERVER_NAME)
    try:
        story = Story(synapse.start(), server)
    finally:
        synapse.stop()
    before = synapse.directory / "homeserver-before.yaml"
    shutil.copy(config, before)
    status, second, findings = bring(server, before, "second")
    assert (status, second["inserted"]["accounts"], second["mismatches"]) == (0, 1, [])
    assert second["unchanged"] > 0
    assert [finding["user_id"] for finding in findings if finding["kind"] == "locked"] == [story.locked["user_id"]]

    # The switch.
    shutil.copy(after, config)
    secret = tmp_path / "synapse.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    section = f'\n[homeserver]\nkind = "synapse"\nurl = "{synapse.url}"\nsecret_file = "{secret}"\n'
    server.config.write_text(server.config.read_text() + section)
    refused = threepid("import", "synapse", "--config", str(before), "-c", str(server.config), cwd=tmp_path)
    assert "Before the switch" in refused.stderr
    try:
        server.start()
        synapse.start()
        for login_, device in (
            (story.alice, "PHONE_OF_alice"),
            (story.laptop, "LAPTOP"),
            (story.bob, "PHONE_OF_bob"),
            (story.dave, "PHONE_OF_dave"),
        ):
            answer = synapse.whoami(login_["access_token"])
            assert (answer.status_code, answer.json().get("device_id")) == (200, device), answer.text
        for dead in (story.carol, story.gone):
            assert synapse.whoami(dead["access_token"]).status_code == 401
        with server.client() as http:
            passwords_work(http, synapse)
            refreshed = http.post(f"{CLIENT}/refresh", json={"refresh_token": story.bob["refresh_token"]})
            assert refreshed.status_code == 200, refreshed.text
            assert synapse.whoami(refreshed.json()["access_token"]).json()["device_id"] == "PHONE_OF_bob"
        # No device and no key is lost.
        assert synapse.device_ids(story.alice["access_token"]) == ["LAPTOP", "NEW", "PHONE_OF_alice"]
        query: dict[str, Any] = {"device_keys": {story.alice["user_id"]: []}}
        asked = synapse.request("POST", f"{CLIENT}/keys/query", story.alice["access_token"], json=query)
        assert "PHONE_OF_alice" in asked.json()["device_keys"][story.alice["user_id"]]
    finally:
        synapse.stop()
        server.stop()


def passwords_work(http: httpx.Client, synapse: RealSynapse) -> None:
    """Alice's password works by name, email address and phone number, and gives tokens that Synapse takes."""

    def log_in(identifier: dict[str, str], password: str) -> httpx.Response:
        body = {"type": "m.login.password", "identifier": identifier, "password": password, "device_id": "NEW"}
        return http.post(f"{CLIENT}/login", json=body)

    for identifier in (
        {"type": "m.id.user", "user": "alice"},
        {"type": "m.id.thirdparty", **EMAIL},
        {"type": "m.id.phone", "country": "GB", "phone": "07700 900123"},
    ):
        given = log_in(identifier, "password of alice")
        assert given.status_code == 200, given.text
    assert synapse.whoami(given.json()["access_token"]).json()["device_id"] == "NEW"
    assert log_in({"type": "m.id.user", "user": "gone"}, "password of gone").status_code == 403
