"""Running servers with both roles for all clients, and the post that they send."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.post import Post, post_office
from rig import ServerProcess

SMS = """
[sms]
countries = ["DE", "GB", "US"]
via = [{{ transport = "http", url = "{url}", headers = {{ Content-Type = "application/json" }}, body = '{{"to": "{{to}}", "text": "{{text}}"}}' }}]
"""
TERMS = '{ id = "privacy", version = "1.0", languages = { en = { name = "Privacy", url = "https://example.com/privacy" } } }'


@pytest.fixture(scope="session")
def post() -> Iterator[Post]:
    with post_office() as office:
        yield office


@contextlib.contextmanager
def running(post: Post, directory: Path, *, registration: str = "open", accounts: str = "") -> Iterator[ServerProcess]:
    process = ServerProcess(
        directory / "server",
        registration=registration,
        accounts=accounts,
        via=f'{{ transport = "smtp", host = "127.0.0.1", port = {post.mail_port}, tls = "plain" }}',
        tables=SMS.format(url=post.url),
    ).start()
    try:
        yield process
    finally:
        process.stop()


def invite(server: ServerProcess, token: str) -> None:
    """Make a registration token, as an operator does it."""
    command = [sys.executable, "-m", "threepid", "registration-token", "create"]
    subprocess.run([*command, "--config", str(server.config), "--token", token], check=True, capture_output=True)


@pytest.fixture(scope="session")
def server(post: Post, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Where everybody may register."""
    with running(post, tmp_path_factory.mktemp("open")) as process:
        yield process


@pytest.fixture(scope="session")
def strict_server(post: Post, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Where those who register need the token `welcome`, an email address and a phone number, and accept terms."""
    asked = f'required_contacts = ["email", "msisdn"]\nterms = [{TERMS}]'
    with running(post, tmp_path_factory.mktemp("strict"), registration="token", accounts=asked) as process:
        invite(process, "welcome")
        yield process


@pytest.fixture(scope="session")
def invited_server(post: Post, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Where those who register need the token `welcome`."""
    with running(post, tmp_path_factory.mktemp("invited"), registration="token") as process:
        invite(process, "welcome")
        yield process
