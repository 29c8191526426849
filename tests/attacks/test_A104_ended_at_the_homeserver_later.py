"""A104: whoever was locked out uses the two minutes in which the homeserver beside us still takes the old token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from beside import Beside, beside_a_synapse

ALICE = "@alice:example.org"


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.world.register()
        yield made


@pytest.mark.parametrize("end", ["lock", "close"])
def test_A104_an_account_that_has_ended_gets_no_identity_token(both: Beside, end: str) -> None:
    world = both.world
    both.identity_token()
    if end == "lock":
        world.run(world.homeserver.administration.lock(ALICE))
    else:
        world.run(world.homeserver.closing.close_by_operator(ALICE, erase=False))
    assert both.register_identity("alice").status_code == 401


def test_A104_a_user_of_an_application_service_has_no_account_that_could_have_ended(both: Beside) -> None:
    assert both.identity_token("irc_bob")
