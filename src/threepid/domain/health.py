"""Can this process do its work? For load balancers and supervisors that ask."""

import asyncio
from typing import Final

import structlog

from threepid.domain.context import Context
from threepid.spec.errors import Unavailable
from threepid.storage.engine import schema
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.migrate import known_migrations

_log = structlog.get_logger()

READ_SECONDS: Final = 2.0
"""How long the database may take to answer."""


class Health:
    """Readiness of one server process."""

    def __init__(self, context: Context, *, read_seconds: float = READ_SECONDS) -> None:
        """Ready until `end` is called, as far as this process is concerned."""
        self._database = context.database
        self._read_seconds = read_seconds
        self._schema = max(migration.version for migration in known_migrations())
        self._stopping = False
        self._looking: asyncio.Task[str] | None = None

    def end(self) -> None:
        """The process is about to stop: it is not ready from now on."""
        self._stopping = True

    async def check(self) -> None:
        """Raise Unavailable if the process stops, or if the database cannot be read or has another schema."""
        if self._stopping:
            raise Unavailable("The server is stopping.")
        # However many ask, one read is under way: who asks has shown nothing.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        looking = self._looking
        await asyncio.wait({looking}, timeout=self._read_seconds)
        problem = looking.result() if looking.done() else "The database does not answer."
        if problem:
            raise Unavailable(problem, cause=problem)

    async def _look(self) -> str:
        """What is wrong with the database; empty if nothing is."""
        try:
            found = await self._database.read(schema.version)
        except StorageError as error:
            _log.warning("database_unreadable", cause=type(error).__name__)
            return "The database cannot be read."
        return "" if found == self._schema else "The database has the schema of another version of threepid."
