"""A48: a path is what it says and nothing beside it, in every version of an operation; wrong methods are told so."""

import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api_cases import EVERYTHING_ON, People
from bounce_reports import world_with_reports
from rig import ServerProcess
from threepid.api.endpoints import ALL

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]
# A path of each kind, its method, and what it answers to somebody who has no token.
TARGETS = {
    "/_matrix/client/v3/account/3pid": (b"GET", 401),
    "/_matrix/client/r0/account/whoami": (b"GET", 401),
    "/_matrix/client/unstable/account/3pid/add": (b"POST", 401),
    "/_matrix/client/v3/login": (b"GET", 200),
    "/_matrix/client/versions": (b"GET", 200),
    "/_matrix/identity/v2/account": (b"GET", 401),
    "/_matrix/identity/v2": (b"GET", 200),
    "/_matrix/federation/v1/openid/userinfo": (b"GET", 401),
}


def last(change: str) -> Callable[[str], str]:
    """The path with its last slash changed."""
    return lambda path: change.join(path.rsplit("/", 1))


def after(text: str) -> Callable[[str], str]:
    return lambda path: path + text


ELSEWHERE: dict[str, Callable[[str], str]] = {
    "a slash at the end": after("/"),
    "an encoded slash at the end": after("%2f"),
    "two slashes": last("//"),
    "an encoded slash": last("%2f"),
    "an encoded slash in capitals": last("%2F"),
    "a slash encoded twice": last("%252f"),
    "a slash of two bytes": last("%c0%af"),
    "a wide slash": last("%ef%bc%8f"),
    "a backslash": last("\\"),
    "an encoded backslash": last("%5c"),
    "here": last("/./"),
    "an encoded here": last("/%2e/"),
    "there and back": last("/x/../"),
    "there and back, encoded": last("/x/%2e%2e/"),
    "up with parameters": last("/x/..;/"),
    "parameters": after(";x=1"),
    "parameters in between": last(";x=1/"),
    "a NUL": after("%00"),
    "a NUL and an ending": after("%00.html"),
    "a line break": after("%0d%0a"),
    "a blank": after("%20"),
    "a dot": after("."),
    "an ending": after(".json"),
    "an encoded question mark": after("%3f"),
    "an encoded number sign": after("%23"),
    "a tilde": after("~"),
    "a byte that is no text": after("%ff"),
    "half an escape": after("%"),
    "another escape": after("%u002f"),
    "capitals": lambda path: path[:-1] + path[-1].swapcase() if path[-1].isalpha() else path.replace("/v", "/V"),
    "a capital prefix": lambda path: path.replace("_matrix", "_Matrix"),
    "another version": lambda path: re.sub(r"/(v\d|r0|unstable|versions)\b", "/v9", path),
    "no version": lambda path: re.sub(r"/(v\d|r0|unstable|versions)\b", "", path),
    "a letter that looks alike": lambda path: path.replace("m", "%d0%bc", 1),
}
OUTSIDE: dict[str, Callable[[str], str]] = {
    "two slashes before": lambda path: "/" + path,
    "here before": lambda path: "/." + path,
    "there and back before": lambda path: "/x/.." + path,
    "static and back": lambda path: "/static/.." + path,
}
THE_SAME: dict[str, Callable[[str], str]] = {
    "as it is": lambda path: path,
    "an encoded letter": lambda path: path[:-1] + f"%{ord(path[-1]):02x}",
    "all encoded": lambda path: "".join(c if c == "/" else f"%{ord(c):02X}" for c in path),
    "an empty query": after("?"),
    "a fragment": after("#x"),
    "a whole address": lambda path: "http://elsewhere.example" + path,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path_factory.mktemp("paths") / "server").start()
    yield made
    assert made.stop() == 0
    assert "crashed" not in (made.directory / "log").read_text()


class Answer:
    """An answer as it came over the wire, to a path as it stands here."""

    def __init__(self, server: ServerProcess, method: bytes, path: str) -> None:
        request = b"%b %b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % (
            method,
            path.encode(),
        )
        received = b""
        with socket.create_connection(("127.0.0.1", server.port), timeout=15) as connection:
            connection.sendall(request)
            while some := connection.recv(65_536):
                received += some
        self.head, _, self.body = received.partition(b"\r\n\r\n")
        self.status = int(self.head[9:12])

    @property
    def errcode(self) -> str:
        assert b"\r\naccess-control-allow-origin: *" in self.head
        return str(json.loads(self.body)["errcode"])


@pytest.mark.parametrize("path", TARGETS)
@pytest.mark.parametrize("variant", ELSEWHERE)
def test_another_path_is_another_path(server: ServerProcess, variant: str, path: str) -> None:
    other = ELSEWHERE[variant](path)
    assert other != path
    answer = Answer(server, TARGETS[path][0], other)
    assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")


@pytest.mark.parametrize("path", TARGETS)
@pytest.mark.parametrize("variant", OUTSIDE)
def test_what_is_not_below_the_api_is_no_page_either(server: ServerProcess, variant: str, path: str) -> None:
    answer = Answer(server, TARGETS[path][0], OUTSIDE[variant](path))
    assert answer.status == 404
    assert b"access-control" not in answer.head


