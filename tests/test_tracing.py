"""Traces: complete, joined, without personal data, and nothing of them where they are off."""

import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from rig import ServerProcess, identity_token, register, request_token, wait_for, whole
from threepid import config, tracing
from threepid.config.sections import telemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector:
    """Takes traces as a collector does."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    import gzip

                    body = gzip.decompress(body)
                request = ExportTraceServiceRequest.FromString(body)
                for resource in request.resource_spans:
                    for scope in resource.scope_spans:
                        outer.spans += scope.spans
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
                """Be quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        yield made


def attributes(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_its_units_of_work_and_its_mail_are_traced(tmp_path: Path, collector: Collector) -> None:
    tables = f'[telemetry]\ntraces_url = "{collector.url}"\n'
    with whole(ServerProcess(tmp_path / "server", tables=tables)) as server:
        with server.client() as http:
            token = register(http, "canary")
            identity = identity_token(http, token)
            request_token(http, identity, "canary@example.com", secret="canary-secret")
            answer = http.get(
                "/_matrix/client/v3/profile/@canary:example.org?canary=1",
                headers={"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "joined"},
            )
            assert answer.headers["X-Request-Id"] == "joined"
        wait_for(lambda: collector.named("deliver email"), what="the span of the mail")
        wait_for(lambda: collector.named("get_profile"), what="the span of the request")
        (profile,) = collector.named("get_profile")
        assert (profile.trace_id.hex(), profile.parent_span_id.hex()) == (TRACE, PARENT)
        assert profile.kind == Span.SPAN_KIND_SERVER
        assert attributes(profile) == {
            "http.request.method": "GET",
            "http.route": "get_profile",
            "http.response.status_code": 404,
            "threepid.request_id": "joined",
        }
        reads = [span for span in collector.named("database read") if span.trace_id.hex() == TRACE]
        assert reads
        assert {span.parent_span_id for span in reads} == {profile.span_id}
        (asked,) = collector.named("request_email_token")
        (mail,) = collector.named("deliver email")
        assert attributes(mail) == {
            "message.name": "confirm_address",
            "message.attempt": 1,
            "threepid.request_id": attributes(asked)["threepid.request_id"],
        }
        writes = [span for span in collector.named("database write") if span.trace_id == asked.trace_id]
        assert writes
        text = "".join(str(span) for span in collector.spans)
        for secret in ("canary", token, identity):
            assert secret not in text


def test_a_stranger_does_not_decide_what_is_traced(tmp_path: Path, collector: Collector) -> None:
    tables = f'[telemetry]\ntraces_url = "{collector.url}"\ntraces_share = 0.0\n'
    with whole(ServerProcess(tmp_path / "server", tables=tables, server="trusted_proxies = []")) as server:
        for _ in range(3):
            httpx.get(f"{server.base}/_matrix/client/versions", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"})
    # The server has stopped, and sent what it had.
    assert collector.spans == []


def test_a_collector_that_is_down_hinders_nobody(tmp_path: Path) -> None:
    tables = '[telemetry]\ntraces_url = "http://127.0.0.1:9/v1/traces"\n'
    with whole(ServerProcess(tmp_path / "server", tables=tables)) as server, server.client() as http:
        register(http, "alice")


def test_nothing_of_opentelemetry_is_imported_without_the_setting() -> None:
    code = (
        "import sys; import threepid.process, threepid.app, threepid.startup; from threepid.config import Config; "
        "threepid.startup.trace(Config()); "
        "sys.exit(any(name.partition('.')[0] in ('opentelemetry', 'google') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_span_without_traces_does_nothing() -> None:
    assert not tracing.is_on()
    with tracing.span("x") as one, tracing.span("y", "client", "z", server_address="a") as other:
        one.tell(a=1)
        other.rename("z")
        other.fail("why")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:4318", "ftp://127.0.0.1/", "http://user:secret@127.0.0.1/", "http://collector.example/", "http://[/"]
)  # fmt: skip
def test_an_unsafe_url_is_rejected(url: str) -> None:
    found = [*telemetry.problems(config.Telemetry(traces_url=url))]
    assert [problem.place for problem in found] == ["[telemetry] traces_url"]
    assert "secret" not in str(found[0])


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4318/v1/traces", "http://[::1]:4318/", "https://collector.example/x"]
)
def test_a_safe_url_is_accepted(url: str) -> None:
    assert [*telemetry.problems(config.Telemetry(traces_url=url))] == []
