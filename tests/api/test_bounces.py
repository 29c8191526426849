"""The endpoint that takes reports."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bounce_reports import SECRET, complaint, mail_to, notification, send, suppressed, world_with_reports
from threepid.config import ConfigError
from threepid.domain.bounces.intake import MOST_BYTES, Bounces
from world import World

PATH = "/_threepid/bounces"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        yield world


def test_it_does_not_exist_unless_it_is_configured(database_url: str, tmp_path: Path) -> None:
    with world_with_reports(database_url, tmp_path, email__bounce_secret_file=None) as world:
        assert world.call("POST", PATH, b"x", token=SECRET).status_code == 404


def test_the_answer_is_the_same_whatever_the_mail_is(world: World) -> None:
    for raw in (notification(mail_to(world)), notification("x"), complaint(), b"junk", b"", b"\xff\0"):
        send(world, raw)
    assert len(suppressed(world)) == 1


@pytest.mark.parametrize(
    "content_type", ["message/rfc822", "application/json", "application/x-www-form-urlencoded", "text/plain"]
)
def test_the_body_is_a_mail_whatever_it_is_called(world: World, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    assert world.call("POST", PATH, notification(mail_to(world)), token=SECRET, headers=headers).status_code == 200
    assert len(suppressed(world)) == 1


def test_a_caller_without_the_secret_is_refused(world: World) -> None:
    raw = notification(mail_to(world))
    for token in (None, "", "x", SECRET + "x", SECRET[:-1], SECRET.upper()):
        answer = world.call("POST", PATH, raw, token=token)
        assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNAUTHORIZED")
    assert world.call("POST", f"{PATH}?access_token={SECRET.replace(' ', '%20')}", raw).status_code == 401
    assert suppressed(world) == []


def test_a_mail_that_is_too_long_is_refused(world: World) -> None:
    assert world.call("POST", PATH, b"x" * MOST_BYTES, token=SECRET).status_code == 200
    answer = world.call("POST", PATH, b"x" * (MOST_BYTES + 1), token=SECRET)
    assert (answer.status_code, answer.json()["errcode"]) == (413, "M_TOO_LARGE")


def test_a_storm_meets_its_limit_and_the_rest_comes_later(database_url: str, tmp_path: Path) -> None:
    limits = {"limits__all": "on", "limits__bounces_from_client": {"burst": 5, "per_hour": 60}}
    with world_with_reports(database_url, tmp_path, **limits) as world:
        raw = notification(mail_to(world))
        for _ in range(5):
            send(world, b"junk")
        answer = world.call("POST", PATH, raw, token=SECRET)
        assert answer.status_code == 429
        assert suppressed(world) == []
        world.clock.advance(answer.json()["retry_after_ms"])
        send(world, raw)
        assert len(suppressed(world)) == 1


def test_a_short_secret_is_refused_at_the_start(world: World, tmp_path: Path) -> None:
    (tmp_path / "hook.secret").write_text("fifteen letters")
    with pytest.raises(ConfigError, match="at least 16"):
        Bounces(world.server.context)
