"""F46: threepid is away, and the Synapse beside it goes on, or is started meanwhile: its clients wait, and nobody is logged out."""

from pathlib import Path

import httpx
import pytest

from real_synapse import RealSynapse, needs_synapse
from rig import register
from synapse.conftest import pair

METADATA = "/_matrix/client/v1/auth_metadata"


def told(synapse: RealSynapse, token: str) -> tuple[int, str]:
    answer = synapse.whoami(token)
    return answer.status_code, answer.json().get("errcode", "")


def metadata(synapse: RealSynapse) -> httpx.Response:
    return synapse.request("GET", METADATA, None)


@needs_synapse
@pytest.mark.timeout(180)
def test_F46_synapse_says_503_and_nobody_is_logged_out(tmp_path: Path) -> None:
    with pair(tmp_path) as servers:
        threepid, synapse = servers.threepid, servers.synapse
        with threepid.client() as http:
            used, unused = register(http, "alice"), register(http, "bob")
        assert metadata(synapse).status_code == 200
        assert told(synapse, used) == (200, "")
        threepid.kill()
        assert told(synapse, used) == (200, ""), "Synapse remembers it for two minutes"
        assert told(synapse, unused) == (503, "M_UNKNOWN")
        assert metadata(synapse).status_code == 200, "Synapse remembers it as long as it runs"

        synapse.stop()
        synapse.start()
        assert told(synapse, used) == (503, "M_UNKNOWN")
        assert metadata(synapse).status_code == 500

        threepid.start()
        assert [told(synapse, token) for token in (used, unused)] == [(200, "")] * 2
        assert metadata(synapse).status_code == 200
