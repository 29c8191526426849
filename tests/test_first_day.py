"""An operator's first day, on a machine that is a folder: every command stands in a guide.

The installed wheel moves from SQLite to PostgreSQL, stands behind nginx and then Caddy, registers Alice, locks her out, is
upgraded, is destroyed, and comes back.
"""

import contextlib
import re
import shlex
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin

import httpx
import pytest
import trustme

import guides
from distribution import build, unpack
from postgres import PostgresServer, binary
from proxies import caddy_command, nginx_command
from rig import Received, Sink, free_port, identity_token, sink, wait_for
from threepid import __version__
from threepid.storage.engine.migrate import known_migrations
from web.visitor import Page

HOST = "matrix.example.org"
PROGRAMS = ("nginx", "caddy", "systemd-analyze", "psql")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
NEXT = "99.0.0"
"""A version that is newer than this one: the same program with another migration."""
PASSWORD, NEW_PASSWORD = "correct horse battery", "another long password"
C = "/_matrix/client/v3"
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}: run scripts/system-packages"),
]


class Machine:
    """A bare machine, and its operator's shell."""

    def __init__(self, root: Path, postgres: PostgresServer, relay: Sink, relay_port: int) -> None:
        self.root = root
        self.postgres = postgres
        self.relay = relay
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self._relay_port = relay_port
        self.environment = guides.clean_environment(root, Path(binary("pg_dump")).parent)
        self.made = trustme.CA()
        for folder in ("opt", "etc", "var/lib", "usr/local/bin", "usr/lib/sysusers.d", "usr/lib/tmpfiles.d"):
            (root / folder).mkdir(parents=True)

    @property
    def config(self) -> Path:
        return self.root / "etc/threepid/threepid.toml"

    def run(self, lines: str, version: str = __version__, folder: Path | None = None) -> str:
        """The output of lines of a guide, in which the operator replaces what the guide says to replace."""
        lines = re.sub(r"threepid-\d+\.\d+\.\d+", f"threepid-{version}", lines)
        lines = lines.replace("localhost:25", f"localhost:{self._relay_port}")
        return guides.run(lines, self.root, self.environment, folder=folder)

    def change(self, old: str, new: str) -> None:
        """Edit the configuration."""
        text = self.config.read_text()
        assert text.count(old) == 1, old
        self.config.write_text(text.replace(old, new))

    def start(self) -> None:
        """Do what systemd does with the unit."""
        unit = self.root / "etc/threepid/threepid.service"
        (started,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        environment = {**self.environment, "THREEPID__SERVER__LISTEN": f"127.0.0.1:{self.port}"}
        with (self.root / "log").open("ab") as log:
            self.server = subprocess.Popen(shlex.split(started), cwd="/", stderr=log, env=environment)
        ask = guides.blocks("first-server.md", "sh started").replace(":8008/", f":{self.port}/")
        wait_for(lambda: subprocess.run(["sh", "-c", ask], capture_output=True).returncode == 0, 60, self.log())

    def stop(self) -> None:
        assert self.server is not None
        self.server.terminate()
        assert self.server.wait(60) == 0, self.log()

    def log(self) -> str:
        return (self.root / "log").read_text()

    def mail(self, number: int) -> Received:
        """The mail that the relay took as the `number`th, from 0."""
        wait_for(lambda: len(self.relay.mails) > number, what=f"mail {number}")
        return self.relay.mails[number]

    def create_database(self) -> None:
        """Create role and database by the guide's statements."""
        statements = guides.blocks("databases.md", "sql")
        command = [binary("psql"), "-X", "-v", "ON_ERROR_STOP=1", "-d", self.postgres.url("postgres")]
        subprocess.run(command, input=statements, text=True, check=True, capture_output=True)

    def database_url(self, password: str = "") -> str:
        user = f"threepid:{quote(password)}" if password else "threepid"
        return f"postgresql://{user}@/threepid?host={self.postgres.socket}"

    @contextlib.contextmanager
    def behind(self, command: list[str], front: int) -> Iterator[httpx.Client]:
        """A client that reaches the machine by its name, through a reverse proxy on the port `front`."""
        with (self.root / "proxy.log").open("ab") as log:
            proxy = subprocess.Popen(command, stdout=log, stderr=log, env={**self.environment, "HOME": str(self.root)})
        try:
            with httpx.Client(base_url=f"https://{HOST}", transport=Front(front, self.made), timeout=30) as http:
                wait_for(lambda: answers(http), what=(self.root / "proxy.log").read_text())
                yield http
        finally:
            proxy.terminate()
            proxy.wait(60)

    def nginx(self) -> contextlib.AbstractContextManager[httpx.Client]:
        """The guide's configuration."""
        front = free_port()
        site = guides.moved(guides.blocks("first-server.md", "nginx"), self.root).replace(":8008;", f":{self.port};")
        site = site.replace("    listen [::]:443 ssl;\n", "").replace("listen 443 ssl", f"listen 127.0.0.1:{front} ssl")
        return self.behind(nginx_command(self.root, site), front)

    def caddy(self) -> contextlib.AbstractContextManager[httpx.Client]:
        """The configuration that `threepid proxy caddy` prints. A real Caddy gets its certificate by itself."""
        front = free_port()
        printed = self.run("threepid proxy caddy --config /etc/threepid/threepid.toml")
        assert printed.startswith(f"{HOST} {{\n")
        certificate = self.root / "etc/ssl" / HOST
        ours = f"https://{HOST}:{front} {{\n\tbind 127.0.0.1\n\ttls {certificate}/fullchain.pem {certificate}/privkey.pem\n"
        site = printed.replace(f"{HOST} {{\n", ours).replace("127.0.0.1:8008", f"127.0.0.1:{self.port}")
        return self.behind(caddy_command(self.root, site), front)


class Front(httpx.HTTPTransport):
    """Reaches a host by its name without DNS: on a port of loopback, with its name in TLS and in the request."""

    def __init__(self, port: int, authority: trustme.CA) -> None:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        super().__init__(verify=context)
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(host="127.0.0.1", port=self._port)
        extensions = {**request.extensions, "sni_hostname": request.url.host}
        return super().handle_request(
            httpx.Request(request.method, url, headers=request.headers, stream=request.stream, extensions=extensions)
        )


def answers(http: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return http.get("/_matrix/client/versions").status_code == 200
    return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    postgres = PostgresServer(tmp_path, "postgres", passwords=True)
    postgres.start()
    try:
        with sink() as (relay, port):
            made = Machine(tmp_path / "machine", postgres, relay, port)
            yield made
            if made.server is not None and made.server.poll() is None:
                made.server.kill()
                made.server.wait(60)
    finally:
        postgres.stop()


def test_the_first_day(machine: Machine, source: Path, wheel: Path, tmp_path: Path) -> None:
    install(machine, source, wheel)
    move_to_postgresql(machine)
    machine.start()
    with machine.nginx() as http:
        token = register(machine, http)
        lock_out(http)
        token = help_alice(machine, http, token)
    machine.stop()
    upgrade(machine, source, tmp_path)
    machine.start()
    with machine.caddy() as http:
        assert whoami(http, token) == 200
        machine.run(
            f"export DATABASE_URL={shlex.quote(machine.database_url('a long random password'))}\n"
            + guides.blocks("backup-and-restore.md", "sh backup-postgresql")
        )
        late = log_in(http, NEW_PASSWORD).json()["access_token"]
        keys = machine.run("threepid keys list --config /etc/threepid/threepid.toml")
        destroy_and_restore(machine)
        machine.start()
        assert (whoami(http, token), whoami(http, late)) == (200, 401)
        assert log_in(http, NEW_PASSWORD).status_code == 200
        assert contacts(http, token) == ["alice@example.com"]
        assert identity_token(http, token)
        assert machine.run("threepid keys list --config /etc/threepid/threepid.toml") == keys
        events = machine.run("threepid audit export --config /etc/threepid/threepid.toml")
        assert re.findall(r'"event": ?"(\w+)"', events)[:2] == ["database_copied", "registered"]
    machine.stop()
    assert "Traceback" not in machine.log()


def install(machine: Machine, source: Path, wheel: Path) -> None:
    """From a bare machine to a server with a SQLite file, behind no proxy yet."""
    for file in (source, wheel):
        shutil.copy(file, machine.root)
    output = machine.run(guides.blocks("first-server.md", "sh first"))
    assert f"threepid {__version__}\n" in output
    assert "The configuration is valid.\n" in output
    unit = machine.root / "etc/threepid/threepid.service"
    assert f"ExecStart={machine.root}/opt/threepid/bin/threepid serve" in unit.read_text()
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, env=machine.environment
    )
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    certificate = machine.made.issue_cert(HOST)
    folder = machine.root / "etc/ssl" / HOST
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    (folder / "privkey.pem").write_bytes(certificate.private_key_pem.bytes())
    machine.start()
    with machine.nginx():
        pass
    machine.stop()
    assert (machine.root / "var/lib/threepid/threepid.db").exists()


def move_to_postgresql(machine: Machine) -> None:
    machine.create_database()
    password = machine.config.parent / "database.password"
    password.write_text("a long random password\n")
    password.chmod(0o600)
    (copy,) = re.findall(r"^ +\$ (threepid database copy .*\\\n.*)$", guides.guide("databases.md"), re.MULTILINE)
    copy = copy.replace("postgresql://threepid@db.example.org/threepid", shlex.quote(machine.database_url()))
    assert "the same on both sides" in machine.run(copy, folder=machine.config.parent)
    table = guides.blocks("databases.md", "toml").replace("postgresql://user@host/name", machine.database_url())
    machine.change("[database]\n", table)
    (machine.root / "var/lib/threepid/threepid.db").unlink()


def register(machine: Machine, http: httpx.Client) -> str:
    """Let people with an address register, as the guide says, and be the first one. Returns the access token."""
    machine.stop()
    machine.change('accounts.registration = "closed"', 'accounts.registration = "open"')
    machine.change("# accounts.required_contacts = []", 'accounts.required_contacts = ["email"]')
    machine.run(guides.blocks("upgrades.md", "sh upgrade").splitlines()[-1])
    machine.start()
    body = {"username": "alice", "password": PASSWORD}
    asked = http.post(f"{C}/register", json=body)
    assert asked.json()["flows"] == [{"stages": ["m.login.email.identity"]}], asked.text
    secret = {"client_secret": "secret"}
    sent = http.post(
        f"{C}/register/email/requestToken", json={**secret, "email": "alice@example.com", "send_attempt": 1}
    ).json()
    code = {**secret, "sid": sent["sid"], "token": machine.mail(0).code}
    assert http.post(sent["submit_url"], json=code).json() == {"success": True}
    auth = {
        "type": "m.login.email.identity", "session": asked.json()["session"],
        "threepid_creds": {**secret, "sid": sent["sid"]},
    }  # fmt: skip
    made = http.post(f"{C}/register", json={**body, "auth": auth})
    assert made.json()["user_id"] == "@alice:example.org", made.text
    token = str(made.json()["access_token"])
    assert contacts(http, token) == ["alice@example.com"]
    return token


def lock_out(http: httpx.Client) -> None:
    """Guess until the server rejects the right password too."""
    for _ in range(30):
        if log_in(http, "a wrong password").status_code == 429:
            break
    locked_out = log_in(http, PASSWORD)
    assert (locked_out.status_code, locked_out.json()["errcode"]) == (429, "M_LIMIT_EXCEEDED")


def help_alice(machine: Machine, http: httpx.Client, token: str) -> str:
    """Find out what is wrong, and help by the guide's table. Returns the access token of the login with a new password."""
    once = guides.blocks("helping-people.md", "sh once")
    text = guides.guide("helping-people.md")
    (show,) = re.findall(r"^`(threepid account show [^`]+)` finds", text, re.MULTILINE)
    (clear,) = re.findall(r"^\| too many wrong passwords \| `([^`]+)`", text, re.MULTILINE)
    (link,) = re.findall(r"^\| forgot the password \| `([^`]+)`", text, re.MULTILINE)
    shown = machine.run(once + show)
    assert "user ID: @alice:example.org" in shown
    used_up = shown.partition("used-up limits\n")[2].partition("\n\n")[0]
    assert len(used_up.splitlines()) > 1, shown
    assert re.fullmatch(r"cleared [1-9]\d* limits?\n", machine.run(once + clear))
    assert log_in(http, PASSWORD).status_code == 200
    before = len(machine.relay.mails)
    assert machine.run(once + link) == "sent a link for @alice:example.org to alice@example.com\n"
    wait_for(lambda: len(machine.relay.mails) > before, what="the mail with the link")
    (path,) = {one for mail in machine.relay.mails for one in re.findall(r"/reset/[\w-]+", mail.text)}
    page = Page(http.get(path))
    assert page.heading == "Choose a new password"
    action, names = page.forms[page.form_of["Save and sign in"]]
    fields = {name: value for name, value in {**page.fields, "password": NEW_PASSWORD}.items() if name in names}
    saved = http.post(urljoin(path, action or path), data=fields, headers={"Origin": f"https://{HOST}"})
    assert saved.headers.get("location") == "/account/", saved.text
    assert whoami(http, token) == 200
    assert log_in(http, PASSWORD).status_code == 403
    return str(log_in(http, NEW_PASSWORD).json()["access_token"])


def upgrade(machine: Machine, source: Path, tmp_path: Path) -> None:
    """Install a newer version by the guide's lines. It brings a table of its own."""
    sources = unpack(source, tmp_path / "next")
    (sources / "PKG-INFO").unlink()  # the builder believes it
    about = sources / "src/threepid/__init__.py"
    about.write_text(about.read_text().replace(f'"{__version__}"', f'"{NEXT}"'))
    number = known_migrations()[-1].version + 1
    (sources / f"src/threepid/storage/migrations/{number:04}_next.sql").write_text(
        "CREATE TABLE next_version (id BIGINT NOT NULL PRIMARY KEY);\n"
    )
    for kind in ("sdist", "wheel"):
        shutil.copy(build(kind, sources, tmp_path / f"next-{kind}"), machine.root)
    assert machine.run(guides.blocks("upgrades.md", "sh upgrade"), NEXT).endswith("The configuration is valid.\n")
    assert machine.run("threepid --version") == f"threepid {NEXT}\n"
    (migrate,) = re.findall(r"`(threepid migrate)` does", guides.guide("upgrades.md"))
    applied = machine.run(f"{migrate} --config /etc/threepid/threepid.toml")
    assert applied == f"applied {number:04}_next\n"


def destroy_and_restore(machine: Machine) -> None:
    """Lose database, keys, configuration and unit, and put everything back."""
    assert machine.server is not None
    machine.server.kill()
    machine.server.wait(60)
    machine.postgres.drop_database("threepid")
    machine.postgres.execute("DROP ROLE threepid")
    for folder in ("var/lib/threepid", "etc/threepid"):
        shutil.rmtree(machine.root / folder)
    machine.create_database()
    machine.run(
        f"export DATABASE_URL={shlex.quote(machine.database_url('a long random password'))}\n"
        + guides.blocks("backup-and-restore.md", "sh restore-postgresql")
        + guides.blocks("backup-and-restore.md", "sh check")
    )


def log_in(http: httpx.Client, password: str) -> httpx.Response:
    identifier = {"type": "m.id.user", "user": "alice"}
    body = {"type": "m.login.password", "identifier": identifier, "password": password}
    return http.post(f"{C}/login", json=body)


def whoami(http: httpx.Client, token: str) -> int:
    return http.get(f"{C}/account/whoami", headers={"Authorization": f"Bearer {token}"}).status_code


def contacts(http: httpx.Client, token: str) -> list[str]:
    answer = http.get(f"{C}/account/3pid", headers={"Authorization": f"Bearer {token}"})
    return [one["address"] for one in answer.json()["threepids"]]


def test_root_runs_what_reads_keys_as_the_servers_user() -> None:
    """Keys of another user are rejected, and what root creates would not belong to the server."""
    of_root = {"first-server.md": "(?:first|bare)", "backup-and-restore.md": "check", "upgrades.md": "upgrade"}
    for name, info in of_root.items():
        lines = "\n".join(re.findall(rf"^ *```sh {info}\n(.*?)^ *```$", guides.guide(name), re.MULTILINE | re.DOTALL))
        ours = re.findall(r"^ *((?:runuser .*)?threepid (?!init|--version).*)$", lines, re.MULTILINE)
        assert ours, name
        assert [line for line in ours if not line.startswith(guides.AS_THE_SERVER)] == [], name


def test_only_lines_that_need_a_whole_machine_are_left_out() -> None:
    assert guides.left_out("first-server.md") <= guides.ONLY_ON_A_MACHINE
    assert "```sh\n" not in guides.guide("first-server.md")
