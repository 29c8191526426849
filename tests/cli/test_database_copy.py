"""`threepid database copy`, as an operator types it: a server moves to another engine, and nobody notices."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest

from other_host import refuses_its_own_secret
from postgres import PostgresServer
from rig import ServerProcess, register


def copy(config: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "threepid", "database", "copy", "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_a_server_moves_to_postgresql_and_back(tmp_path: Path, postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database(f"copy_{uuid4().hex}")
    first = ServerProcess(tmp_path / "server").start()
    with first.client() as http:
        bearer = {"Authorization": f"Bearer {register(http, 'alice')}"}
        refused = copy(first.config, "--to", url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"Another server is using {tmp_path}/server/data/threepid.db. Stop it first.\n"
    first.stop()

    done = copy(first.config, "--to", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "        1  accounts\n" in done.stdout
    assert "the same on both sides" in done.stdout

    keys = tmp_path / "server" / "data" / "keys"
    second = ServerProcess(tmp_path / "server", port=first.port, tables=f'[database]\nurl = "{url}"\n')
    refuses_its_own_secret(second.config, keys)
    second.start()
    with second.client() as http:
        assert http.get("/_matrix/client/v3/account/whoami", headers=bearer).json()["user_id"].startswith("@alice:")
        register(http, "bob")
    second.stop()

    back = copy(second.config, "--to", f"sqlite:{tmp_path / 'back.db'}", "--json")
    assert (back.returncode, back.stderr) == (0, "")
    assert json.loads(back.stdout)["accounts"] == 2
    third = ServerProcess(
        tmp_path / "server", port=first.port, tables=f'[database]\nurl = "sqlite:{tmp_path}/back.db"\n'
    )
    refuses_its_own_secret(third.config, keys)
    with third.start().client() as http:
        assert http.get("/_matrix/client/v3/account/whoami", headers=bearer).status_code == 200
    third.stop()


def test_the_settings_that_it_prints_lead_to_the_new_database(tmp_path: Path, postgres_server: PostgresServer) -> None:
    """Also from a folder that is not that of the configuration, to which paths in there are relative."""
    server = ServerProcess(tmp_path / "server")
    server.start()
    server.stop()
    here = tmp_path / "here"
    here.mkdir(mode=0o700)
    (here / "database.password").write_text("secret\n")
    (here / "database.password").chmod(0o600)
    url = postgres_server.create_database(f"copy_{uuid4().hex}")
    for arguments, printed in (
        (("--to", "sqlite:new.db"), {"url": f"sqlite:{here}/new.db"}),
        (
            ("--to", url, "--to-password-file", "database.password"),
            {"url": url, "password_file": f"{here}/database.password"},
        ),
    ):
        done = copy(server.config, *arguments, cwd=here)
        assert (done.returncode, done.stderr) == (0, "")
        assert tomllib.loads(done.stdout.partition("start the server:\n")[2]) == printed


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mysql://root@localhost/threepid", "--to: must begin with sqlite: or postgresql://."),
        ("sqlite:", "--to: has no file name after sqlite:."),
        ("sqlite::memory:", "--to: is in memory"),
        ("postgresql://me:hunter2@localhost/threepid", "--to: contains a password"),
        ("", "--to: must begin with"),
    ],
)
def test_a_url_that_names_no_database_is_refused(url: str, said: str, tmp_path: Path) -> None:
    config = ServerProcess(tmp_path / "server").config
    done = copy(config, "--to", url)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "hunter2" not in done.stderr
    assert not (tmp_path / "server" / "data").exists()
