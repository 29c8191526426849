"""SIGHUP: a renewed certificate is used, a broken one is not, and changed settings are named."""

import json
import signal
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from rig import ServerProcess, register, wait_for, whole


def renew(folder: Path) -> None:
    """Write a new certificate and its key, as an ACME client does."""
    made = trustme.CA().issue_cert("localhost")
    (folder / "key.pem").write_bytes(made.private_key_pem.bytes())
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    (folder / "key.pem").chmod(0o600)


def served(server: ServerProcess) -> str:
    return ssl.get_server_certificate(("localhost", server.port))


def events(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "server" / "log").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def hang_up(server: ServerProcess, folder: Path, event: str) -> dict[str, object]:
    """Send SIGHUP, and return the event that it must cause."""
    assert server.process is not None
    before = len(events(folder))
    server.process.send_signal(signal.SIGHUP)
    return wait_for(  # type: ignore[no-any-return]
        lambda: next((one for one in events(folder)[before:] if one["event"] == event), None), what=event
    )


def with_certificate(folder: Path) -> ServerProcess:
    renew(folder)
    files = f'certificate_file = "{folder / "chain.pem"}", key_file = "{folder / "key.pem"}"'
    return ServerProcess(folder / "server", scheme="https", server=f"tls = {{ {files} }}")


def test_a_renewed_certificate_is_served_and_no_request_fails(tmp_path: Path) -> None:
    with whole(with_certificate(tmp_path)) as server:
        old = served(server)
        renew(tmp_path)
        hang_up(server, tmp_path, "certificate_reloaded")

        def is_renewed() -> bool:
            with server.client(verify=False) as http:
                assert http.get("/_matrix/client/versions").status_code == 200
            return served(server) != old

        wait_for(is_renewed, what="the renewed certificate")
        with server.client(verify=False) as http:
            assert http.get("/_threepid/health/ready").status_code == 200
        hang_up(server, tmp_path, "certificate_reloaded")


def test_a_request_that_runs_during_a_renewal_is_answered_on_its_connection(tmp_path: Path) -> None:
    body = b'{"type": "m.login.password", "password": "x"}'
    head = f"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with whole(with_certificate(tmp_path)) as server:
        old = served(server)
        plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with trusting.wrap_socket(plain, server_hostname="localhost") as running:
            running.sendall(head + body[:10])
            renew(tmp_path)
            hang_up(server, tmp_path, "certificate_reloaded")
            wait_for(lambda: served(server) != old, what="the renewed certificate")
            running.sendall(body[10:])
            answer = running.recv(65536)
            assert answer.startswith(b"HTTP/1.1 4")
            assert ssl.DER_cert_to_PEM_cert(running.getpeercert(binary_form=True) or b"") == old


@pytest.mark.parametrize("broken", ["key.pem", "chain.pem"])
def test_a_certificate_that_cannot_be_used_leaves_the_old_one_in_place(tmp_path: Path, broken: str) -> None:
    with whole(with_certificate(tmp_path)) as server:
        old, workers = served(server), server.workers()
        (tmp_path / broken).write_text("half of a fi")
        assert "are not a certificate chain and its private key" in str(
            hang_up(server, tmp_path, "certificate_rejected")["reason"]
        )
        assert (served(server), server.workers()) == (old, workers)


def test_changed_settings_are_named_without_their_values_and_change_nothing(tmp_path: Path) -> None:
    with whole(ServerProcess(tmp_path / "server")) as server:
        workers = server.workers()
        text = server.config.read_text()
        server.config.write_text(
            text.replace("[accounts]", "workers = 2\n[accounts]\nhide_existence = false").replace(
                "[limits]", '[sms]\nvia = [{ transport = "http", url = "https://x?key=canary" }]\n[limits]'
            )
        )
        found = hang_up(server, tmp_path, "restart_needed")
        assert found["settings"] == ["server.workers", "accounts.hide_existence", "sms"]
        server.config.write_text(text + "nonsense = 1\n")
        assert "nonsense" in str(hang_up(server, tmp_path, "configuration_rejected")["reason"])
        assert server.workers() == workers
    assert "canary" not in (tmp_path / "server" / "log").read_text()


def test_a_worker_that_is_replaced_keeps_the_settings_of_the_start(tmp_path: Path) -> None:
    import os

    with whole(ServerProcess(tmp_path / "server")) as server, server.client() as http:
        server.config.write_text(server.config.read_text().replace('registration = "open"', 'registration = "closed"'))
        for worker in server.workers():
            if b"spawn_main" in Path(f"/proc/{worker}/cmdline").read_bytes():
                os.kill(worker, signal.SIGKILL)
        server.await_answer()
        register(http, "bob")
