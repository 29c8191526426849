"""A116: a hash in an imported database that would take hours to verify, or that would accept any password."""

from pathlib import Path
from typing import Any

import pytest

from importers.synapse.importing import bring, log_in
from synapse_database import SynapseDatabase, synapse_hash
from threepid.storage import accounts
from world import World

GOOD = synapse_hash("password")
HOSTILE: list[Any] = [
    GOOD.replace("$04$", "$31$"), GOOD.replace("$04$", "$16$"), GOOD.replace("$04$", "$03$"), GOOD.replace("$04$", "$99$"),
    GOOD + "x", GOOD[:-1], GOOD + "\n", "\0" + GOOD, GOOD.replace("$2b$", "$2x$"), "password", "*", "!", "$peppered$abcdefghijkl" + GOOD,
    "$argon2id$v=19$m=4194304,t=4294967295,p=255$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$",
    5, 0, b"$2b$", GOOD.encode(), 1.5,
]  # fmt: skip


@pytest.mark.parametrize("password_hash", HOSTILE, ids=range(len(HOSTILE)))  # the hashes have random salts
def test_A116_such_a_hash_is_not_carried(world: World, tmp_path: Path, password_hash: Any) -> None:
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db", strict=False)
    synapse.user("@alice:example.org", password_hash=password_hash)
    found = bring(world, synapse)
    assert found.kinds() == {"UNKNOWN_PASSWORD": 1, "NO_WAY_IN": 1}
    stored = world.run(world.database.read(lambda tx: accounts.get(tx, "@alice:example.org")))
    assert stored is not None
    assert stored.password_hash is None
    for password in ("password", "", "*"):
        assert log_in(world, "alice", password) == 403


def test_A116_a_pepper_is_named_only_by_the_importer(world: World, tmp_path: Path) -> None:
    """A hash of the other server cannot name a file."""
    synapse = SynapseDatabase(f"sqlite:{tmp_path}/homeserver.db")
    for number, name in enumerate(("../../vault.secret", "abcdefghijkl", "")):
        synapse.user(f"@u{number}:example.org", password_hash=f"$peppered${name}{GOOD}")
    assert bring(world, synapse, pepper="pepper").kinds()["UNKNOWN_PASSWORD"] == 3
