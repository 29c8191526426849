"""`register/m.login.registration_token/validity`."""

from pathlib import Path

import pytest

from world import World, unnoted

PATH = "/_matrix/client/v1/register/m.login.registration_token/validity"


def test_a_token_is_valid_until_it_is_used_up(world: World) -> None:
    tokens = world.homeserver.registration_tokens
    world.run(tokens.create("invitation", uses_allowed=1, note=unnoted))
    assert world.get(PATH, params={"token": "invitation"}).json() == {"valid": True}
    world.run(world.server.context.database.write(lambda tx: tokens.use(tx, tokens.hash("invitation"))))
    assert world.get(PATH, params={"token": "invitation"}).json() == {"valid": False}


@pytest.mark.parametrize("token", ["nosuch", "", "ä", "x" * 5000, "a\nb", "a/b"])
def test_what_is_no_token_is_not_valid(world: World, token: str) -> None:
    answer = world.get(PATH, params={"token": token})
    assert (answer.status_code, answer.json()) == (200, {"valid": False})


def test_a_token_must_be_asked_about(world: World) -> None:
    answer = world.get(PATH)
    assert (answer.status_code, answer.json()["errcode"]) == (400, "M_MISSING_PARAM")


def test_where_registration_is_closed_no_token_is_looked_at(database_url: str, tmp_path: Path) -> None:
    with World(database_url, tmp_path, accounts__registration="closed") as world:
        world.run(world.homeserver.registration_tokens.create("invitation", note=unnoted))
        answer = world.get(PATH, params={"token": "invitation"})
        assert (answer.status_code, answer.json()["errcode"]) == (403, "M_FORBIDDEN")


def test_who_guesses_is_held_up(database_url: str, tmp_path: Path) -> None:
    limits = {"guesses_from_client": {"burst": 3, "per_hour": 60}}
    with World(database_url, tmp_path, accounts__registration="token", limits=limits) as world:
        for number in range(3):
            assert world.get(PATH, params={"token": f"guess{number}"}).json() == {"valid": False}
        answer = world.get(PATH, params={"token": "guess3"})
        assert (answer.status_code, answer.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")
        assert answer.json()["retry_after_ms"] > 0
        assert int(answer.headers["retry-after"]) > 0
