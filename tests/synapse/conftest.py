"""A threepid and a real Synapse beside each other, without a proxy: tests ask each server for what it answers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import conftest as browsers
from one_origin import OneOrigin, one_origin
from real_synapse import PYTHON, SECRET, SERVER_NAME, RealSynapse, real_synapse
from rig import ServerProcess, free_port, whole

chromium = browsers.chromium


class Pair:
    """Both servers; `threepid.client()` and `synapse.request()` talk to them."""

    def __init__(self, threepid: ServerProcess, synapse: RealSynapse) -> None:
        self.threepid = threepid
        self.synapse = synapse


@contextlib.contextmanager
def pair(directory: Path) -> Iterator[Pair]:
    """The two servers need each other's port, so Synapse's is chosen first; threepid starts first, as `doctor` advises."""
    port, synapse_port = free_port(), free_port()
    secret = directory / "synapse.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    threepid = ServerProcess(
        directory / "threepid",
        port=port,
        name=SERVER_NAME,
        tables=f'[homeserver]\nkind = "synapse"\nurl = "http://127.0.0.1:{synapse_port}"\nsecret_file = "{secret}"\n',
    )
    with (
        whole(threepid),
        real_synapse(directory / "synapse", f"http://127.0.0.1:{port}/", port=synapse_port) as synapse,
    ):
        yield Pair(threepid, synapse)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    if not PYTHON.exists():
        pytest.skip("there is no Synapse in build/synapse-venv: `make synapse` installs it")
    with pair(tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneOrigin]:
    """threepid and Synapse behind one nginx."""
    with one_origin(tmp_path_factory.mktemp("origin")) as made:
        yield made
