"""F22: the supervisor is killed: its workers and the metrics' process end with it, and a new start works at once."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trustme

from rig import ServerProcess, register, wait_for
from threepid.config import UnixListen
from threepid.process.sockets import CannotServe, Granian, refuse_taken

WITHIN_SECONDS = 20.0
"""Without a lifeline they would live on: the servers for ever, the children for a minute."""


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def kill_supervisor(server: ServerProcess) -> None:
    """Kill it alone; its children end soon after it."""
    children = server.workers()
    assert len(children) >= 3  # two workers and the metrics
    assert server.process is not None
    server.process.send_signal(signal.SIGKILL)
    server.process.wait(60)
    wait_for(lambda: not any(is_alive(child) for child in children), WITHIN_SECONDS, what="the end of the workers")
    server.log.close()


def plain(_directory: Path) -> str:
    return ""


def tls(directory: Path) -> str:
    certificate = trustme.CA().issue_cert("localhost", "127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(directory / "certificate.pem")
    certificate.private_key_pem.write_to_path(directory / "key.pem")
    (directory / "key.pem").chmod(0o600)
    return f'[server.tls]\ncertificate_file = "{directory / "certificate.pem"}"\nkey_file = "{directory / "key.pem"}"\n'


@pytest.mark.parametrize("tables", [plain, tls])
def test_the_workers_end_with_it_and_a_new_start_works_at_once(
    tmp_path: Path, tables: Callable[[Path], str], engine: str, database_url: str
) -> None:
    database = "" if engine == "sqlite" else f'[database]\nurl = "{database_url}"\n'
    scheme = "https" if tables is tls else "http"
    server = ServerProcess(
        tmp_path / "server", server="workers = 2", tables=tables(tmp_path) + database, scheme=scheme
    ).start()
    with server.client(verify=False) as http:
        token = register(http, "alice")
    kill_supervisor(server)
    server.start()
    with server.client(verify=False) as http:
        answer = http.get("/_matrix/client/v3/account/whoami", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
    assert server.stop() == 0


def test_a_start_in_the_same_moment_waits_for_what_the_old_server_still_holds(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", server="workers = 2").start()
    old = server.process
    assert old is not None
    old.send_signal(signal.SIGKILL)
    server.log.close()
    server.start()
    old.wait(60)
    # The answer may still have come from the old server: the new one has children once it serves.
    wait_for(lambda: len(server.workers()) >= 3, what="the start of the new server")
    wait_for(server._answers, what="an answer of the new server")
    assert server.stop() == 0


def test_workers_end_also_where_the_kernel_does_not_see_to_it(tmp_path: Path) -> None:
    """The pipe alone: a child that is not asked to die with its parent."""
    script = """
import multiprocessing, os, time
from threepid.process import lifeline
def child(line):
    lifeline._die_with_parent = lambda: None
    line.hold()
    print(os.getpid(), flush=True)
    time.sleep(60)
if __name__ == "__main__":
    line = lifeline.Lifeline()
    for method in ("fork", "spawn"):
        multiprocessing.get_context(method).Process(target=child, args=(line,), daemon=True).start()
    time.sleep(60)
"""
    (tmp_path / "supervisor.py").write_text(script)
    with subprocess.Popen([sys.executable, tmp_path / "supervisor.py"], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
        wait_for(lambda: not any(is_alive(child) for child in children), WITHIN_SECONDS, what="the end of the children")


# -- a Unix socket


def start_on(path: Path, directory: Path, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "threepid", "serve"],
        cwd=directory,
        env={**os.environ, "THREEPID__SERVER__LISTEN": f"unix:{path}", **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(b"GET /_matrix/client/versions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200 ")
    return False


def end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    process.communicate(timeout=180)
    assert process.returncode == 0


def test_the_socket_file_of_a_killed_server_is_replaced_and_has_the_configured_mode(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = start_on(path, tmp_path, THREEPID__SERVER__WORKERS="2")
    wait_for(lambda: answers(path), what="an answer")
    assert path.stat().st_mode & 0o777 == 0o660
    first.kill()
    first.communicate(timeout=180)
    assert path.is_socket()
    second = start_on(path, tmp_path, THREEPID__SERVER__LISTEN_MODE='"0666"')
    wait_for(lambda: answers(path), what="an answer of the second server")
    assert path.stat().st_mode & 0o777 == 0o666
    end(second)
    assert not path.exists()


@contextmanager
def listening(path: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(1)
        yield


def test_a_socket_that_somebody_listens_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (tmp_path / "link").symlink_to(path)
    with listening(path):
        refused = start_on(path, tmp_path)
        _, text = refused.communicate(timeout=180)
        assert refused.returncode == 1
        assert text == f"Cannot listen on unix:{path}: another server listens there.\n"
        for name in (path, tmp_path / "link", *[path] * 3):  # its queue is full by then
            with pytest.raises(CannotServe, match="another server listens there"):
                refuse_taken(UnixListen(name))
        assert path.is_socket()
    refuse_taken(UnixListen(tmp_path / "link"))
    assert not path.exists()


def test_a_socket_of_another_kind_is_left_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "s"))
        with pytest.raises(CannotServe):
            refuse_taken(UnixListen(tmp_path / "s"))
    assert (tmp_path / "s").is_socket()


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
def test_what_is_not_a_socket_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "s")
    with pytest.raises(CannotServe, match="not a socket"):
        refuse_taken(UnixListen(tmp_path / "s"))
    assert (tmp_path / "s").exists()


def test_a_place_where_there_can_be_no_socket_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CannotServe, match=r"Cannot listen on unix:.*/s: No such file or directory\."):
        refuse_taken(UnixListen(tmp_path / "no" / "such" / "s"))
    (tmp_path / "file").touch()
    with pytest.raises(CannotServe, match=r"Cannot listen on unix:.*/s: Not a directory\."):
        refuse_taken(UnixListen(tmp_path / "file" / "s"))
    with pytest.raises(CannotServe, match="Choose a shorter one"):
        refuse_taken(UnixListen(tmp_path / ("x" * 120)))


def test_a_server_that_stops_leaves_the_socket_of_another_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = start_on(path, tmp_path)
    wait_for(lambda: answers(path), what="an answer")
    path.unlink()
    with listening(path):
        end(first)
        assert path.is_socket()


def test_a_socket_file_is_taken_before_its_worker_is_ready(tmp_path: Path) -> None:
    first = Granian("threepid", uds=tmp_path / "s")
    first._init_shared_socket()
    try:
        with pytest.raises(CannotServe, match="another server listens there"):
            refuse_taken(UnixListen(tmp_path / "s"))
        assert (tmp_path / "s").is_socket()
    finally:
        first._drop_shared_socket()  # type: ignore[no-untyped-call]
        first._unlink_pidfile()
    assert not (tmp_path / "s").exists()
