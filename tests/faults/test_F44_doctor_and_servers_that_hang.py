"""Servers that hang, drip or break off while `threepid doctor` asks: findings, and an end in bounded time."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from examined import Examined, examined
from fake_synapse import DROP, HANG, Reply
from threepid.cli.doctor.check import State
from threepid.cli.doctor.checks import CHECKS, OF_FILES
from threepid.cli.doctor.run import examine
from threepid.cli.doctor.scene import NoAnswer


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Examined]:
    with examined(tmp_path) as made:
        made.seconds = 1.5
        yield made


@pytest.mark.parametrize("reply", [HANG, DROP])
@pytest.mark.parametrize(
    "name", ["query_user", "/_matrix/client/v3/account/whoami", "/_matrix/client/v1/auth_metadata"]
)
def test_F44_a_fault_of_one_answer_is_a_finding_and_the_rest_is_asked(place: Examined, name: str, reply: Reply) -> None:
    place.synapse.replies = {"/_matrix/client/versions": (200, {"versions": ["v1.15"]}), name: reply}
    found = asyncio.run(examine(place.scene({}), (*CHECKS, *OF_FILES)))
    states = {one.check: one.state for one in found}
    assert states["homeserver_answers"] is State.OK
    assert State.FAILURE in {
        states[check] for check in ("our_secret_is_accepted", "tokens_are_introspected", "metadata_is_ours")
    }
    assert all(one.change for one in found if one.state is not State.OK)


def test_F44_an_answer_that_never_ends_is_cut_off(place: Examined) -> None:
    """It sends a byte now and then, so that no single wait is long."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        over = threading.Event()

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):  # the caller has gone
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                while not over.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        try:
            with pytest.raises(NoAnswer, match=r"more than 1\.5 seconds"):
                asyncio.run(place.scene().ask("GET", f"http://127.0.0.1:{listener.getsockname()[1]}/"))
        finally:
            over.set()
            thread.join(60)
