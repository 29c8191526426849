"""A37: every character of a password counts, however long it is and however a keyboard wrote it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from threepid.domain.secrets.passwords import Passwords
from threepid.spec.errors import InvalidParam
from threepid.storage import accounts
from threepid.storage.engine.database import Tx
from world import BASE, HandClock, WatchedHasher, World

REGISTER = "/_matrix/client/v3/register"
LOGIN = "/_matrix/client/v3/login"
CHANGE = "/_matrix/client/v3/account/password"
RESET = "/_matrix/client/v3/account/password/email/requestToken"
GRIN = "\N{GRINNING FACE}"

GOOD = {
    "64 characters": "x" * 64,
    "72 characters": "x" * 72,
    "73 characters": "x" * 72 + "y",
    "512 characters": "x" * 512,
    "512 emoji of 4 bytes": GRIN * 512,
    "composed": "caf\u00e9 au lait",
    "decomposed": "cafe\u0301 au lait",
    "spaces": "  eight  ",
    "a right-to-left override": "\u202eeight888",
}
REFUSED = {
    "7 characters": ("seven77", "M_WEAK_PASSWORD"),
    "7 characters in normal form": ("cafe\u0301 77", "M_WEAK_PASSWORD"),
    "nothing": ("", "M_WEAK_PASSWORD"),
    "513 characters": ("x" * 513, "M_INVALID_PARAM"),
    "513 emoji": (GRIN * 513, "M_INVALID_PARAM"),
    "few characters with a long normal form": ("\ufdfa" * 50, "M_INVALID_PARAM"),
    "60,000 characters": ("x" * 60_000, "M_INVALID_PARAM"),
}


class CountingClock(HandClock):
    """Counts how often something took the time: each hash does three times."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def monotonic(self) -> float:
        self.looks += 1
        return super().monotonic()


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


@pytest.fixture
def world(database_url: str, tmp_path: Path, clock: CountingClock) -> Iterator[World]:
    with World(database_url, tmp_path, clock=clock) as made:
        yield made


def register(world: World, password: str, username: str = "alice") -> Any:
    return world.post(REGISTER, {"username": username, "password": password, "auth": {"type": "m.login.dummy"}})


def auth(password: str) -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": password}


def log_in(world: World, password: str) -> int:
    return world.post(LOGIN, auth(password)).status_code


def changed(password: str) -> str:
    """The same password with another last character, whose UTF-8 differs in one byte."""
    last = password[-1]
    return password[:-1] + chr(ord(last) + 1 if ord(last) % 64 < 63 else ord(last) - 1)


def reset_auth(world: World) -> dict[str, Any]:
    answer = world.post(RESET, {"client_secret": "s", "email": "alice@example.com", "send_attempt": 1}).json()
    mail = [mail for mail in world.mails() if "/confirm/" in mail.text][-1]  # another one told of the change
    world.clock.advance(1)
    proof = {"sid": answer["sid"], "client_secret": "s"}
    answer = world.post(answer["submit_url"].removeprefix(BASE), {**proof, "token": mail.code})
    assert answer.json() == {"success": True}
    return {"type": "m.login.email.identity", "threepid_creds": proof}


@pytest.mark.parametrize("password", GOOD.values(), ids=list(GOOD))
def test_a_password_that_registers_logs_in_and_no_other_does(world: World, password: str) -> None:
    assert register(world, password).status_code == 200
    assert log_in(world, password) == 200
    assert log_in(world, changed(password)) == 403
    assert log_in(world, password[:-1]) == 403
    assert log_in(world, password + "x") == 403


@pytest.mark.parametrize("password", GOOD.values(), ids=list(GOOD))
def test_a_new_and_a_reset_password_are_taken_like_a_first_one(world: World, password: str) -> None:
    token = world.register()
    world.add(token, world.validated(world.identity_token(token)))
    world.clock.advance(1)
    asked = {"new_password": password, "auth": auth("correct horse battery")}
    assert world.post(CHANGE, asked, token=token).status_code == 200
    assert log_in(world, password) == 200
    assert log_in(world, changed(password)) == 403
    other = changed(password)
    assert world.post(CHANGE, {"new_password": other, "auth": reset_auth(world)}).status_code == 200
    assert log_in(world, other) == 200
    assert log_in(world, password) == 403


