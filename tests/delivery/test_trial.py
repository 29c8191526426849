"""What `config check` and a start say of relays and gateways that cannot be reached."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mail_relay import DROP, HANG, Relay, authority
from threepid.delivery.trial import unreachable
from world import settings


def troubles(tmp_path: Path, relay: Relay | None = None, **changes: Any) -> list[str]:
    async def ask() -> list[str]:
        if relay is None:
            return [str(one) for one in await unreachable(settings(tmp_path, **changes), 1.0)]
        async with relay:
            return [str(one) for one in await unreachable(settings(tmp_path, **changes), 1.0)]

    return asyncio.run(ask())


def test_a_relay_that_takes_our_login_has_no_trouble_and_gets_no_mail(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("long enough")
    relay = Relay(starttls=authority().server(), offers=("AUTH PLAIN LOGIN",))
    via = {
        "transport": "smtp", "host": "localhost", "port": relay.port, "ca_file": authority().file(tmp_path),
        "username": "threepid", "password_file": str(password),
    }  # fmt: skip
    assert troubles(tmp_path, relay, email__via=[via]) == []
    assert relay.received == []
    assert "MAIL" not in relay.verbs
    assert {"STARTTLS", "AUTH", "QUIT"} <= set(relay.verbs)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ({"AUTH": "535 5.7.8 no such user secret-name"}, "SMTPAuthenticationError 535 5.7.8"),
        ({"GREETING": "421 4.3.2 later"}, "421"),
        ({"GREETING": HANG}, "timeout"),
        ({"GREETING": DROP}, "SMTP"),
    ],
)
def test_a_relay_that_does_not_take_our_mails_is_named_with_the_cause(
    tmp_path: Path, script: dict[str, str], why: str
) -> None:
    password = tmp_path / "password"
    password.write_text("long enough")
    relay = Relay(script, offers=("AUTH PLAIN LOGIN",))
    via = {
        "transport": "smtp", "host": "127.0.0.1", "port": relay.port, "tls": "plain", "username": "threepid",
        "password_file": str(password),
    }  # fmt: skip
    (found,) = troubles(tmp_path, relay, email__via=[via])
    assert found.startswith(f"[email] via[0]: the relay 127.0.0.1:{relay.port} does not take our mails now (")
    assert why in found
    assert "secret-name" not in found
    assert "long enough" not in found


def test_a_relay_with_a_strangers_certificate_is_told_nothing(tmp_path: Path) -> None:
    relay = Relay(starttls=authority("a stranger's").server(), offers=("AUTH PLAIN",))
    via = {"transport": "smtp", "host": "localhost", "port": relay.port, "ca_file": authority().file(tmp_path)}
    (found,) = troubles(tmp_path, relay, email__via=[via])
    assert "SSLCertVerificationError" in found
    assert "AUTH" not in relay.verbs


def test_names_that_do_not_resolve_are_named(tmp_path: Path) -> None:
    found = troubles(
        tmp_path,
        email__via=[{"transport": "smtp", "host": "relay.invalid"}, {"transport": "mailbox"}],
        sms__via=[{"transport": "http", "url": "https://sms.invalid/send"}, {"transport": "console"}],
    )
    assert [one.partition(": ")[0] for one in found] == ["[email] via[0].host", "[sms] via[0].url"]
    assert all("does not resolve" in one for one in found)


def test_a_token_that_no_program_prints_is_a_trouble_of_the_relay(tmp_path: Path) -> None:
    relay = Relay(offers=("AUTH XOAUTH2",))
    via = {
        "transport": "smtp", "host": "127.0.0.1", "port": relay.port, "tls": "plain", "username": "threepid",
        "token_command": ["/bin/false"],
    }  # fmt: skip
    (found,) = troubles(tmp_path, relay, email__via=[via])
    assert "token_command" in found
    assert "AUTH" not in relay.verbs
