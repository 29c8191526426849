"""A29: a stranger cannot tell by an answer whether an account or an address is known."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from threepid.clock import HOUR
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from world import BASE, PASSWORD, World, normalised

C: Final = "/_matrix/client/v3"
LOGIN = "/_matrix/client/v3/login"
REQUEST = "/_matrix/client/v3/register/email/requestToken"
ADD = "/_matrix/client/v3/account/3pid/email/requestToken"
ADD_NUMBER = "/_matrix/client/v3/account/3pid/msisdn/requestToken"
SUBMIT = "/_threepid/client/v1/submit_token"


def login(**who: Any) -> dict[str, Any]:
    return {"type": "m.login.password", "password": "wrong password", **who}


@pytest.fixture
def people(world: World) -> World:
    token = world.register("alice")
    world.add(token, world.validated(world.identity_token(token)))
    world.run(world.homeserver.registration.create("nopassword", None))
    world.register("gone")

    def deactivate(tx: Tx) -> None:
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
    gone, nobody = (people.post(LOGIN, login(user=user) | {"password": PASSWORD}) for user in ("gone", "nobody"))
    assert (gone.status_code, gone.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert gone.text == nobody.text


def test_every_failed_login_costs_one_hash(people: World) -> None:
    before = people.hasher.compared
    for number, user in enumerate(("alice", "nobody", "nopassword", "gone"), start=1):
        people.post(LOGIN, login(user=user))
        assert people.hasher.compared - before == number


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
        nobody = world.hasher.nobody
        world.hasher.instead = lambda password, password_hash: password == PASSWORD and password_hash != nobody

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
    hasher = street.world.hasher
    # The right password, a wrong one, and nobody's: eleven times each by a caller, alike in every answer and in its cost.
    found = []
    for caller, (who, word) in enumerate(
        [(OWNER, PASSWORD), (EMAIL, PASSWORD), (OWNER, "wrong password"), (NOBODY, PASSWORD), (STRANGE, PASSWORD)]
    ):
        before = hasher.compared
        found.append(([street.try_(who, 200 + caller, word) for _ in range(11)], hasher.compared - before))
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
    # One address takes ten of an account's count under all names together, so that the two others above did not count.
    for number in range(2, 92):
        street.try_(OWNER, 500 + number)
    # Of alice's own count none is left: her right password is a wrong one.
    assert stage(OWNER, 3, PASSWORD) == 401
    assert stage(OTHER, 3, PASSWORD) == 200


# -- adding an address that another account has

BEHIND_PROXY: dict[str, Any] = {"server__trusted_proxies": ["127.0.0.1"]}


class Stranger:
    """Bob, who tries an address of Alice's and one that nobody has, and compares."""

    def __init__(self, world: World, *, logged_in: bool = True) -> None:
        self.world = world
        token = world.register("alice")
        world.add(token, world.validated(world.identity_token(token)))
        self.token = world.register("bob") if logged_in else None
        self.before = len(world.mails())
        world.clock.advance(5 * HOUR)  # so that Alice's own proof counts no more

    def ask(self, address: str, attempt: int = 1, secret: str = "s") -> httpx.Response:
        body = {"client_secret": secret, "email": address, "send_attempt": attempt}
        # Bob is where Alice never was: in her own network a message is kept for her (A13).
        return self.world.post(ADD, body, token=self.token, headers={"X-Forwarded-For": "203.0.113.9"})

    def mails(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for mail in self.world.mails()[self.before :]:
            found.setdefault(mail.recipient, []).append(mail.text)
        return found


def shape(answer: httpx.Response) -> tuple[int, list[str], int, str]:
    return answer.status_code, sorted(answer.json()), len(answer.text), str(normalised(answer.headers))


@pytest.mark.parametrize("logged_in", [True, False])
def test_who_adds_anothers_address_cannot_tell(database_url: str, tmp_path: Path, logged_in: bool) -> None:
    with World(database_url, tmp_path, limits__all="on", **BEHIND_PROXY) as world:
        stranger = Stranger(world, logged_in=logged_in)
        addresses = ("ALICE@example.com", "nobody@example.com")
        first = [stranger.ask(address) for address in addresses]
        assert shape(first[0]) == shape(first[1])
        assert first[0].status_code == 200
        # The same attempt and a lower one, a higher one, another secret: the same sessions, as many messages, one limit.
        for attempt, secret in ((1, "s"), (0, "s"), (2, "s"), (2, "s"), (1, "t"), (3, "s"), (1, "u")):
            answers = [stranger.ask(address, attempt, secret) for address in addresses]
            assert shape(answers[0]) == shape(answers[1])
            same = [answer.json().get("sid") == one.json()["sid"] for answer, one in zip(answers, first, strict=True)]
            assert same[0] == same[1]
        counts = {to.lower(): len(texts) for to, texts in stranger.mails().items()}
        assert counts == {"alice@example.com": 2, "nobody@example.com": 2}


def test_a_session_for_anothers_address_dies_like_any_other(world: World) -> None:
    stranger = Stranger(world)
    submit = [
        {"sid": stranger.ask(address).json()["sid"], "client_secret": "s"}
        for address in ("alice@example.com", "nobody@example.com")
    ]
    adding = "/_matrix/client/v3/account/3pid/add"
    password = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "bob"}, "password": PASSWORD}
    seen: list[list[tuple[int, list[str], int, str]]] = [[], []]
    for number, one in enumerate(submit):
        for _ in range(7):
            seen[number].append(shape(world.post(SUBMIT, {**one, "token": "abcdef"})))
        seen[number].append(shape(world.post(adding, {**one, "auth": password}, token=stranger.token)))
        again = stranger.ask(("alice@example.com", "nobody@example.com")[number], attempt=9)
        seen[number].append(shape(again))
    assert seen[0] == seen[1]


