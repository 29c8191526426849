"""Units of work in greenlets: synchronous code that gives way to the event loop while it waits.

A unit of work is a plain function, and so is everything that it calls. Where it has to wait for the database, its greenlet
stops, the event loop does something else, and a callback of the event loop switches back. No thread is involved, so nothing
fights for the GIL. The technique is that of SQLAlchemy's asyncio extension. https://greenlet.readthedocs.io/
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
        """Give way to the event loop until somebody calls `resume`. Only for the unit itself."""
        event_loop: Any = self.parent
        event_loop.switch()

    def resume(self) -> None:
        """Go on where the unit has paused, until it pauses again or ends. Only for callbacks of the event loop."""
        self.switch()


def current() -> Unit | None:
    """The unit of work that is running."""
    found = getcurrent()
    return found if isinstance(found, Unit) else None


async def run(work: Callable[[], T]) -> T:
    """Run `work` in a greenlet and return what it returns.

    If the caller is cancelled, `work` goes on to its end all the same. It sees the caller's context variables.
    """
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def perform() -> None:
        try:
            result = work()
        except GreenletExit:  # the event loop is gone, and with it everybody who waits
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
    """Inside a unit of work: what `awaitable` gives."""
    unit = current()
    if unit is None:
        raise RuntimeError("only a unit of work can wait")
    waiting: asyncio.Future[Any] = asyncio.ensure_future(awaitable)
    waiting.add_done_callback(lambda _: unit.resume())
    unit.pause()
    result: T = waiting.result()
    return result
