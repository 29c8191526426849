"""A49: what a proxy before us could read differently is refused, and nothing that hides behind it is done."""

import json
import re
import socket
from collections.abc import Callable, Iterator

import httpx
import pytest

from rig import ServerProcess

PATH = b"/_matrix/client/v3/login"
VERSIONS = b"/_matrix/client/versions"


class Target:
    """A server, and the requests that are hidden from it."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.http = server.client()
        self.names: list[str] = []

    def hidden(self) -> bytes:
        """A request whose effect can be seen: it registers the next name. The connection ends with it."""
        self.names.append(f"smuggled{len(self.names)}")
        return b"POST /_matrix/client/v3/register HTTP/1.1\r\n" + whole(self.registration(), b"Connection: close\r\n")

    def registration(self) -> bytes:
        body = {"username": self.names[-1], "password": "long enough", "auth": {"type": "m.login.dummy"}}
        return json.dumps(body).encode()

    def send(self, data: bytes, *, half_close: bool = False) -> list[int]:
        """The statuses of the answers, until the server closes the connection, which it must."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=15) as connection:
            received = b""
            try:
                connection.sendall(data)
                if half_close:
                    connection.shutdown(socket.SHUT_WR)
                while some := connection.recv(65_536):
                    received += some
            except (ConnectionResetError, BrokenPipeError):
                pass
        return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]

    def is_registered(self, name: str) -> bool:
        answer = self.http.get("/_matrix/client/v3/register/available", params={"username": name})
        assert answer.status_code in {200, 400}
        return answer.status_code == httpx.codes.BAD_REQUEST


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    server = ServerProcess(tmp_path_factory.mktemp("smuggling") / "server").start()
    made = Target(server)
    yield made
    made.http.close()
    assert server.stop() == 0
    assert "crashed" not in (server.directory / "log").read_text()


def whole(body: bytes, headers: bytes = b"") -> bytes:
    return b"Host: x\r\n%bContent-Length: %d\r\n\r\n%b" % (headers, len(body), body)


def post(headers: bytes, body: bytes) -> bytes:
    return b"POST " + PATH + b" HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


