"""A Synapse on loopback as its authentication service sees it: `/_synapse/mas/*` with the traps of the real one.

It compares email addresses byte for byte, renames known devices, deletes the devices that a list does not name, and works on
deactivated users. `docs/decisions/0070-beside-a-synapse.md` says why that matters.
"""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rig import free_port

SECRET = "secret-of-both-servers"
MAS = "/_synapse/mas/"
ANSWER = tuple[int, Any]
HANG = "hang"
DROP = "drop"
Reply = ANSWER | str | Callable[["Called"], "ANSWER | str | None"]

_OK: ANSWER = (200, {})
_NOT_FOUND: ANSWER = (404, {"errcode": "M_NOT_FOUND", "error": "User not found"})


def _refused(status: int, errcode: str) -> ANSWER:
    return status, {"errcode": errcode, "error": errcode}


def _object(raw: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(raw))
    except (ValueError, TypeError):
        return {}


class User:
    """A user of the homeserver."""

    def __init__(self, displayname: str | None = None) -> None:
        self.displayname = displayname
        self.emails: list[str] = []
        self.locked = False
        self.deactivated = False
        self.erased = False
        self.devices: dict[str, str | None] = {}
        self.may_reset_keys = False


class Called:
    """One call; `name` is what stands after `/_synapse/mas/`, or the whole path of another request."""

    def __init__(self, method: str, target: str, headers: dict[str, str], raw: bytes) -> None:
        url = urlsplit(target)
        self.method, self.target, self.headers, self.raw = method, target, headers, raw
        self.name = url.path.removeprefix(MAS)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.body: dict[str, Any] = query if method == "GET" else _object(raw)

    def __repr__(self) -> str:
        return f"{self.name} {self.body}"


class FakeSynapse:
    """`replies` are by the name of a call, in place of what it does: a status and JSON, HANG, DROP, or a function of the call."""

    def __init__(self) -> None:
        self.port = free_port()
        self.users: dict[str, User] = {}
        self.calls: list[Called] = []
        self.unbound: list[str] = []
        """Addresses that were removed, which a Synapse unbinds at the identity server."""
        self.exclusive: set[str] = set()
        """Names that belong to an application service."""
        self.lacks: set[str] = set()
        """The calls that this version does not have."""
        self.replies: dict[str, Reply] = {}
        self.headers: dict[str, str] = {}
        """Header fields of all answers, in place of those that it sends anyway."""
        self._released = threading.Event()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def settings(self, directory: Path) -> dict[str, Any]:
        """What a configuration must have to stand beside it."""
        secret = directory / "synapse.secret"
        secret.write_text(f"{SECRET}\n")
        secret.chmod(0o600)
        url = f"http://127.0.0.1:{self.port}"
        return {"homeserver": {"kind": "synapse", "url": url, "secret_file": str(secret)}}

    def start(self) -> None:
        self._released.clear()
        self._server = _Quiet(("127.0.0.1", self.port), self._handler())
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def names(self) -> list[str]:
        """The names of the calls, in order."""
        return [called.name for called in self.calls]

    def answer(self, called: Called) -> "ANSWER | str":
        with self._lock:
            self.calls.append(called)
        reply = self.replies.get(called.name)
        scripted = reply(called) if callable(reply) else reply
        if scripted is not None:
            return scripted
        if called.headers.get("authorization") != f"Bearer {SECRET}":
            return _refused(403 if "authorization" in called.headers else 401, "M_UNKNOWN")
        method = "GET" if called.name in ("is_localpart_available", "query_user") else "POST"
        act = getattr(self, f"_{called.name}", None)
        if act is None or called.method != method or called.name in self.lacks:
            return _refused(404, "M_UNRECOGNIZED")
        with self._lock:
            done: ANSWER = act(called.body)
            return done

    # -- the calls

    def _is_localpart_available(self, body: dict[str, Any]) -> ANSWER:
        name = body["localpart"]
        if not re.fullmatch(r"[a-z0-9=_./+-]+", name) or name.startswith("_") or name.isdigit():
            return _refused(400, "M_INVALID_USERNAME")
        if name.lower() in map(str.lower, self.users):
            return _refused(400, "M_USER_IN_USE")
        return _refused(400, "M_EXCLUSIVE") if name in self.exclusive else _OK

    def _query_user(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        return 200, {
            "user_id": f"@{body['localpart']}:example.org",
            "display_name": user.displayname,
            "avatar_url": None,
            "is_suspended": False,
            "is_deactivated": user.deactivated,
        }

    def _provision_user(self, body: dict[str, Any]) -> ANSWER:
        if {"set_emails", "unset_emails"} <= body.keys():
            return _refused(400, "M_UNKNOWN")
        name = body["localpart"]
        status = 200 if name in self.users else 201
        user = self.users.setdefault(name, User(name))
        if "locked" in body:
            user.locked = body["locked"]
        if "unset_emails" in body:
            body = {**body, "set_emails": []}
        if "set_emails" in body:
            wanted = body["set_emails"]
            self.unbound += [email for email in user.emails if email not in wanted]
            user.emails = [email for email in user.emails if email in wanted]
            for email in wanted:
                if email.count("@") != 1:
                    return _refused(400, "M_UNKNOWN")  # after the removals
                for other in self.users.values():
                    if other is not user and email.casefold() in other.emails:
                        other.emails.remove(email.casefold())
                if email not in user.emails:
                    user.emails.append(email.casefold())
        return status, {}

    def _upsert_device(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        name = body.get("display_name")
        if name is not None and len(name) > 100:
            return _refused(400, "M_TOO_LARGE")
        known = body["device_id"] in user.devices
        if name is not None or not known:
            user.devices[body["device_id"]] = name
        return 200 if known else 201, {}

    def _update_device_display_name(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None or body["device_id"] not in user.devices:
            return _NOT_FOUND
        user.devices[body["device_id"]] = body["display_name"]
        return _OK

    def _sync_devices(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        user.devices = {device_id: user.devices.get(device_id) for device_id in body["devices"]}
        return _OK

    def _delete_user(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        user.deactivated, user.erased = True, body["erase"]
        self.unbound += user.emails
        user.emails, user.devices, user.displayname = [], {}, None
        return _OK

    def _reactivate_user(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        user.deactivated = False
        return _OK

    def _allow_cross_signing_reset(self, body: dict[str, Any]) -> ANSWER:
        user = self.users.get(body["localpart"])
        if user is None:
            return _NOT_FOUND
        user.may_reset_keys = True
        return _OK

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = fake.answer(Called(self.command, self.path, headers, self.rfile.read(length)))
                if reply == HANG:
                    fake._released.wait()
                if isinstance(reply, str):
                    self.close_connection = True
                    return
                status, content = reply
                body = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response_only(status)
                fields = {
                    "Date": self.date_time_string(),
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    **fake.headers,
                }
                for field in fields.items():
                    self.send_header(*field)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = _answer  # noqa: N815 - the names that the library looks for

            def log_message(self, *_: object) -> None:
                pass

        return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A caller that hung up is what some tests want."""


@contextlib.contextmanager
def fake_synapse() -> Iterator[FakeSynapse]:
    made = FakeSynapse()
    made.start()
    try:
        yield made
    finally:
        made.stop()
