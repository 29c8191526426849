"""What people read: the mails and texts that a server sent, and the hand that types codes and opens links."""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx

from rig import Sink, sink

PATIENCE = 60.0
_CODE = r"\b(\d{6})\b"


class Post:
    """Mails come by SMTP and texts by HTTP; each is read once."""

    def __init__(self, relay: Sink, mail_port: int) -> None:
        self.mail_port = mail_port
        self.url = ""
        self._relay = relay
        self._texts: list[tuple[str, str]] = []
        self._read: set[int] = set()
        self._changed = threading.Condition()

    def code(self, address: str) -> str:
        """The six digits of the oldest message to `address` that nobody has read, mail or text."""
        if "@" in address:
            return _first(r"^ {4}(\d{6})\r?$", self._next(address))
        return _first(_CODE, self._next(address))

    def link(self, address: str) -> str:
        """The link of the oldest mail to `address` that nobody has read."""
        return _first(r"(https?://\S+/confirm/[\w-]+)", self._next(address))

    def confirm(self, address: str) -> None:
        """Open the link of that mail and press the button."""
        link = self.link(address)
        with httpx.Client() as browser:
            assert "<button" in browser.get(link).text
            assert browser.post(link, headers={"Origin": link.partition("/confirm/")[0]}).status_code == 200

    def invitation(self, address: str) -> str:
        """The newest invitation to `address`, mail or text."""
        return self.found(address, r"(?s).*\binvites\s+you\s+to\b.*")

    def parameters_of_link(self, address: str) -> dict[str, str]:
        """What the link to a web client tells it in the newest invitation to `address`."""
        return dict(parse_qsl(self.found(address, r"https://\S+/#/room/\S+").partition("?")[2]))

    def found(self, address: str, pattern: str) -> str:
        """What `pattern` matches in the newest message to `address` in which it does."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with self._changed:
                said = [mail.text for mail in self._relay.mails if address in mail.recipients]
                said += [text for to, text in self._texts if _digits(to) == _digits(address)]
            if found := [match[0] for text in said if (match := re.search(pattern, text))]:
                return found[-1]
            time.sleep(0.01)
        raise AssertionError(f"no such message to {address} within {PATIENCE} s")

    def accept(self, to: str, text: str) -> None:
        """Take a text from the server."""
        with self._changed:
            self._texts.append((to, text))

    def _next(self, address: str) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with self._changed:
                for number, text in self._messages(address):
                    if number not in self._read:
                        self._read.add(number)
                        return text
            time.sleep(0.01)
        raise AssertionError(f"no message to {address} within {PATIENCE} s")

    def _messages(self, address: str) -> Iterator[tuple[int, str]]:
        """Messages with a code in them: notices ask for nothing."""
        if "@" in address:
            for mail in self._relay.mails:
                if address in mail.recipients and "/confirm/" in mail.text:
                    yield id(mail), mail.text
        else:
            for text in self._texts:
                if _digits(text[0]) == _digits(address) and re.search(_CODE, text[1]):
                    yield id(text), text[1]


def _digits(number: str) -> str:
    return re.sub(r"\D", "", number)


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, text
    return found[1]


@contextlib.contextmanager
def post_office() -> Iterator[Post]:
    """A relay and, at one URL, an SMS gateway and for programs `GET code?to=` and `GET link?to=`: all on loopback."""
    with sink() as (relay, mail_port):
        post = Post(relay, mail_port)

        class Gateway(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                post.accept(told["to"], told["text"])
                self._say({})

            def do_GET(self) -> None:
                asked = urlsplit(self.path)
                to = parse_qs(asked.query)["to"][0]
                try:
                    self._say({"found": post.code(to) if asked.path == "/code" else post.link(to)})
                except AssertionError as error:
                    self._say({"error": str(error)})

            def _say(self, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the standard library
                """Say nothing."""

        gateway = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
        post.url = f"http://127.0.0.1:{gateway.server_port}/"
        thread = threading.Thread(target=gateway.serve_forever)
        thread.start()
        try:
            yield post
        finally:
            gateway.shutdown()
            gateway.server_close()
            thread.join()
