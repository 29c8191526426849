"""A29: a stranger cannot tell by an answer whether an account or an address is known."""

from typing import Any

import pytest

from threepid.storage.database import Tx
from world import PASSWORD, World, normalised

LOGIN = "/_matrix/client/v3/login"
REQUEST = "/_matrix/client/v3/register/email/requestToken"


def login(**who: Any) -> dict[str, Any]:
    return {"type": "m.login.password", "password": "wrong password", **who}


@pytest.fixture
def people(world: World) -> World:
    token = world.register("alice")
    world.add(token, world.validated(world.identity_token(token)))
    accounts = world.server.services.accounts
    world.run(accounts.register("@nopassword:example.org", None, None))
    world.register("gone")

    def deactivate(tx: Tx) -> None:
        from threepid.storage.queries import Query

        statement = "UPDATE accounts SET deactivated_at = 1 WHERE user_id = '@gone:example.org'"
        tx.run(Query("test", statement, statement))

    world.run(world.server.context.database.write(deactivate))
    return world


def test_login_answers_alike_for_every_cause(people: World) -> None:
    identifiers: list[dict[str, Any]] = [
        {"identifier": {"type": "m.id.user", "user": "alice"}},
        {"identifier": {"type": "m.id.user", "user": "nobody"}},
        {"identifier": {"type": "m.id.user", "user": "nopassword"}},
        {"identifier": {"type": "m.id.user", "user": "gone"}},
        {"identifier": {"type": "m.id.user", "user": "@alice:elsewhere.example"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "alice@example.com"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "nobody@example.com"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "not an address"}},
        {"identifier": {"type": "m.id.thirdparty", "medium": "msisdn", "address": "491701234567"}},
        {"identifier": {"type": "m.id.phone", "country": "DE", "phone": "0170 1234567"}},
        {"user": "alice"},
        {"user": "nobody"},
        {"medium": "email", "address": "alice@example.com"},
        {"medium": "email", "address": "nobody@example.com"},
    ]
    answers = [people.post(LOGIN, login(**who)) for who in identifiers]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.text for answer in answers}) == 1
    assert len({str(normalised(answer.headers)) for answer in answers}) == 1
    assert answers[0].json()["errcode"] == "M_FORBIDDEN"


def test_a_deactivated_account_does_not_log_in_with_the_right_password(people: World) -> None:
    assert people.post(LOGIN, login(user="gone", password=PASSWORD) | {"password": PASSWORD}).status_code == 403


def test_every_failed_login_costs_one_hash(people: World) -> None:
    passwords = people.server._passwords
    hashed: list[str] = []
    original = passwords._matches

    def counting(password: str, password_hash: str) -> bool:
        hashed.append(password_hash)
        return original(password, password_hash)

    passwords._matches = counting  # type: ignore[method-assign]
    for number, user in enumerate(("alice", "nobody", "nopassword", "gone"), start=1):
        people.post(LOGIN, login(user=user))
        assert len(hashed) == number


def test_asking_to_register_a_known_address_answers_like_an_unknown_one(people: World) -> None:
    before = len(people.mails())
    people.clock.advance(1)
    answers = [
        people.post(REQUEST, {"client_secret": "s", "email": address, "send_attempt": 1})
        for address in ("alice@example.com", "new@example.com")
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [list(answer.json()) for answer in answers] == [["sid", "submit_url"]] * 2
    assert len({len(answer.text) for answer in answers}) == 1
    found = {mail.recipient: mail for mail in people.mails()[before:]}
    assert "already have an account" in str(found["alice@example.com"].message["Subject"])
    assert "/confirm/" not in found["alice@example.com"].text
    assert "/confirm/" in found["new@example.com"].text


def test_with_hide_existence_off_the_specifications_error_is_told(database_url: str, tmp_path: Any) -> None:
    with World(database_url, tmp_path, accounts__hide_existence=False) as world:
        token = world.register()
        world.add(token, world.validated(world.identity_token(token)))
        answer = world.post(REQUEST, {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1})
        assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
