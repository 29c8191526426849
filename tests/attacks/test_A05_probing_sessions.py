"""A05: unknown sid, wrong secret, wrong owner: one answer; client_secret is matched whole."""

import pytest

from world import World, normalised

SUBMIT = "/_matrix/identity/v2/validate/email/submitToken"
SECRETS = ["", "x" * 256, "secret\n", "sec:ret", "ｓｅｃｒｅｔ", "sec ret", "sec\u0000ret", "sécret"]


def test_all_ways_of_not_having_a_session_answer_alike(world: World) -> None:
    alice, bob = world.register("alice"), world.register("bob")
    of_alice, of_bob = world.identity_token(alice), world.identity_token(bob, "bob")
    sid = world.request_token(of_alice)
    code = world.mail().code
    answers = [
        world.post(SUBMIT, {"sid": "nosuch", "client_secret": "secret", "token": code}, token=of_alice),
        world.post(SUBMIT, {"sid": sid, "client_secret": "wrong", "token": code}, token=of_alice),
        world.post(SUBMIT, {"sid": sid, "client_secret": "secret", "token": code}, token=of_bob),
        world.post(SUBMIT, {"sid": sid, "client_secret": "wrong", "token": "000000"}, token=of_alice),
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(404, answers[0].text)}
    assert len({str(sorted(normalised(answer.headers).items())) for answer in answers}) == 1
    reads = [
        world.get(f"/_matrix/identity/v2/3pid/getValidated3pid?sid={one}&client_secret={secret}", token=of_alice)
        for one, secret in (("nosuch", "secret"), (sid, "wrong"))
    ]
    assert reads[0].status_code == reads[1].status_code == 404
    assert reads[0].text == reads[1].text


@pytest.mark.parametrize("secret", SECRETS)
def test_a_client_secret_is_matched_whole(world: World, secret: str) -> None:
    identity = world.identity_token(world.register())
    body = {"client_secret": secret, "email": "alice@example.com", "send_attempt": 1}
    answer = world.post("/_matrix/identity/v2/validate/email/requestToken", body, token=identity)
    assert answer.status_code == 400
    assert answer.json()["errcode"] in {"M_INVALID_PARAM", "M_BAD_JSON"}
    assert world.mails() == []


@pytest.mark.parametrize("secret", ["x", "x" * 255, "A.z=_-9"])
def test_the_secrets_that_the_specification_allows_are_taken(world: World, secret: str) -> None:
    world.request_token(world.identity_token(world.register()), secret=secret)


@pytest.mark.parametrize("token", ["é", "١٢٣٤٥٦", "\U0001f600", "x" * 1024])
def test_a_token_that_no_mail_ever_held_is_incorrect_and_no_failure(world: World, token: str) -> None:
    identity = world.identity_token(world.register())
    sid = world.request_token(identity)
    answer = world.post(SUBMIT, {"sid": sid, "client_secret": "secret", "token": token}, token=identity)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_TOKEN_INCORRECT")


def test_an_access_token_that_is_no_ascii_is_unknown_and_no_failure(world: World) -> None:
    answer = world.get("/_matrix/client/v3/account/whoami", headers={"Authorization": "Bearer ü".encode("latin-1")})
    assert (answer.status_code, answer.json()["errcode"]) == (401, "M_UNKNOWN_TOKEN")
