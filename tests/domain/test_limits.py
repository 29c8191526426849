"""Limits: what is counted together, what costs nothing, and which phone prefixes are closed."""

import random
from collections.abc import Coroutine, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from threepid import background
from threepid.clock import DAY, HOUR
from threepid.domain import limits
from threepid.domain.addresses import Phone, parse_address
from threepid.domain.guesses import Guess
from threepid.domain.networks import network_of
from threepid.domain.registrable import registrable_domain
from threepid.spec.errors import LimitExceeded
from threepid.storage.engine.database import Tx
from world import World

PLENTY = {"burst": 1_000_000, "per_hour": 1}
ONE = {"burst": 1, "per_hour": 1}
NAMES = [
    "message_to_address",
    "message_from_client",
    "message_total",
    "notice_to_address",
    "sms_to_prefix",
    "sms_to_country",
    "sms_total",
    "guesses_from_client",
    "guesses_at_account_from_client",
    "guesses_at_account",
]


def only(**narrow: dict[str, Any]) -> dict[str, Any]:
    """Limits of which only these can be felt."""
    return {"all": "on", **dict.fromkeys(NAMES, PLENTY), **narrow}


@pytest.fixture
def world(database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    with World(database_url, tmp_path, limits=only(**getattr(request, "param", {}))) as made:
        yield made


def message(world: World, address: str, client: str = "192.0.2.1") -> bool:
    """Is one more message to the address allowed?"""
    parsed = parse_address("email" if "@" in address else "msisdn", address)
    context = world.server.context
    try:
        world.run(context.database.write(lambda tx: limits.take_message(tx, context, parsed, client=client)))
    except LimitExceeded:
        return False
    return True


def guess(world: World, client: str, account: str = "", **more: Any) -> Guess | None:
    """One more guess, or None if it is refused; `typed` is the account's name, unless it is given."""
    made = Guess(world.server.context, client=client, account=account, **{"typed": account, **more})
    database = world.server.context.database
    before, refused = rows(world), None
    try:
        look(world, made)
    except LimitExceeded as error:
        refused = error
    spent = made.is_spent(world.run(database.read(made.full_at)))
    if refused is not None:
        with pytest.raises(LimitExceeded) as as_ever:
            world.run(database.write(made.take))
        assert (as_ever.value.retry_after_ms, rows(world)) == (refused.retry_after_ms, before)
        return None
    assert world.run(database.write(made.take)) is not spent
    return None if spent else made


def look(world: World, made: Guess, **pending: int) -> None:
    """Raise LimitExceeded if none would be left."""
    made.refuse_if_none_is_left(world.run(world.server.context.database.read(made.full_at)), pending)


def notices(world: World, contacts: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    context = world.server.context
    return world.run(context.database.write(lambda tx: limits.take_notices(tx, context, contacts)))


def notice(world: World, medium: str, canonical: str) -> bool:
    return bool(notices(world, [(medium, canonical)]))


@pytest.mark.parametrize("world", [{"notice_to_address": {"burst": 1, "per_hour": 1}}], indirect=True)
def test_a_contact_over_its_limit_keeps_no_notice_from_the_others(world: World) -> None:
    contacts = [("email", "a@b.example"), ("email", "c@b.example"), ("msisdn", "447400123456")]
    assert notice(world, "email", "c@b.example")
    assert notices(world, contacts) == {("email", "a@b.example"), ("msisdn", "447400123456")}
    assert notices(world, contacts) == set()


@pytest.mark.parametrize("world", [{"sms_total": {"burst": 3, "per_hour": 1}}], indirect=True)
def test_numbers_of_one_account_share_what_is_left_for_all_sms(world: World) -> None:
    """The first ones get it; what the others would have used of their own limits is not used."""
    contacts = [("msisdn", f"44740012345{digit}") for digit in range(5)]
    assert notices(world, [*contacts, ("email", "a@b.example")]) == {*contacts[:3], ("email", "a@b.example")}
    assert notices(world, contacts) == set()
    world.clock.advance(HOUR)
    assert notices(world, contacts[3:]) == {contacts[3]}


@pytest.mark.parametrize("world", [{"notice_to_address": ONE, "sms_total": {"burst": 2, "per_hour": 1}}], indirect=True)
def test_a_number_over_its_limit_uses_nothing_that_another_number_needs(world: World) -> None:
    first, second, third = (("msisdn", f"44740012345{digit}") for digit in range(3))
    assert notice(world, *first)
    assert notices(world, [first, second, third]) == {second}
    world.clock.advance(HOUR)
    assert notices(world, [third]) == {third}


def test_notices_to_numbers_that_are_counted_at_once_do_not_wait_for_each_other(world: World) -> None:
    """All SMS share a limit, and numbers in a range another one: on PostgreSQL, these were locked in different orders."""
    context, chance = world.server.context, random.Random(1)
    numbers = [("msisdn", f"49{prefix}{number:07}") for prefix in (171, 175, 176) for number in range(12)]
    chosen = [chance.sample(numbers, 4) for _ in range(30)]

    def count(contacts: list[tuple[str, str]]) -> Coroutine[Any, Any, set[tuple[str, str]]]:
        return context.database.write(lambda tx: limits.take_notices(tx, context, contacts))

    counted = world.together(*(partial(count, contacts) for contacts in chosen))
    assert counted == [set(contacts) for contacts in chosen]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:DB8:1:2::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("not an address", "not an address", True),
        ("", "192.0.2.1", False),
    ],
)
def test_callers_are_told_apart_by_address_or_network(one: str, other: str, together: bool) -> None:
    assert (network_of(one) == network_of(other)) is together


