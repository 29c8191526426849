"""The fail2ban filter finds failed logins in the log as the server writes it, and nothing that a caller typed."""

import configparser
import re
import subprocess
import sys
from pathlib import Path

FILTER = Path(__file__).parent.parent.parent / "deploy" / "fail2ban" / "filter.d" / "threepid.conf"
HOST = r"(?P<host>(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*)"
SUBNET = r"(?P<subnet>[0-9a-fA-F:.]+/\d+)"


def lines(*events: str) -> list[str]:
    program = (
        "import structlog; from threepid.telemetry import configure_logging; configure_logging(json=True); "
        "log = structlog.get_logger()\n" + "\n".join(f"log.info({event})" for event in events)
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    return done.stderr.splitlines()


def banned(line: str) -> str | None:
    parser = configparser.ConfigParser()
    parser.read(FILTER)
    rules = parser["Definition"]
    pattern = rules["failregex"].replace("<ADDR>", HOST).replace("<SUBNET>", SUBNET)
    if re.search(rules["ignoreregex"], line):
        return None
    match = re.search(pattern, line)
    return match and (match["host"] or match["subnet"])


def test_failed_logins_are_found_and_nothing_else() -> None:
    by = 'by="password"'
    found = lines(
        f'"login_failed", {by}, cause="wrong password", network="203.0.113.7", user_id="@alice:example.org"',
        f'"login_failed", {by}, cause="no such account", network="2001:db8::/64", user_id=None',
        f'"login_failed", {by}, cause="too many guesses at the account", network="203.0.113.7", user_id=None',
        '"started", server_name="example.org", network="203.0.113.7"',
        """"message_sent", to='x", "network": "203.0.113.7", "event": "login_failed"'""",
    )
    assert [banned(line) for line in found] == ["203.0.113.7", "2001:db8::/64", None, None, None]
