"""What is known of a request afterwards: its ID, its metrics and its line in the access log."""

import json
import logging
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog

from threepid.storage import outbox
from threepid.telemetry import name_request
from world import World

VERSIONS = "/_matrix/client/versions"


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """The log lines of the test, as the processors before the renderer leave them."""
    kept: list[dict[str, Any]] = []

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        kept.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[name_request, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=False,
    )
    yield kept
    structlog.configure(**before)


def asked(world: World, given: str | None = None) -> str:
    headers = {} if given is None else {"X-Request-Id": given}
    return world.get(VERSIONS, headers=headers).headers["X-Request-Id"]


def test_every_answer_has_an_id_of_its_own(world: World) -> None:
    found = {asked(world) for _ in range(20)}
    assert len(found) == 20
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in found)
    for path in ("/nothing", "/_matrix/nothing", "/account/sign-in", "/static/threepid.css"):
        assert len(world.get(path).headers["X-Request-Id"]) == 16
    assert len(world.call("OPTIONS", VERSIONS).headers["X-Request-Id"]) == 16


def test_a_trusted_proxy_gives_the_id(world: World) -> None:
    assert asked(world, "7f3a-proxy.1") == "7f3a-proxy.1"
    assert asked(world, "a" * 64) == "a" * 64


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "ä", 'x"y', "a\tb", "1,2", "<b>", "{}"])
def test_an_id_that_could_spoil_the_log_is_replaced(world: World, given: str) -> None:
    found = world.run(world.acall("GET", VERSIONS, headers={"X-Request-Id": given.encode()}))
    assert len(found.headers["X-Request-Id"]) == 16


def test_a_stranger_does_not_choose_the_id(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, server__trusted_proxies=[]) as world:
        assert asked(world, "chosen") != "chosen"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("POST", "/_matrix/client/v3/login", b'{"type', {}, 400),
        ("POST", "/_matrix/client/v3/login", b"[]", {}, 400),
        ("POST", "/_matrix/client/v3/login", b"{}", {"Content-Length": "2, 3"}, 400),
        ("POST", "/_matrix/client/v3/login", b'{"type": "' + b"x" * 2_000_000, {}, 413),
        ("POST", "/account/sign-in", b"%ff=%ff", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("DELETE", "/_matrix/client/v3/login", None, {}, 405),
        ("GET", "/_matrix/client/v3/nothing", None, {}, 404),
        ("GET", "/account/nothing", None, {}, 404),
        ("HEAD", "/account/", None, {}, 303),
        ("GET", "/_matrix/client/v3/account/whoami", None, {}, 401),
        ("GET", "/static/nothing.css", None, {}, 404),
    ],
)
def test_a_request_that_fails_has_one_id_in_answer_and_log(
    database_url: str,
    tmp_path: Path,
    lines: list[dict[str, Any]],
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    with World(database_url, tmp_path, telemetry__access_log=True) as world:
        answer = world.call(method, path, body, headers=headers)
    assert answer.status_code == status, answer.text
    (line,) = [line for line in lines if line["event"] == "request"]
    assert (line["request_id"], line["status"]) == (answer.headers["X-Request-Id"], status)


def test_a_failed_login_and_its_request_have_one_id(
    database_url: str, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    with World(database_url, tmp_path, telemetry__access_log=True) as world:
        answer = world.post("/_matrix/client/v3/login", {"type": "m.login.password", "user": "nobody", "password": "x"})
    known = answer.headers["X-Request-Id"]
    found = {line["event"]: line["request_id"] for line in lines if line["event"] not in {"started", "stopped"}}
    assert found == {"login_failed": known, "request": known}


def test_a_mail_names_the_request_that_caused_it(world: World, lines: list[dict[str, Any]]) -> None:
    token = world.identity_token(world.register())
    world.call(
        "POST",
        "/_matrix/identity/v2/validate/email/requestToken",
        {"client_secret": "secret", "email": "alice@example.com", "send_attempt": 1},
        token=token,
        headers={"X-Request-Id": "the-cause"},
    )
    (job,) = world.run(world.database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=9)))
    assert job.request_id == "the-cause"
    world.mails()
    (sent,) = [line for line in lines if line["event"] == "message_sent"]
    assert sent["request_id"] == "the-cause"
    assert sent["order"] == job.id


