"""Units of work in greenlets: synchronous code that yields to the event loop while it waits.

A unit of work is a plain function, and so is everything that it calls. To wait for the database, its greenlet switches to the
event loop, and a callback of the event loop switches back. No thread is involved, so nothing contends for the GIL.
SQLAlchemy's asyncio extension uses the same technique. https://greenlet.readthedocs.io/
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

T = TypeVar("T")


class Unit(greenlet):
    """The greenlet of one unit of work."""

    def pause(self) -> None:
        """Yield to the event loop until a callback calls `resume`. Only the unit itself may call this."""
        event_loop: Any = self.parent
        event_loop.switch()

    def resume(self) -> None:
        """Continue the paused unit until it pauses again or ends. Only callbacks of the event loop may call this."""
        self.switch()


def current() -> Unit | None:
    """The unit of work that is running, or None."""
    found = getcurrent()
    return found if isinstance(found, Unit) else None


async def run(work: Callable[[], T]) -> T:
    """Run `work` in a greenlet and return its result.

    If the caller is cancelled, `work` still runs to its end. It sees the caller's context variables.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def perform() -> None:
        try:
            result = work()
        except GreenletExit:  # the event loop is gone, and every waiting caller with it
            raise
        except BaseException as error:
            if not future.done():
                future.set_exception(error)
            if isinstance(error, SystemExit | KeyboardInterrupt):
                raise
        else:
            if not future.done():
                future.set_result(result)

    unit = Unit(perform)
    unit.gr_context = copy_context()
    unit.resume()
    return await future


def wait_for(awaitable: Awaitable[T]) -> T:
    """Wait for `awaitable` inside a unit of work and return its result."""
    unit = current()
    if unit is None:
        raise RuntimeError("only a unit of work can wait")
    waiting: asyncio.Future[Any] = asyncio.ensure_future(awaitable)
    waiting.add_done_callback(lambda _: unit.resume())
    unit.pause()
    result: T = waiting.result()
    return result
