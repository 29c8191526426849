"""What a report does: the address gets no notices, and codes only after a day, until somebody proves it."""

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
from threepid.clock import DAY, HOUR, MINUTE
from threepid.domain.addresses import parse_email
from threepid.domain.bounces.intake import Outcome
from threepid.spec.errors import NotFound
from web.portal_browser import Browser
from world import PASSWORD, World

C = "/_matrix/client/v3"


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with world_with_reports(database_url, tmp_path) as world:
        yield world


def take(world: World, raw: bytes) -> Outcome:
    return world.run(world.server.services.bounces.take(raw))


def with_contact(world: World, address: str = BOB) -> str:
    """The access token of an account that has this contact and another one."""
    token = world.register()
    identity = world.identity_token(token)
    for number, contact in enumerate((address, "other@example.com")):
        world.add(token, world.validated(identity, contact, secret=f"s{number}"), secret=f"s{number}")
        world.clock.advance(1)
    world.mails()
    return token


def change_password(world: World, token: str, password: str = "another good one", old: str = PASSWORD) -> None:
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": old}
    body = {"new_password": password, "logout_devices": False, "auth": auth}
    assert world.post(f"{C}/account/password", body, token=token).status_code == 200


def bounced(world: World, address: str = BOB) -> None:
    """The newest mail to the address comes back."""
    assert take(world, notification(sender_of(world, jobs_to(world, address)[-1].id))) is Outcome.COUNTED


def told(world: World, since: int) -> list[str]:
    return sorted(mail.recipient for mail in world.mails()[since:])


def test_a_bounce_is_recorded_with_its_mail(world: World) -> None:
    sender = mail_to(world, "Bob@example.com")
    world.clock.advance(MINUTE)
    send(world, notification(sender, block("5.1.1")))
    (found,) = suppressed(world)
    (job,) = jobs_to(world, "Bob@example.com")
    assert (found.canonical, found.kind, found.status, found.message_id) == (BOB, "bounce", "5.1.1", job.id)
    assert found.first_at == found.latest_at == world.clock.now()
    assert (job.returned_at, job.returned_status) == (world.clock.now(), "5.1.1")


def test_a_complaint_is_recorded_like_it(world: World) -> None:
    send(world, complaint(mail_to(world)))
    (found,) = suppressed(world)
    assert (found.canonical, found.kind, found.status) == (BOB, "complaint", "abuse")


def test_a_soft_bounce_is_not(world: World) -> None:
    sender = mail_to(world)
    for status, action in (("4.2.2", "delayed"), ("4.4.1", "failed"), ("5.7.1", "failed"), ("5.2.2", "failed")):
        assert take(world, notification(sender, block(status, action))) is Outcome.IGNORED
    assert suppressed(world) == []
    assert take(world, notification(sender)) is Outcome.COUNTED  # the same mail, given up in the end


def test_notices_go_to_the_other_contacts_only(world: World) -> None:
    token = with_contact(world)
    before = len(world.mails())
    change_password(world, token)
    assert told(world, before) == [BOB, "other@example.com"]
    bounced(world)
    before = len(world.mails())
    world.clock.advance(30 * DAY)
    change_password(world, token, "a third good one", "another good one")
    assert told(world, before) == ["other@example.com"]
    held = jobs_to(world)[-1]
    assert (held.failed_at, held.attempts, held.turn) == (world.clock.now(), 0, None)
    assert held.last_error == "not sent: earlier mails to this address came back, or were reported as spam"


def test_invitations_are_not_sent_either(world: World) -> None:
    mail_to(world)
    bounced(world)
    world.clock.advance(2 * DAY)
    before = len(world.mails())
    token = world.identity_token(world.register())
    invitation = {"medium": "email", "address": BOB, "room_id": "!r:example.org", "sender": "@alice:example.org"}
    answer = world.post("/_matrix/identity/v2/store-invite", invitation, token=token)
    assert answer.status_code == 200
    assert told(world, before) == []


def test_codes_are_sent_again_after_a_day_from_the_latest_report(world: World) -> None:
    mail_to(world)
    bounced(world)
    first_at = world.clock.now()
    for hours, arrives in ((0, False), (23, False), (1, True)):
        world.clock.advance(hours * HOUR)
        before = len(world.mails())
        mail_to(world, number=10 + hours)
        assert told(world, before) == ([BOB] if arrives else []), hours
    world.clock.advance(MINUTE)
    bounced(world)
    (found,) = suppressed(world)
    assert (found.first_at, found.latest_at) == (first_at, world.clock.now())
    world.clock.advance(23 * HOUR)
    before = len(world.mails())
    mail_to(world, number=50)
    assert told(world, before) == []


