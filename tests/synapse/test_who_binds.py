"""`homeserver.binds = "threepid"`: with Synapse's signing key, threepid binds and unbinds at other identity servers."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from clients.post import post_office
from federated_synapse import IdentityAccount
from identity_of_synapse import IdentityServer
from one_origin import OneOrigin, one_origin
from real_synapse import needs_synapse
from rig import wait_for
from threepid import config
from threepid.cli.doctor.check import State
from threepid.cli.doctor.checks.homeserver import unbinds_are_believed
from threepid.cli.doctor.scene import Scene
from threepid.clock import Clock, Entropy

pytestmark = [needs_synapse, pytest.mark.timeout(180)]
HERS = "alice@example.net"
LEFT = "447700900123"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneOrigin]:
    with one_origin(tmp_path_factory.mktemp("origin"), homeserver='binds = "threepid"\n') as made:
        yield made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityServer]:
    """An identity server of somebody else."""
    with post_office() as post:
        made = IdentityServer(tmp_path_factory.mktemp("identity"), post)
        with made.run():
            yield made


def doctor(origin: OneOrigin) -> State:
    """What `threepid doctor` says of our key."""
    settings = config.load(origin.threepid.config, {})
    scene = Scene(settings, clock=Clock(), entropy=Entropy(), seconds=10)

    async def verdict() -> State:
        return (await unbinds_are_believed.ask(scene)).state

    return asyncio.run(verdict())


def run(origin: OneOrigin, *arguments: str) -> None:
    command = [sys.executable, "-m", "threepid", *arguments, "--config", str(origin.threepid.config)]
    subprocess.run(command, check=True, capture_output=True, timeout=180)


def test_threepid_binds_and_unbinds_with_the_key_of_synapse(origin: OneOrigin, other: IdentityServer) -> None:
    alice = IdentityAccount(origin.register("alice"), other.public)
    bob = IdentityAccount(origin.register("bob"), other.public)
    for medium, address in (("email", HERS), ("msisdn", LEFT)):
        alice.bind(other.post, medium, address)
        assert bob.found(medium, address) == alice.person.user_id
    unbind = {"medium": "email", "address": HERS, "id_server": alice.name}

    # Without the key, the other server does not believe it, and the doctor says why.
    assert alice.person.do("POST", "account/3pid/unbind", unbind) == {"id_server_unbind_result": "no-support"}
    assert bob.found("email", HERS) == alice.person.user_id
    assert doctor(origin) is State.FAILURE

    run(origin, "keys", "import", str(origin.synapse.directory / "signing.key"))
    assert origin.threepid.stop() == 0
    origin.threepid.start()
    assert doctor(origin) is State.OK
    assert alice.person.do("POST", "account/3pid/unbind", unbind) == {"id_server_unbind_result": "success"}
    assert bob.found("email", HERS) is None

    # An account that closes takes along whatever it has bound.
    assert bob.found("msisdn", LEFT) == alice.person.user_id
    run(origin, "account", "deactivate", "--yes", "alice")
    wait_for(lambda: bob.found("msisdn", LEFT) is None, 30, what="the unbinding")