def test_mails_of_requests_that_share_a_commit_name_their_own(world: World) -> None:
    token = world.identity_token(world.register())
    path = "/_matrix/identity/v2/validate/email/requestToken"
    ask = [
        lambda number=number: world.acall(
            "POST",
            path,
            {"client_secret": f"secret{number}", "email": f"alice{number}@example.com", "send_attempt": 1},
            token=token,
            headers={"X-Request-Id": f"cause-{number}"},
        )
        for number in range(8)
    ]
    assert [answer.status_code for answer in world.together(*ask)] == [200] * 8
    jobs = world.run(world.database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=9)))
    assert {(job.recipient, job.request_id) for job in jobs} == {
        (f"alice{number}@example.com", f"cause-{number}") for number in range(8)
    }


def test_requests_are_counted_by_the_name_of_their_operation(world: World) -> None:
    meters = world.server.watch.meters
    before = {name: sum(meter.durations.counts) for name, meter in meters.of.items()}
    for _ in range(3):
        world.get("/_matrix/client/v3/profile/@nobody:example.org?secret=x")
    world.get("/_matrix/client/r0/profile/@nobody:example.org")
    world.get("/nothing/of/this")
    world.get("/account/sign-in")
    world.call("OPTIONS", VERSIONS)
    grown = {name: sum(meter.durations.counts) - before.get(name, 0) for name, meter in meters.of.items()}
    assert {name: count for name, count in grown.items() if count} == {
        "get_profile": 4,
        "unknown": 1,
        "/account/sign-in": 1,
        "preflight": 1,
    }
    assert meters.refusals["get_profile", "M_NOT_FOUND"] == 4
    assert not any("nobody" in name or "nothing" in name for name in meters.of)


def test_limits_are_counted_by_their_kind_without_what_a_caller_gave(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits={"message_to_address": {"burst": 2, "per_hour": 1}}) as world:
        token = world.identity_token(world.register())
        body = {"client_secret": "secret", "email": "alice@example.com"}
        statuses = [
            world.post(
                "/_matrix/identity/v2/validate/email/requestToken", {**body, "send_attempt": attempt}, token=token
            ).status_code
            for attempt in range(1, 5)
        ]
        assert 429 in statuses
        assert set(world.server.watch.meters.limits) == {"message to"}
        assert world.server.watch.meters.refusals["request_email_token", "M_LIMIT_EXCEEDED"] == statuses.count(429)


def test_logins_are_counted_by_outcome(world: World) -> None:
    world.register()

    def log_in(user: str, password: str) -> None:
        identifier = {"type": "m.id.user", "user": user}
        body = {"type": "m.login.password", "identifier": identifier, "password": password}
        world.post("/_matrix/client/v3/login", body)

    log_in("alice", "correct horse battery")
    log_in("alice", "wrong")
    log_in("nobody", "wrong")
    assert dict(world.homeserver.logins.outcomes) == {
        ("password", "accepted"): 1,
        ("password", "wrong password"): 1,
        ("password", "no such account"): 1,
    }


def test_the_access_log_has_names_and_no_secrets(
    database_url: str, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    with World(database_url, tmp_path, telemetry__access_log=True) as world:
        token = world.register()
        world.get(f"/_matrix/client/r0/account/3pid?access_token={token}", headers={"X-Request-Id": "one"})
        world.get("/_matrix/client/v3/profile/@canary:example.org", headers={"X-Forwarded-For": "192.0.2.7"})
    found = [line for line in lines if line["event"] == "request"]
    assert [line["operation"] for line in found] == ["register", "get_threepids", "get_profile"]
    last = dict(found[-1])
    assert last.pop("milliseconds") >= 0
    assert len(last.pop("request_id")) == 16
    assert last == {
        "event": "request", "operation": "get_profile", "method": "GET", "status": 404, "errcode": "M_NOT_FOUND",
        "network": "192.0.2.7",
    }  # fmt: skip
    assert found[1]["request_id"] == "one"
    text = json.dumps(found)
    assert token not in text
    assert "canary" not in text


def test_a_method_that_nobody_knows_is_not_copied_into_log_and_spans(
    database_url: str, tmp_path: Path, lines: list[dict[str, Any]]
) -> None:
    """It may have the length of a whole request."""
    with World(database_url, tmp_path, telemetry__access_log=True) as world:
        for method in ("GET", "X" * 8000, "PATCH", "BREW"):
            world.call(method, VERSIONS)
    methods = [line["method"] for line in lines if line["event"] == "request"]
    assert methods == ["GET", "_OTHER", "PATCH", "_OTHER"]


def test_without_the_setting_there_is_no_access_log(world: World, lines: list[dict[str, Any]]) -> None:
    world.get(VERSIONS)
    assert [line for line in lines if line["event"] == "request"] == []
