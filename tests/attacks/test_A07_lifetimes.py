"""A07: a code lives 10 minutes, a link an hour, a session 24 hours from its beginning; nothing makes them longer."""

import pytest

from world import World

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
SUBMIT = "/_matrix/identity/v2/validate/email/submitToken"


@pytest.fixture
def identity(world: World) -> str:
    return world.identity_token(world.register())


def submit(world: World, identity: str, sid: str, token: str) -> str:
    answer = world.post(SUBMIT, {"sid": sid, "client_secret": "secret", "token": token}, token=identity)
    return "right" if answer.status_code == 200 else str(answer.json()["errcode"])


@pytest.mark.parametrize(
    ("later", "verdict"), [(10 * MINUTE - SECOND, "right"), (10 * MINUTE + SECOND, "M_SESSION_EXPIRED")]
)
def test_a_code_lives_ten_minutes(world: World, identity: str, later: int, verdict: str) -> None:
    sid = world.request_token(identity)
    code = world.mail().code
    world.clock.advance(later)
    assert submit(world, identity, sid, code) == verdict


@pytest.mark.parametrize(("later", "status"), [(HOUR - SECOND, 200), (HOUR + SECOND, 404)])
def test_a_link_lives_an_hour(world: World, identity: str, later: int, status: int) -> None:
    world.request_token(identity)
    link = world.mail().link
    world.clock.advance(later)
    assert world.post(link).status_code == status


@pytest.mark.parametrize(("later", "status"), [(24 * HOUR - SECOND, 200), (24 * HOUR + SECOND, 403)])
def test_a_validated_session_lives_24_hours_from_its_beginning(
    world: World, identity: str, later: int, status: int
) -> None:
    token = world.register("bob")
    sid = world.validated(world.identity_token(token, "bob"))
    world.clock.advance(later)
    assert world.add(token, sid).status_code == status


def test_an_expired_session_says_so(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    code = world.mail().code
    world.clock.advance(24 * HOUR + SECOND)
    assert submit(world, identity, sid, code) == "M_SESSION_EXPIRED"
    answer = world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=identity)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_SESSION_EXPIRED")


def test_asking_again_every_hour_makes_neither_the_first_code_nor_the_session_older(
    world: World, identity: str
) -> None:
    sid = world.request_token(identity)
    first = world.mail()
    sids = []
    for attempt in range(2, 32):
        world.clock.advance(HOUR)
        sids.append(world.request_token(identity, attempt=attempt))
    assert sids[22] == sid
    assert sids[23] != sid  # 24 hours after the first
    assert submit(world, identity, sid, first.code) == "M_SESSION_EXPIRED"
    assert world.post(first.link).status_code == 404


def test_an_older_mail_of_the_same_session_still_works_while_it_lives(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    first = world.mail()
    world.clock.advance(MINUTE)
    world.request_token(identity, attempt=2)
    assert world.mail().code != first.code
    assert submit(world, identity, sid, first.code) == "right"


def test_a_validated_reset_session_lives_15_minutes(world: World) -> None:
    from threepid.domain.addresses import parse_email
    from threepid.domain.validation.purposes import Consumer, Purpose
    from threepid.spec.errors import SessionExpired

    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    validation = world.server.services.validation
    sid = world.run(
        validation.request_token(
            Purpose.RESET, parse_email("alice@example.com"), client_secret="s", send_attempt=1, next_link=None
        )
    )
    world.clock.advance(1)
    world.run(validation.submit_token(sid, "s", world.mail().code))
    read = world.server.context.database.read
    world.clock.advance(15 * MINUTE - SECOND)
    assert world.run(read(lambda tx: validation.check(tx, sid, "s", Consumer.RESET_STAGE, ""))).sid == sid
    world.clock.advance(2 * SECOND)
    with pytest.raises(SessionExpired):
        world.run(read(lambda tx: validation.check(tx, sid, "s", Consumer.RESET_STAGE, "")))


def test_expired_sessions_are_forgotten(world: World, identity: str) -> None:
    from threepid import background

    sid = world.request_token(identity)
    world.clock.advance(49 * HOUR)
    assert world.run(background.run_once(world.server.context)) >= 1
    answer = world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?sid={sid}&client_secret=secret", token=identity)
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NO_VALID_SESSION")
