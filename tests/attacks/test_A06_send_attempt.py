"""A06: a message goes out only for a send_attempt that is higher than any before."""

from functools import partial

import pytest

from world import World

PATH = "/_matrix/identity/v2/validate/email/requestToken"


def body(attempt: object, **more: object) -> dict[str, object]:
    return {"client_secret": "secret", "email": "alice@example.com", "send_attempt": attempt, **more}


def test_six_attempts_of_which_three_are_new_send_three_mails(world: World) -> None:
    identity = world.identity_token(world.register())
    sids = {world.request_token(identity, attempt=attempt) for attempt in (1, 1, 1, 2, 1, 3)}
    assert len(sids) == 1
    assert len(world.mails()) == 3


def test_equal_attempts_at_the_same_time_send_one_mail(world: World) -> None:
    identity = world.identity_token(world.register())
    answers = world.together(*(lambda: world.acall("POST", PATH, body(1), token=identity) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["sid"] for answer in answers}) == 1
    assert len(world.mails()) == 1


def test_rising_attempts_at_the_same_time_are_one_session_whose_every_mail_is_right(world: World) -> None:
    """On PostgreSQL, they share a transaction."""
    identity = world.identity_token(world.register())
    bodies = [body(attempt) for attempt in (1, 3, 2, *range(4, 21), 20)]
    answers = world.together(*(partial(world.acall, "POST", PATH, one, token=identity) for one in bodies))
    assert {answer.status_code for answer in answers} == {200}
    (sid,) = {answer.json()["sid"] for answer in answers}
    mails = world.mails()
    assert 1 <= len(mails) <= 20
    assert len({mail.link for mail in mails}) == len(mails)
    assert world.request_token(identity, attempt=20) == sid  # the highest one was counted
    assert len(world.mails()) == len(mails)
    assert {world.get(mail.link).status_code for mail in mails} == {200}
    for mail in mails:
        proof = {"sid": sid, "client_secret": "secret", "token": mail.code}
        answer = world.post("/_matrix/identity/v2/validate/email/submitToken", proof, token=identity)
        assert answer.json() == {"success": True}


def test_attempt_zero_sends_the_first_mail(world: World) -> None:
    identity = world.identity_token(world.register())
    world.request_token(identity, attempt=0)
    assert len(world.mails()) == 1


def test_spellings_of_one_address_are_one_session(world: World) -> None:
    identity = world.identity_token(world.register())
    sids = {world.request_token(identity, spelling) for spelling in ("alice@example.com", "ALICE@EXAMPLE.COM")}
    assert len(sids) == 1
    assert [mail.recipient for mail in world.mails()] == ["alice@example.com"]


@pytest.mark.parametrize(
    "attempt",
    ["true", '"one"', '"1.0"', '"-1"', '""', "1.0", "-1", "1e9", "9" * 400, "null", "[1]", "9007199254740993"],
)
def test_an_attempt_that_is_no_number_of_its_range_is_refused(world: World, attempt: str) -> None:
    identity = world.identity_token(world.register())
    text = f'{{"client_secret": "secret", "email": "alice@example.com", "send_attempt": {attempt}}}'
    answer = world.post(PATH, text, token=identity)
    assert answer.status_code == 400
    assert answer.json()["errcode"] in {"M_BAD_JSON", "M_INVALID_PARAM"}
    assert world.mails() == []


def test_identity_servers_take_the_number_as_text_as_matrix_js_sdk_sends_it(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    body = {"client_secret": "secret", "email": "alice@example.com", "send_attempt": "1"}
    first = world.post(PATH, body, token=identity)
    again = world.post(PATH, {**body, "send_attempt": 1}, token=identity)
    assert first.json() == again.json()
    assert len(world.mails()) == 1
    homeserver = world.post("/_matrix/client/v3/account/3pid/email/requestToken", body, token=token)
    assert (homeserver.status_code, homeserver.json()["errcode"]) == (400, "M_BAD_JSON")
