"""Registration tokens: who may use them, how often, and how operators name them."""

import re
from collections.abc import Callable

import pytest

from threepid.clock import DAY, HOUR
from threepid.domain.authentication.registration_tokens import RegistrationTokens
from threepid.domain.secrets.vault import Vault
from threepid.spec.errors import InvalidParam, LimitExceeded, NotFound
from threepid.storage.engine.database import Tx
from world import HandClock, SeededEntropy, World, unnoted


@pytest.fixture
def tokens(world: World) -> RegistrationTokens:
    return world.homeserver.registration_tokens


def guess(world: World, token: str, client: str = "192.0.2.1") -> bool:
    return world.run(world.homeserver.registration_tokens.guess(token, client=client))


def use(world: World, token: str) -> bool:
    tokens = world.homeserver.registration_tokens
    return world.run(world.server.context.database.write(lambda tx: tokens.use(tx, tokens.hash(token))))


def test_a_made_token_can_be_used_and_another_cannot(world: World, tokens: RegistrationTokens) -> None:
    token = world.run(tokens.create(note=unnoted))
    assert re.fullmatch(r"[A-Za-z0-9._~-]{26}", token)
    assert guess(world, token) is True
    assert use(world, token) is True
    assert guess(world, token.upper()) is False
    assert use(world, token.upper()) is False
    assert world.run(tokens.create(note=unnoted)) != token


def test_a_token_is_used_as_often_as_it_was_made_for(world: World, tokens: RegistrationTokens) -> None:
    token = world.run(tokens.create("invitation", uses_allowed=2, note=unnoted))
    assert [use(world, token) for _ in range(4)] == [True, True, False, False]
    assert guess(world, token) is False
    (listed,) = world.run(tokens.all_tokens())
    assert (listed.used, listed.uses_allowed, tokens.state(listed)) == (2, 2, "used up")


def test_fifty_at_once_get_no_more_uses_than_there_are(world: World, tokens: RegistrationTokens) -> None:
    token_hash = tokens.hash(world.run(tokens.create(uses_allowed=3, note=unnoted)))
    database = world.server.context.database

    def one() -> Callable[[Tx], bool]:
        return lambda tx: tokens.use(tx, token_hash)

    results = world.together(*(lambda: database.write(one()) for _ in range(50)))
    assert sorted(results) == [False] * 47 + [True] * 3
    (listed,) = world.run(tokens.all_tokens())
    assert listed.used == 3


def test_a_use_that_is_rolled_back_does_not_count(world: World, tokens: RegistrationTokens) -> None:
    token = world.run(tokens.create(uses_allowed=1, note=unnoted))

    def step(tx: Tx) -> None:
        assert tokens.use(tx, tokens.hash(token))
        raise InvalidParam

    with pytest.raises(InvalidParam):
        world.run(world.server.context.database.write(step))
    assert use(world, token) is True


def test_a_token_ends_at_its_time_to_the_millisecond(world: World, tokens: RegistrationTokens, engine: str) -> None:
    token = world.run(tokens.create(expires_at=world.clock.now() + DAY, note=unnoted))
    world.clock.advance(DAY - 1)
    assert guess(world, token) is True
    assert use(world, token) is True
    world.clock.advance(1)
    assert guess(world, token) is False
    assert use(world, token) is False
    (listed,) = world.run(tokens.all_tokens())
    assert tokens.state(listed) == "expired"


@pytest.mark.parametrize("token", ["", "with space", "ä", "x" * 65, "a/b", "line\n", "a\0b"])
def test_what_the_specification_does_not_allow_is_no_token(
    world: World, tokens: RegistrationTokens, token: str
) -> None:
    with pytest.raises(InvalidParam):
        world.run(tokens.create(token, note=unnoted))
    assert guess(world, token) is False
    with pytest.raises(NotFound):
        world.run(tokens.delete(token, note=unnoted))


@pytest.mark.parametrize("token", ["a", "x" * 64, "-._~", "AZaz09"])
def test_every_token_of_the_specification_can_be_made(world: World, tokens: RegistrationTokens, token: str) -> None:
    assert world.run(tokens.create(token, note=unnoted)) == token
    assert guess(world, token) is True


