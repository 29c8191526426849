"""Runs programs of the configuration: without a shell, with a time limit, and gone when the caller is."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

from msgspec import Struct


class Finished(Struct, frozen=True):
    """A program that has ended."""

    status: int
    """Its exit status; negative = the number of the signal that killed it."""
    output: bytes
    """The beginning of its standard output."""


async def run(command: Sequence[str], content: bytes = b"", *, keep: int = 0) -> Finished:
    """Run `command` with `content` as its standard input; keeps at most `keep` bytes of its output.

    If the caller is cancelled, the program and its children are killed. Raises OSError if it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if content else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE if keep else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await _write(process.stdin, content)
        output = await _read(process.stdout, keep)
        return Finished(await process.wait(), output)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _write(stdin: asyncio.StreamWriter | None, content: bytes) -> None:
    if stdin is None:
        return
    # A program may end without reading its input; its exit status then says more than the broken pipe.
    with contextlib.suppress(ConnectionError):
        stdin.write(content)
        await stdin.drain()
    stdin.close()
    with contextlib.suppress(ConnectionError):
        await stdin.wait_closed()


async def _read(stdout: asyncio.StreamReader | None, keep: int) -> bytes:
    output = b""
    while stdout is not None and (part := await stdout.read(64 * 1024)):
        output = (output + part)[:keep]
    return output
