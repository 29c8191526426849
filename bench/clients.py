"""Clients that cost little: a crowd that logs in, and one that asks from time to time how long an answer takes.

`clients.py crowd PORT CLIENTS SECONDS ACCOUNTS MANNER` prints how often each status was answered, as JSON. A client logs in,
waits for the answer, and logs in again until the end:

* `polite`: they begin one after the other within the first second, and one that is told to come back later does
* `hurried`: they begin at the same time, and never wait
* `once`: they begin at the same time, and log in once

`clients.py probe PORT PATH SECONDS` prints the milliseconds of each answer, as JSON.
"""

import asyncio
import json
import re
import sys
import time

PASSWORD = "a password of the bench"
PROBES = 10
PROBE_EVERY = 0.05
"""So many connections ask so often (seconds) how long an answer takes."""


async def crowd(port: int, clients: int, seconds: float, accounts: int, manner: str) -> dict[str, int]:
    """How often each status was answered."""
    counts: dict[str, int] = {}
    end = time.monotonic() + seconds
    numbers = iter(range(sys.maxsize))

    async def client(first: float) -> None:
        if manner == "polite":
            await asyncio.sleep(first)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            writer.write(_login(next(numbers) * 7919 % accounts))
            head = await _answer(reader)
            status = head[9:12].decode()
            counts[status] = counts.get(status, 0) + 1
            if manner == "once":
                break
            if status == "429" and manner == "polite":
                await asyncio.sleep(min(_number(rb"retry-after: (\d+)", head), max(0, end - time.monotonic())))
        writer.close()

    await asyncio.gather(*(client(number / clients) for number in range(clients)))
    return counts


async def probe(port: int, path: str, seconds: float) -> list[float]:
    """The milliseconds of each answer; one that could not be asked for in time counts from when it should have been."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    took = []
    begin = time.perf_counter()

    async def client(first: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = begin + first
        while asked < begin + seconds:
            if (early := asked - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                asked = time.perf_counter()
            writer.write(request)
            await _answer(reader)
            took.append((time.perf_counter() - asked) * 1000)
            asked += PROBE_EVERY
        writer.close()

    await asyncio.gather(*(client(PROBE_EVERY * number / PROBES) for number in range(PROBES)))
    return took


def _login(number: int) -> bytes:
    user = f"user{number:07}"
    body = json.dumps(
        {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": PASSWORD}
    )
    head = f"POST /_matrix/client/v3/login HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """Read an answer; its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly(_number(rb"content-length: (\d+)", head))
    return head


def _number(pattern: bytes, head: bytes) -> int:
    found = re.search(pattern, head, re.IGNORECASE)
    assert found, head
    return int(found[1])


if __name__ == "__main__":
    what, port, *rest = sys.argv[1:]
    if what == "crowd":
        count, seconds, accounts, manner = rest
        print(json.dumps(asyncio.run(crowd(int(port), int(count), float(seconds), int(accounts), manner))))
    else:
        path, seconds = rest
        print(json.dumps(asyncio.run(probe(int(port), path, float(seconds)))))
