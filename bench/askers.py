"""Clients that look up one hash from time to time, and say how long an answer takes.

`askers.py PORT BOOKS TOKENS SECONDS` prints the milliseconds of each answer, as JSON. BOOKS holds JSON bodies and TOKENS
identity tokens, one a line.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path

ASKERS = 10
ASK_EVERY = 0.05
"""So many connections ask so often (seconds)."""


async def ask(port: int, bodies: list[str], tokens: list[str], seconds: float) -> list[float]:
    """The milliseconds of each answer; one that could not be asked for in time counts from when it should have been."""
    took: list[float] = []
    begin = time.perf_counter()

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        asked = begin + ASK_EVERY * number / ASKERS
        while asked < begin + seconds:
            if (early := asked - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                asked = time.perf_counter()
            body = bodies[len(took) % len(bodies)]
            writer.write(
                f"POST /_matrix/identity/v2/lookup HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                f"Authorization: Bearer {tokens[len(took) % len(tokens)]}\r\n\r\n{body}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert head.startswith(b"HTTP/1.1 200"), head
            assert length, head
            await reader.readexactly(int(length[1]))
            took.append((time.perf_counter() - asked) * 1000)
            asked += ASK_EVERY

    await asyncio.gather(*(client(number) for number in range(ASKERS)))
    return took


if __name__ == "__main__":
    port, books, tokens, seconds = sys.argv[1:]
    lines = Path(books).read_text().splitlines()
    print(json.dumps(asyncio.run(ask(int(port), lines, Path(tokens).read_text().splitlines(), float(seconds)))))
