"""The configurations that `threepid proxy` prints, run by the real programs where they are installed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fake_synapse import FakeSynapse, fake_synapse
from forked import Done, forked
from proxies import in_front, nginx_command
from rig import ServerProcess, free_port, whole
from threepid import config
from threepid.api.endpoints import served
from threepid.cli.proxy import apache, caddy, nginx, traefik
from threepid.cli.proxy.rules import answers_here, plan
from world import World, settings

RENDERERS = {"nginx": nginx.render, "caddy": caddy.render, "traefik": traefik.render, "apache": apache.render}


@pytest.fixture
def beside(tmp_path: Path) -> config.Config:
    secret = tmp_path / "secret"
    secret.write_text("x")
    return settings(
        tmp_path, homeserver={"kind": "synapse", "url": "http://127.0.0.1:8010", "secret_file": str(secret)}
    )


def test_each_command_prints_its_file(tmp_path: Path) -> None:
    made = ServerProcess(tmp_path, name="example.org")
    printed = forked([["proxy", name] for name in RENDERERS], cwd=tmp_path, THREEPID_CONFIG=str(made.config))
    expected = plan(config.load(made.config, {}))
    assert printed == [Done(0, render(expected), "") for render in RENDERERS.values()]


def filled(template: str) -> str:
    return re.sub(r"\{[a-z_]+\}", "x", template)


@pytest.mark.parametrize("binds", ["homeserver", "threepid"])
def test_the_plan_is_what_the_endpoints_declare(tmp_path: Path, binds: str) -> None:
    homeserver = {"kind": "synapse", "url": "http://127.0.0.1:8010", "secret_file": "x", "binds": binds}
    found = settings(tmp_path, homeserver=homeserver)
    made = plan(found)
    wrong = [
        f"{endpoint.method} {path.template}"
        for endpoint in served(found)
        for path in endpoint.paths
        if path.template != "/oauth2/introspect"
        and made.is_here(endpoint.method, filled(path.template))
        is not (
            answers_here(endpoint, path.beside, binds_here=binds == "threepid")
            or not path.template.startswith("/_matrix/")
        )
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("method", "path", "here"),
    [
        ("POST", "/_matrix/client/v3/login", True),
        ("OPTIONS", "/_matrix/client/v3/login", True),
        ("GET", "/_matrix/client/v3/login/sso/redirect", True),
        ("GET", "/_matrix/client/r0/login/sso/redirect/", True),
        ("GET", "/_matrix/client/v3/login/sso/redirect/x", True),
        ("POST", "/_matrix/client/v1/login/get_token", True),
        ("POST", "/_matrix/client/r0/register", True),
        ("GET", "/_matrix/client/v3/account/whoami", False),
        ("GET", "/_matrix/client/v3/account/3pid", True),
        ("POST", "/_matrix/client/v3/account/3pid/bind", False),
        ("GET", "/_matrix/client/v3/devices", False),
        ("PUT", "/_matrix/client/v3/devices/x", False),
        ("DELETE", "/_matrix/client/v3/devices/x", True),
        ("DELETE", "/_matrix/client/v3/devices/x/y", True),
        ("POST", "/_matrix/client/v3/delete_devices", True),
        ("GET", "/_matrix/client/v3/capabilities", False),
        ("GET", "/_matrix/client/v3/auth/m.login.terms/fallback/web", True),
        ("GET", "/_matrix/client/v3/auth/m.oauth/fallback/web", False),
        ("GET", "/_matrix/client/v3/auth/org.matrix.cross_signing_reset/fallback/web", False),
        ("GET", "/_matrix/client/v3/sync", False),
        ("GET", "/_matrix/client/v1/auth_metadata", False),
        ("GET", "/_matrix/federation/v1/version", False),
        ("GET", "/_matrix/media/v3/config", False),
        ("POST", "/_matrix/client/v3/login/x", False),
        ("GET", "/_matrix/identity/v2", True),
        ("POST", "/_matrix/identity/v2/lookup", True),
        ("GET", "/.well-known/openid-configuration", True),
        ("GET", "/account/", True),
    ],
)
def test_paths_go_where_the_homeserver_expects_them(
    beside: config.Config, method: str, path: str, *, here: bool
) -> None:
    assert plan(beside).is_here(method, path) is here


def test_every_page_below_matrix_has_a_rule(database_url: str, tmp_path: Path) -> None:
    from threepid.delivery.configured import previews_of
    from threepid.web import site
    from threepid.web.render import Templates

    with fake_synapse() as fake, World(database_url, tmp_path, **fake.settings(tmp_path)) as world:
        made = plan(world.config)
        for route in site.routes(world.server.services, Templates(world.config, "x"), previews_of(world.config)):
            for method in route.handlers:
                assert made.is_here(method, filled(route.template)), f"{method} {route.template}"


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("role", ["accounts", "identity"])
def test_a_server_without_a_homeserver_beside_it_gets_everything(tmp_path: Path, name: str, role: str) -> None:
    found = settings(tmp_path, **{"identity" if role == "accounts" else "accounts": None})
    text = RENDERERS[name](plan(found))
    assert "homeserver" not in text
    assert "127.0.0.1:8008" in text


@pytest.mark.parametrize("name", RENDERERS)
def test_the_homeservers_own_interface_is_hidden(beside: config.Config, name: str) -> None:
    text = RENDERERS[name](plan(beside))
    assert "/_synapse/mas" not in text
    assert "/_synapse/admin" not in text
    assert "/oauth2/introspect" in text


def test_traefiks_file_is_yaml_whose_names_exist(beside: config.Config) -> None:
    read = yaml.safe_load(traefik.render(plan(beside)))["http"]
    used = {router["service"] for router in read["routers"].values()}
    assert used == {*read["services"], "noop@internal"}
    assert read["routers"]["threepid"]["priority"] < read["routers"]["homeserver"]["priority"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("listen", ["127.0.0.1:8008", "[::1]:8008", "unix:/run/threepid.sock"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:8010", "https://localhost:8448", "http://[::1]:8010"])
def test_all_addresses_are_written_as_the_programs_read_them(
    tmp_path: Path, scheme: str, listen: str, url: str
) -> None:
    homeserver = {"kind": "synapse", "url": url, "secret_file": "x"}
    found = settings(
        tmp_path, homeserver=homeserver, server__listen=listen, server__public_base_url=f"{scheme}://m.example.org"
    )
    made = plan(found)
    if shutil.which("caddy"):
        (tmp_path / "Caddyfile").write_text(caddy.render(made))
        adapted = subprocess.run(
            ["caddy", "adapt", "--config", str(tmp_path / "Caddyfile")], capture_output=True, text=True
        )
        assert adapted.returncode == 0, adapted.stderr
    if shutil.which("nginx"):
        text = re.sub(r"\n    ssl_certificate.*;", "", nginx.render(made)).replace(" ssl;", ";")
        checked = subprocess.run([*nginx_command(tmp_path, text), "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr


@pytest.fixture(scope="module")
def synapse() -> Iterator[FakeSynapse]:
    with fake_synapse() as fake:
        yield fake


@pytest.fixture(scope="module")
def server(synapse: FakeSynapse, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("proxied")
    homeserver = synapse.settings(directory)["homeserver"]
    table = "".join(f"{name} = {json.dumps(value)}\n" for name, value in homeserver.items())
    with whole(ServerProcess(directory / "threepid", name="example.org", tables=f"[homeserver]\n{table}")) as made:
        yield made


@pytest.mark.parametrize("program", ["nginx", "caddy"])
def test_the_program_sends_each_request_where_it_belongs(
    server: ServerProcess, synapse: FakeSynapse, tmp_path: Path, program: str
) -> None:
    environment = {"THREEPID__SERVER__PUBLIC_BASE_URL": f"http://localhost:{free_port()}"}
    found = config.load(server.config, environment)
    with in_front(program, found, tmp_path) as base, httpx.Client(base_url=base, timeout=20) as http:
        _ask_everything(http, found, synapse)


def _ask_everything(http: httpx.Client, found: config.Config, synapse: FakeSynapse) -> None:
    def reached(method: str, path: str, **more: Any) -> str:
        del synapse.calls[:]
        answer = http.request(method, path, **more)
        assert answer.status_code != 502, f"{method} {path}"
        # Calls below `/_synapse/mas/` are those of threepid.
        return "homeserver" if any(called.name.startswith("/") for called in synapse.calls) else "threepid"

    wrong = []
    for endpoint in served(found):
        for path in endpoint.paths:
            if path.template in ("/oauth2/introspect", "/_threepid/health/ready"):
                continue
            here = answers_here(endpoint, path.beside, binds_here=False) or not path.template.startswith("/_matrix/")
            if (reached(endpoint.method, filled(path.template)) == "threepid") is not here:
                wrong.append(f"{endpoint.method} {path.template}")
    assert wrong == []
    assert reached("DELETE", "/_matrix/client/v3/devices/A%2FB") == "threepid"
    assert reached("OPTIONS", "/_matrix/client/v3/login") == "threepid"
    assert reached("GET", "/_matrix/client/v3/auth/m.oauth/fallback/web") == "homeserver"
    assert reached("GET", "/_matrix/client/v3/auth/m.login.dummy/fallback/web") == "threepid"
    assert http.get("/account/", follow_redirects=True).status_code == 200
    for internal in ("/_synapse/mas/query_user?localpart=x", "/_synapse/admin/v1/server_version", "/oauth2/introspect"):
        before = len(synapse.calls)
        assert http.request("POST" if "introspect" in internal else "GET", internal).status_code == 404
        assert len(synapse.calls) == before
    # What a client has encoded arrives as it was.
    http.get("/_matrix/client/v3/profile/%40a%2Fb%3Aexample.org?x=%2F")
    assert synapse.calls[-1].target == "/_matrix/client/v3/profile/%40a%2Fb%3Aexample.org?x=%2F"
    assert synapse.calls[-1].headers["x-forwarded-for"]
    body = {"type": "m.login.application_service", "username": "irc_bob"}
    assert reached("POST", "/_matrix/client/v3/register", json=body) == "homeserver"