def test_what_makes_no_sense_is_refused(world: World, tokens: RegistrationTokens) -> None:
    with pytest.raises(InvalidParam):
        world.run(tokens.create(uses_allowed=0, note=unnoted))
    with pytest.raises(InvalidParam):
        world.run(tokens.create(uses_allowed=2**53, note=unnoted))
    with pytest.raises(InvalidParam):
        world.run(tokens.create(expires_at=world.clock.now(), note=unnoted))
    assert world.run(tokens.all_tokens()) == []


def test_a_token_is_made_once(world: World, tokens: RegistrationTokens) -> None:
    world.run(tokens.create("invitation", uses_allowed=1, note=unnoted))
    with pytest.raises(InvalidParam, match="exists already"):
        world.run(tokens.create("invitation", uses_allowed=99, note=unnoted))
    (listed,) = world.run(tokens.all_tokens())
    assert listed.uses_allowed == 1


def test_the_list_does_not_give_tokens_away_and_names_each_by_another_hint(
    world: World, tokens: RegistrationTokens
) -> None:
    made = ["event-berlin-2027", "event-berlin-2028", "event-berlin-2029", "ab", "cd"]
    for token in made:
        world.run(tokens.create(token, note=unnoted))
        world.clock.advance(1)
    listed = world.run(tokens.all_tokens())
    assert [token.hint for token in listed] == ["event", "event~2", "event~3", "~", "~~2"]
    assert not any(token in shown.hint for token in made for shown in listed)


def test_a_token_is_ended_by_its_hint_or_by_itself(world: World, tokens: RegistrationTokens) -> None:
    for token in ("event-berlin-2027", "event-berlin-2028", "another-token"):
        world.run(tokens.create(token, note=unnoted))
    assert world.run(tokens.delete("event~2", note=unnoted)).hint == "event~2"
    assert guess(world, "event-berlin-2028") is False
    assert guess(world, "event-berlin-2027") is True
    world.run(tokens.delete("event-berlin-2027", note=unnoted))
    assert use(world, "event-berlin-2027") is False
    with pytest.raises(NotFound):
        world.run(tokens.delete("event-berlin-2027", note=unnoted))
    with pytest.raises(NotFound):
        world.run(tokens.delete("anoth%", note=unnoted))
    assert [token.hint for token in world.run(tokens.all_tokens())] == ["anot"]


def test_a_name_that_may_mean_two_tokens_ends_neither_and_each_has_another_name(
    world: World, tokens: RegistrationTokens
) -> None:
    world.run(tokens.create("event-berlin-2027", note=unnoted))
    world.run(tokens.create("event", note=unnoted))
    with pytest.raises(InvalidParam, match="e and event"):
        world.run(tokens.delete("event", note=unnoted))
    assert len(world.run(tokens.all_tokens())) == 2
    world.run(tokens.delete("e", note=unnoted))
    world.run(tokens.delete("event", note=unnoted))
    assert world.run(tokens.all_tokens()) == []


def test_the_kept_hash_needs_the_servers_secret() -> None:
    one, other = (Vault(secret * 32, SeededEntropy()) for secret in (b"a", b"b"))
    assert one.hash_registration_token("short") == one.hash_registration_token("short")
    assert one.hash_registration_token("short") != other.hash_registration_token("short")
    assert one.hash_registration_token("short") != one.hash_limit_key("short")


def test_wrong_tries_are_counted_and_right_ones_are_not(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with World(
        database_url,
        tmp_path_factory.mktemp("limited"),
        limits={"guesses_from_client": {"burst": 5, "per_hour": 60}},
    ) as world:
        tokens = world.homeserver.registration_tokens
        token = world.run(tokens.create(note=unnoted))
        for _ in range(20):
            assert guess(world, token, "192.0.2.1") is True
        for _ in range(5):
            assert guess(world, "wrong", "192.0.2.1") is False
        with pytest.raises(LimitExceeded):
            guess(world, token, "192.0.2.1")
        assert guess(world, token, "192.0.2.2") is True
        world.clock.advance(HOUR)
        assert guess(world, token, "192.0.2.1") is True


def test_a_token_outlives_the_process_that_made_it(world: World, tokens: RegistrationTokens) -> None:
    token = world.run(tokens.create(uses_allowed=1, note=unnoted))
    assert use(world, token)
    with world.again() as again:
        assert guess(again, token) is False
    assert isinstance(world.clock, HandClock)
