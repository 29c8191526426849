"""Envelope senders: they name a mail, and nobody else can make one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bounce_reports import world_with_reports
from threepid.domain.bounces.envelope import Envelope
from threepid.domain.secrets.vault import Vault
from world import SeededEntropy, World

JOB = "AAGh7YsAUgAAAAAAabcdefgh"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        yield world


@pytest.fixture
def envelope(world: World) -> Envelope:
    return world.server.services.bounces.envelope


def test_a_sender_names_its_job_in_any_case_and_place(envelope: Envelope) -> None:
    sender = envelope.sender(JOB)
    local, _, domain = sender.partition("@")
    assert (local[:8], domain) == ("bounces+", "example.org")
    assert len(local) <= 64
    for text in (
        sender,
        f"<{sender.upper()}>",
        f"SRS0=ab=cd=example.org={local}@forwarder.example",
        f"x y {sender}, z",
    ):
        assert envelope.job_of([text]) == JOB


def test_the_longest_local_part_leaves_room_for_the_signature(database_url: str, tmp_path: Path) -> None:
    with world_with_reports(database_url, tmp_path, email__bounce_address=f"{'b' * 17}@example.org") as world:
        sender = world.server.services.bounces.envelope.sender(JOB)
        assert len(sender.partition("@")[0]) == 64


def test_the_signature_of_another_job_or_server_is_worth_nothing(envelope: Envelope, world: World) -> None:
    other = envelope.sender("AAGh7YsAUgAAAAAAabcdefgg")
    mixed = envelope.sender(JOB).partition(".")[0] + other[other.index(".") :]
    assert envelope.job_of([mixed]) is None
    import msgspec

    foreign = msgspec.structs.replace(
        world.server.context, vault=Vault(b"another secret of 32 bytes or so", SeededEntropy())
    )
    assert envelope.job_of([Envelope(foreign).sender(JOB)]) is None


def test_a_changed_or_shortened_signature_is_worth_nothing(envelope: Envelope) -> None:
    sender = envelope.sender(JOB)
    start = sender.index("+") + 1
    for place in range(start, sender.index("@")):
        for letter in "a7":
            if sender[place] not in (letter, "."):
                assert envelope.job_of([sender[:place] + letter + sender[place + 1 :]]) is None, place
    assert envelope.job_of([sender.replace("@", "a@")]) is None
    assert envelope.job_of(["bounces@example.org", "bounces+@example.org", "bounces+a.b@example.org", ""]) is None


def test_only_so_many_addresses_are_looked_at(envelope: Envelope) -> None:
    forged = envelope.sender(JOB).replace("+", "+a", 1).replace("a", "b")
    forged = f"bounces+{'a' * 29}.{'a' * 16}@example.org"
    assert envelope.job_of([", ".join([forged] * 5 + [envelope.sender(JOB)])]) == JOB
    assert envelope.job_of([", ".join([forged] * 500 + [envelope.sender(JOB)])]) is None


def test_a_job_that_is_none_of_ours_has_no_signature(envelope: Envelope) -> None:
    for job_id in ("order1", "confirm_address", "", "AAGh7YsAUgAAAAAAabcdefg=", "é" * 24, JOB + "\n"):
        assert envelope.sender(job_id) == "bounces@example.org"


def test_without_a_bounce_address_nothing_is_signed(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        envelope = world.server.services.bounces.envelope
        assert envelope.sender(JOB) == ""
        assert envelope.job_of([f"+{'a' * 29}.{'a' * 16}"]) is None