def test_one_password_written_by_two_keyboards_is_one_password(world: World) -> None:
    assert register(world, GOOD["composed"]).status_code == 200
    assert log_in(world, GOOD["decomposed"]) == 200
    assert log_in(world, "\uff43\uff41\uff46\u00e9 au lait") == 200  # full-width letters
    assert log_in(world, "cafe au lait") == 403


@pytest.mark.parametrize(("password", "errcode"), REFUSED.values(), ids=list(REFUSED))
def test_a_password_out_of_bounds_is_refused_everywhere_and_never_hashed(
    world: World, clock: CountingClock, password: str, errcode: str
) -> None:
    token = world.register()
    looks = clock.looks
    answer = register(world, password, "bob")
    assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)
    answer = world.post(CHANGE, {"new_password": password, "auth": auth("correct horse battery")}, token=token)
    assert (answer.status_code, answer.json()["errcode"]) == (400, errcode)
    assert clock.looks == looks
    if errcode == "M_INVALID_PARAM":
        # A login is refused in one of two ways: whether somebody could have such a password is no secret.
        assert log_in(world, password) in (400, 403)
        assert clock.looks == looks
    assert log_in(world, "correct horse battery") == 200
    assert clock.looks == looks + 3


@pytest.mark.parametrize("text", ['"long\\u0000enough"', '"long\\ud800enough"', '"long\udcffenough"'])
def test_a_password_that_is_no_text_is_refused_by_the_api(world: World, text: str) -> None:
    world.register()
    for path, body in (
        (REGISTER, '{"username": "bob", "password": %s, "auth": {"type": "m.login.dummy"}}'),
        (LOGIN, '{"type": "m.login.password", "user": "alice", "password": %s}'),
        (CHANGE, '{"new_password": %s}'),
    ):
        answer = world.post(path, (body % text).encode("utf-8", "surrogateescape"))
        assert answer.status_code == 400
        assert answer.json()["errcode"] in ("M_BAD_JSON", "M_NOT_JSON")


@pytest.mark.parametrize("text", ["long\0enough", "long\ud800enough"])
def test_a_password_that_is_no_text_is_no_failure_where_no_json_was_read(world: World, text: str) -> None:
    passwords = world.homeserver.passwords
    with pytest.raises(InvalidParam):
        world.run(passwords.hash(text))
    assert world.run(passwords.verify(text, None)) is False


@pytest.mark.parametrize("variant", ["2a", "2b", "2y"])
def test_accounts_of_other_servers_log_in_with_their_old_passwords(
    database_url: str, tmp_path: Path, variant: str
) -> None:
    """Those hashed the first 72 bytes of the normal form: who had a longer password has it still."""
    long = "\u00e4" * 40 + " and more than the server looked at"
    with World(database_url, tmp_path, hasher=WatchedHasher(real=True)) as world:
        for name, password in (("short", "caf\u00e9 au lait"), ("long", long)):
            hashed = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()

            def insert(tx: Tx, name: str = name, hashed: str = f"${variant}${hashed[4:]}") -> None:
                assert accounts.insert(tx, user_id=f"@{name}:example.org", password_hash=hashed, created_at=1)

            world.run(world.server.context.database.write(insert))
            # Hashed anew at the first login, and whole: from then on the rest of a long one counts too.
            for word, status in (("wrong password", 403), (password, 200), (password, 200), (password[:-1], 403)):
                answer = world.post(LOGIN, {"type": "m.login.password", "user": name, "password": word})
                assert answer.status_code == status, answer.text
            account = world.run(world.homeserver.accounts.get(f"@{name}:example.org"))
            assert account is not None
            assert str(account.password_hash).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_what_is_too_long_for_a_password_is_not_hashed(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        passwords: Passwords = world.homeserver.passwords
        assert not world.run(passwords.verify("x" * 512, None))
        assert world.hasher.compared == 1
        # The longest that gets through the API, the most that Unicode makes of little, and marks that have to be sorted.
        for beyond in ("x" * 60_000, "\ufdfa" * 1_365, "\u0345\u0300" * 1_024):
            assert not world.run(passwords.verify(beyond, None))
        assert world.hasher.compared == 1
