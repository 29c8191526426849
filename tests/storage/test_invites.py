"""Invitations and wishes for none, on each engine."""

from collections.abc import Awaitable, Callable

from threepid.storage import associations, invites, outbox
from threepid.storage.associations import Association
from threepid.storage.engine.database import Database, Tx
from threepid.storage.invites import Invite
from world import World

NOW = 1_000
GUEST = ("email", "guest@example.net")
BOB, CAROL = "@bob:elsewhere.example", "@carol:elsewhere.example"


def invite(name: str, *, created_at: int = NOW, expires_at: int = 9_000) -> Invite:
    return Invite(
        name, f"token-{name}", *GUEST, "!r:example.org", "@a:example.org", f"key-{name}", created_at, expires_at
    )


def database_of(world: World) -> Database:
    return world.server.context.database


def insert(world: World, *made: Invite) -> None:
    def step(tx: Tx) -> None:
        for one in made:
            invites.insert(tx, one)

    world.run(database_of(world).write(step))


def order(tx: Tx, order_id: str, *, expires_at: int = 9_000) -> None:
    outbox.insert(
        tx,
        job_id=order_id,
        channel="onbind",
        recipient="elsewhere.example",
        language="",
        template="onbind",
        params="{}",
        created_at=NOW,
        due_at=NOW,
        expires_at=expires_at,
    )


def waiting(world: World, mxid: str, now: int = NOW) -> list[str]:
    return world.run(database_of(world).read(lambda tx: invites.waiting(tx, *GUEST, mxid, now)))


def test_an_invitation_is_found_by_its_token_and_its_id(world: World) -> None:
    insert(world, invite("one"), invite("two"))
    read = database_of(world).read
    assert world.run(read(lambda tx: invites.by_token(tx, "token-one"))) == invite("one")
    assert world.run(read(lambda tx: invites.get(tx, "two"))) == invite("two")
    assert world.run(read(lambda tx: invites.by_token(tx, "token"))) is None
    assert world.run(read(lambda tx: invites.get(tx, "three"))) is None


def test_what_waits_is_in_force_and_not_being_told(world: World) -> None:
    insert(world, invite("old", created_at=1), invite("new"), invite("over", expires_at=NOW), invite("cancelled"))
    write = database_of(world).write
    assert world.run(write(lambda tx: invites.cancel(tx, "cancelled", NOW))) is True
    assert waiting(world, BOB) == ["old", "new"]

    def assign(tx: Tx) -> None:
        order(tx, "first")
        invites.assign(tx, "old", BOB, "first")

    world.run(write(assign))
    assert waiting(world, BOB) == ["new"]
    assert waiting(world, CAROL) == ["old", "new"]
    assert waiting(world, BOB, now=9_000) == []
    world.run(write(lambda tx: outbox.sent(tx, "first", NOW)))
    assert waiting(world, BOB) == ["old", "new"]  # it was sent without being handed over: it was moot


def test_an_order_that_ran_out_makes_room_for_another(world: World) -> None:
    insert(world, invite("one"))

    def assign(tx: Tx) -> None:
        order(tx, "first", expires_at=NOW + 10)
        invites.assign(tx, "one", BOB, "first")

    world.run(database_of(world).write(assign))
    assert waiting(world, BOB, NOW + 9) == []
    assert waiting(world, BOB, NOW + 10) == ["one"]


def test_an_invitation_is_told_of_by_the_order_that_has_it_and_once(world: World) -> None:
    insert(world, invite("one"))
    write, read = database_of(world).write, database_of(world).read
    world.run(write(lambda tx: invites.assign(tx, "one", BOB, "first")))
    world.run(write(lambda tx: invites.assign(tx, "one", CAROL, "second")))
    assert world.run(read(lambda tx: invites.of_job(tx, "first"))) == []
    assert [one.id for one in world.run(read(lambda tx: invites.of_job(tx, "second")))] == ["one"]
    assert world.run(write(lambda tx: invites.delivered(tx, "one", "first", NOW))) is False
    assert world.run(write(lambda tx: invites.delivered(tx, "one", "second", NOW))) is True
    assert world.run(write(lambda tx: invites.delivered(tx, "one", "second", NOW))) is False
    assert world.run(read(lambda tx: invites.of_job(tx, "second"))) == []
    assert world.run(write(lambda tx: invites.cancel(tx, "one", NOW))) is False


