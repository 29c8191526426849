"""One connection to PostgreSQL, on which a unit of work waits without blocking the event loop.

psycopg connects (with libpq's support for URLs, TLS and password files) and converts values. Statements go straight to libpq
through `psycopg.pq`, because a psycopg cursor takes four times the CPU of a short statement.

The event loop watches the socket as long as the connection is open:

    execute: send --> is the answer there? --no--> the unit pauses --> the event loop does something else
                            ^     |                                             |
                            |     yes --> the rows                 the socket can be read: libpq reads it
                            |                                                   |
                            +---- the unit resumes <-- the answer is complete --+

https://www.postgresql.org/docs/current/libpq-async.html
"""

import asyncio
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from psycopg import errors as pg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import Int8Dumper

from threepid.storage.engine.units import Unit, current

_NAMED: Final = re.compile(r"%\((\w+)\)s|%%")
_FAILED: Final = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
_IN_A_PIPELINE: Final = 500
"""Number of statements that are sent before their results are read: their results fit into the socket's buffers."""
Row = tuple[Any, ...]


class Statement:
    """The SQL of a query as libpq takes it: `$1` for the first of `names`."""

    __slots__ = ("formats", "names", "text")

    def __init__(self, text: str) -> None:
        """Parse SQL with `%(name)s` for parameters and `%%` for a percent sign."""
        names: list[str] = []

        def number(found: re.Match[str]) -> str:
            if found[1] is None:
                return "%"
            if found[1] not in names:
                names.append(found[1])
            return f"${names.index(found[1]) + 1}"

        self.text: Final = _NAMED.sub(number, text).encode()
        self.names: Final = tuple(names)
        self.formats: Final = (PyFormat.AUTO,) * len(names)


class Result:
    """The result of a statement."""

    __slots__ = ("_result", "_transformer")

    def __init__(self, result: pq.abc.PGresult, transformer: Any) -> None:
        """Wrap a result, which must be read before the connection's next statement."""
        self._result = result
        self._transformer = transformer

    def rows(self, make: Callable[[Sequence[Any]], Any]) -> list[Any]:
        """All rows, each converted by `make`."""
        self._transformer.set_pgresult(self._result)
        rows: list[Any] = self._transformer.load_rows(0, self._result.ntuples, make)
        return rows

    def columns(self) -> list[tuple[str]]:
        """The names of the columns."""
        return [((self._result.fname(column) or b"").decode(),) for column in range(self._result.nfields)]

    @property
    def found(self) -> int:
        """Number of rows."""
        return self._result.ntuples

    @property
    def count(self) -> int:
        """Number of rows changed or found; -1 if the statement does neither."""
        count = self._result.command_tuples
        return -1 if count is None else count


