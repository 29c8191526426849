"""Databases around another one: what tests watch or break is passed in, and nothing is patched."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from threepid.storage.engine.database import Database, Tx

T = TypeVar("T")


class Around(Database):
    """Everything as the database inside does it; tests may say what happens `before_reads`, and at the end of long writes."""

    def __init__(self, inside: Database) -> None:
        super().__init__()
        self.inside = inside
        self.engine = inside.engine
        self.read_times, self.write_times = inside.read_times, inside.write_times
        self.before_reads: Callable[[], Awaitable[Any]] | None = None
        self.at_end_of_long_writes: Callable[[Tx], Any] | None = None

    async def read(self, fn: Callable[[Tx], T]) -> T:
        if self.before_reads is not None:
            await self.before_reads()
        try:
            return await self.inside.read(fn)
        finally:
            self.reads = self.inside.reads

    async def read_aside(self, fn: Callable[[Tx], T]) -> T:
        return await self.inside.read_aside(fn)

    async def write(self, fn: Callable[[Tx], T]) -> T:
        try:
            return await self.inside.write(fn)
        finally:
            self._count()

    async def write_together(self, fn: Callable[[Tx], T], *, alone: bool = False) -> T:
        try:
            return await self.inside.write_together(fn, alone=alone)
        finally:
            self._count()

    async def write_aside(self, fn: Callable[[Tx], T]) -> T:
        at_end = self.at_end_of_long_writes

        def step(tx: Tx) -> T:
            result = fn(tx)
            if at_end is not None:
                at_end(tx)
            return result

        try:
            return await self.inside.write_aside(step)
        finally:
            self._count()

    async def close(self) -> None:
        await self.inside.close()

    def _count(self) -> None:
        self.writes, self.commits = self.inside.writes, self.inside.commits
