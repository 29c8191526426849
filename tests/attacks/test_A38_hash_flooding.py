"""A38: a crowd that logs in and leaves at once costs bounded memory, and keeps nobody else waiting."""

import json
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig import ServerProcess, register, wait_for

pytestmark = pytest.mark.alone

CROWD = 300
HASH_MIB = 19
BODY = json.dumps({"type": "m.login.password", "user": "alice", "password": "a wrong password"})
LOGIN = (
    f"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"
).encode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    running = ServerProcess(tmp_path / "server").start()
    try:
        with running.client() as http:
            register(http, "alice")
        yield running
    finally:
        running.stop()


def megabytes(pid: int, key: str) -> float:
    found = re.search(rf"^{key}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def worker(server: ServerProcess) -> int:
    """The child that serves is the largest one: another serves the metrics."""
    return max(server.workers(), key=lambda pid: megabytes(pid, "VmRSS"))


class Watch(threading.Thread):
    """Asks for /versions a hundred times a second."""

    def __init__(self, server: ServerProcess) -> None:
        super().__init__()
        self.server = server
        self.answered = 0
        self.over = threading.Event()

    def run(self) -> None:
        with self.server.client() as http:
            while not self.over.wait(0.01):
                assert http.get("/_matrix/client/versions").status_code == 200
                self.answered += 1


def log_in_and_leave(server: ServerProcess) -> None:
    """Everybody at the same time; half of them leave without saying so."""
    crowd = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(CROWD)]
    for member in crowd:
        member.sendall(LOGIN)
    for number, member in enumerate(crowd):
        if number % 2:
            member.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        member.close()


@pytest.mark.timeout(120)
def test_a_crowd_that_logs_in_and_leaves_is_borne(server: ServerProcess) -> None:
    pid = worker(server)
    before = megabytes(pid, "VmRSS")
    watch = Watch(server)
    watch.start()
    try:
        for _ in range(8):
            answered = watch.answered
            log_in_and_leave(server)
            time.sleep(0.3)
            # The crowd's passwords are hashed meanwhile, for longer than this.
            wait_for(lambda: watch.answered > answered + 1, 1.5, what="an answer for others")
        with server.client() as http:
            body = {"type": "m.login.password", "user": "alice", "password": "long enough"}

            def served() -> bool:
                return http.post("/_matrix/client/v3/login", json=body).status_code == 200

            wait_for(served, 20, what="a login after the crowd")
    finally:
        watch.over.set()
        watch.join()
    rise = megabytes(pid, "VmHWM") - before
    most = (os.cpu_count() or 1) * HASH_MIB * 1.048576 + 30
    print(f"memory rose by {rise:.0f} MB (bound {most:.0f}); {watch.answered} others were answered")
    assert rise < most


def test_places_are_held_until_the_work_ends(server: ServerProcess) -> None:
    """Who leaves does not make room: else a crowd that always leaves could have any number of hashes computed."""
    room = 0
    with server.client() as http:
        for _ in range(10):
            log_in_and_leave(server)
            body = {"type": "m.login.password", "user": "alice", "password": "long enough"}
            answer = http.post("/_matrix/client/v3/login", json=body)
            if answer.status_code == 429:
                break
            room += 1
    assert answer.status_code == 429, f"{room} crowds of {CROWD} found room"
    assert answer.json()["errcode"] == "M_LIMIT_EXCEEDED"
    assert answer.json()["retry_after_ms"] == 2000
    assert answer.headers["Retry-After"] == "2"