def chunked(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked\r\n", body)


def with_length(length: bytes) -> Callable[[bytes], bytes]:
    return lambda hidden: post(b"Content-Length: " + length + b"\r\n", b"{}" + hidden)


def with_coding(coding: bytes) -> Callable[[bytes], bytes]:
    return lambda hidden: post(b"Transfer-Encoding: " + coding + b"\r\n", b"0\r\n\r\n" + hidden)


def with_chunk(chunk: bytes) -> Callable[[bytes], bytes]:
    return lambda hidden: chunked(chunk + hidden)


def with_header(header: bytes) -> Callable[[bytes], bytes]:
    return lambda hidden: post(header + b"\r\nContent-Length: 2\r\n", b"{}" + hidden)


def with_line(line: bytes, headers: bytes = b"Host: x\r\n") -> Callable[[bytes], bytes]:
    return lambda hidden: line + b"\r\n" + headers + b"\r\n" + hidden


END = b"\r\n0\r\n\r\n"
REFUSED: dict[str, Callable[[bytes], bytes]] = {
    # Two framings. RFC 9112, 6.3, lets a server read the chunks, but then it must close the connection.
    "a length and chunks": lambda hidden: post(
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % (5 + len(hidden)), b"0\r\n\r\n" + hidden
    ),
    "chunks and a length": lambda hidden: post(
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % (5 + len(hidden)), b"0\r\n\r\n" + hidden
    ),
    "chunks and a short length": lambda hidden: post(
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"%x\r\n%b" % (len(hidden), hidden) + END
    ),
    "two lengths": lambda hidden: post(
        b"Content-Length: 2\r\nContent-Length: %d\r\n" % (2 + len(hidden)), b"{}" + hidden
    ),
    "a list of one length": with_length(b"2, 2"),
    "a list of lengths": with_length(b"2, 9"),
    "a length with a plus": with_length(b"+2"),
    "a length with a minus": with_length(b"-2"),
    "a hexadecimal length": with_length(b"0x2"),
    "a length and a number": with_length(b"2 3"),
    "a fraction of a length": with_length(b"2.0"),
    "no length": with_length(b""),
    "a length beyond 2^64": with_length(b"18446744073709551618"),
    "a length of wide digits": with_length("２".encode()),
    "a coding like chunked": with_coding(b"xchunked"),
    "identity": with_coding(b"identity"),
    "chunked below identity": with_coding(b"chunked, identity"),
    "chunked above identity": with_coding(b"identity, chunked"),
    "chunked above gzip": with_coding(b"gzip, chunked"),
    "chunked twice": with_coding(b"chunked, chunked"),
    "chunked on two lines": with_coding(b"chunked\r\nTransfer-Encoding: chunked"),
    "chunked, then identity": with_coding(b"chunked\r\nTransfer-Encoding: identity"),
    "chunked behind a tabulator": with_coding(b"\x0bchunked"),
    "chunked in quotes": with_coding(b'"chunked"'),
    "chunks in HTTP/1.0": lambda hidden: (
        b"POST " + PATH + b" HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
    ),
    # Header lines.
    "a blank before the colon of a length": with_header(b"Content-Length : 9"),
    "a blank before the colon of a coding": with_header(b"Transfer-Encoding : chunked"),
    "a blank before the first name": with_header(b" X: a"),
    "a folded line": with_header(b"X: a\r\n b"),
    "a folded coding": with_header(b"Transfer-Encoding:\r\n chunked"),
    "a bare CR": with_header(b"X: a\rContent-Length: 9"),
    "a NUL in a value": with_header(b"X: a\0b"),
    "a NUL in a name": with_header(b"X\0: a"),
    "no colon": with_header(b"X"),
    "no name": with_header(b": a"),
    "a length under another name": lambda hidden: post(b"Content_Length: 2\r\n", b"{}" + hidden),
    "a header of 100 kB": with_header(b"X: " + b"a" * 100_000),
    "1000 headers": with_header(b"\r\n".join(b"X%d: a" % number for number in range(1000))),
    # Chunks.
    "a chunk size with 0x": with_chunk(b"0x0\r\n\r\n"),
    "a chunk size with a minus": with_chunk(b"-0\r\n\r\n"),
    "a chunk size with a plus": with_chunk(b"+0\r\n\r\n"),
    "a chunk size behind a blank": with_chunk(b" 2\r\n{}" + END),
    "no chunk size": with_chunk(b"\r\n\r\n"),
    "a chunk size of 2^64": with_chunk(b"10000000000000000\r\n{}" + END),
    "a chunk extension of 100 kB": with_chunk(b"2;" + b"a" * 100_000 + b"\r\n{}" + END),
    "a chunk extension with a bare LF": with_chunk(b"2;a\n{}" + END),
    "chunks with bare LFs": with_chunk(b"2\n{}\n0\n\n"),
    "a chunk without an end": with_chunk(b"2\r\n{}0\r\n\r\n"),
    "a chunk that is too long": with_chunk(b"2\r\n{}xx" + END),
    "a trailer of 200 kB": with_chunk(b"2\r\n{}\r\n0\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"),
    # Request lines.
    "HTTP/0.9": lambda hidden: b"GET " + VERSIONS + b"\r\n" + hidden,
    "HTTP/1.2": with_line(b"GET " + VERSIONS + b" HTTP/1.2"),
    "HTTP/3.0": with_line(b"GET " + VERSIONS + b" HTTP/3.0"),
    "the preface of HTTP/2": lambda hidden: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
    "a small http": with_line(b"GET " + VERSIONS + b" http/1.1"),
    "two blanks": with_line(b"GET  " + VERSIONS + b" HTTP/1.1"),
    "a tabulator": with_line(b"GET\t" + VERSIONS + b" HTTP/1.1"),
    "a blank at the end": with_line(b"GET " + VERSIONS + b" HTTP/1.1 "),
    "a path of 100 kB": with_line(b"GET /" + b"a" * 100_000 + b" HTTP/1.1"),
    "a CR in the path": with_line(b"GET /_matrix/\rclient/versions HTTP/1.1"),
    "a byte that is no UTF-8": with_line(b"GET /_matrix/\xff HTTP/1.1"),
    "no host": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b""),
    "an empty host": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b"Host:\r\n"),
    "two hosts": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x\r\nHost: y\r\n"),
    "a host twice": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x\r\nHost: x\r\n"),
    "a host with a blank": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x y\r\n"),
    "a host with a path": with_line(b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x/y\r\n"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_closed(target: Target, case: str) -> None:
    hidden = target.hidden()
    statuses = target.send(REFUSED[case](hidden))
    if case == "a length under another name":
        assert statuses == [400, 400]  # without a length there is no body: {} is the next request, and none
    elif case != "the preface of HTTP/2":  # to that the connection is closed without an answer
        assert len(statuses) == 1
        assert 400 <= statuses[0] < 500
    assert not target.is_registered(target.names[-1])


BODIES: dict[str, bytes] = {
    "of a GET": b"GET " + VERSIONS,
    "of a HEAD": b"HEAD " + VERSIONS,
    "of what is not found": b"POST /_matrix/nothing",
    "of a wrong method": b"DELETE " + VERSIONS,
    "of what is not allowed": b"POST /_matrix/client/v3/account/3pid",
    "of what is not JSON": b"POST " + PATH,
    "of a page": b"GET /static/threepid.css",
    "of an OPTIONS": b"OPTIONS " + PATH,
}


@pytest.mark.parametrize("case", BODIES)
@pytest.mark.parametrize("framing", ["a length", "chunks"])
def test_a_request_in_a_body_stays_there(target: Target, case: str, framing: str) -> None:
    hidden = target.hidden()
    body = (
        whole(hidden)
        if framing == "a length"
        else b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b" % (len(hidden), hidden) + END
    )
    following = b"GET " + VERSIONS + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    statuses = target.send(BODIES[case] + b" HTTP/1.1\r\n" + body + following)
    assert statuses[1:] in ([], [200])  # in step with the client, or closed
    assert not target.is_registered(target.names[-1])


EARLY: dict[str, Callable[[bytes], bytes]] = {
    "before the length is reached": lambda body: b"Host: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body) + 9, body),
    "before the last chunk": lambda body: (
        b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body)
    ),
    "in what is no chunk": lambda body: (
        b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\nz\r\n" % (len(body), body)
    ),
}


