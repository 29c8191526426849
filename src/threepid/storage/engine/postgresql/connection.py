"""One connection to PostgreSQL, on which a unit of work waits without blocking the event loop.

psycopg connects (with libpq's support for URLs, TLS and password files) and converts values. Statements go straight to libpq
through `psycopg.pq`, because a psycopg cursor takes four times the CPU of a short statement.

The event loop watches the socket as long as the connection is open:

    execute: send --> is the answer there? --no--> the unit pauses --> the event loop does something else
                            ^     |                                             |
                            |     yes --> the rows                 the socket can be read: libpq reads it
                            |                                                   |
                            +---- the unit resumes <-- the answer is complete --+

The connection is in pipeline mode: what nobody waits for (BEGIN, and the statements of `defer`) goes out together with the next
statement that somebody waits for, in one system call and one round trip.

https://www.postgresql.org/docs/current/libpq-async.html, https://www.postgresql.org/docs/current/libpq-pipeline-mode.html
"""

import asyncio
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress, count
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import errors as pg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.types.numeric import Int8Dumper

from threepid.storage.engine.units import Unit, current

_NAMED: Final = re.compile(r"%\((\w+)\)s|%%")
_FAILED: Final = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.PIPELINE_ABORTED)
_IN_A_PIPELINE: Final = 500
"""Number of statements that are sent before their results are read: their results fit into the socket's buffers."""
Row = tuple[Any, ...]
_Key: TypeAlias = tuple[bytes, tuple[int, ...] | None]
"""A statement and the types of its parameters."""
_Values: TypeAlias = tuple[Sequence[Any], tuple[int, ...] | None, Sequence[Any] | None]
"""The parameters of a statement, their types and formats."""


class DeferredError(psycopg.Error):
    """A deferred statement violated a constraint: nobody can handle that, because its sender has gone on."""


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


