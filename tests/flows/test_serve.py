"""`threepid serve` as people start it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from rig import ServerProcess, free_port, identity_token, register, request_token, wait_for


@pytest.fixture
def table(engine: str, database_url: str) -> str:
    return "" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n'


def test_several_workers_share_one_database(tmp_path: Path, table: str) -> None:
    server = ServerProcess(tmp_path / "server", server="workers = 2", tables=table).start()
    with server.client() as http:
        token = register(http, "alice")
        identity = identity_token(http, token)
    assert len(server.workers()) >= 2
    headers = {"Authorization": f"Bearer {token}"}
    statuses = set()
    for _ in range(40):  # a new connection each: both workers get some
        with server.client() as http:
            statuses.add(http.get("/_matrix/client/v3/account/whoami", headers=headers).status_code)
    assert statuses == {200}
    with server.client() as http:
        assert request_token(http, identity, "a@example.com").status_code == 200
        wait_for(lambda: "a@example.com" in http.get("/mailbox/").text)
        assert http.get("/mailbox/").text.count("<li>") == 1
        assert http.post("/_matrix/client/v3/logout", headers=headers).status_code == 200
    for _ in range(20):
        with server.client() as http:
            assert http.get("/_matrix/client/v3/account/whoami", headers=headers).status_code == 401
    assert server.stop() == 0


def test_sigterm_ends_it_gracefully_and_nothing_acknowledged_is_lost(tmp_path: Path, table: str) -> None:
    server = ServerProcess(tmp_path / "server", tables=table).start()
    done: list[str] = []
    stop = threading.Event()

    def work(name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                with server.client() as http:
                    done.append(register(http, f"{name}{number}"))
            except (httpx.TransportError, AssertionError):
                continue

    workers = [threading.Thread(target=work, args=(f"w{index}x",)) for index in range(3)]
    for worker in workers:
        worker.start()
    time.sleep(1)
    wait_for(lambda: len(done) > 5, what="some registrations")
    assert server.stop() == 0
    stop.set()
    for worker in workers:
        worker.join()
    server.start()
    assert len(done) > 5
    with server.client() as http:
        for token in done:
            headers = {"Authorization": f"Bearer {token}"}
            assert http.get("/_matrix/client/v3/account/whoami", headers=headers).status_code == 200
    assert server.stop() == 0


def test_a_second_server_on_the_same_sqlite_is_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    other = subprocess.run(
        [sys.executable, "-m", "threepid", "serve", "--config", str(server.config)],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "THREEPID__SERVER__LISTEN": f"127.0.0.1:{free_port()}"},
    )
    assert other.returncode == 1
    assert "Another server is using" in other.stderr
    assert server.stop() == 0


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    other = subprocess.run(
        [sys.executable, "-m", "threepid", "serve"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "THREEPID__SERVER__LISTEN": f"127.0.0.1:{server.port}"},
    )
    assert other.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{server.port}" in other.stderr
    assert server.stop() == 0


def test_the_metrics_count_what_happened(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    with server.client() as http:
        register(http, "alice")

    def counted() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return has_counted()
        return False

    def has_counted() -> bool:
        text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
        return 'threepid_requests_total{operation="register"} 1.0' in text and "threepid_database_commits_total" in text

    wait_for(counted, what="the count")
    assert server.stop() == 0


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200 ")
    return False


def test_it_listens_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    environment = {**os.environ, "THREEPID__SERVER__LISTEN": f"unix:{path}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "threepid", "serve"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: answers(path), what="an answer over the socket")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_plain_requests_over_a_real_socket(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server").start()
    with server.client() as http:
        preflight = http.options("/_matrix/client/v3/login", headers={"Origin": "https://app.example"})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        for path, status in (
            ("/_matrix/client/v3/account%2F3pid", 404),
            ("/_matrix/client/v3//account/3pid", 404),
            ("/_matrix/client/v3/account/3pid/", 404),
            ("/_matrix/client/V3/account/3pid", 404),
            ("/_matrix/client/v2/account/3pid", 404),
            ("/_matrix/client/v3/rooms/!x:y/messages", 404),
            ("/_matrix/client/v3/account/3pid", 401),
        ):
            answer = http.get(path)
            assert answer.status_code == status, path
            assert answer.json()["errcode"] == ("M_UNRECOGNIZED" if status == 404 else "M_MISSING_TOKEN")
        wrong = http.delete("/_matrix/client/v3/account/3pid")
        assert (wrong.status_code, wrong.json()["errcode"]) == (405, "M_UNRECOGNIZED")
        assert http.head("/_matrix/client/versions").status_code == 200
        page = http.get("/nothing")
        assert page.status_code == 404
        assert page.headers["Content-Type"].startswith("text/html")
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        # A body that claims to be short and one without a length are stopped at the limit.
        big = http.post("/_matrix/client/v3/login", content=(b"x" * 1000 for _ in range(200)))
        assert big.status_code == 413
    assert server.stop() == 0
