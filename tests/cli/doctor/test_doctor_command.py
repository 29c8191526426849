"""`threepid doctor` as an operator types it, for a running server in each role, behind a real nginx."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from fake_synapse import SECRET, FakeSynapse, fake_synapse
from proxies import in_front
from rig import ServerProcess, free_port, whole
from threepid import config
from threepid.cli.doctor.checks import CHECKS, OF_FILES

UNKNOWN_TOKEN = (401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Token is not active"})


def threepid(server: ServerProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", "doctor", "--config", str(server.config), *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    found = json.loads(done.stdout)
    assert all(set(one) == {"check", "question", "state", "change"} for one in found)
    return {one["check"]: one["state"] for one in found}


def kept(server: ServerProcess) -> list[Any]:
    """What the database has, but for what a server does by itself."""
    file = server.directory / "data" / "threepid.db"
    with contextlib.closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        tables = [row[0] for row in found]
        return [(table, [*database.execute(f"SELECT COUNT(*) FROM {table}")]) for table in tables]


@pytest.fixture(scope="module")
def synapse() -> Iterator[FakeSynapse]:
    with fake_synapse() as fake:
        yield fake


@pytest.fixture(scope="module")
def public() -> dict[str, str]:
    return {"THREEPID__SERVER__PUBLIC_BASE_URL": f"http://localhost:{free_port()}"}


@pytest.fixture(scope="module")
def server(
    synapse: FakeSynapse, public: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("doctor")
    homeserver = synapse.settings(directory)["homeserver"]
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in homeserver.items())
    made = ServerProcess(directory / "threepid", name="localhost", tables=f"[homeserver]\n{table}")
    made.config.write_text(made.config.read_text().replace(made.base, public["THREEPID__SERVER__PUBLIC_BASE_URL"]))
    with whole(made):
        yield made


@pytest.fixture
def base(server: ServerProcess, synapse: FakeSynapse, tmp_path: Path) -> Iterator[str]:
    """The public URL of a proxy in front of both servers, where everything is in place."""
    with in_front("nginx", config.load(server.config, {}), tmp_path / "nginx") as url:
        metadata = ServerMetadata(server)
        synapse.replies = {
            "/_matrix/client/versions": (200, {"versions": ["v1.15"]}),
            "/_matrix/federation/v1/version": (200, {"server": {"name": "Synapse", "version": "1.163.2"}}),
            "/_matrix/key/v2/server": (200, {"server_name": "localhost"}),
            "/_matrix/client/v3/account/whoami": UNKNOWN_TOKEN,
            "/_matrix/client/v1/auth_metadata": lambda _: (200, metadata.read()),
        }
        yield url


class ServerMetadata:
    """The metadata of a server, as Synapse hands it on."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server

    def read(self) -> Any:
        with self.server.client() as http:
            return http.get("/.well-known/openid-configuration").json()


def homeserver_yaml(directory: Path, base: str, more: str = "") -> str:
    path = directory / "homeserver.yaml"
    path.write_text(
        f'server_name: "localhost"\npublic_baseurl: "{base}/"\n'
        f'matrix_authentication_service: {{enabled: true, endpoint: "{base}", secret: "{SECRET}"}}\n{more}'
    )
    return str(path)


def test_beside_a_synapse_everything_is_in_place_and_nothing_changes(
    server: ServerProcess, base: str, tmp_path: Path
) -> None:
    before = kept(server)
    done = threepid(server, "--json", "--homeserver-config", homeserver_yaml(tmp_path, base))
    wrong = {check: state for check, state in states(done).items() if state != "ok"}
    assert (wrong, done.returncode, done.stderr) == ({}, 0, "")
    assert kept(server) == before
    not_here = (
        "identity_name_leads_here",
        "gateways_accept_connections",
        "something_can_be_sent",
        "unbinds_are_believed",
    )
    assert [*states(done)] == [check.name for check in (*CHECKS, *OF_FILES) if check.name not in not_here]
    assert SECRET not in done.stdout


def test_faults_are_told_with_what_to_change_and_status_1(
    server: ServerProcess, synapse: FakeSynapse, base: str, tmp_path: Path
) -> None:
    synapse.replies["query_user"] = (403, {"errcode": "M_UNKNOWN"})
    file = homeserver_yaml(tmp_path, base, "enable_registration: true\n")
    done = threepid(server, "--homeserver-config", file)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    at = lines.index("failure    Does the homeserver accept our secret?")
    assert lines[at + 1].startswith("           -> It does not: write the same secret")
    assert "not asked  Can the homeserver ask us whose a token is?" in lines
    assert "           -> It does not: remove enable_registration from its configuration." in lines
    assert lines[-1] == "failures: 2, warnings: 0"
    assert SECRET not in done.stdout


def test_a_configuration_of_the_proxy_for_another_role_is_told(
    server: ServerProcess, synapse: FakeSynapse, tmp_path: Path, base: str, public: dict[str, str]
) -> None:
    """The proxy was set up when there was no homeserver, and sends everything here."""
    port = free_port()
    elsewhere = {"THREEPID__SERVER__PUBLIC_BASE_URL": f"http://localhost:{port}"}
    alone = tmp_path / "alone.toml"
    alone.write_text(server.config.read_text().partition("[homeserver]")[0])
    with in_front("nginx", config.load(alone, elsewhere), tmp_path / "old"):
        found = states(threepid(server, "--json", **elsewhere))
    assert found["others_go_there"] == found["public_url_has_the_homeserver"] == "failure"
    assert found["ours_come_here"] == "ok"


@pytest.mark.parametrize("role", ["accounts", "identity"])
def test_alone_everything_is_in_place(tmp_path: Path, role: str) -> None:
    made = ServerProcess(tmp_path / "threepid", name="localhost")
    text = made.config.read_text().replace(made.base, f"http://localhost:{free_port()}")
    accounts = '[accounts]\nregistration = "open"\n'
    assert accounts in text
    made.config.write_text(text.replace("[identity]" if role == "accounts" else accounts, ""))
    with whole(made), in_front("nginx", config.load(made.config, {}), tmp_path / "nginx"):
        done = threepid(made, "--json")
    wrong = {check: state for check, state in states(done).items() if state != "ok"}
    assert (wrong, done.returncode, done.stderr) == ({}, 0, "")
    assert "homeserver_answers" not in states(done)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--homeserver-config", "nosuch.yaml"), "nosuch.yaml cannot be read"),
        (("--homeserver-config", "binary"), "this is not YAML"),
        (("--homeserver-config", "list"), "has no settings. `--homeserver-config` names"),
        (("--seconds", "0"), "--seconds"),
        (("--seconds", "soon"), "--seconds"),
        (("--config", "nosuch.toml"), "nosuch.toml"),
        (("more",), "more"),
    ],
)
def test_a_wrong_argument_is_refused(
    server: ServerProcess, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list").write_text("- 1\n")
    named = [str(tmp_path / one) if one in ("binary", "list") else one for one in arguments]
    done = threepid(server, *named)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_files_of_a_homeserver_need_a_homeserver(tmp_path: Path) -> None:
    made = ServerProcess(tmp_path / "threepid")
    done = threepid(made, "--homeserver-config", homeserver_yaml(tmp_path, made.base))
    assert (done.returncode, done.stderr) == (2, "`--homeserver-config` is for a configuration with [homeserver].\n")