@pytest.mark.parametrize(
    ("world", "first", "shared", "apart"),
    [
        ({"message_to_address": ONE}, "a@b.example", ["A@B.example"], ["c@b.example", "+447400123456"]),
        ({"message_to_address": ONE}, "+447400123456", ["0044 7400 123456"], ["+447400123457"]),
        ({"message_total": ONE}, "a@b.example", ["c@d.example", "+447400123456"], []),
        ({"sms_to_prefix": ONE}, "+447400123456", ["+447400199999"], ["+447400200000", "a@b.example"]),
        ({"sms_to_country": ONE}, "+447400123456", ["+447500123456"], ["+4915123456789", "a@b.example"]),
        ({"sms_total": ONE}, "+447400123456", ["+4915123456789"], ["a@b.example"]),
    ],
    indirect=["world"],
)
def test_each_limit_counts_what_belongs_together(world: World, first: str, shared: list[str], apart: list[str]) -> None:
    assert message(world, first)
    assert [message(world, address) for address in shared] == [False] * len(shared)
    assert [message(world, address) for address in apart] == [True] * len(apart)
    world.clock.advance(HOUR)
    assert message(world, first)


@pytest.mark.parametrize("world", [{"message_from_client": ONE}], indirect=True)
def test_a_caller_is_counted_over_all_addresses(world: World) -> None:
    assert message(world, "a@b.example", "2001:db8::1")
    assert not message(world, "+447400123456", "2001:db8::2")
    assert message(world, "+447400123456", "2001:db8:0:1::1")


@pytest.mark.parametrize("world", [{"sms_total": ONE}], indirect=True)
def test_a_refused_message_costs_nothing_of_the_other_limits(world: World) -> None:
    narrow = world.server.context.config.limits
    assert narrow.message_to_address.burst > 1
    assert message(world, "+447400123456")
    before = rows(world)
    assert not message(world, "+4915123456789")
    assert rows(world) == before


def rows(world: World) -> int:
    from threepid.storage.engine.queries import Query

    query = Query("test", "SELECT COUNT(*) FROM limits", "SELECT COUNT(*) FROM limits")
    return int(world.run(world.server.context.database.read(lambda tx: tx.value(query))))


# -- notices


@pytest.mark.parametrize("world", [{"notice_to_address": {"burst": 2, "per_hour": 1}}], indirect=True)
def test_more_notices_than_allowed_are_left_out(world: World) -> None:
    assert [notice(world, "email", "a@b.example") for _ in range(3)] == [True, True, False]
    assert notice(world, "email", "c@b.example")
    world.clock.advance(HOUR)
    assert notice(world, "email", "a@b.example")


@pytest.mark.parametrize("world", [{"sms_to_prefix": ONE}, {"sms_to_country": ONE}, {"sms_total": ONE}], indirect=True)
def test_notices_by_text_have_the_caps_of_codes_but_apart_from_these(world: World) -> None:
    assert message(world, "+447400123456")
    assert not message(world, "+447400123457")
    assert notice(world, "msisdn", "447400123456")
    assert not notice(world, "msisdn", "447400123457")
    assert notice(world, "email", "a@b.example")
    world.clock.advance(HOUR)
    assert message(world, "+447400123457")


