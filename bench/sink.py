"""A mail server that accepts everything at once, and writes down what came: `sink.py PORT COUNT FILE`.

After COUNT mails it writes a JSON file, with the seconds from the first mail to the last and the recipients in their order, and
ends.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Final, cast

import uvloop

ANSWERS: Final = {b"EHLO": b"250 sink\r\n", b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 bye\r\n"}
END: Final = b"\r\n.\r\n"


class Log:
    """The mails of all connections."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.recipients: list[str] = []
        self.times: list[float] = []
        self.done = asyncio.Event()

    def add(self, recipient: str) -> None:
        """Note a mail."""
        self.recipients.append(recipient)
        self.times.append(time.monotonic())
        if len(self.recipients) == self.count:
            self.done.set()


class Talk(asyncio.Protocol):
    """One connection."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._buffer = b""
        self._recipient = ""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not registered as such
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer every whole line, and every whole mail."""
        self._buffer += data
        while True:
            mark = END if self._in_data else b"\r\n"
            line, found, rest = self._buffer.partition(mark)
            if not found:
                return
            self._buffer = rest
            if self._in_data:
                self._in_data = False
                self._log.add(self._recipient)
                self._transport.write(b"250 taken\r\n")
                continue
            verb = line[:4].upper()
            if verb == b"RCPT":
                self._recipient = line.partition(b"<")[2].partition(b">")[0].decode()
            self._in_data = verb == b"DATA"
            self._transport.write(ANSWERS.get(verb, b"250 fine\r\n"))
            if verb == b"QUIT":
                self._transport.close()


async def serve(port: int, log: Log) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Talk(log), "127.0.0.1", port, backlog=1_000)
    await log.done.wait()
    await asyncio.sleep(0.5)  # the last answers are on their way
    server.close()


def main(port: int, count: int, file: Path) -> None:
    async def run() -> None:
        log = Log(count)
        await serve(port, log)
        found = {"seconds": log.times[-1] - log.times[0], "recipients": log.recipients}
        file.with_suffix(".part").write_text(json.dumps(found), encoding="utf-8")
        file.with_suffix(".part").rename(file)

    uvloop.run(run())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
