"""A world beside a fake Synapse, and what tests of it share."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from fake_synapse import Called, FakeSynapse, fake_synapse
from threepid.storage import outbox
from world import PASSWORD, World

V3 = "/_matrix/client/v3"
I2 = "/_matrix/identity/v2"
USERINFO = "/_matrix/federation/v1/openid/userinfo"
ON_BIND = "/_matrix/federation/v1/3pid/onbind"
GUEST = "guest@example.net"


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

    # -- the identity server

    def register_identity(self, openid_token: str) -> httpx.Response:
        """Ask for a token of the identity server with an OpenID token of the homeserver beside it."""
        told = {"token_type": "Bearer", "matrix_server_name": "example.org", "expires_in": 3600}
        return self.world.post(f"{I2}/account/register", {**told, "access_token": openid_token})

    def identity_token(self, localpart: str = "alice") -> str:
        """A token of the identity server for a user of the homeserver, whose OpenID token is the localpart."""
        self.synapse.replies[USERINFO] = lambda called: (200, {"sub": f"@{called.body['access_token']}:example.org"})
        answer = self.register_identity(localpart)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def bind(self, token: str, localpart: str) -> None:
        """Bind the guest's address."""
        self.world.clock.advance(1)
        sid = self.world.validated(token, GUEST)
        body = {"sid": sid, "client_secret": "secret", "mxid": f"@{localpart}:example.org"}
        answer = self.world.post(f"{I2}/3pid/bind", body, token=token)
        assert answer.status_code == 200, answer.text

    def calls(self, name: str) -> list[Called]:
        """The requests that the homeserver got, by their path."""
        return [called for called in self.synapse.calls if called.name == name]

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
