"""F31: the process dies between its commit and the call to the homeserver beside it, or in the middle of a call."""

import threading
from pathlib import Path

from beside import V3, beside_a_synapse
from fake_synapse import HANG, fake_synapse
from rig import ServerProcess, wait_for
from threepid.clock import MINUTE, SECOND
from threepid.storage import homeserver
from threepid.storage.homeserver import LONGEST
from world import PASSWORD

ALICE = "@alice:example.org"


def test_the_next_process_tells_what_the_last_one_committed(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        body = {"username": "alice", "password": PASSWORD, "inhibit_login": True, "auth": {"type": "m.login.dummy"}}
        assert both.world.post(f"{V3}/register", body).status_code == 200
        assert both.synapse.users == {}
        with both.world.again() as successor:
            successor.run(successor.server.worker.run_once())
        assert "alice" in both.synapse.users


def test_the_job_of_a_dead_process_does_not_block_the_account_for_ever(database_url: str, tmp_path: Path) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        world = both.world
        token = world.register()
        both.deliver()
        now = world.clock.now()
        world.run(world.server.context.database.write(lambda tx: homeserver.begin(tx, ALICE, "of the dead", now)))
        both.log_out(token)
        both.deliver()
        assert both.jobs() == ["sync_devices"]
        world.clock.advance(MINUTE)
        both.deliver()
        assert both.jobs() == []


def test_a_server_killed_in_a_call_leaves_no_token_without_its_device(tmp_path: Path) -> None:
    """The client of the killed server got no answer. Its device is told afterwards, as it is in the list."""
    with fake_synapse() as synapse:
        found = synapse.settings(tmp_path)["homeserver"]
        table = "".join(f'{name} = "{value}"\n' for name, value in found.items())
        server = ServerProcess(tmp_path / "server", name="example.org", tables=f"[homeserver]\n{table}").start()
        try:
            body = {"username": "alice", "password": PASSWORD, "auth": {"type": "m.login.dummy"}}
            with server.client() as http:
                assert http.post(f"{V3}/register", json=body).status_code == 200
            synapse.replies["upsert_device"] = HANG
            login = {"type": "m.login.password", "user": "alice", "password": PASSWORD, "device_id": "LAPTOP"}
            answers: list[int] = []

            def ask() -> None:
                import httpx

                try:
                    with server.client() as http:
                        answers.append(http.post(f"{V3}/login", json=login).status_code)
                except httpx.TransportError:
                    answers.append(0)

            asking = threading.Thread(target=ask)
            asking.start()
            wait_for(lambda: synapse.names().count("upsert_device") == 2, what="the call")
            server.kill()
            asking.join(20)
            assert answers == [0]
            synapse.replies.clear()
            server.start()
            with server.client() as http:
                # The registration's own job may have been running at the kill: a login waits until it is certainly over.
                again = http.post(f"{V3}/login", json=login, timeout=2 * LONGEST / SECOND)
                assert again.status_code == 200, again.text
                assert "LAPTOP" in synapse.users["alice"].devices
        finally:
            server.kill()
