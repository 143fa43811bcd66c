"""Blocking work beside the event loop, in threads that nobody has to wait for.

asyncio's own executor joins its threads when the loop or the program ends, so a request that hangs would
hold up a clean stop for as long as its timeout. These threads are daemons: a cancelled task goes on at
once, and what its thread still brings is dropped.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, from a thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def succeed(result: T) -> None:
        if not future.done():
            future.set_result(result)

    def fail(error: BaseException) -> None:
        if not future.done():
            future.set_exception(error)

    def run() -> None:
        # RuntimeError: the loop is closed, so nobody waits any more.
        try:
            result = work()
        except BaseException as error:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(fail, error)
        else:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(succeed, result)

    threading.Thread(target=run, name="kubernetes request", daemon=True).start()
    return await future


def heed(request: "asyncio.Future[Any]") -> None:
    """For ``add_done_callback``: how this ends matters to whoever still waits for it, and to nobody else."""
    if not request.cancelled():
        request.exception()
