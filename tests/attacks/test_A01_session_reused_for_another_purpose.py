"""A01: a session is good for the purpose it was opened for, and for the account that opened it."""

import pytest

from threepid.domain.addresses import parse_email
from threepid.domain.validation.purposes import Consumer, Purpose
from threepid.spec.errors import NoValidSession
from world import World

TAKEN = {
    (Purpose.ADD, Consumer.ADD_THREEPID),
    (Purpose.ADD, Consumer.POST_THREEPID),
    (Purpose.IDENTITY, Consumer.POST_THREEPID),
    (Purpose.IDENTITY, Consumer.BIND),
    (Purpose.IDENTITY, Consumer.REGISTER_STAGE),
    (Purpose.REGISTER, Consumer.REGISTER_STAGE),
    (Purpose.RESET, Consumer.RESET_STAGE),
    (Purpose.WEB_RESET, Consumer.RESET_PAGE),
    (Purpose.CONFIRM, Consumer.CONFIRM_PAGE),
}


def open_validated(world: World, purpose: Purpose, owner: str = "") -> str:
    validation = world.server.services.validation
    if purpose in (Purpose.RESET, Purpose.WEB_RESET):
        world.add(token := world.register("owner"), world.validated(world.identity_token(token, "owner")))
    sid = world.run(
        validation.request_token(
            purpose, parse_email("alice@example.com"), owner=owner, client_secret="s", send_attempt=1, next_link=None
        )
    )
    world.run(validation.submit_token(sid, "s", world.mail().code, caller=owner, purpose=purpose))
    return sid


@pytest.mark.parametrize("consumer", Consumer)
@pytest.mark.parametrize("purpose", Purpose)
def test_only_the_consumers_of_its_purpose_take_a_session(world: World, purpose: Purpose, consumer: Consumer) -> None:
    sid = open_validated(world, purpose)
    check = world.server.services.validation.check
    read = world.server.context.database.read
    if (purpose, consumer) in TAKEN:
        assert world.run(read(lambda tx: check(tx, sid, "s", consumer, ""))).sid == sid
    else:
        with pytest.raises(NoValidSession):
            world.run(read(lambda tx: check(tx, sid, "s", consumer, "")))


@pytest.mark.parametrize("purpose", [Purpose.REGISTER, Purpose.RESET])
def test_post_threepid_refuses_sessions_of_other_purposes_like_unknown_ones(world: World, purpose: Purpose) -> None:
    sid = open_validated(world, purpose)
    token = world.register("mallory")
    refused = world.add(token, sid, secret="s")
    unknown = world.add(token, "nosuchsession", secret="s")
    assert refused.status_code == unknown.status_code == 403
    assert refused.json() == unknown.json()
    assert refused.json()["errcode"] == "M_THREEPID_AUTH_FAILED"
    assert world.contacts(token) == []


@pytest.mark.parametrize("purpose", [Purpose.REGISTER, Purpose.RESET, Purpose.ADD])
def test_bind_refuses_sessions_of_other_purposes_like_unknown_ones(world: World, purpose: Purpose) -> None:
    sid = open_validated(world, purpose)
    identity = world.identity_token(world.register("mallory"), "mallory")

    def bind(sid: str) -> object:
        body = {"sid": sid, "client_secret": "s", "mxid": "@mallory:example.org"}
        answer = world.post("/_matrix/identity/v2/3pid/bind", body, token=identity)
        return answer.status_code, answer.json()

    assert bind(sid) == bind("nosuchsession")
    assert bind(sid)[0] == 404  # type: ignore[index]


@pytest.mark.parametrize("purpose", [Purpose.RESET, Purpose.ADD])
def test_registration_refuses_sessions_of_other_purposes(world: World, purpose: Purpose) -> None:
    sid = open_validated(world, purpose)
    answer = world.post(
        "/_matrix/client/v3/register",
        {
            "username": "mallory",
            "password": "long enough",
            "auth": {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "s"}},
        },
    )
    assert answer.status_code == 401
    assert answer.json()["errcode"] == "M_THREEPID_AUTH_FAILED"
    assert answer.json()["completed"] == []


def test_bob_cannot_use_the_session_that_alice_opened(world: World) -> None:
    alice, bob = world.register("alice"), world.register("bob")
    sid = world.validated(world.identity_token(alice))
    assert world.add(bob, sid).status_code == 403
    assert world.contacts(bob) == []
    assert world.add(alice, sid).status_code == 200


def test_bob_cannot_submit_or_bind_for_alice(world: World) -> None:
    alice, bob = world.register("alice"), world.register("bob")
    of_alice, of_bob = world.identity_token(alice), world.identity_token(bob, "bob")
    sid = world.request_token(of_alice)
    body = {"sid": sid, "client_secret": "secret", "token": world.mail().code}
    path = "/_matrix/identity/v2/validate/email/submitToken"
    assert world.post(path, body, token=of_bob).json()["errcode"] == "M_NO_VALID_SESSION"
    assert world.post(path, body, token=of_alice).json() == {"success": True}
    bind = {"sid": sid, "client_secret": "secret", "mxid": "@bob:example.org"}
    assert world.post("/_matrix/identity/v2/3pid/bind", bind, token=of_bob).status_code == 404