_SAVEPOINT: Final = Statement("SAVEPOINT unit")
_RELEASE: Final = Statement("RELEASE SAVEPOINT unit")
_UNDO: Final = Statement("ROLLBACK TO SAVEPOINT unit")


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
        self._pg.enter_pipeline_mode()
        self._transformer: Any = Transformer(connection)  # psycopg chooses the class at import: no type for mypy
        self._prepared: dict[_Key, bytes] = {}
        """The names of the prepared statements, also of those that are on their way."""
        self._numbers = count()
        self._begin: bytes | None = None
        self._deferred: list[tuple[Statement, _Values]] = []
        self._unsent_from = -1
        """The place of the savepoint among what is deferred; -1 if it was sent."""
        self._sent: list[_Key | None] = []
        """What was sent and not answered: the key of a PREPARE, None for anything else."""
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
    def defers(self) -> bool:
        """Is anything deferred?"""
        return bool(self._deferred)

    @property
    def transaction_status(self) -> int:
        """One of `psycopg.pq.TransactionStatus`."""
        return self._pg.transaction_status

    def close(self) -> None:
        """Close the connection; PostgreSQL rolls back an open transaction."""
        self._unwatch()
        self._pg.finish()

    def begin(self, text: bytes) -> None:
        """Begin a transaction together with the next statement. A transaction without statements sends nothing."""
        self._begin = text

    def commit(self) -> None:
        """Run what was deferred, and commit. Raises psycopg.Error."""
        if self._begin is not None and not self._deferred:
            self._begin = None
            return
        self._send_deferred()
        self._send_command(b"COMMIT")
        self._results()

    def roll_back(self) -> None:
        """Roll the transaction back, and forget what was deferred. Raises psycopg.Error."""
        self._begin = None
        self._unsent_from = -1
        self._deferred.clear()
        if self.transaction_status != pq.TransactionStatus.IDLE:
            self._send_command(b"ROLLBACK")
            self._results()

    def savepoint(self) -> None:
        """Set the savepoint to which `undo` goes back, together with the next statement."""
        self._unsent_from = len(self._deferred)
        self.defer(_SAVEPOINT, {})

    def release(self) -> None:
        """Forget the savepoint. Runs what was deferred since, so that its failure can still be undone. Raises psycopg.Error."""
        if 0 <= self._unsent_from == len(self._deferred) - 1:  # nothing happened since
            self._deferred.pop()
        elif self._deferred:
            self.execute(_RELEASE, {})
        else:
            self.defer(_RELEASE, {})

    def undo(self) -> None:
        """Undo and forget everything since the savepoint. Raises psycopg.Error."""
        if self._unsent_from >= 0:
            del self._deferred[self._unsent_from :]
            return
        self._deferred.clear()
        self.execute(_UNDO, {})
        self.defer(_RELEASE, {})

    def execute(self, statement: Statement, parameters: Mapping[str, Any]) -> Result:
        """Run a statement. Raises psycopg.Error, DeferredError if a deferred statement violated a constraint."""
        values = self._values(statement, parameters)
        self._send_deferred()
        self._send(statement, values)
        return Result(self._results()[-1], self._transformer)

    def execute_each(self, asked: Sequence[tuple[Statement, Mapping[str, Any]]]) -> list[Result]:
        """Run statements, without waiting in between; returns the result of each. Raises as `execute` does."""
        batch = [(statement, self._values(statement, parameters)) for statement, parameters in asked]
        self._send_deferred()
        before = len(self._sent)
        for statement, values in batch:
            self._send(statement, values)
        is_answer = [prepared is None for prepared in self._sent[before:]]
        return [Result(found, self._transformer) for found in compress(self._results(before), is_answer)]

    def execute_many(self, statement: Statement, parameters: Sequence[Mapping[str, Any]]) -> int:
        """Run a statement once for each of `parameters`, without waiting in between; returns how many rows all touched.

        Raises as `execute` does.
        """
        touched = 0
        for first in range(0, len(parameters), _IN_A_PIPELINE):
            batch = [self._values(statement, one) for one in parameters[first : first + _IN_A_PIPELINE]]
            self._send_deferred()
            before = len(self._sent)
            for values in batch:
                self._send(statement, values)
            touched += sum(result.command_tuples or 0 for result in self._results(before))
        return touched

    def defer(self, statement: Statement, parameters: Mapping[str, Any]) -> None:
        """Run a statement, whose result nobody needs, together with the next one or with COMMIT."""
        self._deferred.append((statement, self._values(statement, parameters)))

    def _values(self, statement: Statement, parameters: Mapping[str, Any]) -> _Values:
        # Before anything is sent: a value that cannot be converted must not leave half a pipeline behind.
        transformer = self._transformer
        values = transformer.dump_sequence([parameters[name] for name in statement.names], statement.formats)
        return values, transformer.types, transformer.formats

    def _send_deferred(self) -> None:
        self._unsent_from = -1
        if self._begin is not None:
            text, self._begin = self._begin, None
            self._send_command(text)
        if self._deferred:
            for statement, values in self._deferred:
                self._send(statement, values)
            self._deferred.clear()

    def _send_command(self, text: bytes) -> None:
        self._pg.send_query_params(text, None)
        self._sent.append(None)

    def _send(self, statement: Statement, values: _Values) -> None:
        """Send a statement, and prepare it at its first use on this connection."""
        texts, types, formats = values
        key = (statement.text, types)
        name = self._prepared.get(key)
        if name is None:
            name = self._prepared[key] = b"s%d" % next(self._numbers)
            self._pg.send_prepare(name, statement.text, types)
            self._sent.append(key)
        self._pg.send_query_prepared(name, texts, formats)
        self._sent.append(None)

    def _results(self, first: int = -1) -> list[pq.abc.PGresult]:
        """Wait for the answers to all that was sent. Return those from the place `first` on, or raise the first error."""
        sent, self._sent = self._sent, []
        if first < 0:
            first += len(sent)
        answers: list[pq.abc.PGresult] = []
        failed: tuple[int, pq.abc.PGresult] | None = None
        for place, found in self._answers(len(sent)):
            if found.status not in _FAILED:
                if place >= first:
                    answers.append(found)
                continue
            failed = failed or (place, found)
            if place < len(sent) and (key := sent[place]) is not None:
                self._prepared.pop(key, None)
        if failed is not None:
            place, result = failed
            error = pg.error_from_result(result)
            if isinstance(error, pg.IntegrityError) and place < first:
                raise DeferredError from error
            raise error
        if not answers:
            raise psycopg.OperationalError("the connection is lost")
        return answers

    def _answers(self, count: int) -> Iterator[tuple[int, pq.abc.PGresult]]:
        """The results of what was sent, each with its place among the `count` that were."""
        connection = self._pg
        connection.pipeline_sync()
        while connection.flush():
            self._pause(writing=True)
        place = 0
        while True:
            while connection.is_busy():
                self._pause()
            found = connection.get_result()
            if found is None:
                if self.is_lost or place == count:
                    return
                place += 1
            elif found.status == pq.ExecStatus.PIPELINE_SYNC:
                return
            else:
                yield place, found

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
