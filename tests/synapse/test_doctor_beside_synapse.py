"""`threepid doctor` and a real Synapse behind a real nginx, and what that Synapse tells clients that they can do."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from proxies import in_front
from real_synapse import SECRET, SERVER_NAME, RealSynapse, needs_synapse, real_synapse
from rig import ServerProcess, free_port, whole
from threepid import config
from threepid.cli.doctor.check import Finding, State
from threepid.cli.doctor.checks import CHECKS, OF_FILES, wellknown
from threepid.cli.doctor.run import examine
from threepid.cli.doctor.scene import Scene
from threepid.clock import Clock, Entropy
from threepid.importers.synapse import configuration

pytestmark = needs_synapse
V3 = "/_matrix/client/v3"


class Both:
    """Both servers behind one URL."""

    def __init__(self, threepid: ServerProcess, synapse: RealSynapse, base: str) -> None:
        self.threepid = threepid
        self.synapse = synapse
        self.base = base

    def findings(self, settings: config.Config | None = None) -> dict[str, Finding]:
        """All but those that would ask example.org."""
        theirs = configuration.load([self.synapse.directory / "homeserver.yaml"])
        scene = Scene(
            settings or config.load(self.threepid.config, {}),
            clock=Clock(),
            entropy=Entropy(),
            seconds=10,
            homeserver_settings=theirs,
        )
        checks = [check for check in (*CHECKS, *OF_FILES) if check not in wellknown.CHECKS]
        return {one.check: one for one in asyncio.run(examine(scene, checks))}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    directory = tmp_path_factory.mktemp("doctor")
    synapse_port, base = free_port(), f"http://localhost:{free_port()}"
    secret = directory / "synapse.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    threepid = ServerProcess(
        directory / "threepid",
        name=SERVER_NAME,
        tables=f'[homeserver]\nkind = "synapse"\nurl = "http://127.0.0.1:{synapse_port}"\nsecret_file = "{secret}"\n',
    )
    endpoint = f"http://127.0.0.1:{threepid.port}/"
    threepid.config.write_text(threepid.config.read_text().replace(threepid.base, base))
    with (
        whole(threepid),
        real_synapse(directory / "synapse", endpoint, port=synapse_port, base=base) as synapse,
        in_front("nginx", config.load(threepid.config, {}), directory / "nginx"),
    ):
        yield Both(threepid, synapse, base)


def test_everything_is_in_place(both: Both) -> None:
    found = both.findings()
    assert {name: one for name, one in found.items() if one.state is not State.OK} == {}


def test_a_secret_that_only_we_have_is_told(both: Both, tmp_path: Path) -> None:
    other = tmp_path / "other.secret"
    other.write_text("another-secret")
    other.chmod(0o600)
    found = both.findings(config.load(both.threepid.config, {"THREEPID__HOMESERVER__SECRET_FILE": str(other)}))
    wrong = {name: one.state for name, one in found.items() if one.state is not State.OK}
    assert wrong == {
        "our_secret_is_accepted": State.FAILURE,
        "tokens_are_introspected": State.NOT_ASKED,
        "metadata_is_ours": State.NOT_ASKED,
        "metadata_is_fresh": State.NOT_ASKED,
        "secrets_agree": State.FAILURE,
    }


def test_what_synapse_says_of_introspection_is_what_the_checks_read(both: Both, tmp_path: Path) -> None:
    """Synapse answers 401 only if it could ask whose the token is."""
    answer = both.synapse.whoami("nobodys-token")
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
    both.threepid.stop()
    try:
        answer = both.synapse.whoami("another-token")
        assert (answer.status_code, answer.json()["errcode"]) == (503, "M_UNKNOWN")
        found = both.findings()
        assert found["url_leads_here"].state is State.FAILURE
        assert found["tokens_are_introspected"].state is State.FAILURE
        assert "endpoint" in found["tokens_are_introspected"].change
    finally:
        both.threepid.start()


def test_a_server_that_has_not_read_the_new_secret_is_told(both: Both, tmp_path: Path) -> None:
    """The secret was changed in both files, and only Synapse was restarted: it cannot ask us."""
    old = tmp_path / "old.secret"
    old.write_text("the-secret-of-yesterday")
    old.chmod(0o600)
    both.threepid.stop()
    both.threepid.start(THREEPID__HOMESERVER__SECRET_FILE=str(old))
    try:
        found = both.findings()
        assert found["our_secret_is_accepted"].state is State.OK
        assert found["tokens_are_introspected"].state is State.FAILURE
        assert "restart" in found["tokens_are_introspected"].change
    finally:
        both.threepid.stop()
        both.threepid.start()


def test_clients_are_told_to_leave_contacts_and_password_to_the_account_pages(both: Both) -> None:
    """The homeserver answers `/capabilities`. It says no where clients would use the old endpoints by themselves."""
    body = {"username": "capable", "password": "correct horse battery", "auth": {"type": "m.login.dummy"}}
    with httpx.Client(base_url=both.base, timeout=30) as http:
        token = http.post(f"{V3}/register", json=body).json()["access_token"]
        answer = http.get(f"{V3}/capabilities", headers={"Authorization": f"Bearer {token}"})
        assert "x-answered-by" not in answer.headers
        said = answer.json()["capabilities"]
        for name in ("m.change_password", "m.3pid_changes", "m.get_login_token"):
            assert said[name] == {"enabled": False}, name
        for name in ("m.set_displayname", "m.set_avatar_url", "m.profile_fields"):
            assert said[name] == {"enabled": True}, name
        metadata = http.get("/_matrix/client/v1/auth_metadata").json()
        assert metadata["account_management_uri"] == f"{both.base}/account/"
