"""A113: a registration takes over a user whom only the homeserver knows, such as one of a bridge."""

from pathlib import Path

import pytest

from beside import V3, beside_a_synapse
from fake_synapse import User
from world import PASSWORD


@pytest.mark.parametrize("kind", ["user", "exclusive"])
def test_a_name_that_is_taken_between_the_stages_is_not_given(database_url: str, tmp_path: Path, kind: str) -> None:
    with beside_a_synapse(database_url, tmp_path) as both:
        body = {"username": "bob", "password": PASSWORD}
        session = both.world.post(f"{V3}/register", body).json()["session"]
        if kind == "user":
            both.synapse.users["bob"] = User()
        else:
            both.synapse.exclusive.add("bob")
        answer = both.world.post(f"{V3}/register", {**body, "auth": {"type": "m.login.dummy", "session": session}})
        assert answer.json()["errcode"] == ("M_USER_IN_USE" if kind == "user" else "M_EXCLUSIVE")
        assert both.world.run(both.world.homeserver.accounts.get("@bob:example.org")) is None


def test_an_operator_does_not_take_one_either(database_url: str, tmp_path: Path) -> None:
    from threepid.spec.errors import UserInUse

    with beside_a_synapse(database_url, tmp_path) as both:
        both.synapse.users["bob"] = User()
        with pytest.raises(UserInUse):
            both.world.run(both.world.homeserver.registration.create("bob", PASSWORD))
