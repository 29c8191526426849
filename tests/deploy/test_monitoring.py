"""The alert rules and the dashboard: promtool understands them, they fire when they should, and their metrics exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from rig import ServerProcess, identity_token, register, request_token, sink, wait_for, whole

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "threepid.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: run scripts/system-packages prometheus"
)
MINUTES = 120
LONG = 1500
"""Longer than a day, for a rule that compares with yesterday."""
HEALTHY = {
    'up{job="threepid"}': "1x",
    'threepid_requests_total{operation="versions"}': "0+600x",
    'threepid_failed_requests_total{operation="versions"}': "0+1x",
    'threepid_request_seconds_bucket{operation="versions",le="0.01"}': "0+600x",
    'threepid_request_seconds_bucket{operation="versions",le="2.5"}': "0+600x",
    'threepid_request_seconds_bucket{operation="versions",le="+Inf"}': "0+600x",
    'threepid_request_seconds_bucket{operation="sync",le="0.01"}': "0x",
    'threepid_request_seconds_bucket{operation="sync",le="2.5"}': "0x",
    'threepid_request_seconds_bucket{operation="sync",le="+Inf"}': "0+600x",
    'threepid_database_seconds_bucket{kind="read",le="0.001"}': "0+600x",
    'threepid_database_seconds_bucket{kind="read",le="1.0"}': "0+600x",
    'threepid_database_seconds_bucket{kind="read",le="+Inf"}': "0+600x",
    'threepid_event_loop_lag_seconds_bucket{le="0.001"}': "0+240x",
    'threepid_event_loop_lag_seconds_bucket{le="0.5"}': "0+240x",
    'threepid_event_loop_lag_seconds_bucket{le="+Inf"}': "0+240x",
    'threepid_password_wait_seconds_bucket{le="0.001"}': "0+60x",
    'threepid_password_wait_seconds_bucket{le="2.5"}': "0+60x",
    'threepid_password_wait_seconds_bucket{le="+Inf"}': "0+60x",
    'threepid_logins_total{by="password",outcome="accepted"}': "0+10x",
    'threepid_logins_total{by="password",outcome="wrong password"}': "0+20x",
    "threepid_oldest_message_seconds": "30x",
    'threepid_messages_failed_total{medium="email",relay="mail:25",cause="rejected"}': "0x",
    'threepid_relay_failures_total{medium="email",relay="mail:25",cause="timeout"}': "0+1x",
    "threepid_sms_prefixes_closed": "0x",
    'threepid_suppressed_addresses{kind="bounce"}': "10x",
    'process_open_fds{job="threepid",instance="a"}': "100x",
    'process_max_fds{job="threepid",instance="a"}': "1000x",
}
"""Series of a server at which nothing is wrong. `x` stands before the number of minutes."""
WRONG: dict[str, dict[str, str]] = {
    "ThreepidDown": {'up{job="threepid"}': "0x"},
    "ThreepidRequestsFail": {'threepid_failed_requests_total{operation="versions"}': "0+60x"},
    "ThreepidSlow": {'threepid_request_seconds_bucket{operation="versions",le="0.01"}': "0x"},
    "ThreepidDatabaseSlow": {'threepid_database_seconds_bucket{kind="read",le="0.001"}': "0x"},
    "ThreepidEventLoopLags": {'threepid_event_loop_lag_seconds_bucket{le="0.001"}': "0x"},
    "ThreepidPasswordsWait": {'threepid_password_wait_seconds_bucket{le="0.001"}': "0x"},
    "ThreepidManyLoginsFail": {'threepid_logins_total{by="password",outcome="wrong password"}': "0+200x"},
    "ThreepidMessagesWait": {"threepid_oldest_message_seconds": "0+60x"},
    "ThreepidMessagesFail": {'threepid_messages_failed_total{medium="email",relay="mail:25",cause="rejected"}': "0+1x"},
    "ThreepidRelayNeedsYou": {
        # The first failure of its kind, five minutes ago: the series did not exist before.
        'threepid_relay_failures_total{medium="email",relay="mail:25",cause="login"}': f"_x{MINUTES - 5} 1x"
    },
    "ThreepidSmsPumping": {"threepid_sms_prefixes_closed": "1x"},
    "ThreepidMailsComeBack": {'threepid_suppressed_addresses{kind="bounce"}': f"10x{LONG - 60} 90x"},
    "ThreepidFilesRunOut": {'process_open_fds{job="threepid",instance="a"}': "900x"},
}


@promtool
def test_promtool_understands_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


def test_every_rule_has_a_case_and_says_what_to_do() -> None:
    assert [rule["alert"] for rule in RULES] == list(WRONG)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert len(rule["annotations"]["description"]) > 20


def case(name: str, wrong: dict[str, str], firing: list[str]) -> dict[str, Any]:
    series = {**HEALTHY, **wrong}
    minutes = LONG if name == "ThreepidMailsComeBack" else MINUTES
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": labels, "values": f"{values}{minutes}"} for labels, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": f"{minutes}m",
                "exp_samples": [{"labels": f'{{alertname="{one}"}}', "value": 1} for one in firing],
            }
        ],
    }


@promtool
def test_each_rule_fires_alone_and_none_at_a_healthy_server(tmp_path: Path) -> None:
    cases = [case("healthy", {}, []), *(case(name, wrong, [name]) for name, wrong in WRONG.items())]
    file = tmp_path / "cases.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is missing: run scripts/system-packages jq")
def test_the_guides_command_finds_a_request_in_the_log(tmp_path: Path) -> None:
    guide = (DEPLOY.parent / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^journalctl -u threepid -o cat \| (jq .*)$", guide, re.MULTILINE)
    server = ServerProcess(tmp_path / "server", tables="[telemetry]\naccess_log = true\n")
    with whole(server), server.client() as http:
        known, _ = (http.get("/_matrix/client/versions").headers["X-Request-Id"] for _ in range(2))
    log = (tmp_path / "server" / "log").read_text()
    found = subprocess.run(
        ["sh", "-c", command.replace("4be83c63e0a1f2b3", known)], input=log, capture_output=True, text=True, check=True
    )
    assert [json.loads(line)["operation"] for line in found.stdout.splitlines()] == ["versions"]


def expressions() -> list[str]:
    return [target["expr"] for panel in PANELS for target in panel.get("targets", ())]


@promtool
def test_promtool_understands_the_dashboards_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": one.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, one in enumerate(expressions())
    ]
    assert len(rules) > 25
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_panels_do_not_overlap_and_name_the_chosen_source() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert 0 <= x < 24
                assert taken.setdefault((x, y), panel["title"]) is panel["title"], panel["title"]
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    sources = [panel["datasource"]["uid"] for panel in PANELS if panel["type"] != "row"]
    assert set(sources) == {"${datasource}"}


def named(text: str) -> set[str]:
    """The metrics in queries."""
    return set(re.findall(r"\b(?:threepid|process)_[a-z_]+", re.sub(r'"[^"]*"', '""', text)))


def test_every_metric_that_is_named_exists_at_a_running_server(tmp_path: Path) -> None:
    wanted = named(" ".join([*expressions(), *(rule["expr"] for rule in RULES)]))
    assert len(wanted) > 20
    with sink() as (relay, port):
        via = f'{{ transport = "smtp", host = "127.0.0.1", port = {port}, tls = "plain" }}'
        server = ServerProcess(tmp_path / "server", via=via)
        limits = "message_to_address = { burst = 2, per_hour = 1 }"
        server.config.write_text(server.config.read_text().replace('all = "off"', limits))
        with whole(server), server.client() as http:
            identity = identity_token(http, register(http, "alice"))
            assert request_token(http, identity, "alice@example.com").status_code == 200
            wait_for(lambda: relay.mails, what="a mail")
            relay.replies["RCPT"] = "550 5.1.1 no such user"
            assert request_token(http, identity, "bob@example.com").status_code == 200
            http.post("/_matrix/client/v3/login", json={"type": "m.login.password", "user": "alice", "password": "x"})
            wait_for(
                lambda: any(
                    request_token(http, identity, "eve@example.com", attempt=attempt).status_code == 429
                    for attempt in range(1, 5)
                )
            )

            def missing() -> set[str]:
                text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
                return wanted - set(re.findall(r"^([a-z_]+)(?:\{.*\})? ", text, re.MULTILINE))

            wait_for(lambda: not missing(), seconds=60, what=f"all metrics: {missing()} are missing, which")
