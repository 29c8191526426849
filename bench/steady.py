"""A homeserver that introspects at a steady rate, and says how long an answer takes.

`steady.py PORT RATE SECONDS SECRET TOKENS` prints the milliseconds of each answer, as JSON. TOKENS holds access tokens, one per
line. An answer counts from when it should have been asked for, so that a server that falls behind does not look fast.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path

CONNECTIONS = 32


async def ask(port: int, rate: float, seconds: float, secret: str, tokens: list[str]) -> list[float]:
    """The milliseconds of each answer."""
    took: list[float] = []
    begin = time.perf_counter()

    async def connection(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        due, turn = begin + number / rate, number
        while due < begin + seconds:
            if (early := due - time.perf_counter()) > 0:
                await asyncio.sleep(early)
                due = max(due, time.perf_counter() - 0.001)  # the timer of this program is not the server's fault
            body = f"token={tokens[turn % len(tokens)]}&token_type_hint=access_token"
            writer.write(
                f"POST /oauth2/introspect HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nX-MAS-Supports-Device-Id: 1\r\n"
                f"Authorization: Bearer {secret}\r\n\r\n{body}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            assert head.startswith(b"HTTP/1.1 200"), head
            assert length, head
            await reader.readexactly(int(length[1]))
            took.append((time.perf_counter() - due) * 1000)
            turn += CONNECTIONS
            due = begin + turn / rate
        writer.close()

    await asyncio.gather(*(connection(number) for number in range(CONNECTIONS)))
    return took


if __name__ == "__main__":
    port, rate, seconds, secret, tokens = sys.argv[1:]
    found = asyncio.run(ask(int(port), float(rate), float(seconds), secret, Path(tokens).read_text().splitlines()))
    print(json.dumps(found))
