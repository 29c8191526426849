"""Two real Synapses that federate, and an identity server between them, with the lines of the guide that operators read.

`docs/guides/synapse-identity-server.md` is written for two machines; here, its names and addresses stand for this one.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from authority import authority_file
from clients.post import Post, post_office
from federated_synapse import FederatedSynapse
from proxies import in_front
from real_synapse import PYTHON
from rig import ServerProcess, free_port, whole
from threepid import config

GUIDE = (Path(__file__).parent.parent / "docs" / "guides" / "synapse-identity-server.md").read_text(encoding="utf-8")
OPEN = "enable_registration: true\nenable_registration_without_verification: true\n"


def lines(info: str, changes: Mapping[str, str]) -> str:
    """A block of the guide with each of `changes` made, all of which must be possible."""
    block: str
    (block,) = re.findall(rf"^```{info}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    for old, new in changes.items():
        assert old in block, (info, old)
        block = block.replace(old, new)
    return block


class IdentityServer(ServerProcess):
    """The threepid of the guide, and the nginx in front of it."""

    def __init__(self, directory: Path, post: Post) -> None:
        super().__init__(directory)
        self.post = post
        self.front = free_port()
        self.public = f"https://localhost:{self.front}"
        (directory / "data").mkdir(mode=0o700)
        text = lines(
            "toml identity-server",
            {
                "https://id.example.org": self.public,
                "127.0.0.1:8009": f"127.0.0.1:{self.port}",
                "/var/lib/threepid": str(directory / "data"),
                'host = "relay.example.org", username = "threepid", password_file = "relay.password"': (
                    f'host = "127.0.0.1", port = {post.mail_port}, tls = "plain"'
                ),
                'transport = "apprise", url_file = "gateway.url"': (
                    f'transport = "http", url = "{post.url}", body = \'{{"to": "{{to}}", "text": "{{text}}"}}\''
                ),
            },
        )
        private = lines("toml private", {'["192.168.1.11/32"]': '["127.0.0.1/32", "::1/128"]'})
        self.config.write_text(f'{text}\n{private}ca_file = "{authority_file()}"\n')

    @contextlib.contextmanager
    def run(self) -> Iterator[None]:
        """Start both; the server must end as it should."""
        with whole(self), in_front("nginx", config.load(self.config, {}), self.directory / "nginx"):
            yield


def settings_of_synapse(identity: IdentityServer) -> str:
    """The lines of the guide for a Synapse's configuration."""
    return lines(
        "yaml synapse",
        {
            "public_baseurl: https://matrix.example.org/\n": "",  # it has one
            "https://id.example.org": identity.public,
            "http://127.0.0.1:8009": f"http://127.0.0.1:{identity.port}",
            "relay.example.org": "127.0.0.1",
            "587": str(identity.post.mail_port),
            "require_transport_security: true": "enable_tls: false",
        },
    ) + lines("yaml private", {"- 192.168.1.10": "- 127.0.0.0/8\n  - ::1"})


class Servers:
    """Two homeservers, and the identity server of both."""

    def __init__(self, first: FederatedSynapse, second: FederatedSynapse, identity: IdentityServer) -> None:
        self.first, self.second, self.identity = first, second, identity
        self.post = identity.post


@contextlib.contextmanager
def federation(directory: Path) -> Iterator[Servers]:
    if not PYTHON.exists():
        pytest.skip("there is no Synapse in build/synapse-venv: `make synapse` installs it")
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing: run scripts/system-packages nginx")
    with post_office() as post, contextlib.ExitStack() as stack:
        identity = IdentityServer(directory / "identity", post)
        stack.enter_context(identity.run())
        made = []
        for name in ("first", "second"):
            synapse = FederatedSynapse(directory / name, more=OPEN + settings_of_synapse(identity))
            stack.callback(synapse.stop)
            made.append(synapse.start())
        yield Servers(made[0], made[1], identity)
