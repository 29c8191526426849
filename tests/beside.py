"""A world beside a fake Synapse, and what tests of it share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from fake_synapse import FakeSynapse, fake_synapse
from threepid.storage import outbox
from world import PASSWORD, World

V3 = "/_matrix/client/v3"


class Beside:
    """A server and the Synapse beside it."""

    def __init__(self, world: World, synapse: FakeSynapse) -> None:
        self.world = world
        self.synapse = synapse

    def log_in(self, device_id: str | None = None, **more: Any) -> httpx.Response:
        body = {"type": "m.login.password", "user": "alice", "password": PASSWORD, **more}
        return self.world.post(f"{V3}/login", body if device_id is None else {**body, "device_id": device_id})

    def log_out(self, token: str) -> None:
        assert self.world.post(f"{V3}/logout", token=token).status_code == 200

    def deliver(self) -> None:
        self.world.run(self.world.server.worker.run_once())

    def device_ids(self, token: str) -> list[str]:
        return [device["device_id"] for device in self.world.get(f"{V3}/devices", token=token).json()["devices"]]

    def jobs(self, *, failed: bool = False) -> list[str]:
        """The names of the jobs that wait for the homeserver, or have failed."""
        found = self.world.run(
            self.world.server.context.database.read(lambda tx: outbox.listed(tx, failed=failed, after=None, count=99))
        )
        return [job.template for job in found if job.channel == "homeserver"]


@contextlib.contextmanager
def beside_a_synapse(database_url: str, directory: Path, **changes: Any) -> Iterator[Beside]:
    with fake_synapse() as synapse, World(database_url, directory, **synapse.settings(directory), **changes) as world:
        yield Beside(world, synapse)
