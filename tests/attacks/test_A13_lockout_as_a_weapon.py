"""A13: what strangers try does not keep the owner out."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import httpx
import pytest

from failing_disk import failing_disk
from threepid.clock import DAY, HOUR, MINUTE, SECOND
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.networks import known_network
from threepid.storage.engine.migrate import migrate
from world import PASSWORD, HandClock, WatchedHasher, World, unnoted

C: Final = "/_matrix/client/v3"
HOME: Final = "203.0.113.10"
HOTEL: Final = "203.0.113.99"
STRANGERS: Final = [f"198.51.100.{number}" for number in range(1, 11)]
DELAY: Final = 18 * SECOND
"""What the configuration says: 200 wrong passwords an hour from networks that the account does not know."""


def password(word: str = PASSWORD, user: str = "alice") -> dict[str, Any]:
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": word}


class Town:
    """A world in which every caller has an address."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.alice = self.post("/register", self.registration("alice"), HOME).json()["access_token"]
        self.mallory = self.post("/register", self.registration("mallory"), STRANGERS[0]).json()["access_token"]

    @staticmethod
    def registration(username: str) -> dict[str, Any]:
        return {"username": username, "password": PASSWORD, "auth": {"type": "m.login.dummy"}}

    def post(self, path: str, body: Any, source: str, *, token: str | None = None) -> httpx.Response:
        return self.world.post(C + path, body, token=token, headers={"X-Forwarded-For": source})

    def log_in(self, source: str, word: str = PASSWORD) -> httpx.Response:
        return self.post("/login", password(word), source)

    def burn(self) -> list[int]:
        """Ten strangers guess until nothing is left."""

        def guess(source: str) -> Any:
            return lambda: self.world.acall(
                "POST", f"{C}/login", password("wrong password"), headers={"X-Forwarded-For": source}
            )

        # Ten at a time: more would be turned away because the server is busy.
        batches = [self.world.together(*(guess(source) for source in STRANGERS)) for _ in range(11)]
        return [answer.status_code for answers in batches for answer in answers]


