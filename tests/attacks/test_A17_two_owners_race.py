"""A17: of all who proved an address, the first to add it owns it; the others get M_THREEPID_IN_USE and keep nothing."""

from collections.abc import Callable
from typing import Any

from world import World

PATH = "/_matrix/client/v3/account/3pid"


def proofs(world: World, count: int, address: str) -> list[tuple[str, dict[str, Any]]]:
    """Accounts that have each proven `address`: their tokens and the bodies that add it."""
    found = []
    for number in range(count):
        token = world.register(f"user{number}-{address.partition('@')[0]}")
        identity = world.identity_token(token, f"user{number}-{address.partition('@')[0]}")
        world.clock.advance(1)
        sid = world.validated(identity, address)
        creds = {"sid": sid, "client_secret": "secret", "id_server": "matrix.example.org"}
        found.append((token, {"three_pid_creds": creds}))
    return found


def test_contested_adds_in_two_processes_have_one_winner(world: World) -> None:
    for round_ in range(5):
        address = f"prize{round_}@example.com"
        contenders = proofs(world, 6, address)
        with world.again() as other:
            answers = []
            for index, process in enumerate((world, other)):
                calls: list[Callable[[], Any]] = [
                    lambda process=process, token=token, body=body: process.acall("POST", PATH, body, token=token)  # type: ignore[misc]
                    for token, body in contenders[index::2]
                ]
                answers += list(zip(contenders[index::2], process.together(*calls), strict=True))
        winners = [token for (token, _), answer in answers if answer.status_code == 200]
        assert len(winners) == 1
        for (token, _), answer in answers:
            if token not in winners:
                assert (answer.status_code, answer.json()["errcode"]) == (400, "M_THREEPID_IN_USE")
                assert world.contacts(token) == []
        assert world.contacts(winners[0]) == [address]


def test_the_owner_keeps_the_address_when_another_proves_it(world: World) -> None:
    (owner, mine), (thief, theirs) = proofs(world, 2, "mine@example.com")
    assert world.post(PATH, mine, token=owner).status_code == 200
    before = world.get(PATH, token=owner).text
    for _ in range(3):
        assert world.post(PATH, theirs, token=thief).json()["errcode"] == "M_THREEPID_IN_USE"
    assert world.get(PATH, token=owner).text == before


def test_add_against_register_has_one_winner(world: World) -> None:
    ((token, body),) = proofs(world, 1, "both@example.com")
    sid = world.post(
        "/_matrix/client/v3/register/email/requestToken",
        {"client_secret": "s", "email": "both@example.com", "send_attempt": 1},
    ).json()["sid"]
    world.clock.advance(1)
    world.post(world.mail().link)
    auth = {"type": "m.login.email.identity", "threepid_creds": {"sid": sid, "client_secret": "s"}}
    registration = {"username": "newcomer", "password": "long enough", "auth": auth}
    answers = world.together(
        lambda: world.acall("POST", PATH, body, token=token),
        lambda: world.acall("POST", "/_matrix/client/v3/register", registration),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert next(answer for answer in answers if answer.status_code == 400).json()["errcode"] == "M_THREEPID_IN_USE"


def test_proving_ones_own_address_again_refreshes_it(world: World) -> None:
    token = world.register()
    identity = world.identity_token(token)
    world.add(token, world.validated(identity, secret="one"), secret="one")
    (first,) = world.get(PATH, token=token).json()["threepids"]
    world.clock.advance(5000)
    assert world.add(token, world.validated(identity, secret="two"), secret="two").status_code == 200
    (second,) = world.get(PATH, token=token).json()["threepids"]
    assert second["validated_at"] == first["validated_at"] + 5000
    assert second["added_at"] == first["added_at"]
