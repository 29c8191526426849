"""A mail comes back to a real server: by its maildir, its endpoint, and the pipe of a mail server."""

import json
import re
import subprocess
import sys
from pathlib import Path

import httpx

from bounce_reports import SECRET, complaint, notification
from rig import ServerProcess, identity_token, register, request_token, sink, wait_for, whole


def test_reports_come_in_by_every_way(tmp_path: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (tmp_path / "mails" / folder).mkdir(parents=True)
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "secret").chmod(0o600)
    settings = {
        "bounce_address": "bounces@example.org",
        "bounce_maildir": tmp_path / "mails",
        "bounce_secret_file": tmp_path / "secret",
    }
    with sink() as (relay, port):
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {port}, tls = "plain" }}'
        extra = "".join(f'{name} = "{value}"\n' for name, value in settings.items())
        server = ServerProcess(tmp_path / "server", via=via)
        text = server.config.read_text()
        server.config.write_text(text.replace("[limits]", f"{extra}[limits]", 1))
        with whole(server), server.client() as http:
            identity = identity_token(http, register(http, "alice"))
            for number in range(3):
                request_token(http, identity, f"p{number}@example.com", secret=f"s{number}")
            wait_for(lambda: len(relay.mails) == 3, what="the mails")
            senders = {mail.recipients[0]: str(mail.sender) for mail in relay.mails}
            assert len(set(senders.values())) == 3
            assert all(
                re.fullmatch(r"bounces\+[a-z2-7]{29}\.[a-z2-7]{16}@example\.org", one) for one in senders.values()
            )

            report = tmp_path / "mails" / "tmp" / "1"
            report.write_bytes(notification(senders["p0@example.com"]))
            report.rename(tmp_path / "mails" / "new" / "1")
            headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "message/rfc822"}
            answer = http.post("/_threepid/bounces", content=complaint(senders["p1@example.com"]), headers=headers)
            assert answer.status_code == 200
            done = subprocess.run(
                [sys.executable, "-m", "threepid", "bounce", "-c", server.config],
                input=notification(senders["p2@example.com"]),
                capture_output=True,
                timeout=180,
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
            wait_for(lambda: not list((tmp_path / "mails" / "new").iterdir()), what="the maildir's emptying")
            found = subprocess.run(
                [sys.executable, "-m", "threepid", "suppressions", "list", "--json", "-c", server.config],
                capture_output=True,
                timeout=180,
            )
            assert [(one["address"], one["kind"]) for one in json.loads(found.stdout)] == [
                ("p0@example.com", "bounce"),
                ("p1@example.com", "complaint"),
                ("p2@example.com", "bounce"),
            ]
            metrics = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
            assert 'threepid_suppressed_addresses{kind="bounce"}' in metrics
        log = (tmp_path / "server" / "log").read_text()
        assert "report_taken" in log
        assert SECRET not in log
        assert "p0@example.com" not in log