def test_an_invitation_is_signed_for_one_user(world: World) -> None:
    insert(world, invite("one"), invite("two"))
    write = database_of(world).write

    def sign(mxid: str, token: str = "token-one", key: str = "key-one", now: int = NOW) -> bool:
        return world.run(write(lambda tx: invites.sign_for(tx, token, mxid=mxid, public_key=key, now=now)))

    assert sign(BOB, key="key-two") is False
    assert sign(BOB, token="token-two") is False
    assert sign(BOB, now=9_000) is False
    assert [sign(BOB), sign(BOB), sign(CAROL)] == [True, True, False]
    world.run(write(lambda tx: invites.settle(tx, "two", CAROL, NOW)))
    assert sign(BOB, "token-two", "key-two") is False
    assert sign(CAROL, "token-two", "key-two") is True


def test_two_who_accept_at_the_same_time_are_one(world: World) -> None:
    insert(world, invite("one"))
    write = database_of(world).write

    def sign(mxid: str) -> Callable[[], Awaitable[bool]]:
        return lambda: write(lambda tx: invites.sign_for(tx, "token-one", mxid=mxid, public_key="key-one", now=NOW))

    assert sum(world.together(*(sign(f"@u{number}:x.example") for number in range(20)))) == 1


def test_ended_invitations_and_keys_are_forgotten(world: World) -> None:
    insert(world, invite("one", expires_at=5_000), invite("two"))
    write, read = database_of(world).write, database_of(world).read

    def keys(tx: Tx) -> None:
        associations.insert_ephemeral_key(tx, "key-one", now=NOW, expires_at=5_000)
        associations.insert_ephemeral_key(tx, "key-two", now=NOW, expires_at=9_000)

    world.run(write(keys))
    assert world.run(write(lambda tx: invites.delete_before(tx, 4_999, at_most=9))) == 0
    assert world.run(write(lambda tx: invites.delete_before(tx, 5_000, at_most=9))) == 2
    assert [one.id for one in world.run(read(lambda tx: invites.after(tx, 0, "", 10)))] == ["two"]
    assert world.run(write(lambda tx: invites.cancel(tx, "two", 6_000))) is True
    assert world.run(read(lambda tx: associations.ephemeral_key_expiry(tx, "key-two"))) == 6_000


def test_a_wish_for_no_more_is_kept_once(world: World) -> None:
    write, read = database_of(world).write, database_of(world).read
    assert world.run(read(lambda tx: invites.opted_out(tx, "hash"))) is False
    for _ in range(2):
        world.run(write(lambda tx: invites.opt_out(tx, "hash", NOW)))
    assert world.run(read(lambda tx: invites.opted_out(tx, "hash"))) is True
    assert world.run(read(lambda tx: invites.opted_out(tx, "other"))) is False


def test_an_invitation_stored_while_its_address_is_bound_is_never_left_behind(world: World) -> None:
    """Either the sender is told that the address is known, or who binds it sees the invitation."""
    database = database_of(world)

    def store(number: int) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            address = f"g{number}@example.net"
            invites.hold_address(tx, "email", address)
            if associations.get(tx, "email", address, NOW) is None:
                invites.insert(tx, Invite(str(number), f"t{number}", "email", address, "!r", "@a:x", "k", NOW, 9_000))

        return step

    def publish(number: int) -> Callable[[Tx], None]:
        def step(tx: Tx) -> None:
            address = f"g{number}@example.net"
            association = Association("email", address, BOB, NOW, NOW, 9_000)
            associations.bind(tx, association)
            invites.hold_address(tx, "email", address)
            for invite_id in invites.waiting(tx, "email", address, BOB, NOW):
                invites.settle(tx, invite_id, BOB, NOW)

        return step

    steps = [step(number) for number in range(60) for step in (store, publish)]
    world.together(*(lambda step=step: database.write(step) for step in steps))
    left = world.run(database.read(lambda tx: invites.after(tx, 0, "", 1_000)))
    assert [one.id for one in left if one.delivered_at is None] == []
