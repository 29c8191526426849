"""A84: a storm of reports, true, forged or broken, to the bounce address."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bounce_reports import mail_to, notification, suppressed, world_with_reports
from threepid.domain.bounces.intake import Outcome
from world import World


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        yield world


def test_forged_reports_cost_no_transaction(world: World) -> None:
    bounces = world.server.services.bounces
    forged = notification(f"bounces+{'a' * 29}.{'b' * 16}@example.org")
    before = world.database.writes
    for raw in (forged, b"junk", b"\0" * 1000):
        assert [world.run(bounces.take(raw)) is Outcome.COUNTED for _ in range(50)] == [False] * 50
    assert world.database.writes == before


def test_one_report_a_hundred_times_at_once_is_one(world: World) -> None:
    bounces = world.server.services.bounces
    raw = notification(mail_to(world))
    outcomes = world.together(*[lambda: bounces.take(raw)] * 100)
    assert outcomes.count(Outcome.COUNTED) == 1
    (found,) = suppressed(world)
    assert found.first_at == found.latest_at


def test_requests_are_answered_in_a_storm(world: World) -> None:
    bounces = world.server.services.bounces
    senders = [mail_to(world, f"p{number}@example.com", number=number) for number in range(1, 21)]
    storm = [lambda sender=sender: bounces.take(notification(sender)) for sender in senders]
    outcomes = world.together(*storm, lambda: world.acall("GET", "/_matrix/client/versions"))
    assert outcomes[:-1] == [Outcome.COUNTED] * 20
    assert outcomes[-1].status_code == 200  # type: ignore[attr-defined]
    assert len(suppressed(world)) == 20
