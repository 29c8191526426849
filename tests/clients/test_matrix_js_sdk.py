"""matrix-js-sdk, on which Element Web is built, drives the server: `matrix_js_sdk/story.mjs` in Node."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

import npm
from clients.post import Post
from rig import ServerProcess

FOLDER: Final = Path(__file__).parent / "matrix_js_sdk"
OLDEST_NODE: Final = 20
STEPS: Final = (
    "ask what the server can do",
    "register",
    "register with the old call",
    "register with an email address",
    "register with a phone number",
    "register where much is asked",
    "be refused a name that is taken, and a guest",
    "log in by name",
    "log in by email",
    "log in by phone",
    "log a new device in with a login token",
    "refresh a token that has expired",
    "add and delete an email address",
    "add and delete a phone number",
    "be refused with a wrong password and an open session",
    "not take an address that is somebody's",
    "bind, look up and unbind an email address",
    "bind, look up and unbind a phone number",
    "look up a deleted address in vain",
    "read the terms of the identity server",
    "change the password",
    "reset a forgotten password by email",
    "reset a forgotten password by phone",
    "list, rename and delete devices",
    "have a profile",
    "sync until the session is ended elsewhere",
    "log out",
    "log out everywhere",
    "deactivate",
)


class Told(Struct, frozen=True):
    """What the story said."""

    lines: list[str]
    errors: str

    def why(self, step: str) -> str:
        """What it said about a step that failed."""
        found = re.search(rf"^-- {re.escape(step)}$.*?(?=^-- |\Z)", self.errors, re.MULTILINE | re.DOTALL)
        return found[0] if found else self.errors


def node_program(folder: Path) -> str:
    """Node, with the packages of the lock file in `folder`; skips the test where there is none."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is missing: matrix-js-sdk did not run")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < OLDEST_NODE:
        pytest.skip(f"Node is {version}: matrix-js-sdk needs {OLDEST_NODE} and did not run")
    npm.install(folder)
    return program


@pytest.fixture(scope="module")
def node() -> str:
    return node_program(FOLDER)


@pytest.fixture(scope="module")
def told(node: str, server: ServerProcess, strict_server: ServerProcess, post: Post) -> Told:
    command = [node, str(FOLDER / "story.mjs"), server.base, post.url, strict_server.base]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return Told([line for line in done.stdout.splitlines() if re.match("ok |failed ", line)], done.stderr)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
def test_an_app_on_matrix_js_sdk_can(told: Told, step: str) -> None:
    if f"ok {step}" not in told.lines:
        pytest.fail(told.why(step), pytrace=False)


@pytest.mark.timeout(300)
def test_every_step_of_the_story_is_expected(told: Told) -> None:
    assert [line.partition(" ")[2] for line in told.lines] == list(STEPS)
