"""F48: Synapse is restored from a backup: what happened since is told again by one command, before clients are let in."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from beside import V3, beside_a_synapse
from noted import entries
from operators import root
from real_synapse import needs_synapse
from rig import register, wait_for
from synapse.conftest import Pair, pair
from test_cli import threepid
from threepid.domain.audit import Event

PASSWORD = "long enough"  # of `rig.register`


def log_in(servers: Pair, name: str, device_id: str) -> str:
    identifier = {"type": "m.id.user", "user": name}
    body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "device_id": device_id}
    with servers.threepid.client() as http:
        answer = http.post(f"{V3}/login", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def resync(servers: Pair) -> str:
    command = [sys.executable, "-m", "threepid", "homeserver", "resync", "--config", str(servers.threepid.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_synapse
@pytest.mark.timeout(180)
def test_F48_every_token_works_again_after_one_command(tmp_path: Path) -> None:
    with pair(tmp_path) as servers:
        synapse = servers.synapse
        database = synapse.directory / "homeserver.db"
        with servers.threepid.client() as http:
            old, closing = register(http, "old"), register(http, "closing")
            with contextlib.closing(sqlite3.connect(database)) as source:
                source.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
            later, new_device = register(http, "later"), log_in(servers, "old", "LAPTOP")
            auth = {"type": "m.login.password", "user": "closing", "password": PASSWORD}
            headers = {"Authorization": f"Bearer {closing}"}
            assert http.post(f"{V3}/account/deactivate", json={"auth": auth}, headers=headers).status_code == 200
        wait_for(lambda: (synapse.query_user("closing") or {})["is_deactivated"], 30, what="the deactivation")

        synapse.stop()
        for name in ("homeserver.db-wal", "homeserver.db-shm"):
            (synapse.directory / name).unlink(missing_ok=True)
        shutil.copy(tmp_path / "backup.db", database)
        synapse.start()
        assert synapse.query_user("later") is None
        assert not (synapse.query_user("closing") or {})["is_deactivated"]

        assert "3 accounts" in resync(servers)
        wait_for(lambda: (synapse.query_user("closing") or {})["is_deactivated"], 20, what="the deactivation, again")
        wait_for(lambda: synapse.query_user("later") is not None, 20, what="the later account")
        wait_for(lambda: synapse.whoami(later).status_code == 200, 20, what="its device")
        wait_for(lambda: synapse.whoami(new_device).status_code == 200, 20, what="the later device")
        assert synapse.whoami(old).status_code == 200


def test_F48_everything_is_told_again_once(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        both.world.register()
        both.world.register("bob")
        both.world.run(both.world.homeserver.closing.close_by_operator("@bob:example.org", erase=False))
        both.deliver()
        both.synapse.users.clear()
        provisioning, operations = both.world.homeserver.provisioning, both.world.server.services.operations
        for _ in range(2):
            assert both.world.run(operations.resync(provisioning, root(both.world))) == 2
        found = [one for one in entries(both.world) if one.kind == Event.HOMESERVER_RESYNCED]
        assert [one.caller for one in found] == ["command line: root"] * 2
        assert sorted(both.jobs()) == ["delete_user", "provision", "sync_devices"], "jobs that wait are not doubled"
        for _ in range(2):  # one job of an account at a time
            both.deliver()
        assert (both.jobs(), both.jobs(failed=True)) == ([], [])
        assert [*both.synapse.users] == ["alice"]
        assert len(both.synapse.users["alice"].devices) == 1


def test_F48_a_server_without_accounts_has_nothing_to_tell_or_to_note(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        operations = both.world.server.services.operations
        assert both.world.run(operations.resync(both.world.homeserver.provisioning, root(both.world))) == 0
        assert entries(both.world) == []


def test_F48_without_a_homeserver_the_command_says_so(tmp_path: Path) -> None:
    (tmp_path / "threepid.toml").write_text(
        '[server]\nname = "example.org"\npublic_base_url = "https://x.example.org"\n[accounts]\n'
    )
    done = threepid("homeserver", "resync", "-c", "threepid.toml", cwd=tmp_path)
    assert (done.returncode, "[homeserver]" in done.stderr) == (1, True)
