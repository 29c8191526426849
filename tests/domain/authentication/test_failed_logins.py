"""The log of failed logins: what a line says, what it never says, and that a flood does not fill the disk."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from structlog.testing import capture_logs

from threepid.clock import MINUTE
from threepid.domain.accounts.devices import MOST_DEVICES
from threepid.domain.authentication.failed_logins import LINES, LINES_OF_NETWORK
from threepid.storage import device_tokens
from threepid.storage.engine.database import Tx
from world import PASSWORD, World

C: Final = "/_matrix/client/v3"
ALICE: Final = "@alice:example.org"
WRONG: Final = "the wrong one"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    limits = {"all": "on", "guesses_at_account_from_client": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits, server__trusted_proxies=["127.0.0.1"]) as made:
        token = made.register()
        made.add(token, made.validated(made.identity_token(token)))
        yield made


def log_in(world: World, source: str = "203.0.113.7", **who: Any) -> list[Any]:
    """What a login logs."""
    body = {"type": "m.login.password", "password": WRONG, **who}
    with capture_logs() as logs:
        world.post(f"{C}/login", body, headers={"X-Forwarded-For": source})
    return logged(logs)


def logged(logs: Sequence[Any]) -> list[Any]:
    """What an operator sees: lines of the level `debug` are not written."""
    return [one for one in logs if one["log_level"] != "debug"]


def line(cause: str, user_id: str | None = ALICE, network: str = "203.0.113.7", by: str = "password") -> dict[str, Any]:
    return {
        "event": "login_failed",
        "log_level": "info",
        "by": by,
        "cause": cause,
        "network": network,
        "user_id": user_id,
    }


def test_a_failed_login_is_logged_with_its_cause_network_and_account(world: World) -> None:
    assert log_in(world, user="alice") == [line("wrong password")]
    assert log_in(world, medium="email", address="Alice@example.com") == [line("wrong password")]
    assert log_in(world, user="nobody") == [line("no such account", None)]
    assert log_in(world, medium="email", address="nobody@example.com") == [line("no such account", None)]
    assert log_in(world, "2001:db8:1:2:3::4", user="alice") == [line("wrong password", network="2001:db8:1:2::/64")]
    world.run(world.homeserver.registration.create("none", None))
    assert log_in(world, user="none") == [line("no password", "@none:example.org")]
    for _ in range(2):
        log_in(world, user="alice")
    assert log_in(world, user="alice", password=PASSWORD) == [line("too many guesses")]
    with capture_logs() as logs:
        world.post(f"{C}/login", {"type": "m.login.token", "token": "tpl_unknown"})
    assert logged(logs) == [line("no such token", None, "127.0.0.1", "login token")]
    assert log_in(world, "203.0.113.8", user="alice", password=PASSWORD) == []


def test_a_failed_password_stage_is_logged_too(world: World) -> None:
    login = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    token = world.post(f"{C}/login", login).json()["access_token"]
    with capture_logs() as logs:
        body = {"devices": ["NONE"], "auth": {**login, "password": WRONG}}
        assert world.post(f"{C}/delete_devices", body, token=token).status_code == 401
    assert logged(logs) == [line("wrong password", network="127.0.0.1", by="password stage")]


def test_a_login_for_one_device_too_many_is_logged(world: World) -> None:
    def fill(tx: Tx) -> None:
        for number in range(MOST_DEVICES):
            device_tokens.open_device(
                tx,
                user_id=ALICE,
                device_id=f"D{number}",
                display_name=None,
                seen_from="",
                network="",
                user_agent="",
                tokens=device_tokens.Tokens(b"%d" % number),
                now=1,
            )

    world.run(world.server.context.database.write(fill))
    assert log_in(world, user="alice", password=PASSWORD) == [line("too many devices")]


@pytest.mark.parametrize(
    "who",
    [
        {"user": "secret name"},
        {"user": "@sec.ret@example.com:example.org"},
        {"medium": "email", "address": "secret@example.com"},
        {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "07400 123456"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "secret", "address": "secret"}},
    ],
)
def test_nothing_that_was_typed_is_in_the_log(world: World, who: dict[str, Any]) -> None:
    logs = log_in(world, password="secret password", **who)
    assert [one["cause"] for one in logs] == ["no such account"]
    assert "secret" not in str(logs)
    assert "123456" not in str(logs)


def test_a_flood_writes_so_many_lines_in_a_minute_and_then_how_many_are_missing(world: World) -> None:
    noted = world.homeserver.logins._failed_logins

    def note(client: str) -> None:
        noted.note(by="password", cause="wrong password", client=client, user_id=ALICE)

    world.clock.advance(MINUTE - world.clock.now() % MINUTE)
    with capture_logs() as logs:
        for _ in range(LINES_OF_NETWORK + 7):
            note("192.0.2.1")
        assert len(logs) == LINES_OF_NETWORK
        for number in range(500):
            note(f"198.51.100.{number % 250}")
        assert len(logs) == LINES
    with capture_logs() as logs:
        world.clock.advance(MINUTE)
        note("192.0.2.1")
    assert [one["event"] for one in logs] == ["failed_logins_not_logged", "login_failed"]
    assert logs[0]["count"] == LINES_OF_NETWORK + 7 + 500 - LINES
    with capture_logs() as logs:  # whichever way the clock jumps
        world.clock.advance(-10 * MINUTE)
        note("192.0.2.1")
    assert [one["event"] for one in logs] == ["login_failed"]