@pytest.mark.parametrize("path", TARGETS)
@pytest.mark.parametrize("variant", THE_SAME)
def test_other_spellings_of_a_path_lead_to_it(server: ServerProcess, variant: str, path: str) -> None:
    method, status = TARGETS[path]
    assert Answer(server, method, THE_SAME[variant](path)).status == status


@pytest.mark.parametrize("path", ["/static/../threepid.toml", "/static/..%2f..%2fthreepid.toml", "/static//etc/passwd",
                                  "/static/%2e%2e/templates/page.html", "/static/..\\page.html", "/static/"])  # fmt: skip
def test_static_files_are_those_and_no_others(server: ServerProcess, path: str) -> None:
    assert Answer(server, b"GET", path).status == 404


def test_methods_are_written_in_capitals(server: ServerProcess) -> None:
    for method in (b"get", b"Get", b"OPTIONs"):
        answer = Answer(server, method, "/_matrix/client/versions")
        assert (answer.status, answer.errcode) == (405, "M_UNRECOGNIZED")


def test_a_head_is_a_get_without_its_body(server: ServerProcess) -> None:
    for path, status in (
        ("/_matrix/client/versions", 200),
        ("/_matrix/client/v3/account/3pid", 401),
        ("/_matrix/nothing", 404),
        ("/static/threepid.css", 200),
        ("/nothing", 404),
    ):
        head, get = Answer(server, b"HEAD", path), Answer(server, b"GET", path)
        assert (head.status, head.body) == (status, b"")
        assert undated(head) == undated(get)
        assert get.body


def undated(answer: Answer) -> list[bytes]:
    return sorted(line for line in answer.head.split(b"\r\n") if not line.startswith((b"date:", b"x-request-id:")))


@pytest.fixture
def people(database_url: str, tmp_path: Path) -> Iterator[People]:
    with world_with_reports(database_url, tmp_path, **EVERYTHING_ON) as world:
        yield People(world)


def paths() -> dict[str, set[str]]:
    """All paths of operations with their methods, a value in the place of each variable."""
    found: dict[str, set[str]] = {}
    for endpoint in ALL:
        for path in endpoint.paths:
            found.setdefault(re.sub(r"\{[a-z_]+\}", "x", path.template), set()).add(endpoint.method)
    return found


def test_every_method_that_a_path_does_not_have_is_refused(people: People) -> None:
    before = people.state()
    for path, methods in paths().items():
        for method in (method for method in METHODS if method not in methods):
            answer = people.world.call(method, path, token=people.client)
            if method in {"GET", "HEAD", "OPTIONS"} and answer.status_code != 405:
                continue  # a page, or the question that browsers ask
            assert answer.status_code == 405, (method, path)
            assert method == "HEAD" or answer.json()["errcode"] == "M_UNRECOGNIZED"
            allowed = set(answer.headers["Allow"].split(", "))
            assert allowed >= {*methods, "OPTIONS"}, (method, path)
            assert method not in allowed, (method, path)
    assert people.state() == before


def test_browsers_may_ask_every_operation_without_a_token(people: People) -> None:
    for path in paths():
        answer = people.world.call("OPTIONS", path, headers={"Origin": "https://app.example"})
        assert (answer.status_code, answer.json()) == (200, {}), path
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, PUT, DELETE, OPTIONS"
        for header in ("X-Requested-With", "Content-Type", "Authorization"):
            assert header in answer.headers["Access-Control-Allow-Headers"], path


@pytest.mark.parametrize(
    ("path", "status"), [("/mailbox/", 200), ("/confirm/x", 404), ("/static/threepid.css", 200), ("/nothing", 404)]
)
def test_pages_are_for_their_own_site(people: People, path: str, status: int) -> None:
    for method, expected in (("GET", status), ("OPTIONS", 405), ("PUT", 405)):
        answer = people.world.call(method, path, headers={"Origin": "https://app.example"})
        assert answer.status_code == (404 if path == "/nothing" else expected)
        assert not [name for name in answer.headers if name.startswith("access-control")]


NEWER = {"get_login_token", "registration_token_validity"}
"""Operations that came after r0 and v3: they are v1."""
ELSEWHERE_TOO = {"get_auth_metadata"}
"""Operations with paths outside the versions, and with another name in the drafts."""


def test_every_operation_of_clients_is_there_in_every_version() -> None:
    versioned = re.compile(r"/_matrix/client/(r0|v\d|unstable)(/.*)")
    for endpoint in ALL:
        matches = [match for path in endpoint.paths if (match := versioned.fullmatch(path.template))]
        if matches and endpoint.name not in ELSEWHERE_TOO:
            assert len(matches) == len(endpoint.paths), endpoint
            spellings = {match[2] for match in matches}  # one, or with and without a trailing slash
            assert len({path.rstrip("/") for path in spellings}) == 1, endpoint
            for path in spellings:
                versions = {match[1] for match in matches if match[2] == path}
                assert versions >= ({"v1"} if endpoint.name in NEWER else {"r0", "v3", "unstable"}), endpoint
