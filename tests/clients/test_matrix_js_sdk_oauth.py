"""Today's matrix-js-sdk signs in by the OAuth 2.0 API: `matrix_js_sdk_oauth/story.mjs` in Node."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from clients.test_matrix_js_sdk import Told, node_program
from rig import ServerProcess

FOLDER: Final = Path(__file__).parent / "matrix_js_sdk_oauth"
STEPS: Final = (
    "register itself, twice as the same app",
    "sign in by a code in the query",
    "sign in by a code in the fragment",
    "create an account on the way",
    "be told that the person does not allow it",
    "refresh",
    "refresh by itself when its token has gone",
    "stay signed in while its account is locked",
    "log out",
    "revoke a token",
    "sign in by a code that the person enters elsewhere",
    "know what it cannot do",
    "sign in as an app of before, by single sign-on",
)


def tell(base: str, server: ServerProcess, **environment: str) -> Told:
    """The story with `server`, which apps reach at `base`."""
    command = [node_program(FOLDER), str(FOLDER / "story.mjs"), base]
    operating = {"THREEPID": json.dumps(["env", f"THREEPID_CONFIG={server.config}", sys.executable, "-m", "threepid"])}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, **operating, **environment}
    )
    assert done.returncode == 0, done.stderr
    return Told([line for line in done.stdout.splitlines() if re.match("ok |failed ", line)], done.stderr)


@pytest.fixture(scope="module")
def told(server: ServerProcess) -> Told:
    return tell(server.base, server)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
def test_an_app_on_todays_matrix_js_sdk_can(told: Told, step: str) -> None:
    if f"ok {step}" not in told.lines:
        pytest.fail(told.why(step), pytrace=False)


@pytest.mark.timeout(300)
def test_every_step_of_the_story_is_expected(told: Told) -> None:
    assert [line.partition(" ")[2] for line in told.lines] == list(STEPS)
