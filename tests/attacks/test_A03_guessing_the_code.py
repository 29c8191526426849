"""A03: five wrong codes and a session is dead, however they come."""

import pytest

from threepid.domain.validation.lifetimes import ADDRESS_ATTEMPTS
from world import World

PATH = "/_matrix/identity/v2/validate/email/submitToken"


def wrong(code: str, step: int = 1) -> str:
    return str((int(code) + step) % 1_000_000).rjust(6, "0")


@pytest.fixture
def identity(world: World) -> str:
    return world.identity_token(world.register())


def submit(world: World, identity: str, sid: str, code: str) -> str:
    answer = world.post(PATH, {"sid": sid, "client_secret": "secret", "token": code}, token=identity)
    return "right" if answer.status_code == 200 else str(answer.json()["errcode"])


def test_after_five_wrong_codes_the_right_one_is_refused(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    mail = world.mail()
    for step in range(1, 6):
        assert submit(world, identity, sid, wrong(mail.code, step)) == "M_TOKEN_INCORRECT"
    assert submit(world, identity, sid, mail.code) == "M_SESSION_EXPIRED"
    assert world.post(mail.link).status_code == 404


def test_after_four_wrong_codes_the_right_one_is_taken(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    code = world.mail().code
    for step in range(1, 5):
        assert submit(world, identity, sid, wrong(code, step)) == "M_TOKEN_INCORRECT"
    assert submit(world, identity, sid, code) == "right"


def test_many_guesses_at_once_in_two_processes_are_counted(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    code = world.mail().code
    with world.again() as other:
        # Each world has a loop of its own: their guesses alternate, and within each they run together.
        found: list[str] = []
        for process in (world, other):
            body = {"sid": sid, "client_secret": "secret"}
            answers = process.together(
                *(
                    lambda process=process, step=step: process.acall(
                        "POST", PATH, {**body, "token": wrong(code, step)}, token=identity
                    )
                    for step in range(1, 51)
                )
            )
            found += [answer.json()["errcode"] for answer in answers]
    assert found.count("M_TOKEN_INCORRECT") == 5
    assert found.count("M_SESSION_EXPIRED") == 95


def test_asking_for_another_mail_gives_no_new_tries(world: World, identity: str) -> None:
    sid = world.request_token(identity)
    for attempt in range(2, 7):
        assert submit(world, identity, sid, wrong(world.mail().code)) == "M_TOKEN_INCORRECT"
        again = world.post(
            "/_matrix/identity/v2/validate/email/requestToken",
            {"client_secret": "secret", "email": "alice@example.com", "send_attempt": attempt},
            token=identity,
        )
        if attempt < 6:
            assert again.json() == {"sid": sid}
        else:
            assert again.json()["errcode"] == "M_SESSION_EXPIRED"
    assert submit(world, identity, sid, world.mail().code) == "M_SESSION_EXPIRED"


def test_wrong_codes_are_capped_for_an_address_over_all_its_sessions(world: World, identity: str) -> None:
    evaluated = 0
    for number in range(ADDRESS_ATTEMPTS // 5 + 5):
        sid = world.request_token(identity, secret=f"s{number}")
        code = world.mail().code
        for step in range(1, 6):
            body = {"sid": sid, "client_secret": f"s{number}", "token": wrong(code, step)}
            assert world.post(PATH, body, token=identity).json()["errcode"] == "M_TOKEN_INCORRECT"
            evaluated += 1
        world.clock.advance(1)
    assert evaluated > ADDRESS_ATTEMPTS
    sid = world.request_token(identity, secret="last")
    mail = world.mail()
    body = {"sid": sid, "client_secret": "last", "token": mail.code}
    assert world.post(PATH, body, token=identity).json()["errcode"] == "M_TOKEN_INCORRECT"
    # The owner is not locked out: a link cannot be guessed, so it is still taken.
    assert world.post(mail.link).status_code == 200


def test_a_code_keeps_its_leading_zeros(world: World) -> None:
    codes = {world.entropy.digits(6) for _ in range(500)}
    assert all(len(code) == 6 for code in codes)
    assert any(code.startswith("0") for code in codes)
