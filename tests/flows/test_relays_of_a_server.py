"""A running server with a dead relay and a program: the mail goes through the program, and the metrics say so."""

import sys
from pathlib import Path

import httpx

from rig import ServerProcess, free_port, identity_token, register, request_token, wait_for


def test_a_dead_relay_a_program_and_what_the_metrics_say(tmp_path: Path) -> None:
    program = tmp_path / "sendmail"
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        f"open({str(tmp_path)!r} + '/' + sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n"
    )
    program.chmod(0o700)
    dead = free_port()
    via = (
        f'{{ transport = "smtp", host = "127.0.0.1", port = {dead}, tls = "plain" }}, '
        f'{{ transport = "sendmail", command = ["{program}", "-i"] }}'
    )
    server = ServerProcess(tmp_path / "server", via=via).start()
    try:
        with server.client() as http:
            identity = identity_token(http, register(http, "sender"))
            for number in range(4):
                answer = request_token(http, identity, f"a{number}@example.com", secret=f"s{number}")
                assert answer.status_code == 200
                wait_for((tmp_path / f"a{number}@example.com").exists, what="the mail")

        def counted() -> bool:
            text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
            return {
                'threepid_messages_sent_total{medium="email",relay="sendmail"} 4.0',
                f'threepid_relay_failures_total{{cause="unreachable",medium="email",relay="127.0.0.1:{dead}"}} 3.0',
            } <= set(text.splitlines())

        wait_for(counted, what="the metrics")
        assert "relay_rests" in (tmp_path / "server" / "log").read_text()
    finally:
        server.stop()
