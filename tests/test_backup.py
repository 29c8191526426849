"""The lines of the guide that back up and restore: everything is lost, and everything is there again."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from other_host import refuses_its_own_secret
from postgres import PostgresServer, binary
from rig import ServerProcess, register

GUIDE = (Path(__file__).parent.parent / "docs" / "guides" / "backup-and-restore.md").read_text(encoding="utf-8")
ONLY_ON_A_MACHINE = {"chown"}
WHOAMI = "/_matrix/client/v3/account/whoami"


def block(info: str) -> str:
    (found,) = re.findall(rf"^```sh {info}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


def run(script: str, root: Path, **environment: str) -> None:
    """Run lines of the guide, with the folders of the system below `root`."""
    moved = re.sub(r"(?<![\w/.])/(?=etc/|var/)", f"{root}/", script)
    path = f"{Path(sys.executable).parent}:{Path(binary('pg_dump')).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", moved], env={**os.environ, "PATH": path, **environment},
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def server_in(root: Path, tables: str = "", port: int | None = None) -> ServerProcess:
    """A server whose folders are those of the guide, below `root`."""
    made = ServerProcess(root / "made", tables=tables, port=port)
    config = made.config.read_text().replace(str(root / "made" / "data"), str(root / "var/lib/threepid"))
    (root / "etc/threepid").mkdir(parents=True, exist_ok=True)
    made.config = root / "etc/threepid/threepid.toml"
    made.config.write_text(config)
    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="sqlite3 is missing")
def test_a_sqlite_server_is_backed_up_while_it_runs_destroyed_and_restored(tmp_path: Path) -> None:
    server = server_in(tmp_path).start()
    with server.client() as http:
        alice = register(http, "alice")
        run(block("backup"), tmp_path)
        run(block("backup"), tmp_path)  # the next night
        late = register(http, "late")
    server.kill()
    for folder in ("var/lib", "etc"):
        shutil.rmtree(tmp_path / folder)

    run(block("restore"), tmp_path)

    run(block("check"), tmp_path)
    again = server_in(tmp_path, port=server.port)
    refuses_its_own_secret(again.config, tmp_path / "var/lib/threepid/keys")
    with again.start().client() as http:
        assert http.get(WHOAMI, headers=bearer(alice)).json()["user_id"].startswith("@alice:")
        assert http.get(WHOAMI, headers=bearer(late)).status_code == 401  # was not in the backup
    again.stop()


def test_a_postgresql_server_is_backed_up_while_it_runs_destroyed_and_restored(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.create_database(f"backup_{tmp_path.name}")
    table = f'[database]\nurl = "{url}"\n'
    server = server_in(tmp_path, table).start()
    with server.client() as http:
        alice = register(http, "alice")
        run(block("backup-postgresql"), tmp_path, DATABASE_URL=url)
        late = register(http, "late")
    server.stop()

    new = postgres_server.create_database(f"restored_{tmp_path.name}")
    run(block("restore-postgresql"), tmp_path, DATABASE_URL=new)

    again = server_in(tmp_path, f'[database]\nurl = "{new}"\n', port=server.port)
    refuses_its_own_secret(again.config, tmp_path / "var/lib/threepid/keys")
    with again.start().client() as http:
        assert http.get(WHOAMI, headers=bearer(alice)).status_code == 200
        assert http.get(WHOAMI, headers=bearer(late)).status_code == 401
    again.stop()


def test_only_lines_that_need_a_whole_machine_are_left_out() -> None:
    left_out = {line.split()[0] for line in block("bare").splitlines() if line}
    assert left_out <= ONLY_ON_A_MACHINE
