"""One running server with both roles for all clients, and the post that it sends."""

from collections.abc import Iterator

import pytest

from clients.post import Post, post_office
from rig import ServerProcess

SMS = """
[sms]
countries = ["DE", "GB", "US"]
via = [{{ transport = "http", url = "{url}", headers = {{ Content-Type = "application/json" }}, body = '{{"to": "{{to}}", "text": "{{text}}"}}' }}]
"""


@pytest.fixture(scope="session")
def post() -> Iterator[Post]:
    with post_office() as office:
        yield office


@pytest.fixture(scope="session")
def server(post: Post, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(
        tmp_path_factory.mktemp("clients") / "server",
        via=f'{{ transport = "smtp", host = "127.0.0.1", port = {post.mail_port}, tls = "plain" }}',
        tables=SMS.format(url=post.url),
    ).start()
    try:
        yield process
    finally:
        process.stop()
