"""Readiness of this process, for load balancers and supervisors."""

import asyncio
from typing import Final

import structlog

from threepid.domain.context import Context
from threepid.i18n import Text
from threepid.spec.errors import Unavailable
from threepid.storage.engine import schema
from threepid.storage.engine.database import StorageError
from threepid.storage.engine.migrate import known_migrations

_log = structlog.get_logger()

READ_SECONDS: Final = 2.0
"""Longest time that the database may take to answer."""


class Health:
    """Readiness of one server process."""

    def __init__(self, context: Context, *, read_seconds: float = READ_SECONDS) -> None:
        """The process counts as ready until `end` is called."""
        self._database = context.database
        self._read_seconds = read_seconds
        self._schema = max(migration.version for migration in known_migrations())
        self._stopping = False
        self._looking: asyncio.Task[Text | None] | None = None

    def end(self) -> None:
        """Mark the process as not ready, because it is about to stop."""
        self._stopping = True

    async def check(self) -> None:
        """Raise Unavailable if the process is stopping, or if the database cannot be read or has another schema."""
        if self._stopping:
            raise Unavailable(Text("The server is stopping."))
        # All concurrent callers share one read, because they are not authenticated.
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        looking = self._looking
        await asyncio.wait({looking}, timeout=self._read_seconds)
        problem = looking.result() if looking.done() else Text("The database does not answer.")
        if problem:
            raise Unavailable(problem, cause=str(problem))

    async def _look(self) -> Text | None:
        """The problem with the database, or None."""
        try:
            found = await self._database.read(schema.version)
        except StorageError as error:
            _log.warning("database_unreadable", cause=type(error).__name__)
            return Text("The database cannot be read.")
        return None if found == self._schema else Text("The database schema belongs to another version of threepid.")
