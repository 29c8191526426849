"""A111: nobody outside reaches what the homeserver has for us alone, however the path is written."""

from pathlib import Path

import pytest

from fake_synapse import fake_synapse
from proxies import PROGRAMS, run_proxy
from world import settings

SPELLINGS = (
    "/_synapse/mas/query_user?localpart=a",
    "/_synapse//mas/query_user",
    "//_synapse/mas/query_user",
    "/_synapse/%6Das/query_user",
    "/%5Fsynapse/mas/query_user",
    "/_matrix/../_synapse/mas/query_user",
    "/_matrix/%2e%2e/_synapse/mas/query_user",
    "/_matrix/..%2f_synapse/mas/query_user",
    "/_synapse/client/../mas/query_user",
    "/_synapse/client/%2e%2e/mas/query_user",
    "/_synapse/client/..%2Fmas/query_user",
    "/_SYNAPSE/mas/query_user",
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_interface_for_us_has_no_way_in(tmp_path: Path, program: str) -> None:
    with fake_synapse() as synapse, fake_synapse() as here:
        homeserver = synapse.settings(tmp_path)["homeserver"]
        found = settings(tmp_path, homeserver=homeserver, server__listen=f"127.0.0.1:{here.port}")
        with run_proxy(program, found, tmp_path) as send:
            for spelling in SPELLINGS:
                send("GET", spelling)
        # As a Synapse reads it: it decodes each segment of the path, and knows no `..`.
        reached = [called.target for called in synapse.calls if called.target.startswith("/_synapse/mas")]
        assert reached == []
        assert here.calls