def test_a_typed_code_ends_it(world: World) -> None:
    token = with_contact(world)
    change_password(world, token)
    world.mails()
    bounced(world)
    world.clock.advance(DAY)
    identity = world.identity_token(token)
    sid = world.request_token(identity, BOB, secret="again")
    assert len(suppressed(world)) == 1
    body = {"sid": sid, "client_secret": "again", "token": "000000"}
    world.post("/_matrix/identity/v2/validate/email/submitToken", body, token=identity)
    assert len(suppressed(world)) == 1
    body["token"] = world.mail().code
    assert world.post("/_matrix/identity/v2/validate/email/submitToken", body, token=identity).json()["success"]
    assert suppressed(world) == []
    before = len(world.mails())
    change_password(world, token, "a third good one", "another good one")
    assert told(world, before) == [BOB, "other@example.com"]


def test_an_opened_link_ends_it(world: World) -> None:
    mail_to(world)
    bounced(world)
    world.clock.advance(DAY)
    mail_to(world, number=2)
    link = world.mail().link
    world.get(link)
    assert len(suppressed(world)) == 1
    assert world.post(link).status_code == 200
    assert suppressed(world) == []


def test_a_password_chosen_by_a_mailed_link_ends_it(world: World) -> None:
    token = with_contact(world)
    change_password(world, token)
    world.mails()
    bounced(world)
    world.clock.advance(DAY)
    browser = Browser(world)
    browser.follow("Forgotten your password?")
    browser.press("Send me a code", address=BOB)
    assert world.mail().recipient == BOB
    assert len(suppressed(world)) == 1
    Browser(world, world.mail().link).press("Save and sign in", password="a third good one")
    assert suppressed(world) == []


def test_a_late_report_about_a_mail_before_the_proof_does_not_count(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    world.request_token(identity, BOB, secret="first")
    world.mails()
    first = sender_of(world, jobs_to(world)[-1].id)
    world.clock.advance(MINUTE)
    world.add(token, world.validated(identity, BOB, secret="second"), secret="second")
    assert take(world, notification(first)) is Outcome.IGNORED
    world.clock.advance(DAY)
    change_password(world, token)
    world.mails()
    assert take(world, notification(first)) is Outcome.IGNORED
    bounced(world)


def test_a_complaint_counts_after_a_proof(world: World) -> None:
    """Its sender has the mailbox, and does not want the mails."""
    token = world.register()
    world.validated(world.identity_token(token), BOB)
    assert take(world, complaint(sender_of(world, jobs_to(world)[-1].id))) is Outcome.COUNTED


def test_operators_list_and_remove(world: World) -> None:
    for number, address in enumerate((BOB, "anna@example.com"), 1):
        mail_to(world, address, number=number)
        bounced(world, address)
    assert [found.canonical for found in suppressed(world)] == ["anna@example.com", BOB]
    service = world.server.services.operations
    world.run(service.remove_suppression(parse_email("BOB@example.com"), root(world)))
    with pytest.raises(NotFound):
        world.run(service.remove_suppression(parse_email(BOB), root(world)))
    assert [found.canonical for found in suppressed(world)] == ["anna@example.com"]


def test_other_mails_are_said_to_be_none_of_ours(world: World) -> None:
    assert take(world, b"Subject: out of office\n\nI am away.\n") is Outcome.NO_REPORT


def test_what_was_recorded_has_no_effect_while_reports_are_off(world: World) -> None:
    token = with_contact(world)
    change_password(world, token)
    world.mails()
    bounced(world)
    with world.again(email__bounce_address=None, email__bounce_secret_file=None) as off:
        before = len(off.mails())
        change_password(off, token, "a third good one", "another good one")
        assert told(off, before) == [BOB, "other@example.com"]


def test_the_recipient_may_be_known_from_elsewhere(world: World) -> None:
    sender = mail_to(world)
    work = world.server.services.bounces.take(notification("undisclosed-recipients:;"), sent_to=sender)
    assert world.run(work) is Outcome.COUNTED


def test_codes_are_not_held_back_longer_by_a_clock_that_was_ahead(world: World) -> None:
    mail_to(world)
    world.clock.advance(20 * DAY)
    bounced(world)
    world.clock.advance(-20 * DAY)
    before = len(world.mails())
    mail_to(world, number=2)
    assert told(world, before) == [BOB]
