"""What operators read about a relay or gateway to which there is no connection."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path

import pytest

from threepid.config import SmtpTransport
from threepid.delivery.errors import reason
from threepid.delivery.mail.smtp import SmtpRelay


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        ("tls", "SSLError: wrong version number"),
        ("starttls", "SMTP STARTTLS extension not supported by server"),
    ],
)
def test_a_relay_that_does_not_speak_as_configured_is_named_with_the_reason(tls: str, why: str) -> None:
    async def ask() -> str:
        gone = asyncio.Event()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Speak neither TLS nor STARTTLS, until the caller is gone."""
            with contextlib.suppress(ConnectionError, ValueError):
                writer.write(b"220 relay.example\r\n")
                while await reader.readline():
                    writer.write(b"250 relay.example\r\n")
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            gone.set()

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            via = SmtpTransport(host="127.0.0.1", port=port, tls=tls)  # type: ignore[arg-type] # one of its words
            return await SmtpRelay(via, "noreply@example.org").try_out(10)
        finally:
            server.close()
            await gone.wait()

    assert asyncio.run(ask()) == why


def test_a_name_without_an_address_is_said_to_have_none() -> None:
    with pytest.raises(socket.gaierror) as unknown:
        socket.getaddrinfo("relay.invalid", 25)
    assert reason(unknown.value).startswith("gaierror: ")
    assert "relay.invalid" not in reason(unknown.value)


def test_what_a_rejected_certificate_lacks_is_named(tmp_path: Path) -> None:
    error = ssl.SSLCertVerificationError()
    error.verify_message = "self-signed certificate"
    assert reason(error) == "SSLCertVerificationError: self-signed certificate"
    assert reason(ConnectionRefusedError(111, f"{tmp_path} must not be quoted")) == "ConnectionRefusedError"