# -- guesses


@pytest.mark.parametrize("world", [{"guesses_from_client": ONE}], indirect=True)
def test_guesses_of_one_caller_count_over_all_accounts(world: World) -> None:
    assert guess(world, "192.0.2.1", "@alice:example.org")
    assert not guess(world, "192.0.2.1", "@bob:example.org")
    assert not guess(world, "192.0.2.1")
    assert guess(world, "192.0.2.2", "@bob:example.org")


@pytest.mark.parametrize("world", [{"guesses_at_account_from_client": ONE}], indirect=True)
def test_guesses_of_one_caller_at_one_account_are_fewer(world: World) -> None:
    assert guess(world, "192.0.2.1", "@alice:example.org")
    assert not guess(world, "192.0.2.1", "@alice:example.org")
    assert guess(world, "192.0.2.1", "@bob:example.org")
    assert guess(world, "192.0.2.2", "@alice:example.org")


@pytest.mark.parametrize("world", [{"guesses_at_account": ONE}], indirect=True)
def test_strangers_hold_up_strangers_only(world: World) -> None:
    assert guess(world, "192.0.2.1", "@alice:example.org")
    assert not guess(world, "192.0.2.2", "@alice:example.org")
    for _ in range(3):
        assert guess(world, "198.51.100.7", "@alice:example.org", known=True)
    assert guess(world, "203.0.113.1", "@alice:example.org", logged_in=True)
    assert not guess(world, "203.0.113.2", "@alice:example.org", logged_in=True)
    assert guess(world, "203.0.113.1", "@bob:example.org", logged_in=True)


@pytest.mark.parametrize("world", [{"guesses_at_account": ONE}], indirect=True)
def test_the_count_of_an_account_refuses_nobody_aloud(world: World) -> None:
    alice = "@alice:example.org"
    assert guess(world, "192.0.2.1", alice)
    # It is over all names and addresses of the account.
    for number in range(2, 5):
        made = Guess(world.server.context, client=f"192.0.2.{number}", typed="email a@example.com", account=alice)
        look(world, made)
        assert made.is_spent(world.run(world.server.context.database.read(made.full_at)))
        assert world.run(world.server.context.database.write(made.take)) is False
    world.clock.advance(HOUR)
    assert guess(world, "192.0.2.9", alice)


@pytest.mark.parametrize("world", [{"guesses_at_account_from_client": ONE}], indirect=True)
def test_a_caller_is_refused_by_what_was_typed(world: World) -> None:
    alice = "@alice:example.org"
    assert guess(world, "192.0.2.1", alice, typed="email a@example.com")
    assert not guess(world, "192.0.2.1", "@bob:example.org", typed="email a@example.com")
    assert guess(world, "192.0.2.1", alice, typed=alice)


@pytest.mark.parametrize(
    "world",
    [{"guesses_at_account": ONE, "guesses_from_client": ONE, "guesses_at_account_from_client": ONE}],
    indirect=True,
)
def test_a_right_guess_costs_nothing(world: World) -> None:
    database = world.server.context.database
    for _ in range(3):
        look(world, Guess(world.server.context, client="192.0.2.1"))
    assert rows(world) == 0
    for _ in range(3):
        made = guess(world, "192.0.2.1", "@alice:example.org")
        assert made is not None
        world.run(database.write(made.give_back))
    assert guess(world, "192.0.2.1", "@alice:example.org")
    assert not guess(world, "192.0.2.1", "@alice:example.org")


