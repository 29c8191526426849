"""The other contacts of an account are told what happens to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from threepid.clock import HOUR, MINUTE, SECOND
from threepid.storage import outbox, preferences
from web.portal_browser import Browser
from world import PASSWORD, World

C = "/_matrix/client/v3"
HERE = "matrix.example.org"
STAGE = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}


def with_two(world: World) -> str:
    alice = world.register()
    identity = world.identity_token(alice)
    for number, address in enumerate(("one@example.com", "Two@example.com")):
        world.add(alice, world.validated(identity, address, secret=f"s{number}"), secret=f"s{number}")
        world.clock.advance(1)
    return alice


def log_in(world: World, **more: Any) -> dict[str, Any]:
    """Log a device of Alice in."""
    body = {**STAGE, "refresh_token": True, **more}
    answer = world.post(f"{C}/login", body, headers={"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def told(world: World, before: int) -> list[str]:
    """The subjects of the mails since then, to whichever contact."""
    return sorted({str(mail.message["Subject"]) for mail in world.mails()[before:]})


def notices(world: World, before: int) -> list[tuple[str, str]]:
    return sorted((mail.recipient, str(mail.message["Subject"])) for mail in world.mails()[before:])


def test_a_new_contact_is_told_to_the_others(world: World) -> None:
    with_two(world)
    told = [mail for mail in world.mails() if "***" in mail.text]
    assert [mail.recipient for mail in told] == ["one@example.com"]
    assert "@alice:example.org" in told[0].text
    assert "T***@example.com" in told[0].text
    assert "Two@example.com" not in told[0].text


@pytest.mark.parametrize("recovers", [True, False])
def test_only_a_contact_that_can_recover_the_account_is_told_as_one(
    database_url: str, tmp_path: Path, *, recovers: bool
) -> None:
    with World(database_url, tmp_path, accounts__recover_with=["email"] if recovers else []) as world:
        with_two(world)
        told = next(mail for mail in world.mails() if "***" in mail.text)
        assert "T***@example.com was added to the Matrix account @alice:example.org." in " ".join(told.text.split())
        assert ("can set a new password for this account" in told.text) == recovers
        html = told.message.get_body(("html",)).get_content()  # type: ignore[union-attr]
        assert ("can set a new password for this account" in html) == recovers
        assert "T***@example.com</span>" in html


def test_a_contact_that_is_proven_again_is_no_news(world: World) -> None:
    alice = with_two(world)
    before = len(world.mails())
    sid = world.validated(world.identity_token(alice), "one@example.com", secret="again")
    world.add(alice, sid, secret="again")
    assert [recipient for recipient, _ in notices(world, before)] == ["one@example.com"]  # the code alone


EVENTS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "contact_removed": (
        "account/3pid/delete",
        {"medium": "email", "address": "one@example.com"},
        ["Two@example.com"],
    ),
    "password_changed": (
        "account/password",
        {"new_password": "another password", "auth": STAGE},
        ["Two@example.com", "one@example.com"],
    ),
    "deactivated": ("account/deactivate", {"auth": STAGE}, ["Two@example.com", "one@example.com"]),
}


@pytest.mark.parametrize("event", EVENTS)
def test_what_changes_is_told(world: World, event: str) -> None:
    alice = with_two(world)
    path, body, recipients = EVENTS[event]
    before = len(world.mails())
    assert world.post(f"{C}/{path}", body, token=alice).status_code == 200
    assert [recipient for recipient, _ in notices(world, before)] == recipients


@pytest.mark.parametrize("event", EVENTS)
def test_what_fails_is_not_told(world: World, event: str) -> None:
    alice = with_two(world)
    path, body, _ = EVENTS[event]
    before = len(world.mails())
    spoilt = {**body, "auth": {**STAGE, "password": "wrong"}} if "auth" in body else {**body, "address": "x@y.example"}
    world.post(f"{C}/{path}", spoilt, token=alice)
    assert notices(world, before) == []


@pytest.mark.parametrize("event", EVENTS)
def test_each_can_be_switched_off(database_url: str, tmp_path: Path, event: str) -> None:
    others = [notice for notice in ("contact_added", *EVENTS) if notice != event]
    with World(database_url, tmp_path, accounts__notices=others) as world:
        alice = with_two(world)
        path, body, _ = EVENTS[event]
        before = len(world.mails())
        assert world.post(f"{C}/{path}", body, token=alice).status_code == 200
        assert notices(world, before) == []


def test_a_contact_is_not_flooded_with_them(database_url: str, tmp_path: Path) -> None:
    limit = {"burst": 2, "per_hour": 1}
    with World(database_url, tmp_path, limits={"all": "on", "notice_to_address": limit}) as world:
        alice = world.register()
        world.add(alice, world.validated(world.identity_token(alice)))
        world.clock.advance(1)
        before = len(world.mails())
        for number in range(5):
            word = PASSWORD if number == 0 else f"password number {number - 1}"
            body = {"new_password": f"password number {number}", "auth": {**STAGE, "password": word}}
            assert world.post(f"{C}/account/password", body, token=alice).status_code == 200
        assert len(world.mails()) - before == 2


# -- one job for all contacts


def waiting(world: World) -> list[tuple[str, str, str]]:
    jobs = world.run(world.database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=99)))
    return sorted((job.channel, job.template, job.recipient) for job in jobs)


def change_password(world: World, token: str) -> None:
    body = {"new_password": "another password", "auth": STAGE}
    assert world.post(f"{C}/account/password", body, token=token).status_code == 200


def claimed(world: World) -> outbox.ClaimedJob:
    """The only waiting job, as a worker gets it: with its parameters readable."""
    database, vault, now = world.database, world.server.context.vault, world.clock.now()
    (found,) = world.run(database.read(lambda tx: outbox.listed(tx, failed=False, after=None, count=9)))
    (job,) = world.run(database.write(lambda tx: outbox.claim(tx, [found.id], worker="another", now=now)))
    return replace(job, params=vault.unseal_job(job.params))


def test_a_change_queues_one_job_that_becomes_a_message_to_each_contact(world: World) -> None:
    alice = with_two(world)
    before = len(world.mails())
    sent = world.server.worker.sent
    change_password(world, alice)
    assert waiting(world) == [("notice", "password_changed", "@alice:example.org")]
    assert len(world.mails()) == before + 2
    # The job itself reached nobody, and nothing of it is left.
    assert world.server.worker.sent == sent + 2
    assert waiting(world) == []


def test_a_job_that_two_workers_spread_becomes_one_message_to_each_contact(world: World) -> None:
    alice = with_two(world)
    before = len(world.mails())
    change_password(world, alice)
    job, spread = claimed(world), world.homeserver.notices.spread
    world.run(spread(job))
    world.run(spread(job))
    messages = [("email", "password_changed", address) for address in ("Two@example.com", "one@example.com")]
    assert waiting(world) == messages
    assert len(world.mails()) == before + 2


def test_a_contact_that_is_removed_before_the_delivery_has_time_is_told_all_the_same(world: World) -> None:
    alice = with_two(world)
    before = len(world.mails())
    change_password(world, alice)
    body = {"medium": "email", "address": "one@example.com"}
    assert world.post(f"{C}/account/3pid/delete", body, token=alice).status_code == 200
    assert ("one@example.com", "The password of @alice:example.org was changed") in notices(world, before)


# -- a sign-in


def test_a_new_sign_in_is_told_with_time_network_and_app(world: World) -> None:
    with_two(world)
    world.clock.advance(HOUR)
    before = len(world.mails())
    log_in(world)
    subject = "New sign-in to @alice:example.org"
    assert notices(world, before) == [("Two@example.com", subject), ("one@example.com", subject)]
    text = " ".join(world.mail().text.split())
    assert "somebody signed in to the Matrix account @alice:example.org with Firefox on Linux." in text
    assert "2027" in text
    assert "Network address: 127.0.0.1." in text


def test_a_browser_that_signs_in_is_told(world: World) -> None:
    with_two(world)
    world.clock.advance(HOUR)
    before = len(world.mails())
    Browser(world).sign_in()
    assert told(world, before) == ["New sign-in to @alice:example.org"]


def test_a_sign_in_by_a_login_token_is_told(world: World) -> None:
    alice = with_two(world)
    world.clock.advance(HOUR)
    path = "/_matrix/client/v1/login/get_token"
    token = world.post(path, {"auth": STAGE}, token=alice).json()["login_token"]
    before = len(world.mails())
    assert world.post(f"{C}/login", {"type": "m.login.token", "token": token}).status_code == 200
    assert told(world, before) == ["New sign-in to @alice:example.org"]


def test_the_first_sign_ins_of_a_new_account_are_no_news(world: World) -> None:
    with_two(world)
    world.clock.advance(9 * MINUTE)
    before = len(world.mails())
    log_in(world)
    assert told(world, before) == []


def test_a_device_that_goes_on_or_is_refused_is_no_news(world: World) -> None:
    with_two(world)
    world.clock.advance(HOUR)
    tokens = log_in(world)
    before = len(world.mails())
    for _ in range(3):
        tokens = world.post(f"{C}/refresh", {"refresh_token": tokens["refresh_token"]}).json()
        assert world.get(f"{C}/account/whoami", token=tokens["access_token"]).status_code == 200
    assert world.post(f"{C}/login", {**STAGE, "password": "wrong"}).status_code == 403
    assert told(world, before) == []


def test_a_device_whose_id_a_thief_repeats_is_told(world: World) -> None:
    with_two(world)
    world.clock.advance(HOUR)
    device_id = log_in(world)["device_id"]
    before = len(world.mails())
    log_in(world, device_id=device_id)
    assert told(world, before) == ["New sign-in to @alice:example.org"]


def test_a_refresh_token_that_is_reused_is_told_whatever_is_muted(world: World) -> None:
    with_two(world)
    mute(world, "new_sign_in", "bound", "unbound", "suspicious")
    spent = log_in(world)["refresh_token"]
    tokens = world.post(f"{C}/refresh", {"refresh_token": spent}).json()
    assert world.get(f"{C}/account/whoami", token=tokens["access_token"]).status_code == 200
    world.clock.advance(31 * SECOND)
    before = len(world.mails())
    for _ in range(3):
        assert world.post(f"{C}/refresh", {"refresh_token": spent}).status_code == 401
    subject = "An app of @alice:example.org was signed out"
    assert notices(world, before) == [("Two@example.com", subject), ("one@example.com", subject)]
    assert world.get(f"{C}/account/whoami", token=tokens["access_token"]).status_code == 401


# -- what people find


def test_an_address_that_is_bound_and_unbound_is_told(world: World) -> None:
    alice = with_two(world)
    identity = world.identity_token(alice)
    for number in (1, 2):  # the second changes nothing
        sid = world.validated(identity, "one@example.com", secret=f"bind{number}")
        before = len(world.mails())
        body = {"sid": sid, "client_secret": f"bind{number}", "id_server": HERE, "id_access_token": identity}
        assert world.post(f"{C}/account/3pid/bind", body, token=alice).status_code == 200
        assert told(world, before) == (["People can find @alice:example.org"] if number == 1 else [])
        if number == 1:
            assert "People who know o***@example.com can now find" in " ".join(world.mail().text.split())
    before = len(world.mails())
    for id_server in (HERE, HERE, "elsewhere.example"):
        body = {"medium": "email", "address": "one@example.com", "id_server": id_server}
        assert world.post(f"{C}/account/3pid/unbind", body, token=alice).status_code == 200
    subject = "People can't find @alice:example.org any more"
    assert notices(world, before) == [("Two@example.com", subject), ("one@example.com", subject)]


def test_a_contact_that_is_removed_is_told_once(world: World) -> None:
    alice = world.register()
    identity = world.identity_token(alice)
    for number, address in enumerate(("one@example.com", "two@example.com")):
        world.add(alice, world.validated(identity, address, secret=f"s{number}"), secret=f"s{number}", bind=True)
        world.clock.advance(1)
    before = len(world.mails())
    body = {"medium": "email", "address": "one@example.com"}
    assert world.post(f"{C}/account/3pid/delete", body, token=alice).status_code == 200
    assert notices(world, before) == [("two@example.com", "A contact was removed from @alice:example.org")]


# -- what the owner does not want


def mute(world: World, *events: str) -> None:
    world.run(world.database.write(lambda tx: preferences.set_muted(tx, "@alice:example.org", events)))


def bind_and_unbind(world: World, alice: str) -> None:
    identity = world.identity_token(alice)
    sid = world.validated(identity, "one@example.com", secret="bind")
    world.post(
        f"{C}/account/3pid/bind",
        {"sid": sid, "client_secret": "bind", "id_server": HERE, "id_access_token": identity},
        token=alice,
    )
    body = {"medium": "email", "address": "one@example.com"}
    world.post(f"{C}/account/3pid/unbind", body, token=alice)


OPTIONAL: dict[str, tuple[Callable[[World, str], object], str]] = {
    "new_sign_in": (lambda world, _: log_in(world), "New sign-in to @alice:example.org"),
    "bound": (bind_and_unbind, "People can find @alice:example.org"),
    "unbound": (bind_and_unbind, "People can't find @alice:example.org any more"),
}


@pytest.mark.parametrize("event", OPTIONAL)
def test_what_the_owner_has_switched_off_is_not_told(world: World, event: str) -> None:
    alice = with_two(world)
    world.clock.advance(HOUR)
    act, subject = OPTIONAL[event]
    before = len(world.mails())
    act(world, alice)
    assert subject in told(world, before)
    mute(world, event)
    world.clock.advance(HOUR)
    before = len(world.mails())
    act(world, alice)
    assert subject not in told(world, before)


def test_many_sign_ins_leave_room_for_the_notice_of_a_new_password(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits={"all": "on", "notice_to_address": {"burst": 4, "per_hour": 1}}) as world:
        alice = world.register()
        world.add(alice, world.validated(world.identity_token(alice)))
        world.clock.advance(5 * HOUR)
        before = len(world.mails())
        for _ in range(5):
            log_in(world)
        assert len(world.mails()) == before + 2
        body = {"new_password": "another password", "auth": STAGE}
        assert world.post(f"{C}/account/password", body, token=alice).status_code == 200
        assert str(world.mail().message["Subject"]) == "The password of @alice:example.org was changed"