@pytest.mark.parametrize("case", EARLY)
def test_a_body_that_ends_early_has_no_effect(target: Target, case: str) -> None:
    target.hidden()
    statuses = target.send(
        b"POST /_matrix/client/v3/register HTTP/1.1\r\n" + EARLY[case](target.registration()), half_close=True
    )
    assert statuses in ([], [400])
    assert not target.is_registered(target.names[-1])


ONE_WAY: dict[str, Callable[[bytes], bytes]] = {
    # What RFC 9110 and 9112 let a server take, and what has one meaning: the second request is one of its own.
    "a request after a request": with_length(b"2"),
    "a length twice": with_length(b"2\r\nContent-Length: 2"),
    "a length with zeros": with_length(b"002"),
    "a coding in capitals": with_coding(b"CHUNKED"),
    "lines that end with LF": lambda hidden: b"POST " + PATH + b" HTTP/1.1\nHost: x\nContent-Length: 2\n\n{}" + hidden,
    "empty lines before": lambda hidden: b"\r\n\r\n" + post(b"Content-Length: 2\r\n", b"{}") + hidden,
    "a chunk size before a blank": with_chunk(b"2 \r\n{}" + END),
    "a chunk size with zeros": with_chunk(b"0" * 300 + b"2\r\n{}" + END),
    "a chunk extension": with_chunk(b"2;a=b\r\n{}" + END),
    "a length as a trailer": with_chunk(b"2\r\n{}\r\n0\r\nContent-Length: 500\r\n\r\n"),
    "a whole address": with_line(b"GET http://evil.example" + VERSIONS + b" HTTP/1.1"),
    "a path without a slash": with_line(b"GET versions HTTP/1.1"),
    "CONNECT": with_line(b"CONNECT evil.example:80 HTTP/1.1"),
    "OPTIONS *": with_line(b"OPTIONS * HTTP/1.1"),
    "an upgrade to HTTP/2": with_line(
        b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    ),
    "an upgrade to WebSocket": with_line(
        b"GET " + VERSIONS + b" HTTP/1.1", b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    ),
}


@pytest.mark.parametrize("case", ONE_WAY)
def test_what_has_one_meaning_is_read_in_that_one(target: Target, case: str) -> None:
    hidden = target.hidden()
    statuses = target.send(ONE_WAY[case](hidden))
    assert len(statuses) == 2
    assert statuses[0] in {200, 400, 404}
    assert statuses[1] == 200
    assert target.is_registered(target.names[-1])


def test_http_1_0_needs_no_host(target: Target) -> None:
    assert target.send(b"GET " + VERSIONS + b" HTTP/1.0\r\n\r\n") == [200]


def test_what_was_refused_was_not_done_later(target: Target) -> None:
    done = [name for name in target.names if target.is_registered(name)]
    assert len(done) == len(ONE_WAY)
