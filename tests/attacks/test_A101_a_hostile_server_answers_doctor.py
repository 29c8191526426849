"""A101: what `threepid doctor` asks answers with what would do harm on an operator's terminal, or with our secret."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examined import Examined, examined
from fake_synapse import SECRET, Called
from threepid.cli.doctor.checks import CHECKS, OF_FILES
from threepid.cli.doctor.run import examine

HOSTILE = "\x1b]0;x\x07\n\N{RIGHT-TO-LEFT OVERRIDE}"
VERSIONS = "/_matrix/client/versions"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Examined]:
    with examined(tmp_path) as made:
        made.seconds = 2.0
        yield made


def changes(place: Examined, theirs: dict[str, Any] | None = None) -> str:
    found = asyncio.run(examine(place.scene(theirs or {}), (*CHECKS, *OF_FILES)))
    return "\n".join(one.change for one in found)


@pytest.mark.parametrize("echo", [SECRET, HOSTILE, HOSTILE * 10_000])
def test_A101_a_text_of_another_server_is_short_harmless_and_never_the_secret(place: Examined, echo: str) -> None:
    def whatever(called: Called) -> Any:
        return 403 if called.name == "query_user" else 200, {
            "versions": [echo],
            "server": {"name": echo if echo != SECRET else "x", "version": "1"},
            "server_name": echo if echo != SECRET else "x",
            "errcode": echo if echo != SECRET else "M_UNKNOWN",
            "error": echo,
            "issuer": echo if echo != SECRET else "x",
            "m.homeserver": {"base_url": echo if echo != SECRET else "x"},
        }

    names = (
        VERSIONS,
        "query_user",
        "/_matrix/federation/v1/version",
        "/_matrix/key/v2/server",
        "/_matrix/client/v1/auth_metadata",
    )
    place.synapse.replies = dict.fromkeys((*names, "/_matrix/client/v3/account/whoami"), whatever)
    place.changes["server__name"] = "localhost"
    place.public.replies = dict.fromkeys(("/.well-known/matrix/client", VERSIONS), whatever)
    said = changes(place)
    assert SECRET not in said
    assert not any(sign in said for sign in "\x1b\x07\N{RIGHT-TO-LEFT OVERRIDE}")
    assert max(map(len, said.splitlines())) < 3_000


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"versions": ' * 5_000, b"\xff\xfe", b'{"versions": 1e999}', b"null", b"{}" + b" " * 3_000_000],
)
def test_A101_a_body_that_is_no_answer_is_a_finding(place: Examined, body: bytes) -> None:
    place.synapse.replies = {VERSIONS: (200, body)}
    assert "without versions: correct homeserver.url" in changes(place)


def test_A101_a_redirect_does_not_take_the_secret_along(place: Examined) -> None:
    place.synapse.replies = {VERSIONS: (200, {"versions": ["v1.15"]}), "query_user": (307, b"")}
    place.synapse.headers["Location"] = f"{place.base}/_synapse/mas/query_user"
    assert "status 307" in changes(place)
    assert not any(SECRET in json.dumps(called.headers) for called in place.public.calls)


def test_A101_settings_of_synapse_are_not_printed(place: Examined) -> None:
    theirs = {
        "server_name": "example.org",
        "public_baseurl": "https://u:private@x",
        "password_providers": [{"config": {"bind_password": "private"}}],
        "matrix_authentication_service": {
            "enabled": True,
            "secret": "private",
            "endpoint": "http://u:private@127.0.0.1:1",
        },
    }
    assert "private" not in changes(place, theirs)


def test_A101_the_secret_is_not_sent_where_the_server_would_refuse_to_send_it(place: Examined) -> None:
    """Unencrypted to a host that is not known to be near: the start refuses this configuration."""
    place.changes["homeserver"]["url"] = f"http://0.0.0.0:{place.synapse.port}"
    place.synapse.replies = {VERSIONS: (200, {"versions": ["v1.15"]})}
    assert "would send the secret to 0.0.0.0 unencrypted" in changes(place)
    assert VERSIONS in place.synapse.names()
    assert not any(SECRET in json.dumps(called.headers) for called in place.synapse.calls)


def test_A101_an_error_code_is_short_and_harmless(place: Examined) -> None:
    place.synapse.replies = {
        VERSIONS: (200, {"versions": ["v1.15"]}),
        "/_matrix/client/v3/account/whoami": (500, {"errcode": HOSTILE * 10_000}),
    }
    said = changes(place)
    assert "Synapse answers with status 500" in said
    assert not any(sign in said for sign in "\x1b\x07\N{RIGHT-TO-LEFT OVERRIDE}")
    assert max(map(len, said.splitlines())) < 3_000


@pytest.mark.parametrize(
    "target", ["https://[", "https://[::1", "http://x", "https://x:99999/", "\\", "https://\udcff"]
)
def test_A101_a_redirect_to_nowhere_is_a_finding(place: Examined, target: str) -> None:
    place.changes["server__name"] = "localhost"
    place.public.replies = {"/.well-known/matrix/client": (302, b"")}
    place.public.headers["Location"] = target
    assert "/.well-known/matrix/client does not answer" in changes(place)


@pytest.mark.parametrize(
    "endpoint", ["http://[", "https://x:99999", 5, None, ["http://x"], "\x00", "http://x/" + "a" * 100_000]
)
def test_A101_an_endpoint_that_is_no_URL_is_a_finding(place: Examined, endpoint: Any) -> None:
    place.synapse.replies = {VERSIONS: (200, {"versions": ["v1.15"]})}
    theirs = {"matrix_authentication_service": {"enabled": True, "secret": SECRET, "endpoint": endpoint}}
    assert "endpoint" in changes(place, theirs)


def test_A101_a_secret_of_half_a_sign_is_another_one(place: Examined) -> None:
    """As YAML reads `secret: "\\ud800"`."""
    theirs = {"matrix_authentication_service": {"enabled": True, "secret": "\ud800"}}
    assert "Write the same secret" in changes(place, theirs)
