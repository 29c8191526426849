"""F15: a clock that was wrong for a moment freezes nothing, and gives nothing a longer life.

Limits count from now on what was taken while the clock was ahead; sessions and codes of that time are as good as expired.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from threepid import background
from threepid.clock import DAY, HOUR, MINUTE, SECOND, SKEW
from threepid.domain import limits
from threepid.domain.identity.peppers import Work
from threepid.storage.engine.database import Tx
from threepid.storage.engine.queries import Query
from threepid.storage.limits import Wanted, full_at, give_back, spend, take
from world import PASSWORD, World

_DELETE: Final = Query("test.delete", "DELETE FROM limits", "DELETE FROM limits")
_INSERT: Final = Query(
    "test.insert",
    "INSERT INTO limits (key, full_at, taken_at) VALUES ('key', :full_at, :taken_at)",
    "INSERT INTO limits (key, full_at, taken_at) VALUES ('key', %(full_at)s, %(taken_at)s)",
)
C: Final = "/_matrix/client/v3"
REGISTER: Final = f"{C}/register/email/requestToken"
RESET: Final = f"{C}/account/password/email/requestToken"
YEAR: Final = 365 * DAY


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    with World(database_url, tmp_path, limits__all="on", server__trusted_proxies=["127.0.0.1"]) as made:
        yield made


def ask(world: World, address: str, source: str = "192.0.2.1", *, way: str = REGISTER, attempt: int = 1) -> Any:
    body = {"client_secret": "secret", "email": address, "send_attempt": attempt}
    return world.post(way, body, headers={"X-Forwarded-For": source})


def submit(world: World, sid: str, code: str) -> Any:
    body = {"sid": sid, "client_secret": "secret", "token": code}
    return world.post("/_threepid/client/v1/submit_token", body)


def code_of_the_other(world: World, *known: str) -> str:
    """The code of the only mail that has none of these: the newest by its own clock need not be the last."""
    (code,) = {mail.code for mail in world.mails()} - set(known)
    return code


@pytest.mark.parametrize("ahead", [5 * SECOND, HOUR, DAY, YEAR])
def test_after_a_clock_was_ahead_for_seconds_mail_goes_out_at_once(world: World, ahead: int) -> None:
    world.clock.advance(ahead)
    assert [ask(world, f"a{number}@example.com").status_code for number in range(3)] == [200] * 3
    world.clock.advance(5 * SECOND - ahead)
    assert [ask(world, f"b{number}@example.com").status_code for number in range(5)] == [200] * 5
    assert ask(world, "a0@example.com", way=RESET).status_code == 200
    # What was taken is not forgotten: eleven were asked for.
    assert [ask(world, f"c{number}@example.com").status_code for number in range(3)] == [200, 429, 429]


@pytest.mark.parametrize("back", [2 * MINUTE, HOUR, DAY, YEAR])
def test_a_clock_that_goes_back_keeps_what_was_taken_and_no_more(world: World, back: int) -> None:
    assert [ask(world, f"a{number}@example.com").status_code for number in range(4)] == [200] * 4
    world.clock.advance(-back)
    statuses = [ask(world, f"b{number}@example.com").status_code for number in range(8)]
    assert statuses == [200] * 6 + [429] * 2


def waits_for(tx: Tx, wanted: list[Wanted], *, now: int) -> int:
    """Take a unit of each, and return 0; or the milliseconds until there is one."""
    empty = take(tx, wanted, now=now)
    return empty.wait if empty else 0


@pytest.mark.parametrize("jump", [-YEAR, -DAY, -HOUR, -2 * MINUTE])
@pytest.mark.parametrize("interval", [SECOND, MINUTE, HOUR])
@pytest.mark.parametrize("taken", [1, 2, 3])
def test_a_state_is_never_further_away_than_its_burst(world: World, jump: int, interval: int, taken: int) -> None:
    """After a jump back: a burst is whole after its own time, and less than a whole one is given meanwhile."""
    wanted, database = Wanted("key", interval, 3), world.server.context.database

    def more() -> int:
        now = world.clock.now()
        return world.run(database.write(lambda tx: waits_for(tx, [wanted], now=now)))

    def left() -> int:
        now = world.clock.now()
        return int(3 - (world.run(database.read(lambda tx: full_at(tx, [wanted], now=now)))["key"] - now) / interval)

    assert [more() for _ in range(taken)] == [0] * taken
    world.clock.advance(jump)
    assert left() == max(1, 3 - taken)
    waits = [more() for _ in range(4)]
    assert waits.count(0) == max(1, 3 - taken)
    assert max(waits) <= interval
    world.clock.advance(3 * interval)
    assert [more() > 0 for _ in range(4)] == [False, False, False, True]


def test_what_reads_a_state_sees_what_takes_of_it_sees(world: World) -> None:
    """Both engines and Python agree, wherever a state stands and whenever it was written."""
    database = world.server.context.database
    now = world.clock.now()
    wanted = Wanted("key", MINUTE, 3)
    for taken_at in (0, now - DAY, now, now + SKEW, now + SKEW + 1, now + DAY):
        for ahead in (0, 1, MINUTE, 2 * MINUTE, 2 * MINUTE + 1, 3 * MINUTE, 4 * MINUTE, 4 * MINUTE + 1, DAY):

            def step(tx: Tx, taken_at: int = taken_at, ahead: int = ahead) -> tuple[int, int, int]:
                tx.run(_DELETE, range(9))
                tx.run(_INSERT, full_at=max(now, taken_at) + ahead, taken_at=taken_at)
                before = full_at(tx, [wanted], now=now)["key"]
                wait = waits_for(tx, [wanted], now=now)
                after = full_at(tx, [wanted], now=now)["key"]
                return before, wait, after

            before, wait, after = world.run(database.write(step))
            assert wait == max(0, before - wanted.latest(now))
            assert after == (before if wait else max(now, before) + MINUTE)
            assert after <= wanted.empty(now) + SKEW


def test_spending_more_than_there_is_empties_a_burst_and_no_more(world: World) -> None:
    database, now, wanted = world.server.context.database, world.clock.now(), Wanted("key", HOUR, 3)

    def after(tx: Tx) -> int:
        spend(tx, wanted, now=now)
        return full_at(tx, [wanted], now=now)["key"] - now

    assert [world.run(database.write(after)) for _ in range(5)] == [HOUR, 2 * HOUR, 3 * HOUR, 3 * HOUR, 3 * HOUR]
    world.clock.advance(HOUR)
    now = world.clock.now()
    assert world.run(database.write(after)) == 3 * HOUR
    world.run(database.write(lambda tx: give_back(tx, [wanted])))
    world.clock.advance(-YEAR)
    now = world.clock.now()
    assert world.run(database.write(after)) == 3 * HOUR


def test_limits_that_were_made_smaller_freeze_nothing(world: World) -> None:
    database, now = world.server.context.database, world.clock.now()
    assert world.run(
        database.write(lambda tx: [waits_for(tx, [Wanted("key", HOUR, 100)], now=now) for _ in range(99)])
    ) == ([0] * 99)
    small = Wanted("key", HOUR, 2)
    waits = [world.run(database.write(lambda tx: waits_for(tx, [small], now=now))) for _ in range(2)]
    assert waits == [0, HOUR]


def test_guesses_are_not_frozen(world: World) -> None:
    world.register()
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}}
    wrong, right = login | {"password": "wrong"}, login | {"password": PASSWORD}
    world.clock.advance(DAY)
    assert [world.post(f"{C}/login", wrong).status_code for _ in range(11)] == [403] * 10 + [429]
    world.clock.advance(-DAY)
    assert world.post(f"{C}/login", right).status_code == 200


# -- sessions and codes


def test_a_code_of_a_clock_that_was_ahead_is_not_good_for_a_day(world: World) -> None:
    world.clock.advance(DAY)
    sid = ask(world, "a@example.com").json()["sid"]
    code = world.mail().code
    world.clock.advance(11 * MINUTE - DAY)
    refused = submit(world, sid, code)
    assert (refused.status_code, refused.json()["errcode"]) == (400, "M_SESSION_EXPIRED")
    assert world.post(world.mail().link, b"").status_code == 404
    assert submit(world, sid, code).json()["errcode"] == "M_SESSION_EXPIRED"
    # Another one comes at once, in another session with the same secret.
    world.clock.advance(MINUTE)
    again = ask(world, "a@example.com").json()["sid"]
    assert again != sid
    assert submit(world, again, code_of_the_other(world, code)).json() == {"success": True}


def test_a_later_code_of_an_older_session_is_not_good_for_a_day_either(world: World) -> None:
    sid = ask(world, "a@example.com").json()["sid"]
    first = world.mail().code
    world.clock.advance(12 * HOUR)
    ask(world, "a@example.com", attempt=2)
    code, link = world.mail().code, world.mail().link
    world.clock.advance(2 * MINUTE - 12 * HOUR)
    assert submit(world, sid, code).json()["errcode"] == "M_SESSION_EXPIRED"
    assert submit(world, sid, link.rpartition("/")[2]).json()["errcode"] == "M_SESSION_EXPIRED"
    assert ask(world, "a@example.com", attempt=3).status_code == 200
    assert submit(world, sid, code_of_the_other(world, first, code)).json() == {"success": True}


def test_a_reset_that_was_validated_ahead_of_time_is_not_good_for_hours(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    assert world.add(token, world.validated(identity)).status_code == 200
    world.clock.advance(1)
    sid = ask(world, "alice@example.com", way=RESET).json()["sid"]
    code = world.mail().code
    world.clock.advance(12 * HOUR)
    link = world.mail().link
    ask(world, "alice@example.com", way=RESET, attempt=2)
    assert submit(world, sid, world.mail().code).json() == {"success": True}, (code, link)
    world.clock.advance(20 * MINUTE - 12 * HOUR)
    stage = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "secret"}}
    answer = world.post(f"{C}/account/password", {"new_password": "another password", "auth": stage})
    assert answer.status_code == 401
    assert answer.json()["errcode"] == "M_THREEPID_AUTH_FAILED"


def test_an_authentication_session_of_a_clock_that_was_ahead_is_over(world: World) -> None:
    token = world.register()
    world.clock.advance(DAY)
    begun = world.post(f"{C}/delete_devices", {"devices": ["X"]}, token=token).json()["session"]
    world.clock.advance(-DAY)
    auth = {
        "type": "m.login.password",
        "session": begun,
        "identifier": {"type": "m.id.user", "user": "alice"},
        "password": PASSWORD,
    }
    again = world.post(f"{C}/delete_devices", {"devices": ["X"], "auth": auth}, token=token)
    assert again.status_code == 401
    auth["session"] = again.json()["session"]
    assert world.post(f"{C}/delete_devices", {"devices": ["X"], "auth": auth}, token=token).status_code == 200


def test_tokens_that_end_soon_do_not_live_a_day_longer(world: World) -> None:
    token = world.register()
    world.clock.advance(DAY)
    openid = world.post(f"{C}/user/@alice:example.org/openid/request_token", token=token).json()
    login = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
    device = world.post(f"{C}/login", login | {"refresh_token": True}).json()
    world.clock.advance(2 * HOUR - DAY)
    assert world.post("/_matrix/identity/v2/account/register", openid).status_code == 401
    old = world.get(f"{C}/account/whoami", token=device["access_token"])
    assert (old.status_code, old.json()["soft_logout"]) == (401, True)
    fresh = world.post(f"{C}/refresh", {"refresh_token": device["refresh_token"]}).json()
    assert world.get(f"{C}/account/whoami", token=fresh["access_token"]).status_code == 200


# -- days and leases


def test_a_prefix_is_not_closed_by_texts_of_days_to_come(database_url: str, tmp_path: Path) -> None:
    plenty = {"burst": 1000, "per_hour": 1000}
    narrow = dict.fromkeys(
        ["sms_to_prefix", "sms_to_country", "sms_total", "message_from_client", "message_total"], plenty
    )
    with World(database_url, tmp_path, sms__countries=["GB"], limits={"all": "on", **narrow}) as world:

        def text(number: int) -> int:
            body = {"client_secret": "s", "country": "GB", "phone_number": f"+4474001{number:05}", "send_attempt": 1}
            return world.post(f"{C}/register/msisdn/requestToken", body).status_code

        world.clock.advance(YEAR)
        assert [text(number) for number in range(51)] == [200] * 50 + [429]
        assert world.run(limits.closed_prefixes(world.server.context)) == 1
        world.clock.advance(-YEAR)
        assert world.run(limits.closed_prefixes(world.server.context)) == 0
        assert text(1000) == 200
        world.run(background.run_once(world.server.context))
        world.clock.advance(YEAR)
        assert text(2000) == 200


def test_a_lookup_budget_of_a_day_to_come_is_forgotten(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits__all="on", identity__lookup_budget_per_day=100) as world:
        lookup = world.identity.lookup
        assert lookup is not None

        def charge(first: int) -> None:
            addresses = [f"{number} email" for number in range(first, first + 99)]
            world.run(lookup.charge(addresses, user_id="@a:x", client="192.0.2.1"))
            world.run(lookup.budget.save())

        world.clock.advance(DAY)
        charge(0)
        world.clock.advance(-DAY)
        charge(1000)
        world.run(background.run_once(world.server.context))
        world.clock.advance(DAY)
        charge(2000)


def test_a_lease_of_a_clock_that_was_ahead_holds_up_no_rotation(world: World) -> None:
    lookup = world.identity.lookup
    assert lookup is not None
    world.clock.advance(YEAR)
    world.run(lookup.peppers.begin(lambda _: None))
    assert world.run(lookup.peppers.work(1)) is Work.SOME
    world.clock.advance(-YEAR)
    with world.again() as other:
        there = other.identity.lookup
        assert there is not None
        assert other.run(there.peppers.work()) is not Work.ELSEWHERE