class Connection:
    """One connection, lent to one unit of work at a time."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], loop: asyncio.AbstractEventLoop) -> None:
        """Take over a connection that psycopg has opened."""
        # One type for all integers. Otherwise a statement would be prepared anew for each combination of their sizes.
        connection.adapters.register_dumper(int, Int8Dumper)
        self._connection = connection  # psycopg closes a connection that is garbage-collected
        self._pg = connection.pgconn
        self._pg.nonblocking = 1
        self._transformer: Any = Transformer(connection)  # psycopg chooses the class at import: no type for mypy
        self._prepared: dict[tuple[bytes, tuple[int, ...] | None], bytes] = {}
        self._loop = loop
        # A duplicate descriptor. libpq closes its own when the connection is lost, and another file could get that number while
        # the event loop still watches it.
        self._watched = os.dup(self._pg.socket)
        self._paused: Unit | None = None
        self._unit: Unit
        """The unit of work that uses the connection or used it last."""
        self.opened_at: Final = loop.time()
        self.idle_since = 0.0
        loop.add_reader(self._watched, self._readable)

    def lend(self) -> None:
        """Lend the connection to the running unit of work alone."""
        unit = current()
        if unit is None:
            raise RuntimeError("only a unit of work can use a connection")
        self._unit = unit

    @property
    def is_lost(self) -> bool:
        """Is the connection lost?"""
        return self._pg.status != pq.ConnStatus.OK

    @property
    def transaction_status(self) -> int:
        """One of `psycopg.pq.TransactionStatus`."""
        return self._pg.transaction_status

    def close(self) -> None:
        """Close the connection; PostgreSQL rolls back an open transaction."""
        self._unwatch()
        self._pg.finish()

    def command(self, text: bytes) -> None:
        """Run BEGIN, COMMIT or ROLLBACK. Raises psycopg.Error."""
        self._pg.send_query(text)
        self._results()

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Result:
        """Run a statement, and prepare it at its first use on this connection. Raises psycopg.Error."""
        name, values, formats = self._bind(statement, parameters)
        self._pg.send_query_prepared(name, values, formats)
        return Result(self._results(), self._transformer)

    def execute_many(self, statement: Statement, parameters: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once for each of `parameters`, without waiting in between; returns how many rows all touched.

        Raises psycopg.Error. https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
        """
        # Prepared first, because a pipeline cannot wait for that.
        bound = [self._bind(statement, one) for one in parameters]
        return sum(
            self._in_pipeline(bound[first : first + _IN_A_PIPELINE]) for first in range(0, len(bound), _IN_A_PIPELINE)
        )

    def _in_pipeline(self, bound: Sequence[tuple[bytes, Any, Any]]) -> int:
        self._pg.enter_pipeline_mode()
        count, error = 0, None
        for name, values, formats in bound:
            self._pg.send_query_prepared(name, values, formats)
        self._pg.pipeline_sync()
        for _ in bound:
            try:
                count += self._results().command_tuples or 0
            except psycopg.Error as failed:
                if self.is_lost:
                    raise
                error = error or failed  # the first; PostgreSQL has skipped the statements after it
        self._synced()
        self._pg.exit_pipeline_mode()
        if error is not None:
            raise error
        return count

    def _synced(self) -> None:
        """Read the end of a pipeline."""
        while self._pg.is_busy():
            self._pause()
        self._pg.get_result()

    def _bind(self, statement: Statement, parameters: Mapping[str, Any]) -> tuple[bytes, Any, Any]:
        """The name of the prepared statement, and its parameters for libpq. Prepares it at its first use."""
        transformer = self._transformer
        values = transformer.dump_sequence([parameters[name] for name in statement.names], statement.formats)
        types, formats = transformer.types, transformer.formats
        name = self._prepared.get((statement.text, types))
        if name is None:
            name = b"s%d" % len(self._prepared)
            self._pg.send_prepare(name, statement.text, types)
            self._results()
            self._prepared[statement.text, types] = name
        return name, values, formats

    def _results(self) -> pq.abc.PGresult:
        """Wait for the complete answer. Return its last result, or raise its first error."""
        connection = self._pg
        while connection.flush():
            self._pause(writing=True)
        answer: pq.abc.PGresult | None = None
        while True:
            while connection.is_busy():
                self._pause()
            found = connection.get_result()
            if found is None:
                break
            if answer is None or answer.status not in _FAILED:
                answer = found
        if answer is None:
            raise psycopg.OperationalError("the connection is lost")
        if answer.status in _FAILED:
            raise pg.error_from_result(answer)
        return answer

    def _pause(self, *, writing: bool = False) -> None:
        """Pause the unit until the answer is complete, the connection is lost or, if `writing`, the socket is writable."""
        if self._watched < 0:
            raise psycopg.OperationalError("the connection is lost")
        self._paused = self._unit
        if writing:
            self._loop.add_writer(self._watched, self._resume)
        try:
            self._unit.pause()
        finally:
            self._paused = None
            if writing and self._watched >= 0:
                self._loop.remove_writer(self._watched)

    def _resume(self) -> None:
        if self._paused is not None:
            self._paused.resume()

    def _readable(self) -> None:
        """Read what came: an answer or a part of it, a notice, or the end of the connection."""
        try:
            self._pg.consume_input()
        except psycopg.OperationalError:
            self._unwatch()
            self._resume()
            return
        if self._paused is not None and not self._pg.is_busy():
            self._paused.resume()

    def _unwatch(self) -> None:
        if self._watched >= 0:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
            os.close(self._watched)
            self._watched = -1