def test_the_owner_is_told_that_somebody_tried(world: World) -> None:
    stranger = Stranger(world)
    assert stranger.ask("ALICE@Example.com").status_code == 200
    ((recipient, (text,)),) = stranger.mails().items()
    assert recipient == "alice@example.com"
    for word in ("tried to add", "alice@example.com", "@alice:example.org", "Nothing has changed"):
        assert word in text
    message = world.mail().message
    assert "tried to add your email address" in str(message["Subject"])
    # No code, no link, no button, and nothing of who it was.
    for forbidden in (BASE, "http", "@bob", "href", "code"):
        assert forbidden not in text
    html = message.get_body(("html",))
    assert html is not None
    assert "href" not in html.get_content()


def test_ones_own_address_is_proven_again_by_a_code(world: World) -> None:
    token = world.register("alice")
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    body = {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1}
    sid = world.post(ADD, body, token=token).json()["sid"]
    submit = {"sid": sid, "client_secret": "s", "token": world.mail().code}
    assert world.post(SUBMIT, submit).json() == {"success": True}


@pytest.mark.parametrize("hidden", [True, False])
def test_the_number_of_another_account_is_treated_like_its_address(
    database_url: str, tmp_path: Path, hidden: bool
) -> None:
    with World(database_url, tmp_path, accounts__hide_existence=hidden, sms__countries=["GB"]) as world:
        alice, bob = world.register("alice"), world.register("bob")
        number = {"client_secret": "s", "country": "GB", "phone_number": "07400 123456", "send_attempt": 1}
        sid = world.post(ADD_NUMBER, number, token=alice).json()["sid"]
        world.post(SUBMIT, {"sid": sid, "client_secret": "s", "token": world.text().code})
        password = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        added = {"sid": sid, "client_secret": "s", "auth": password}
        assert world.post("/_matrix/client/v3/account/3pid/add", added, token=alice).json() == {}
        before = len(world.texts())
        answer = world.post(ADD_NUMBER, number, token=bob)
        texts = [text.text for text in world.texts()[before:]]
        if hidden:
            assert answer.status_code == 200
            (text,) = texts
            assert "tried to add this number" in text
            assert "@alice:example.org" in text
            assert not any(forbidden in text for forbidden in ("code", "http", "#", "@bob"))
        else:
            assert (answer.status_code, answer.json()["errcode"], texts) == (400, "M_THREEPID_IN_USE", [])


@pytest.mark.parametrize("family", ["r0", "v3", "unstable"])
def test_with_hide_existence_off_who_adds_anothers_address_is_told(
    database_url: str, tmp_path: Path, family: str
) -> None:
    with World(database_url, tmp_path, accounts__hide_existence=False) as world:
        stranger = Stranger(world)
        path = ADD.replace("v3", family)
        body = {"client_secret": "s", "email": "ALICE@example.com", "send_attempt": 1}
        for token in (stranger.token, None):
            answer = world.post(path, body, token=token)
            assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
        assert world.post(path, {**body, "email": "nobody@example.com"}, token=stranger.token).status_code == 200
        assert list(stranger.mails()) == ["nobody@example.com"]


def test_an_address_that_its_owner_gave_up_can_be_added_by_the_same_session(world: World) -> None:
    stranger = Stranger(world)
    sid = stranger.ask("alice@example.com").json()["sid"]
    login = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
    alice = world.post(LOGIN, login).json()["access_token"]
    body = {"medium": "email", "address": "alice@example.com"}
    world.post("/_matrix/client/v3/account/3pid/delete", body, token=alice)
    world.clock.advance(1)
    # The stranger's session is not ended by that: it would tell that the address had an owner.
    assert stranger.ask("alice@example.com", attempt=2).json()["sid"] == sid
    assert world.post(SUBMIT, {"sid": sid, "client_secret": "s", "token": world.mail_with_code().code}).json() == {
        "success": True
    }
