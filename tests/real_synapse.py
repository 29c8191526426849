"""A real Synapse on loopback that lets a threepid authenticate its users: `make synapse` installs it into `build/`.

Its empty database is made once for a process of tests, since that takes longer than anything else of its start.
"""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import signal
import sqlite3
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import nacl.signing
import pytest
from unpaddedbase64 import encode_base64

from rig import free_port, wait_for
from scratch import in_memory

PYTHON = Path(__file__).parent.parent / "build" / "synapse-venv" / "bin" / "python"
SECRET = "secret-of-both-servers"
SERVER_NAME = "example.org"

needs_synapse = pytest.mark.skipif(
    not PYTHON.exists(), reason="there is no Synapse in build/synapse-venv: `make synapse` installs it"
)

_CONFIG = """
server_name: "{name}"
public_baseurl: "{base}/"
pid_file: "{directory}/pid"
listeners:
  - port: {port}
    type: http
    bind_addresses: ["127.0.0.1"]
    resources:
      - names: [client, federation]
database:
  name: sqlite3
  args:
    database: "{directory}/homeserver.db"
media_store_path: "{directory}/media"
signing_key_path: "{directory}/signing.key"
log_config: "{directory}/log.yaml"
report_stats: false
trusted_key_servers: []
suppress_key_server_warning: true
serve_server_wellknown: true
background_updates:
  sleep_enabled: false
presence:
  enabled: false
rc_login:
  address: {{per_second: 1000, burst_count: 1000}}
  account: {{per_second: 1000, burst_count: 1000}}
matrix_authentication_service:
  enabled: true
  endpoint: "{endpoint}"
  secret: "{secret}"
{more}
"""
_LOG = """
version: 1
disable_existing_loggers: false
formatters: {{plain: {{format: "%(asctime)s %(levelname)s %(name)s %(message)s"}}}}
handlers: {{file: {{class: logging.FileHandler, formatter: plain, filename: "{directory}/synapse.log"}}}}
root: {{level: INFO, handlers: [file]}}
"""


class RealSynapse:
    """One Synapse; `endpoint` is where it reaches its authentication service."""

    def __init__(
        self,
        directory: Path,
        endpoint: str,
        *,
        port: int | None = None,
        base: str | None = None,
        name: str = SERVER_NAME,
        secret: str = SECRET,
        more: str = "",
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory.mkdir(exist_ok=True)
        places = {"directory": directory, "name": name, "port": self.port, "secret": secret, "more": more}
        (directory / "homeserver.yaml").write_text(_CONFIG.format(base=base or self.url, endpoint=endpoint, **places))
        (directory / "log.yaml").write_text(_LOG.format(directory=directory))
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}
        self.verify: bool | ssl.SSLContext = True
        """How the certificate of `url` is verified."""

    def start(self) -> "RealSynapse":
        if not (self.directory / "homeserver.db").exists():
            self._prepare()
        self._start()
        return self

    def _prepare(self) -> None:
        shutil.copytree(_template(), self.directory, dirs_exist_ok=True)

    def _start(self) -> None:
        with (self.directory / "output").open("ab") as output:
            self.process = subprocess.Popen(
                [str(PYTHON), "-m", "synapse.app.homeserver", "-c", str(self.directory / "homeserver.yaml")],
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONWARNINGS": "ignore", **self.environment},
                start_new_session=True,
            )
        wait_for(self._answers, 60, what="an answer of Synapse")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "output").read_text()[-3000:]
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/_matrix/client/versions", timeout=5, verify=self.verify).status_code == 200
        return False

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)  # nothing in it is of use, and it takes its time to stop
            self.process.wait(60)

    # -- what clients ask

    def get(self, path: str, token: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, token, **more)

    def request(self, method: str, path: str, token: str | None, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=30, verify=self.verify, **more)

    def whoami(self, token: str) -> httpx.Response:
        return self.get("/_matrix/client/v3/account/whoami", token)

    def device_ids(self, token: str) -> list[str]:
        answer = self.get("/_matrix/client/v3/devices", token)
        assert answer.status_code == 200, answer.text
        return sorted(device["device_id"] for device in answer.json()["devices"])

    def mas(self, name: str, **body: Any) -> httpx.Response:
        """A call as the authentication service makes it."""
        return self.request("POST", f"/_synapse/mas/{name}", SECRET, json=body)

    def query_user(self, localpart: str) -> dict[str, Any] | None:
        answer = self.request("GET", f"/_synapse/mas/query_user?localpart={localpart}", SECRET)
        return None if answer.status_code == 404 else dict(answer.json())


def cross_signing_keys(user_id: str, seed: str) -> dict[str, Any]:
    """What a client uploads: a master key that depends on `seed`."""
    signing = nacl.signing.SigningKey(hashlib.sha256(seed.encode()).digest())
    public = encode_base64(bytes(signing.verify_key))
    return {"master_key": {"user_id": user_id, "usage": ["master"], "keys": {f"ed25519:{public}": public}}}


@functools.cache
def _template() -> Path:
    """A folder with the empty database and the signing key of a Synapse."""
    directory = Path(tempfile.mkdtemp(prefix="synapse-template-", dir=in_memory()))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    made = RealSynapse(directory, "http://127.0.0.1:1/")
    key = [str(PYTHON), "-m", "synapse._scripts.generate_signing_key", "-o", str(directory / "signing.key")]
    subprocess.run(key, check=True)
    try:
        made._start()
        # Until its background updates are done, a new Synapse lacks indexes without which some calls fail.
        wait_for(lambda: not _updates(directory), 60, what="the end of the background updates")
        assert made.process is not None
        made.process.terminate()
        made.process.wait(30)
    finally:
        made.stop()
    for name in ("homeserver.yaml", "log.yaml", "output", "synapse.log", "pid"):
        (directory / name).unlink(missing_ok=True)
    return directory


def _updates(directory: Path) -> int:
    with contextlib.closing(sqlite3.connect(directory / "homeserver.db", timeout=10)) as database:
        return int(database.execute("SELECT COUNT(*) FROM background_updates").fetchone()[0])


@contextlib.contextmanager
def real_synapse(directory: Path, endpoint: str, **more: Any) -> Iterator[RealSynapse]:
    made = RealSynapse(directory, endpoint, **more)
    try:
        yield made.start()
    finally:
        made.stop()
