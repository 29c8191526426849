"""fail2ban itself finds failed logins in the log as the server writes it, and nothing that a caller typed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rig import ServerProcess, register, wait_for, whole

DEPLOY = Path(__file__).parent.parent.parent / "deploy" / "fail2ban"
FILTER = DEPLOY / "filter.d" / "threepid.conf"
OF_DEBIAN = Path("/etc/fail2ban")
BY = 'by="password"'

pytestmark = pytest.mark.skipif(
    shutil.which("fail2ban-regex") is None, reason="fail2ban is missing: run scripts/system-packages fail2ban"
)


def log_of(file: Path, *events: str) -> Path:
    """A log with these events, each the arguments of a call."""
    program = (
        "import structlog; from threepid.telemetry import configure_logging; configure_logging(json=True); "
        "log = structlog.get_logger()\n" + "\n".join(f"log.info({event})" for event in events)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180, check=True)
    file.write_text(done.stderr)
    return file


def banned(log: Path) -> list[str]:
    """Whom fail2ban counts a failure of, in the order of the lines."""
    done = subprocess.run(
        ["fail2ban-regex", "--out", "ip", str(log), str(FILTER)], capture_output=True, text=True, timeout=180
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.split()


def test_failed_logins_are_found_and_nothing_else(tmp_path: Path) -> None:
    log = log_of(
        tmp_path / "log",
        f'"login_failed", {BY}, cause="wrong password", network="203.0.113.7", user_id="@alice:example.org"',
        f'"login_failed", {BY}, cause="no such account", network="2001:db8::/64", user_id=None',
        f'"login_failed", {BY}, cause="too many guesses at the account", network="203.0.113.8", user_id=None',
        '"started", server_name="example.org", network="203.0.113.9"',
        """"message_sent", to='x", "network": "203.0.113.10", "event": "login_failed"'""",
        f"""'login_failed', {BY}, cause='wrong', network="203.0.113.11", user_id='", "network": "192.0.2.1", "event": "login_failed"'""",
    )
    assert banned(log) == ["203.0.113.7", "2001:db8::/64", "203.0.113.11"]


def test_the_log_of_a_server_names_who_fails(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server", server='trusted_proxies = ["127.0.0.1", "::1"]')
    log = tmp_path / "server" / "log"
    wrong = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": "wrong"}
    with whole(server), server.client() as http:
        register(http, "alice")
        for source in ("203.0.113.7", "203.0.113.7", "2001:db8::1"):
            answer = http.post("/_matrix/client/v3/login", json=wrong, headers={"X-Forwarded-For": source})
            assert answer.status_code == 403
        http.post("/_matrix/client/v3/login", json={**wrong, "password": "long enough"}).raise_for_status()
        wait_for(lambda: log.read_text().count('"login_failed"') == 3, what="the third line")
    assert banned(log) == ["203.0.113.7", "203.0.113.7", "2001:db8::/64"]


@pytest.mark.skipif(not OF_DEBIAN.is_dir(), reason="fail2ban's own files are not in /etc/fail2ban")
def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    place = tmp_path / "fail2ban"
    shutil.copytree(OF_DEBIAN, place, ignore=shutil.ignore_patterns("defaults-debian.conf"))
    for folder in ("filter.d", "jail.d"):
        shutil.copy(DEPLOY / folder / "threepid.conf", place / folder)
    done = subprocess.run(
        ["fail2ban-client", "-c", str(place), "-d"],
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stderr
    assert "['add', 'threepid', 'systemd']" in done.stdout
    assert "'addjournalmatch', '_SYSTEMD_UNIT=threepid.service'" in done.stdout
    assert "['start', 'threepid']" in done.stdout
