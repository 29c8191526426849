"""A29: a stranger cannot tell by an answer whether an account or an address is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from threepid.storage.database import Tx
from world import PASSWORD, World, normalised

C: Final = "/_matrix/client/v3"
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
        {"identifier": {"type": "m.id.unheard.of"}},
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


# -- limits tell nothing either: what is refused depends on what was typed alone


EMAIL: Final[dict[str, Any]] = {
    "identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "Alice@EXAMPLE.com"}
}
PHONE: Final[dict[str, Any]] = {"identifier": {"type": "m.id.phone", "country": "GB", "phone": "07400 123456"}}
DIGITS: Final[dict[str, Any]] = {
    "identifier": {"type": "m.id.thirdparty", "medium": "msisdn", "address": "447400123456"}
}
OWNER: Final[dict[str, Any]] = {"user": "alice"}
WHOLE: Final[dict[str, Any]] = {"identifier": {"type": "m.id.user", "user": "@Alice:example.org"}}
OTHER: Final[dict[str, Any]] = {"user": "bob"}
NOBODY: Final[dict[str, Any]] = {"user": "nobody"}
STRANGE: Final[dict[str, Any]] = {"medium": "email", "address": "nobody@example.com"}


class Street:
    """Alice with an address and a number, bob without, and callers from many networks."""

    def __init__(self, world: World) -> None:
        self.world = world
        token = world.register("alice")
        world.register("bob")
        world.add(token, world.validated(world.identity_token(token)))
        request = {"client_secret": "p", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
        sid = world.post(f"{C}/account/3pid/msisdn/requestToken", request, token=token).json()["sid"]
        code = {"sid": sid, "client_secret": "p", "token": world.text().code}
        assert world.post("/_threepid/client/v1/submit_token", code).json() == {"success": True}
        stage = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        body = {"sid": sid, "client_secret": "p", "auth": stage}
        assert world.post(f"{C}/account/3pid/add", body, token=token).status_code == 200
        assert sorted(world.contacts(token)) == ["447400123456", "alice@example.com"]
        passwords = world.server._passwords

        def quick(password: str, password_hash: str) -> bool:
            return password == PASSWORD and password_hash != passwords._nobody

        passwords._matches = quick  # type: ignore[method-assign]

    def try_(self, who: dict[str, Any], number: int, password: str = "wrong password") -> tuple[int, str]:
        """The answer to a login from a network of this number, without how long to wait."""
        body = {"type": "m.login.password", "password": password, **who}
        answer = self.world.post(LOGIN, body, headers={"X-Forwarded-For": f"203.0.{number // 250}.{number % 250}"})
        found = answer.json()
        found.pop("retry_after_ms", None)
        return answer.status_code, str(found)


@pytest.fixture
def street(database_url: str, tmp_path: Path) -> Iterator[Street]:
    more: dict[str, Any] = {"limits__all": "on", "server__trusted_proxies": ["127.0.0.1"], "sms__countries": ["GB"]}
    with World(database_url, tmp_path, **more) as world:
        yield Street(world)


@pytest.mark.parametrize("typed", [EMAIL, PHONE, OWNER, STRANGE], ids=["email", "phone", "name", "unknown email"])
def test_ten_wrong_logins_by_one_name_say_nothing_about_another(street: Street, typed: dict[str, Any]) -> None:
    answers = {}
    others = {"email": EMAIL, "phone": PHONE, "name": OWNER, "bob": OTHER, "nobody": NOBODY, "unknown": STRANGE}
    for number, (name, other) in enumerate(others.items()):
        if other is typed:
            continue
        assert {street.try_(typed, number)[0] for _ in range(10)} == {403}
        answers[name] = [street.try_(other, number), street.try_(other, number)]
        # What was typed is what is refused, whether it means an account or not.
        assert street.try_(typed, number)[0] == 429
    assert {answer[0] for pair in answers.values() for answer in pair} == {403}
    assert len({str(pair) for pair in answers.values()}) == 1


@pytest.mark.parametrize(("one", "other"), [(OWNER, WHOLE), (PHONE, DIGITS)], ids=["name", "number"])
def test_spellings_of_what_is_typed_count_together(street: Street, one: dict[str, Any], other: dict[str, Any]) -> None:
    assert [street.try_(one if number % 2 else other, 1)[0] for number in range(11)] == [403] * 10 + [429]


def test_where_only_the_accounts_own_count_refuses_the_answer_is_that_of_a_wrong_password(street: Street) -> None:
    # A hundred wrong ones over all its names and addresses, by a caller each.
    names: list[dict[str, Any]] = [EMAIL, PHONE, OWNER, DIGITS, WHOLE]
    for number in range(100):
        assert street.try_(names[number % 5], number)[0] == 403
    passwords = street.world.server._passwords
    original, hashed = passwords._matches, 0

    def counting(password: str, password_hash: str) -> bool:
        nonlocal hashed
        hashed += 1
        return original(password, password_hash)

    passwords._matches = counting  # type: ignore[method-assign]
    # The right password, a wrong one, and nobody's: eleven times each by a caller, alike in every answer and in its cost.
    found = []
    for caller, (who, word) in enumerate(
        [(OWNER, PASSWORD), (EMAIL, PASSWORD), (OWNER, "wrong password"), (NOBODY, PASSWORD), (STRANGE, PASSWORD)]
    ):
        before = hashed
        found.append(([street.try_(who, 200 + caller, word) for _ in range(11)], hashed - before))
    assert [answer[0] for answer in found[0][0]] == [403] * 10 + [429]
    assert found[0][1] == 10
    assert len({str(one) for one in found}) == 1
    # Whose network the account knows is not held up.
    body = {"type": "m.login.password", "password": PASSWORD, "user": "alice"}
    assert street.world.post(LOGIN, body).status_code == 200
    street.world.clock.advance(18_000)
    assert street.try_(OWNER, 240, PASSWORD)[0] == 200


def test_a_password_stage_tells_no_more_than_a_login(street: Street) -> None:
    """Bob is logged in, and names others in the stage."""
    login = {"type": "m.login.password", "password": PASSWORD, "user": "bob"}
    token = street.world.post(LOGIN, login).json()["access_token"]

    def stage(who: dict[str, Any], number: int, password: str = "wrong password") -> int:
        auth = {"type": "m.login.password", "password": password, **who}
        headers = {"X-Forwarded-For": f"203.0.113.{number}"}
        body = {"devices": ["NONE"], "auth": auth}
        return street.world.post(f"{C}/delete_devices", body, token=token, headers=headers).status_code

    assert [stage(EMAIL, 1) for _ in range(11)] == [401] * 10 + [429]
    assert [stage(who, 1) for who in (OWNER, PHONE, NOBODY, STRANGE)] == [401] * 4
    for number in range(2, 90):
        street.try_(OWNER, 500 + number)
    # Of alice's own count none is left: her right password is a wrong one.
    assert stage(OWNER, 3, PASSWORD) == 401
    assert stage(OTHER, 3, PASSWORD) == 200
