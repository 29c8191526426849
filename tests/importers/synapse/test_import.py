"""Accounts of a Synapse move in: https://spec.matrix.org/latest/client-server-api/#account-management is the same as before."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from importers.synapse.importing import bring, log_in, who
from synapse_database import CREATED, SynapseDatabase
from threepid.domain.secrets.passwords import Hasher
from threepid.storage import accounts, devices
from world import WatchedHasher, World

ALICE, BOB = "@alice:example.org", "@Bob.Old:example.org"
PEPPER = "a pepper: ñ\n"
LATER = 1_900_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def synapse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SynapseDatabase]:
    """An empty Synapse."""
    if request.param == "sqlite":
        url = f"sqlite:{tmp_path}/homeserver.db"
    elif not request.config.getoption("postgres"):
        pytest.skip("on PostgreSQL with --postgres")
    else:
        url = request.getfixturevalue("postgres_server").create_database(f"synapse_{tmp_path.name[-40:].lower()}")
    made = SynapseDatabase(url)
    yield made
    made.close()


def test_people_sign_in_with_old_passwords_and_go_on_with_old_tokens(world: World, synapse: SynapseDatabase) -> None:
    synapse.user(ALICE, "pässword", pepper=PEPPER)
    synapse.device(ALICE, "PHONE", "syt_YWxpY2U_abcdefghijklmnopqrst_123456")
    synapse.device(ALICE, "TABLET")
    synapse.user(BOB, "another", pepper=PEPPER)
    synapse.device(BOB, "OLD", "MDAxOGxvY2F0aW9uIGV4YW1wbGUub3JnCg" * 8)
    found = bring(world, synapse, pepper=PEPPER)
    assert (found.result.is_complete, found.findings) == (False, [*found.findings]) or found.findings == []
    assert found.result.carried == {
        "accounts": 2, "passwords": 2, "contacts": 0, "devices": 3, "access_tokens": 2, "refresh_tokens": 0
    }  # fmt: skip
    assert who(world, "syt_YWxpY2U_abcdefghijklmnopqrst_123456") == (ALICE, "PHONE")
    assert who(world, "MDAxOGxvY2F0aW9uIGV4YW1wbGUub3JnCg" * 8) == (BOB, "OLD")
    # The same password typed in another normal form: NFKC makes them equal.
    assert log_in(world, "alice", "pa\u0308ssword") == 200
    assert log_in(world, "alice", "pässword") == 200
    assert log_in(world, "alice", "pässword" + PEPPER) == 403
    assert log_in(world, "Bob.Old", "another") == 200
    assert log_in(world, "alice", "") == 403
