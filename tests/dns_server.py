"""A DNS server on loopback that says what the test wants."""

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

HANG = "hang"
SERVFAIL = "SERVFAIL"
Answers = list[str] | str
"""The records of a name and type, or a fault."""


class DnsServer:
    """`zone` is by name and type: `{"a.example A": ["192.0.2.1"]}`; a function is asked each time. Other names do not exist."""

    def __init__(self) -> None:
        self.zone: dict[str, Answers | Callable[[], Answers]] = {}
        self.fault: str | None = None
        self.asked: list[str] = []
        self._server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, wire: bytes) -> bytes | None:
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        key = f"{name} {dns.rdatatype.to_text(question.rdtype)}"
        self.asked.append(key)
        response = dns.message.make_response(query, recursion_available=True)
        found = self.zone.get(key, []) if self.fault is None else self.fault
        records = found() if callable(found) else found
        if records == HANG:
            return None
        if records == SERVFAIL:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        owner = question.name.to_text()
        for record in records:
            if record.startswith("CNAME "):
                response.answer.append(dns.rrset.from_text(owner, 0, "IN", "CNAME", record.removeprefix("CNAME ")))
                owner = record.removeprefix("CNAME ")
        plain = [record for record in records if not record.startswith("CNAME ")]
        if plain:
            response.answer.append(dns.rrset.from_text(owner, 0, "IN", question.rdtype, *plain))
        elif not response.answer and not any(known.startswith(f"{name} ") for known in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire(max_size=65_000)

    def _handler(self) -> type[socketserver.BaseRequestHandler]:
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire, socket = self.request
                answer = server.answer(wire)
                if answer is not None:
                    socket.sendto(answer, self.client_address)

        return Handler


@contextlib.contextmanager
def dns_server() -> Iterator[DnsServer]:
    made = DnsServer()
    made.start()
    try:
        yield made
    finally:
        made.stop()