@pytest.mark.parametrize("world", [{"guesses_from_client": {"burst": 2, "per_hour": 1}}], indirect=True)
def test_giving_back_saves_nothing_up(world: World) -> None:
    for _ in range(5):
        made = guess(world, "192.0.2.1")
        assert made is not None
        world.run(world.server.context.database.write(made.give_back))
    assert [guess(world, "192.0.2.1") is not None for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize("world", [{"guesses_from_client": {"burst": 3, "per_hour": 1}}], indirect=True)
@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_no_more_are_looked_at_than_would_be_left_if_all_that_are_pending_were_wrong(world: World, wrong: int) -> None:
    for _ in range(wrong):
        assert guess(world, "192.0.2.1")
    one = Guess(world.server.context, client="192.0.2.1")
    (key,) = one.keys
    look(world, one, **{key: 2 - wrong})
    with pytest.raises(LimitExceeded) as refused:
        look(world, one, **{key: 3 - wrong})
    assert refused.value.retry_after_ms == HOUR
    look(world, one, another=3)
    world.clock.advance(HOUR)
    look(world, one, **{key: min(2, 3 - wrong)})


@pytest.mark.parametrize("world", [{"guesses_from_client": ONE}], indirect=True)
def test_what_another_process_counted_meanwhile_is_seen_before_anything_is_told(world: World) -> None:
    database = world.server.context.database
    here, there = (Guess(world.server.context, client="192.0.2.1") for _ in range(2))
    for one in (here, there):
        look(world, one)
    world.run(database.write(there.take))
    with pytest.raises(LimitExceeded):  # had it been wrong
        world.run(database.write(here.take))
    with pytest.raises(LimitExceeded):  # had it been right
        look(world, here)


# -- prefixes that are milked


def send(world: World, count: int, *, start: int = 0) -> list[bool]:
    return [message(world, f"+447400{100_000 + number:06}") for number in range(start, start + count)]


def confirm(world: World, count: int) -> None:
    context = world.server.context

    def step(tx: Tx) -> None:
        for number in range(count):
            limits.count_confirmed(tx, context, f"447400{100_000 + number:06}")

    world.run(context.database.write(step))


def closed(world: World) -> int:
    return world.run(limits.closed_prefixes(world.server.context))


def test_a_prefix_is_closed_after_fifty_texts_of_which_fewer_than_one_in_ten_was_confirmed(world: World) -> None:
    confirm(world, 4)
    assert send(world, 51) == [True] * 50 + [False]
    assert closed(world) == 1
    assert message(world, "+447500123456")
    confirm(world, 1)
    assert closed(world) == 0
    assert message(world, "+447400123456")
    assert not message(world, "+447400123457")


def test_a_closed_prefix_says_when_to_come_back_and_is_not_counted_on(world: World) -> None:
    send(world, 50)
    context = world.server.context
    before = rows(world)
    with pytest.raises(LimitExceeded) as refused:
        world.run(
            context.database.write(
                lambda tx: limits.take_message(tx, context, Phone("", "447400199999", "GB", texted=True), client="x")
            )
        )
    assert refused.value.retry_after_ms == HOUR
    assert refused.value.cause == "prefix closed"
    assert rows(world) == before


def test_a_prefix_opens_again_when_two_days_have_passed_and_the_counts_are_forgotten(world: World) -> None:
    world.clock.advance(DAY - world.clock.now() % DAY)
    send(world, 50)
    world.clock.advance(2 * DAY - 1)
    world.run(background.run_once(world.server.context))
    assert closed(world) == 1
    assert not message(world, "+447400123456")
    world.clock.advance(1)
    assert closed(world) == 0
    assert message(world, "+447400123456")
    world.clock.advance(5 * DAY)
    world.run(background.run_once(world.server.context))
    assert world.run(world.server.context.database.read(_counted)) == 0


def _counted(tx: Tx) -> int:
    from threepid.storage.engine.queries import Query

    return int(tx.value(Query("test", "SELECT COUNT(*) FROM sms_prefixes", "SELECT COUNT(*) FROM sms_prefixes")))


def test_nothing_is_counted_where_limits_are_off(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path) as world:
        assert all(send(world, 60))
        assert closed(world) == 0
        assert rows(world) == 0


def test_where_there_are_no_accounts_no_message_is_kept_for_one(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, limits__all="on", accounts=None) as world:
        assert [message(world, "a@b.example") for _ in range(4)] == [True] * 3 + [False]


# -- invitations


def invite(world: World, sender: str, *, client: str = "192.0.2.1", user_id: str | None = None, to: str = "") -> bool:
    """Is one more invitation allowed, and its message?"""
    invite.count = getattr(invite, "count", 0) + 1  # type: ignore[attr-defined]
    address = parse_address("email", to or f"guest{invite.count}@example.net")  # type: ignore[attr-defined]
    context, who = world.server.context, {"client": client, "user_id": sender if user_id is None else user_id}

    def step(tx: Tx) -> None:
        limits.take_invite(tx, context, sender=sender, address=address, **who)
        limits.take_invitation_message(tx, context, address, **who)

    try:
        world.run(context.database.write(step))
    except LimitExceeded:
        return False
    return True


def test_a_homeserver_sends_two_hundred_invitations_at_once_and_five_hundred_an_hour(
    database_url: str, tmp_path: Path
) -> None:
    plenty = {"all": "on", "invites_from_homeserver": PLENTY}
    with World(database_url, tmp_path, limits=plenty) as world:
        allowed = [invite(world, f"@u{number}:hs.example.com") for number in range(202)]
        assert allowed == [True] * 200 + [False] * 2
        world.clock.advance(HOUR // 500)
        assert [invite(world, f"@v{number}:hs.example.com") for number in range(2)] == [True, False]
        # Its people's own clients are not held up by it, nor is another homeserver.
        assert message(world, "owner@example.net", "192.0.2.1")
        assert invite(world, "@u:other.example.org", client="192.0.2.2")


def test_invitations_take_no_more_than_a_quarter_of_the_servers_messages(database_url: str, tmp_path: Path) -> None:
    narrow = {"all": "on", "message_total": {"burst": 40, "per_hour": 400}, "invites_from_homeserver": PLENTY}
    with World(database_url, tmp_path, limits=narrow) as world:
        allowed = [invite(world, f"@u:hs{number}.example", client=f"192.0.2.{number}") for number in range(12)]
        assert allowed == [True] * 10 + [False] * 2
        assert [message(world, f"a{number}@b.example", f"198.51.100.{number}") for number in range(31)] == (
            [True] * 30 + [False]
        )
        world.clock.advance(HOUR // 100)
        assert [invite(world, f"@v:hs{number}.example") for number in range(2)] == [True, False]


@pytest.mark.parametrize("world", [{"message_from_client": ONE}], indirect=True)
def test_without_a_token_the_caller_of_an_invitation_pays_as_for_any_message(world: World) -> None:
    assert invite(world, "@a:one.example", user_id="")
    assert not invite(world, "@b:two.example", user_id="")
    assert invite(world, "@b:two.example", user_id="", client="192.0.2.2")


def test_who_names_somebody_else_as_the_sender_does_not_hold_them_up(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "invites_from_sender": ONE, "invites_from_homeserver": ONE}
    with World(database_url, tmp_path, limits=limits) as world:
        assert [invite(world, "@a:one.example", user_id="") for _ in range(2)] == [True, False]
        assert [invite(world, "@a:one.example") for _ in range(2)] == [True, False]


def test_names_below_one_domain_count_as_one_homeserver(database_url: str, tmp_path: Path) -> None:
    limits = {"all": "on", "invites_from_homeserver": {"burst": 3, "per_hour": 1}}
    with World(database_url, tmp_path, limits=limits) as world:
        names = ["a.evil.example", "b.evil.example:8448", "evil.example", "EVIL.example:1", "c.d.evil.example"]
        allowed = [invite(world, f"@u:{name}", client=f"192.0.2.{number}") for number, name in enumerate(names)]
        assert allowed == [True] * 3 + [False] * 2
        assert invite(world, "@u:good.example")


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("example.org", "example.org"),
        ("matrix.example.org:8448", "example.org"),
        ("a.b.c.Example.ORG", "example.org"),
        ("example.co.uk", "example.co.uk"),
        ("a.b.example.co.uk", "example.co.uk"),
        ("a.example.com.br:443", "example.com.br"),
        ("co.uk", "co.uk"),
        ("matrix.example.de", "example.de"),
        ("me.uk.example.de", "example.de"),
        ("com.de", "com.de"),
        ("a.info.tk", "info.tk"),
        ("b.web.de", "web.de"),
        ("a.go.to", "go.to"),
        ("localhost", "localhost"),
        ("localhost:8008", "localhost"),
        ("192.0.2.1:8448", "192.0.2.1"),
        ("[2001:db8:1:2::1]:8448", "2001:db8:1::/48"),
        ("[2001:db8:1:3::1]", "2001:db8:1::/48"),
        ("[::ffff:192.0.2.1]", "192.0.2.1"),
        ("example.org.", "example.org"),
        ("", ""),
    ],
)
def test_the_domain_that_somebody_registered_is_found(name: str, domain: str) -> None:
    assert registrable_domain(name) == domain
