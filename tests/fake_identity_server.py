"""An identity server on loopback that speaks TLS, remembers what it was asked, and answers what the test wants."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from authority import authority_file, localhost
from rig import free_port
from threepid.spec.signing import Signature, SignedRequest, parse_authorization

V1 = "/_matrix/identity/api/v1"
V2 = "/_matrix/identity/v2"
ANSWER = tuple[int, Any]
HANG = "hang"
DROP = "drop"


class Asked:
    """One request."""

    def __init__(self, method: str, uri: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.uri = uri
        self.headers = headers
        self.body: dict[str, Any] = json.loads(body) if body else {}

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None

    @property
    def signature(self) -> Signature:
        return parse_authorization(self.headers["authorization"])

    @property
    def signed(self) -> SignedRequest:
        return SignedRequest(self.method, self.uri, self.body)


Reply = ANSWER | str | Callable[[Asked], "ANSWER | str"]


class FakeIdentityServer:
    """`replies` are by path without the query: a status and JSON (or bytes), HANG, DROP, or a function of the request."""

    def __init__(self) -> None:
        self.ca_file = authority_file()
        self._context = localhost()
        self.port = free_port()
        self.name = f"localhost:{self.port}"
        self.asked: list[Asked] = []
        self.replies: dict[str, Reply] = {}
        self._released = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What a configuration must have to reach it."""
        return {"outbound__allow": ["127.0.0.0/8", "::1"], "outbound__ca_file": self.ca_file}

    def start(self) -> None:
        self._released.clear()
        self._server = _Quiet(("127.0.0.1", self.port), self._handler())
        self._server.socket = self._context.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def binds(self, medium: str, address: str, *, version: str = V2) -> None:
        """Bind this address for whoever asks."""

        def answer(asked: Asked) -> ANSWER:
            now = time.time_ns() // 1_000_000
            association = {"medium": medium, "address": address, "mxid": asked.body["mxid"]}
            return 200, {**association, "not_before": now, "not_after": now + 1, "ts": now, "signatures": {}}

        self.replies[f"{version}/3pid/bind"] = answer

    def unbinds(self, *, version: str = V2) -> None:
        self.replies[f"{version}/3pid/unbind"] = 200, {}

    def paths(self) -> list[str]:
        return [asked.uri.partition("?")[0] for asked in self.asked]

    def _reply(self, asked: Asked) -> ANSWER | str:
        self.asked.append(asked)
        reply = self.replies.get(asked.uri.partition("?")[0], (404, {"errcode": "M_UNRECOGNIZED", "error": "No."}))
        return reply(asked) if callable(reply) else reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = fake._reply(Asked(self.command, self.path, headers, self.rfile.read(length)))
                if reply == HANG:
                    fake._released.wait()
                if isinstance(reply, str):
                    self.close_connection = True
                    return
                status, content = reply
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = _answer  # noqa: N815 - the names that the library looks for

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A caller that hung up is what some tests want."""


@contextlib.contextmanager
def identity_server() -> Iterator[FakeIdentityServer]:
    made = FakeIdentityServer()
    made.start()
    try:
        yield made
    finally:
        made.stop()
