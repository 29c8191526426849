"""Standard output and standard error that never raise: a full disk or a closed pipe loses log lines, not requests.

Everything that is logged goes through one of the two: structlog, Python's own logging, warnings, tracebacks, other libraries.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast


class Unfailing(io.TextIOBase):
    """A text stream that never raises and drops what cannot be written.

    It writes each text at once and whole, so that lines of several processes do not mix. After a truncated line it begins a
    new one.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """Write where `stream` does; None discards everything."""
        self._stream = stream
        self._descriptor: int | None = None
        with suppress(AttributeError, OSError, ValueError):
            self._descriptor = cast("TextIO", stream).fileno()
        self._is_cut = False

    def write(self, text: str) -> int:
        """Write the text or drop it, and return its length. Raises TypeError for bytes.

        That is how Click finds out whether a stream takes text. Otherwise its prompts would be dropped.
        """
        if not isinstance(text, str):
            raise TypeError(f"a text stream takes no {type(text).__name__}")
        with suppress(Exception):
            if self._descriptor is not None:
                self._write_whole(text.encode("utf-8", "backslashreplace"), self._descriptor)
            elif self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
        return len(text)

    def _write_whole(self, data: bytes, descriptor: int) -> None:
        if self._is_cut:
            data = b"\n" + data
        left = data
        try:
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            # A write that failed at its first byte leaves the line as it was.
            self._is_cut = (self._is_cut and len(left) == len(data)) or 0 < len(left) < len(data)

    def isatty(self) -> bool:
        """Is the stream a terminal?"""
        with suppress(Exception):
            return self._stream is not None and self._stream.isatty()
        return False

    def fileno(self) -> int:
        """The file descriptor. Raises OSError if there is none."""
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def writable(self) -> bool:
        """Can the stream be written? Always."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override] # a plain attribute in the interface
        """UTF-8, whatever the environment says."""
        return "utf-8"

    def flush(self) -> None:
        """Do nothing: each write is flushed at once."""

    def close(self) -> None:
        """Do nothing: the stream belongs to the process."""


class Printed(io.TextIOWrapper):
    """The standard output of a command. It remembers that it could not be written, since Python drops what was too long."""

    lost: OSError | None = None

    def write(self, text: str) -> int:
        """Write the text. Raises OSError."""
        with self._remembering():
            return super().write(text)

    def flush(self) -> None:
        """Write what waits. Raises OSError."""
        with self._remembering():
            super().flush()

    @contextmanager
    def _remembering(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.lost = error
            raise


def open_output() -> None:
    """Prepare the standard output of a command.

    Closed standard output and standard error get the null device, so that no other file gets their numbers.
    """
    _hold_descriptors()
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives
    if isinstance(sys.stdout, io.TextIOWrapper):
        before = sys.stdout
        encoding, by_line = before.encoding, before.line_buffering
        # A locale of an older encoding has not all letters.
        sys.stdout = Printed(before.detach(), encoding, "backslashreplace", line_buffering=by_line)


def is_of_output(error: Exception) -> bool:
    """Is this the error of a command whose standard output cannot be written?"""
    return isinstance(sys.stdout, Printed) and sys.stdout.lost is error


def finish_output() -> OSError | None:
    """Write what waits for standard output. Returns the error if some of the output was lost."""
    with suppress(OSError):
        sys.stdout.flush()
    if not isinstance(sys.stdout, Printed) or (lost := sys.stdout.lost) is None:
        return None
    # Python would try again at the end of the program.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
    return lost


def secure_output() -> None:
    """Keep writes to standard output and standard error from raising."""
    _hold_descriptors()
    sys.stdout = _unfailing(sys.stdout)
    secure_errors()


def secure_errors() -> None:
    """Keep writes to standard error from raising."""
    sys.stderr = _unfailing(sys.stderr)
    logging.raiseExceptions = False


def _unfailing(stream: TextIO | None) -> Any:
    return stream if isinstance(stream, Unfailing) else Unfailing(stream)


def _hold_descriptors() -> None:
    """Open closed standard descriptors on the null device: otherwise the next file or connection would get their numbers."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
