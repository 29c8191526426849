"""A homeserver that introspects at a steady rate, and says how long an answer takes.

`steady.py PORT RATE SECONDS SECRET TOKENS` prints the milliseconds of each answer, as JSON. TOKENS holds access tokens, one per
line. An answer counts from when it should have been asked for, so that a server that falls behind does not look fast.
"""

import json
import re
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path

CONNECTIONS = 32
TIMER_SECONDS = 0.001
"""How late the timer of this program may be, which is not the server's fault."""
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def ask(port: int, rate: float, seconds: float, requests: list[bytes]) -> list[float]:
    """The milliseconds of each answer. One plain loop: a client on asyncio costs more than the server, and would be measured."""
    connections = {one.fileno(): one for one in (_connection(port) for _ in range(CONNECTIONS))}
    poll = select.epoll()
    for number in connections:
        poll.register(number, select.EPOLLIN)
    idle, busy = deque(connections), dict[int, tuple[float, bytes]]()
    took: list[float] = []
    begin, asked, count = time.perf_counter(), 0, round(rate * seconds)
    while asked < count or busy:
        now = time.perf_counter()
        while idle and asked < count and (due := begin + asked / rate) <= now:
            number = idle.popleft()
            connections[number].sendall(requests[asked % len(requests)])
            busy[number] = (max(due, now - TIMER_SECONDS) if idle else due, b"")
            asked += 1
        for number, _ in poll.poll(TIMER_SECONDS):
            due, before = busy[number]
            part = connections[number].recv(65_536)
            assert part, "the server has closed a connection"
            answer = before + part
            if _is_whole(answer):
                took.append((time.perf_counter() - due) * 1000)
                del busy[number]
                idle.append(number)
            else:
                busy[number] = (due, answer)
    return took


def _connection(port: int) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"[: len(head)]), head
    found = _LENGTH.search(head) if end else None
    return found is not None and len(body) == int(found[1])


def _request(secret: str, token: str) -> bytes:
    body = f"token={token}&token_type_hint=access_token"
    return (
        f"POST /oauth2/introspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nX-MAS-Supports-Device-Id: 1\r\n"
        f"Authorization: Bearer {secret}\r\n\r\n{body}"
    ).encode()


if __name__ == "__main__":
    port, rate, seconds, secret, tokens = sys.argv[1:]
    requests = [_request(secret, token) for token in Path(tokens).read_text().splitlines()]
    print(json.dumps(ask(int(port), float(rate), float(seconds), requests)))
