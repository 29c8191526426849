"""threepid and a real Synapse behind the nginx that threepid prints, at one https origin, as docs/guides/synapse.md sets them up.

The server name is `localhost` and the port of nginx, so that the servers find each other without DNS.
"""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from authority import authority_file
from clients.post import Post, post_office
from federated_synapse import Person, trust
from proxies import in_front
from real_synapse import PYTHON, RealSynapse
from rig import ServerProcess, free_port, whole
from threepid import config

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "synapse.md"
V3 = "/_matrix/client/v3"
PASSWORD = "correct horse battery"
_TABLES = """
[outbound]
allow = ["127.0.0.0/8", "::1/128"]
ca_file = "{ca_file}"
[sms]
countries = ["GB", "US"]
via = [{{ transport = "http", url = "{gateway}", headers = {{ Content-Type = "application/json" }}, body = '{{"to": "{{to}}", "text": "{{text}}"}}' }}]
"""
_SYNAPSE = """
ip_range_whitelist: ["127.0.0.0/8", "::1"]
caches: {sync_response_cache_duration: 0s}
rc_third_party_invite: {per_second: 1000, burst_count: 1000}
"""


def _section(info: str, **changes: str) -> str:
    """The only block of the guide of this kind, with the text of each of `changes` in place of its value."""
    block: str
    (block,) = re.findall(rf"^```{info}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    between = ": " if info == "yaml" else " = "
    for name, value in changes.items():
        block, count = re.subn(rf"^( *{name}{between}).*$", rf'\1"{value}"', block, flags=re.MULTILINE)
        assert count == 1, (info, name)
    return block


class OneOrigin:
    """Both servers; `base` is the address of nginx."""

    def __init__(self, directory: Path, post: Post, *, synapse: str = "", homeserver: str = "") -> None:
        """`synapse` are further lines of Synapse's configuration, `homeserver` those of our section of that name."""
        self.front, inner = free_port(), free_port()
        self.base = f"https://localhost:{self.front}"
        self.name = f"localhost:{self.front}"
        self.post = post
        secret = directory / "synapse.secret"
        secret.write_text("secret-of-both-servers")
        secret.chmod(0o600)
        section = _section("toml", url=f"http://127.0.0.1:{inner}", secret_file=str(secret))
        self.threepid = ServerProcess(
            directory / "threepid",
            name=self.name,
            base=self.base,
            via=f'{{ transport = "smtp", host = "127.0.0.1", port = {post.mail_port}, tls = "plain" }}',
            tables=section + homeserver + _TABLES.format(ca_file=authority_file(), gateway=post.url),
        )
        self.synapse = RealSynapse(
            directory / "synapse",
            f"http://127.0.0.1:{self.threepid.port}/",
            port=inner,
            base=self.base,
            name=self.name,
            more=_SYNAPSE + synapse,
        )
        self.synapse.environment = {"SSL_CERT_FILE": authority_file()}
        file = self.synapse.directory / "homeserver.yaml"
        own = re.sub(r"matrix_authentication_service:\n(?: .*\n)+", "", file.read_text())
        endpoint = f"http://127.0.0.1:{self.threepid.port}/"
        file.write_text(own + _section("yaml", endpoint=endpoint, secret_path=str(secret)))

    # -- what clients ask, at the one address that they know

    def request(self, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, f"{self.base}{path}", headers=headers, timeout=30, verify=trust(), **more)

    def whoami(self, token: str) -> httpx.Response:
        return self.request("GET", f"{V3}/account/whoami", token)

    def is_dead(self, token: str) -> bool:
        return self.whoami(token).status_code == 401

    def log_in(self, localpart: str, device_id: str, **more: str) -> Person:
        """What a client does that knows the old login only."""
        identifier = {"type": "m.id.user", "user": localpart}
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "device_id": device_id}
        answer = self.request("POST", f"{V3}/login", None, json={**body, **more})
        assert answer.status_code == 200, answer.text
        return Person(self, answer.json()["user_id"], answer.json()["access_token"])

    def register(self, localpart: str, device_id: str = "FIRST") -> Person:
        """An account that an older client makes."""
        body = {"username": localpart, "password": PASSWORD, "device_id": device_id, "auth": {"type": "m.login.dummy"}}
        answer = self.request("POST", f"{V3}/register", None, json=body)
        assert answer.status_code == 200, answer.text
        return Person(self, answer.json()["user_id"], answer.json()["access_token"])

    @staticmethod
    def password_auth(person: Person) -> dict[str, Any]:
        """What completes an authentication session for the old login."""
        identifier = {"type": "m.id.user", "user": person.user_id}
        return {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}

    # -- what people get

    def code(self, address: str) -> str:
        """The code of the oldest message that nobody has read."""
        return self.post.code(address)


AS_TOKEN = "token-of-the-bridge"
_BRIDGE = f"""
id: irc
url: null
as_token: {AS_TOKEN}
hs_token: token-of-the-homeserver
sender_localpart: irc_bot
rate_limited: false
io.element.msc4190: true
namespaces:
  users: [{{exclusive: true, regex: "@irc_.*"}}]
  rooms: []
  aliases: []
"""


def with_a_bridge(directory: Path) -> str:
    """Lines of Synapse's configuration: an application service whose users begin with `irc_`."""
    (directory / "bridge.yaml").write_text(_BRIDGE)
    return f'app_service_config_files: ["{directory}/bridge.yaml"]\n'


@contextlib.contextmanager
def one_origin(directory: Path, *, homeserver: str = "") -> Iterator[OneOrigin]:
    """Both servers and nginx; threepid starts first, as the guide says. `homeserver` are further lines of that section."""
    if not PYTHON.exists():
        pytest.skip("there is no Synapse in build/synapse-venv: `make synapse` installs it")
    if shutil.which("nginx") is None:
        pytest.skip("nginx is missing: run scripts/system-packages nginx")
    with post_office() as post:
        made = OneOrigin(directory, post, synapse=with_a_bridge(directory), homeserver=homeserver)
        try:
            settings = config.load(made.threepid.config, {})
            with whole(made.threepid), in_front("nginx", settings, directory / "nginx"):
                made.synapse.start()
                yield made
        finally:
            made.synapse.stop()
