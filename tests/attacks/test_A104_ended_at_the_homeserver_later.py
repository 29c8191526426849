"""A104: whoever was locked out uses the two minutes in which the homeserver beside us still takes the old token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from beside import Beside, beside_a_synapse
from fake_synapse import USERINFO

ALICE = "@alice:example.org"
OPENID = {"access_token": "of Synapse", "token_type": "Bearer", "matrix_server_name": "example.org", "expires_in": 3600}
REGISTER = "/_matrix/identity/v2/account/register"


@pytest.fixture
def both(database_url: str, tmp_path: Path) -> Iterator[Beside]:
    with beside_a_synapse(database_url, tmp_path) as made:
        made.world.register()
        made.synapse.replies[USERINFO] = 200, {"sub": ALICE}
        yield made


@pytest.mark.parametrize("end", ["lock", "close"])
def test_A104_an_account_that_has_ended_gets_no_identity_token(both: Beside, end: str) -> None:
    world = both.world
    assert world.post(REGISTER, OPENID).status_code == 200
    if end == "lock":
        world.run(world.homeserver.administration.lock(ALICE))
    else:
        world.run(world.homeserver.closing.close_by_operator(ALICE, erase=False))
    assert world.post(REGISTER, OPENID).status_code == 401
