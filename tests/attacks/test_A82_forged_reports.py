"""A82: somebody forges reports, so that another person gets no notices any more."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bounce_reports import (
    BOB,
    block,
    complaint,
    jobs_to,
    mail_to,
    notification,
    send,
    sender_of,
    suppressed,
    world_with_reports,
)
from operators import root
from threepid import background
from threepid.clock import DAY, MINUTE
from threepid.domain.addresses import parse_email
from world import World

MALLORY = "mallory@example.net"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        yield world


def test_a_report_to_an_address_without_our_signature_is_nothing(world: World) -> None:
    sender = mail_to(world)
    row, mac = sender.removeprefix("bounces+").removesuffix("@example.org").split(".")
    other = mail_to(world, MALLORY, number=2).partition(".")[2].partition("@")[0]
    for local in (
        "bounces",
        f"bounces+{row}",
        f"bounces+{row}.",
        f"bounces+{row}.{'a' * 16}",
        f"bounces+{row}.{mac[:-1]}",
        f"bounces+{row}.{mac}a",
        f"bounces+{row}.{other}",
        f"bounces+{jobs_to(world)[0].id}",
        f"bounces+{jobs_to(world)[0].id}.{mac}",
    ):
        for header in ("To", "Delivered-To", "X-Original-To"):
            send(world, notification(f"{local}@example.org", header=header))
        send(world, complaint(f"{local}@example.org", return_path=f"{local}@example.org"))
    assert suppressed(world) == []
    send(world, notification(sender))
    assert [found.canonical for found in suppressed(world)] == [BOB]


def test_a_report_is_about_the_recipient_of_the_mail_whatever_it_says(world: World) -> None:
    """Whoever got a mail can read its envelope sender there, and report this one mail."""
    mail_to(world)
    own = mail_to(world, MALLORY, number=2)
    blocks = f"Original-Recipient: rfc822; {BOB}\n{block(recipient=BOB)}"
    send(world, notification(own, blocks, original=f"To: {BOB}\nDelivered-To: {BOB}\n\n"))
    send(world, notification(f"{BOB}, {own}", block(recipient=BOB)))
    send(world, complaint(own).replace(b"Version: 1", f"Version: 1\nOriginal-Rcpt-To: {BOB}".encode()))
    assert [found.canonical for found in suppressed(world)] == [MALLORY]


def test_a_signature_in_the_text_of_a_report_is_no_address(world: World) -> None:
    sender = mail_to(world)
    send(world, notification("bounces@example.org", block() + f"X: {sender}\n", original=f"To: {sender}\n\n{sender}\n"))
    assert suppressed(world) == []


def test_several_addresses_in_one_report_are_one_mail(world: World) -> None:
    senders = [mail_to(world, f"p{number}@example.com", number=number) for number in range(1, 5)]
    send(world, notification(", ".join(senders), *[block()] * 4))
    assert [found.canonical for found in suppressed(world)] == ["p1@example.com"]


def test_a_report_counts_once(world: World) -> None:
    sender = mail_to(world)
    send(world, notification(sender))
    world.run(world.server.services.operations.remove_suppression(parse_email(BOB), root(world)))
    world.clock.advance(DAY)
    send(world, notification(sender))
    send(world, complaint(sender))
    assert suppressed(world) == []


def test_the_report_of_a_mail_that_is_long_gone_is_nothing(world: World) -> None:
    sender = mail_to(world)
    world.clock.advance(31 * DAY)
    world.run(background.run_once(world.server.context))  # deletes what is done for a month
    assert jobs_to(world) == []
    send(world, notification(sender))
    assert suppressed(world) == []


def test_a_mail_that_was_not_sent_cannot_come_back(world: World) -> None:
    body = {"client_secret": "s", "email": BOB, "send_attempt": 1}
    world.post("/_matrix/client/v3/register/email/requestToken", body)
    (job,) = jobs_to(world)
    send(world, notification(sender_of(world, job.id)))
    assert suppressed(world) == []


def test_a_report_about_an_sms_or_a_call_is_nothing(database_url: str, tmp_path: Path) -> None:
    with world_with_reports(database_url, tmp_path, sms__countries=["GB"]) as world:
        token = world.identity_token(world.register())
        body = {"client_secret": "s", "phone_number": "+447400123456", "country": "GB", "send_attempt": 1}
        world.post("/_matrix/identity/v2/validate/msisdn/requestToken", body, token=token)
        world.texts()
        (job,) = jobs_to(world, "+447400123456")
        assert job.attempts == 1
        send(world, notification(sender_of(world, job.id)))
        assert suppressed(world) == []


def test_the_owner_of_an_address_has_the_last_word(world: World) -> None:
    """A report, even a true one, holds a code back for a day at most, and the code ends it."""
    send(world, notification(mail_to(world)))
    world.clock.advance(DAY)
    mail_to(world, number=2)
    world.clock.advance(MINUTE)
    assert world.post(world.mail().link).status_code == 200
    assert suppressed(world) == []
