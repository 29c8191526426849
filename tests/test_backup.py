"""The lines of the guide that back up and restore: everything is lost, and everything is there again."""

import os
import shutil
import sys
from pathlib import Path

import pytest

import guides
from other_host import refuses_its_own_secret
from postgres import PostgresServer, binary
from rig import ServerProcess, register

GUIDE = "backup-and-restore.md"
WHOAMI = "/_matrix/client/v3/account/whoami"


def run(info: str, root: Path, **environment: str) -> None:
    """Run the lines of a block of the guide, with the programs of this environment."""
    path = f"{Path(sys.executable).parent}:{Path(binary('pg_dump')).parent}:{os.environ['PATH']}"
    guides.run(guides.blocks(GUIDE, f"sh {info}"), root, {**os.environ, "PATH": path, **environment})


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
        run("backup", tmp_path)
        run("backup", tmp_path)  # the next night
        late = register(http, "late")
    server.kill()
    for folder in ("var/lib", "etc"):
        shutil.rmtree(tmp_path / folder)

    run("restore", tmp_path)

    run("check", tmp_path)
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
        run("backup-postgresql", tmp_path, DATABASE_URL=url)
        late = register(http, "late")
    server.stop()
    for folder in ("var/lib", "etc"):
        shutil.rmtree(tmp_path / folder)

    new = postgres_server.create_database(f"restored_{tmp_path.name}")
    run("restore-postgresql", tmp_path, DATABASE_URL=new)

    again = server_in(tmp_path, f'[database]\nurl = "{new}"\n', port=server.port)
    refuses_its_own_secret(again.config, tmp_path / "var/lib/threepid/keys")
    with again.start().client() as http:
        assert http.get(WHOAMI, headers=bearer(alice)).status_code == 200
        assert http.get(WHOAMI, headers=bearer(late)).status_code == 401
    again.stop()


def test_only_lines_that_need_a_whole_machine_are_left_out() -> None:
    assert guides.left_out(GUIDE) <= guides.ONLY_ON_A_MACHINE