@pytest.fixture
def town(database_url: str, tmp_path: Path) -> Iterator[Town]:
    with World(database_url, tmp_path, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as world:
        yield Town(world)


@pytest.fixture
def busy_town(database_url: str, tmp_path: Path) -> Iterator[Town]:
    """Where a password takes longer than the queries around it, as in life."""
    hasher = WatchedHasher(real=True)
    with World(database_url, tmp_path, hasher=hasher, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as world:
        yield Town(world)


@pytest.fixture
def burnt(town: Town) -> Town:
    statuses = town.burn()
    assert statuses.count(403) == 100
    assert statuses.count(429) == 10
    return town


def test_the_owner_goes_on_and_logs_in_from_home_at_once_and_from_elsewhere_after_the_delay(burnt: Town) -> None:
    world = burnt.world
    # A session that is there, also for what asks for the password again, also from a new network.
    assert world.get(f"{C}/account/whoami", token=burnt.alice).status_code == 200
    for source in (HOME, HOTEL):
        body = {"devices": ["NONE"], "auth": password()}
        assert burnt.post("/delete_devices", body, source, token=burnt.alice).status_code == 200
    # A login from a network that the account knows.
    assert burnt.log_in(HOME).status_code == 200
    # A login from a new one.
    with world.again() as other:  # burnt here is burnt everywhere
        elsewhere = other.post(f"{C}/login", password(), headers={"X-Forwarded-For": HOTEL})
        assert elsewhere.status_code == 403
    # The answer is that of a wrong password: another would tell that there is such an account (A29).
    refused = burnt.log_in("203.0.113.50")
    assert (refused.status_code, refused.json()["errcode"]) == (403, "M_FORBIDDEN")
    assert refused.json() == burnt.log_in("203.0.113.51", "wrong password").json()
    world.clock.advance(DELAY)
    assert burnt.log_in("203.0.113.50").status_code == 200
    # From then on the account knows it.
    assert burnt.log_in("203.0.113.50").status_code == 200
    # Others' accounts are not concerned.
    assert burnt.post("/login", password(user="mallory"), HOME).status_code == 200


@pytest.mark.parametrize("at", ["anybody", "the owner"])
@pytest.mark.timeout(120)
def test_a_flood_of_logins_holds_up_nobody_who_is_known_or_logged_in(
    database_url: str, tmp_path: Path, at: str
) -> None:
    with World(database_url, tmp_path, server__trusted_proxies=["127.0.0.1"]) as world:
        town = Town(world)
        passwords = world.homeserver.passwords
        over, refused = False, 0

        def slow(password: str, _password_hash: str) -> bool:
            time.sleep(0.05)  # so that few strangers are a flood, and a busy machine is not the cause of what is seen
            return password == PASSWORD

        world.hasher.instead = slow
        passwords.turns.seconds_each = 0.05

        async def stranger(number: int) -> None:
            nonlocal refused
            body = password("wrong password", user="alice" if at == "the owner" else f"user{number}")
            source = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250}"}
            while not over:
                answer = await world.acall("POST", f"{C}/login", body, headers=source)
                refused += answer.status_code == 429

        async def owner() -> list[list[int]]:
            nonlocal over
            home, hotel = {"X-Forwarded-For": HOME}, {"X-Forwarded-For": HOTEL}
            stage = {"devices": ["NONE"], "auth": password()}
            while not refused:
                await asyncio.sleep(0.1)
            found: list[list[int]] = [[], []]
            try:
                for _ in range(13):
                    login = await world.acall("POST", f"{C}/login", password(), headers=home)
                    found[0].append(login.status_code)
                    staged = await world.acall("POST", f"{C}/delete_devices", stage, token=town.alice, headers=hotel)
                    found[1].append(staged.status_code)
            finally:
                over = True
            return found

        async def both() -> list[list[int]]:
            crowd = [asyncio.create_task(stranger(number)) for number in range(45 * passwords.turns.width)]
            found = await owner()
            await asyncio.gather(*crowd)
            return found

        assert world.run(both()) == [[200] * 13, [200] * 13]


def test_a_right_password_costs_nothing(town: Town) -> None:
    for _ in range(35):
        assert town.log_in(HOTEL).status_code == 200


def test_wrong_passwords_count_alike_at_login_and_in_authentication(town: Town) -> None:
    source = STRANGERS[3]
    for number in range(10):
        body = {"devices": ["NONE"], "auth": password("wrong password")}
        answer = (
            town.post("/delete_devices", body, source, token=town.mallory)
            if number % 2
            else town.log_in(source, "wrong password")
        )
        assert answer.status_code in (401, 403)
    assert town.log_in(source).status_code == 429
    body = {"devices": ["NONE"], "auth": password()}
    assert town.post("/delete_devices", body, source, token=town.mallory).status_code == 429


def test_a_flood_of_guesses_learns_no_more_than_single_ones_and_costs_no_more_hashes(busy_town: Town) -> None:
    town = busy_town
    hasher = town.world.hasher

    def guess(word: str) -> Any:
        return lambda: town.world.acall("POST", f"{C}/login", password(word), headers={"X-Forwarded-For": STRANGERS[5]})

    before = hasher.compared
    answers = town.world.together(*(guess("wrong password") for _ in range(29)), guess(PASSWORD))
    assert sorted(answer.status_code for answer in answers) == [403] * 10 + [429] * 20
    assert hasher.compared - before == 10
    assert town.log_in(STRANGERS[5]).status_code == 429
    with town.world.again() as other:  # burnt here is burnt everywhere
        elsewhere = other.post(f"{C}/login", password(), headers={"X-Forwarded-For": STRANGERS[5]})
        assert elsewhere.status_code == 429
    # Those who were right hold up nobody, however many they are.
    before = hasher.compared
    friend = lambda: town.world.acall("POST", f"{C}/login", password(), headers={"X-Forwarded-For": HOME})  # noqa: E731
    assert [answer.status_code for answer in town.world.together(*[friend] * 9)] == [200] * 9
    assert hasher.compared - before == 9


def test_a_stolen_session_guesses_no_more_than_strangers_do(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "guesses_at_account": {"burst": 5, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits, server__trusted_proxies=["127.0.0.1"]) as world:
        town = Town(world)
        body = {"devices": ["NONE"], "auth": password("wrong password")}
        statuses = [
            town.post("/delete_devices", body, f"192.0.2.{number}", token=town.alice).status_code for number in range(8)
        ]
        assert statuses == [401] * 5 + [429] * 3
        # What the thief burnt is not what logins have.
        assert town.log_in(HOTEL).status_code == 200


def test_a_busy_server_costs_nobody_a_guess(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "guesses_at_account_from_client": {"burst": 1, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits, server__trusted_proxies=["127.0.0.1"]) as world:
        town = Town(world)
        turns = world.homeserver.passwords.turns
        turns.seconds_each, before = 1_000_000.0, turns.seconds_each
        turns._waiting.add(somebody := cast(Any, object()))
        assert town.log_in(HOTEL).status_code == 429
        turns._waiting.remove(somebody)
        turns.seconds_each = before
        assert town.log_in(HOTEL).status_code == 200


def test_where_no_wrong_password_can_be_counted_no_right_one_is_told(tmp_path: Path) -> None:
    with failing_disk() as disk:
        migrate(url := f"sqlite:{tmp_path / 'x.db'}", password=None, clock=HandClock())
        with World(url, tmp_path, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as world:
            town = Town(world)
            disk.fails = True
            for word in ("wrong password", PASSWORD):
                body = {"devices": ["NONE"], "auth": password(word)}
                assert town.post("/delete_devices", body, HOME, token=town.mallory).status_code == 503
                assert town.log_in(HOME, word).status_code == 503
            disk.fails = False
            assert town.log_in(HOME).status_code == 200


def test_a_flood_of_registration_tokens_learns_no_more_than_single_ones(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "guesses_from_client": {"burst": 5, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits, accounts__registration="token") as world:
        tokens = RegistrationTokens(world.server.context)
        world.run(tokens.create("right", note=unnoted))

        def guess(token: str) -> Any:
            path = f"/_matrix/client/v1/register/m.login.registration_token/validity?token={token}"
            return lambda: world.acall("GET", path)

        answers = world.together(*(guess(f"wrong{number}") for number in range(60)), guess("right"))
        told = [answer.json() for answer in answers if answer.status_code == 200]
        assert told == [{"valid": False}] * 5
        assert world.run(guess("right")()).status_code == 429


RESET: Final = "/account/password/email/requestToken"


def reset(secret: str, address: str = "alice@example.com") -> dict[str, Any]:
    return {"client_secret": secret, "email": address, "send_attempt": 1}


@pytest.fixture
def contact(town: Town) -> Town:
    """Alice has an address, to which nothing was sent for a day."""
    identity = town.world.identity_token(town.alice)
    assert town.world.add(town.alice, town.world.validated(identity)).status_code == 200
    town.world.clock.advance(DAY)
    return town


def test_strangers_who_ask_for_resets_do_not_hold_up_the_owners_from_home(contact: Town) -> None:
    world = contact.world
    statuses = [contact.post(RESET, reset(f"s{number}"), source).status_code for number, source in enumerate(STRANGERS)]
    assert statuses == [200] * 2 + [429] * 8
    world.clock.advance(1)
    sid = contact.post(RESET, reset("mine"), HOME).json()["sid"]
    code = {"sid": sid, "client_secret": "mine", "token": world.mail().code}
    assert world.post("/_threepid/client/v1/submit_token", code).json() == {"success": True}
    # The next one is the owner's, too, an hour later.
    refused = contact.post(RESET, reset("again"), HOME)
    assert (refused.status_code, refused.json()["retry_after_ms"]) == (429, HOUR - 1)
    world.clock.advance(HOUR)
    assert contact.post(RESET, reset("stranger"), HOTEL).status_code == 429
    assert contact.post(RESET, reset("again"), HOME).status_code == 200


def test_a_stranger_who_polls_gets_no_mail_slot_of_the_owners(contact: Town) -> None:
    """All the time for eighteen hours, and the owner once an hour: eighteen resets of eighteen."""
    world, mine = contact.world, []
    for minute in range(0, 18 * 60, 6):  # twice as many as a message of each stranger's refills
        for source in STRANGERS[:2]:
            contact.post(RESET, reset(f"s{minute}"), source)
        if minute % 60 == 54:
            mine.append(contact.post(RESET, reset(f"m{minute}"), HOME).status_code)
        world.clock.advance(6 * MINUTE)
    assert mine == [200] * 18


def test_who_is_logged_in_has_what_is_kept_from_anywhere(contact: Town) -> None:
    for number, source in enumerate(STRANGERS):
        contact.post(RESET, reset(f"s{number}"), source)
    add = "/account/3pid/email/requestToken"
    assert contact.post(add, reset("theirs"), HOTEL, token=contact.mallory).status_code == 429
    assert contact.post(add, reset("mine"), HOTEL, token=contact.alice).status_code == 200


def test_strangers_are_answered_alike_whether_or_not_an_account_has_the_address(contact: Town) -> None:
    """The kept message tells nobody anything who is not in a network that the account has used."""
    answers = [
        [contact.post(RESET, reset(f"s{number}", address), source).status_code for number in range(4)]
        for address, source in (("alice@example.com", STRANGERS[3]), ("nobody@example.com", STRANGERS[4]))
    ]
    assert answers == [[200, 200, 429, 429]] * 2


def test_an_account_is_known_from_its_own_network_only(contact: Town) -> None:
    """Mallory's network is known to Mallory's account, which has not got the address."""
    for number, source in enumerate(STRANGERS[1:]):
        contact.post(RESET, reset(f"s{number}"), source)
    assert contact.post(RESET, reset("m"), STRANGERS[0]).status_code == 429


@pytest.mark.parametrize("unknown", ["", "unix", "not an address"])
def test_nobody_is_known_whose_address_is_not(unknown: str) -> None:
    assert known_network(unknown) is None
    assert known_network(f"::ffff:{HOME}") == known_network(HOME) is not None
    assert known_network("2001:db8:0:1::2") == known_network("2001:db8:0:1::1")
    assert known_network("2001:db8:0:2::1") != known_network("2001:db8:0:1::1")


def test_refused_requests_cost_the_caller(contact: Town) -> None:
    """Ten messages are a caller's; those that were refused are of them, and who comes back in time has the next."""
    statuses = [contact.post(RESET, reset(f"s{number}"), HOTEL).status_code for number in range(10)]
    assert statuses == [200] * 2 + [429] * 8
    refused = contact.post(RESET, reset("x", "another@example.com"), HOTEL)
    assert (refused.status_code, refused.json()["retry_after_ms"]) == (429, 3 * MINUTE)
    assert contact.post(RESET, reset("x", "another@example.com"), "203.0.113.98").status_code == 200
    contact.world.clock.advance(3 * MINUTE)
    assert contact.post(RESET, reset("x", "third@example.com"), HOTEL).status_code == 200
    # Who asks all the time gets nothing, however long that goes on; whoever waits as long as told gets one.
    for number in range(30):
        contact.world.clock.advance(MINUTE)
        refused = contact.post(RESET, reset("x", f"v{number}@example.com"), HOTEL)
        assert refused.status_code == 429
    contact.world.clock.advance(refused.json()["retry_after_ms"])
    assert contact.post(RESET, reset("x", "fourth@example.com"), HOTEL).status_code == 200


@pytest.mark.parametrize("name", ["@alice:example.org by its devices", "@alice:example.org from 127.0.0.1"])
def test_a_name_that_reads_like_a_limit_of_somebody_else_is_a_name(
    database_url: str, tmp_path: Path, name: str
) -> None:
    few = {"burst": 3, "per_hour": 1}
    limits = {"all": "on", "guesses_at_account": few, "guesses_at_account_from_client": few}
    with World(database_url, tmp_path, limits=limits) as world:
        token = world.register()
        for number in range(10):
            login = {"type": "m.login.password", "user": name, "password": "wrong"}
            world.post("/_matrix/client/v3/login", login, headers={"X-Forwarded-For": f"192.0.2.{number}"})
        stage = {"type": "m.login.password", "user": "alice", "password": PASSWORD}
        answer = world.post("/_matrix/client/v3/delete_devices", {"devices": ["X"], "auth": stage}, token=token)
        assert answer.status_code == 200, answer.text


def test_strangers_behind_the_same_address_hold_up_no_token(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits={"all": "on"}) as world:
        registration = {
            "username": "alice",
            "password": PASSWORD,
            "refresh_token": True,
            "auth": {"type": "m.login.dummy"},
        }
        alice = world.post(f"{C}/register", registration).json()
        for _ in range(301):
            begun = world.post(f"{C}/account/password", {"new_password": "another password"})
        assert begun.status_code == 429
        assert world.post(f"{C}/refresh", {"refresh_token": alice["refresh_token"]}).status_code == 200
        for number in range(31):
            wrong = world.post(f"{C}/login", password("wrong", f"nobody{number}"))
        assert wrong.status_code == 429
        stage = {"type": "m.login.password", "password": PASSWORD}
        answer = world.post(f"{C}/delete_devices", {"auth": stage, "devices": []}, token=alice["access_token"])
        assert answer.status_code == 200, answer.text
