"""A43: whoever only pretends to be the mail relay or the SMS gateway learns neither a login nor a code nor an address."""

import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from mail_relay import DROP, Relay, authority
from sms_gateway import Gateway
from threepid import config
from world import World, settings

REQUEST = "/_matrix/client/v3/register/{}/requestToken"
CERTIFICATES: dict[str, Callable[[], ssl.SSLContext]] = {
    "of a stranger's authority": lambda: authority("a stranger's").server(),
    "for another name": lambda: authority().server("other.test"),
    "for a name below": lambda: authority().server("relay.localhost"),
    "that has expired": lambda: authority().server(not_after=datetime(2020, 1, 1, tzinfo=UTC)),
    "that is not good yet": lambda: authority().server(not_before=datetime(2099, 1, 1, tzinfo=UTC)),
}
STRIPPED: dict[str, dict[str, str]] = {
    "not offered": {},
    "offered and refused": {
        "EHLO": "250-relay.test\r\n250-AUTH PLAIN\r\n250 STARTTLS",
        "STARTTLS": "454 4.7.0 not now",
    },
    "offered, and no TLS follows": {
        "EHLO": "250-relay.test\r\n250-AUTH PLAIN\r\n250 STARTTLS",
        "STARTTLS": "220 go on",
    },
    "offered, and the line goes dead": {"EHLO": "250 STARTTLS", "STARTTLS": DROP},
    "a relay that knows HELO only": {"EHLO": "502 what?"},
}


def via(relay: Relay, directory: Path, **changes: Any) -> dict[str, Any]:
    """A relay that wants a login, as an operator sets it up."""
    password = directory / "password"
    password.write_text("the relay's password")
    password.chmod(0o600)
    login = {"username": "threepid", "password_file": str(password), "ca_file": authority().file(directory)}
    return {"transport": "smtp", "host": "localhost", "port": relay.port, "timeout": 3.0, **login, **changes}


async def ask_for_a_code(world: World, medium: str = "email") -> list[dict[str, Any]]:
    """Have a code sent; returns what the log says of it."""
    address = {"email": "bob@example.com"} if medium == "email" else {"country": "DE", "phone_number": "015112345678"}
    body = {"client_secret": "secret", "send_attempt": 1, **address}
    assert (await world.acall("POST", REQUEST.format(medium), body)).status_code == 200
    with capture_logs() as logs:
        await world.server.worker.run_once()
    return [dict(entry) for entry in logs]


def told_nothing(relay: Relay) -> None:
    assert relay.received == []
    assert not {"AUTH", "MAIL", "RCPT", "DATA"} & set(relay.verbs)
    everything = b"".join(relay.lines)
    for secret in (b"bob", b"threepid", b"password", b"dGhyZWVwaWQ", b"code"):
        assert secret not in everything


def is_loud(logs: list[dict[str, Any]], cause: str) -> None:
    (entry,) = [entry for entry in logs if entry["event"] == "message_delayed"]
    assert entry["log_level"] == "warning"
    assert re.search(cause, entry["cause"])
    assert "bob@example.com" not in str(logs)


@pytest.mark.parametrize("kind", CERTIFICATES)
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_a_relay_with_a_wrong_certificate_is_told_nothing(
    database_url: str, tmp_path: Path, tls: str, kind: str
) -> None:
    context = CERTIFICATES[kind]()
    false = Relay(tls=context) if tls == "tls" else Relay(starttls=context, offers=("AUTH PLAIN LOGIN",))

    async def scene(world: World) -> list[dict[str, Any]]:
        async with false:
            return await ask_for_a_code(world)

    with World(database_url, tmp_path, email__via=[via(false, tmp_path, tls=tls)]) as world:
        is_loud(world.run(scene(world)), "SSLCertVerificationError")
    told_nothing(false)


@pytest.mark.parametrize("kind", STRIPPED)
def test_a_relay_without_tls_is_told_nothing(database_url: str, tmp_path: Path, kind: str) -> None:
    false = Relay(STRIPPED[kind], offers=("AUTH PLAIN LOGIN",))

    async def scene(world: World) -> list[dict[str, Any]]:
        async with false:
            return await ask_for_a_code(world)

    with World(database_url, tmp_path, email__via=[via(false, tmp_path)]) as world:
        is_loud(world.run(scene(world)), "localhost:")
    told_nothing(false)


def test_the_next_relay_sends_what_a_false_one_was_not_told(database_url: str, tmp_path: Path) -> None:
    false = Relay(starttls=authority("a stranger's").server(), offers=("AUTH PLAIN",))
    true = Relay(starttls=authority().server(), offers=("AUTH PLAIN",))

    async def scene(world: World) -> None:
        async with false, true:
            await ask_for_a_code(world)

    with World(database_url, tmp_path, email__via=[via(false, tmp_path), via(true, tmp_path)]) as world:
        world.run(scene(world))
    told_nothing(false)
    assert [mail.recipients for mail in true.received] == [["TO:<bob@example.com>"]]
    assert {"STARTTLS", "AUTH"} <= set(true.verbs)


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_a_gateway_with_a_wrong_certificate_is_told_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority().file(tmp_path))  # as if the system knew it
    gateway = Gateway(tls=CERTIFICATES[kind]())
    secret = tmp_path / "secret"
    secret.write_text("the gateway's secret")
    secret.chmod(0o600)
    way = {
        "transport": "http", "url": f"https://{gateway.name}/send?to={{to}}", "body": '{"text": "{text}"}',
        "headers": {"Authorization": "Bearer {secret}"}, "secret_file": str(secret), "timeout": 3.0,
    }  # fmt: skip

    async def scene(world: World) -> list[dict[str, Any]]:
        async with gateway:
            return await ask_for_a_code(world, "msisdn")

    # The world keeps texts in a list; this is about the real way.
    with World(database_url, tmp_path, sms={"countries": ["DE"], "via": [way]}, job_types=()) as world:
        logs = world.run(scene(world))
    is_loud(logs, "SSLCertVerificationError")
    assert gateway.asked == []


@pytest.mark.parametrize("tls", ["opportunistic", "none", "", "STARTTLS", "verify-none"])
def test_no_setting_means_tls_if_there_is_some(tmp_path: Path, tls: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        settings(tmp_path, email__via=[{"transport": "smtp", "host": "localhost", "tls": tls}])
    for careless in ("verify", "validate_certs", "insecure", "tls_verify"):
        with pytest.raises(msgspec.ValidationError):
            settings(tmp_path, email__via=[{"transport": "smtp", "host": "localhost", careless: False}])


@pytest.mark.parametrize("host", ["relay.example.org", "192.0.2.1", "10.0.0.1"])
def test_nothing_goes_to_another_machine_in_the_clear(tmp_path: Path, host: str) -> None:
    plain = settings(tmp_path, email__via=[{"transport": "smtp", "host": host, "tls": "plain"}])
    assert "[email] via[0]" in [problem.place for problem in config.check(plain)]
