"""What the documentation says is so."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from operators import world_of_operators
from rig import ServerProcess, free_port, wait_for
from threepid import config
from threepid.api import endpoints
from threepid.api.dispatch import Dispatcher
from threepid.api.endpoints import ALL
from threepid.cli import app as commands
from threepid.delivery import configured
from threepid.web import site
from threepid.web.render import Templates
from world import World

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES_LIST = ROOT / "docs" / "guides" / "README.md"
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))


def blocks(text: str, info: str) -> list[str]:
    return re.findall(rf"^```{info}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: run scripts/system-packages curl")
def test_every_line_of_the_walk_runs(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "THREEPID__SERVER__LISTEN": f"127.0.0.1:{port}",
        "THREEPID__SERVER__PUBLIC_BASE_URL": f"http://localhost:{port}",
    }
    with (tmp_path / "banner").open("wb") as banner_file:
        server = subprocess.Popen(
            [sys.executable, "-m", "threepid", "serve"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=banner_file,
        )
    try:
        wait_for(lambda: subprocess.run(["curl", "-sf", f"http://localhost:{port}/_matrix/client/versions"], capture_output=True).returncode == 0)  # fmt: skip
        walk = blocks(README, "sh walk")
        assert len(walk) >= 7
        script = "\n".join(walk).replace("localhost:8008", f"localhost:{port}")
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr
        assert (
            '{"success":true}{}{"threepids":[{"medium":"email","address":"alice@example.com","validated_at":'
            in done.stdout
        )
        assert '"user_id":"@alice:localhost"' in done.stdout
        banner = (tmp_path / "banner").read_text()
        assert f"http://localhost:{port}/mailbox/" in banner
        assert "Not for the internet" in banner
        front = subprocess.run(["curl", "-sf", f"http://localhost:{port}/"], capture_output=True, text=True)
        assert front.returncode == 0
        assert 'href="/mailbox/"' in front.stdout
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_every_line_of_a_real_server_runs_where_the_readme_leaves_people(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "threepid").symlink_to(Path(sys.executable).parent / "threepid")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THREEPID")}
    environment["PATH"] = "/usr/bin:/bin"
    lines = [line.partition("#")[0].strip() for block in blocks(README, "sh server") for line in block.splitlines()]
    commands = [line for line in lines if line]
    assert [command.split()[1:3] for command in commands] == [
        ["config", "example"],
        ["config", "check"],
        ["serve", "--config"],
    ]

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180
        )

    assert run(commands[0]).returncode == 0
    file = tmp_path / "threepid.toml"
    text = file.read_text()
    for name, value in (
        ("accounts.registration", '"token"'),
        ("identity.pepper_days", "30"),
        ("name", f'"localhost:{port}"'),
        ("public_base_url", f'"http://localhost:{port}"'),
        ("listen", f'"localhost:{port}"'),
    ):
        text, count = re.subn(rf"^# {re.escape(name)} = .*$", f"{name} = {value}", text, count=1, flags=re.MULTILINE)
        assert count == 1, name
    file.write_text(text)
    checked = run(commands[1])
    assert (checked.stdout, checked.stderr, checked.returncode) == ("The configuration is valid.\n", "", 0)
    server = subprocess.Popen(
        ["sh", "-c", f"exec {commands[2]}"], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(
            lambda: subprocess.run(["curl", "-sf", f"http://localhost:{port}/"], capture_output=True).returncode == 0,
            seconds=60,
        )
    finally:
        server.terminate()
        assert server.wait(60) == 0


def test_every_command_of_the_readme_is_called_where_make_puts_it() -> None:
    for block in re.findall(r"^```sh.*?\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        assert not re.search(r"(?<![/\w.-])threepid (?!server)", block), block


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?://)([^)#]+)\)", README))))
def test_the_readmes_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_path_that_contributing_names_exists() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = set(re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:py|md|sql|txt|html)))`", text))
    assert len(found) > 40
    package = ROOT / "src" / "threepid"
    # The rooms stand below the package, and the parts of a mail in the folder of each message.
    places = (ROOT, package, package / "delivery" / "templates" / "contact_added")
    assert [path for path in sorted(found) if not any((place / path).exists() for place in places)] == []


@pytest.mark.parametrize("file", sorted((ROOT / "docs" / "decisions").iterdir()), ids=lambda file: file.name)
def test_every_decision_has_its_number_a_date_and_a_status(file: Path) -> None:
    heading, blank, line = file.read_text(encoding="utf-8").splitlines()[:3]
    number = re.match(r"(\d{4})-[a-z0-9-]+\.md$", file.name)
    assert number, file.name
    assert heading.startswith(f"# {int(number[1])}. ")
    assert blank == ""
    assert re.fullmatch(r"Date: \d{4}-\d{2}-\d{2}\. Status: (accepted|superseded by decision \d+)\.", line)


def test_every_decision_that_is_referred_to_exists() -> None:
    there = {int(file.name[:4]) for file in (ROOT / "docs" / "decisions").iterdir()}
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.sql")]
    found = {
        (str(file.relative_to(ROOT)), int(number))
        for file in files
        for number in re.findall(r"\b[Dd]ecision (\d+)\b", file.read_text(encoding="utf-8"))
    }
    assert found
    assert [one for one in found if one[1] not in there] == []


def headings(name: str, level: int = 3) -> list[str]:
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    return re.findall(rf"^{'#' * level} `(.+)`$", text, re.MULTILINE)


def test_every_setting_has_its_heading_and_no_heading_is_made_up() -> None:
    settings = [f"{setting.table}.{setting.key}" for setting in config.all_settings()]
    for table in ("email", "sms"):
        for name, of_transport in config.transports(table).items():
            settings += [f"{table}.via.{name}.{setting.key}" for setting in of_transport]
    assert headings("configuration.md") == settings


def test_every_setting_says_what_it_does() -> None:
    for setting in config.all_settings():
        assert setting.sentence.endswith((".", "?")), setting


def test_every_command_has_its_heading_and_no_heading_is_made_up() -> None:
    found = [
        str(command.name or command.callback.__name__) for command in commands.registered_commands if command.callback
    ]
    for group in commands.registered_groups:
        assert group.typer_instance is not None
        found += [f"{group.name} {command.name}" for command in group.typer_instance.registered_commands]
        for inner in group.typer_instance.registered_groups:
            assert inner.typer_instance is not None
            names = [command.name for command in inner.typer_instance.registered_commands]
            found += [f"{group.name} {inner.name} {name}" for name in names]
    assert sorted(headings("commands.md", 2)) == sorted(f"threepid {name}" for name in found)


def test_every_endpoint_is_listed_with_all_its_paths() -> None:
    text = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    for endpoint in ALL:
        for path in endpoint.paths:
            assert f"`{endpoint.method} {path.template}`" in text, path.template


def test_the_reference_pages_are_as_the_program_writes_them() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate-docs", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_described() -> None:
    from prometheus_client import REGISTRY

    text = (ROOT / "docs" / "guides" / "monitoring.md").read_text(encoding="utf-8")
    names = [metric.name for metric in REGISTRY.collect() if metric.name.startswith("threepid_")]
    assert len(names) >= 5
    for name in names:
        assert f"`{name}" in text, name


def test_every_guide_is_listed_once() -> None:
    listed = re.findall(r"^\| \[[^]]+\]\((\w[\w-]*\.md)\) \|", GUIDES_LIST.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [guide.name for guide in GUIDES if guide != GUIDES_LIST]


def anchors(file: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of `file`."""
    found = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_link_of_a_guide_leads_to_a_file_and_heading(guide: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", guide.read_text(encoding="utf-8"))
    for name, anchor in links:
        target = guide.parent / name if name else guide
        assert target.exists(), name
        if anchor:
            assert anchor in anchors(target), f"{name}#{anchor}"


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_command_and_setting_in_a_guide_exists(guide: Path) -> None:
    text = guide.read_text(encoding="utf-8")
    known_commands = set(headings("commands.md", 2))
    spans = re.findall(r"`(threepid [a-z][^`]*)`", text)
    for span in spans:
        words = span.split()
        assert known_commands & {" ".join(words[:count]) for count in (2, 3, 4)}, span
    settings = set(headings("configuration.md"))
    tables = {setting.rpartition(".")[0] for setting in settings}
    roots = "|".join(sorted({table.partition(".")[0] for table in tables}))
    lists = {"email.via", "sms.via"}
    for name in re.findall(rf"`((?:{roots})\.[a-z_1.]+)\b", text):
        assert name in settings | tables | lists, name
    for table in re.findall(r"`\[([a-z.]+)\]`", text):
        assert table in tables, table


def test_every_named_attack_and_fault_has_a_test_and_every_test_is_named() -> None:
    text = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`tests/((?:attacks|faults)/test_\w+\.py)`", text))
    there = {f"{file.parent.name}/{file.name}" for folder in ("attacks", "faults") for file in (ROOT / "tests" / folder).glob("test_*.py")}  # fmt: skip
    assert named == there


def test_the_example_configuration_is_read_back() -> None:
    import tomllib

    text = re.sub(r"^# ([\w.]+ = .+)$", r"\1", config.example(), flags=re.MULTILINE)
    tree = tomllib.loads(text)
    assert tree["server"]["name"] == "localhost"
    assert tree["email"]["via"][0]["transport"] == "smtp"
    assert tree["identity"]["v1"]["public_keys"] is True


def test_a_server_process_writes_no_secret_into_its_log(tmp_path: Path) -> None:
    from rig import identity_token, register, request_token

    server = ServerProcess(tmp_path / "server").start()
    with server.client() as http:
        token = register(http, "alice")
        identity = identity_token(http, token)
        request_token(http, identity, "canary@example.com", secret="canary-secret")
        http.get(f"/_matrix/client/r0/account/3pid?access_token={token}")
        http.post(
            "/_matrix/client/v3/login",
            content=b'{"type":"m.login.password","user":"alice","password":"canary-password"',
        )
    server.stop()
    log = (tmp_path / "server" / "log").read_text()
    for secret in (token, identity, "canary@example.com", "canary-secret", "canary-password", "long enough"):
        assert secret not in log


def test_a_proxy_is_told_of_every_path_that_people_and_programs_use(database_url: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "reverse-proxy.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(/[^`]+)` \|", guide, re.MULTILINE)
    with world_of_operators(database_url, tmp_path) as world:
        served = paths(world)
    assert [path for path in served if not path.startswith(tuple(told))] == []
    assert [path for path in told if not any(template.startswith(path) for template in served)] == []


def test_a_proxy_of_an_identity_server_alone_is_told_of_every_path(database_url: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "synapse-identity-server.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"forward these paths to threepid, with `X-Forwarded-For`: ([^.]+)\.", guide)
    told = re.findall(r"`(/[^`]+)`", listed)
    with World(database_url, tmp_path, accounts=None, identity__v1__validate=True) as world:
        served = paths(world)
    # Who supports a shared host is not for the identity server to say, and its API is documented elsewhere.
    served = [path for path in served if path not in {"/.well-known/matrix/support", "/openapi.json"}]
    served = [path for path in served if not path.startswith("/docs/api")]
    assert [path for path in served if not path.startswith(tuple(told))] == []
    assert [path for path in told if not any(template.startswith(path) for template in served)] == []


def paths(world: World) -> list[str]:
    """The paths of a server."""
    server = world.server
    routes = [
        *Dispatcher(server.services, endpoints.served(server.context.config)).routes(),
        *site.routes(
            server.services,
            Templates(server.context.config, "x"),
            configured.previews_of(server.context.config),
        ),
    ]
    found = {route.template for route in routes}
    # A path without its slash only leads to the path. The mailbox is for development, and `/` may belong to another site.
    found -= {path for path in found if f"{path}/" in found} | {"/"}
    return sorted(path for path in found if not path.startswith("/mailbox/"))
