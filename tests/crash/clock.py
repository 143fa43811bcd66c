"""Time for a process that runs by itself: it passes when nobody in the process can do anything else."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from types import FunctionType
from typing import cast

from tests.chain.clock import VirtualClock

_PAUSE = 0.0005  # seconds of the real clock between two looks at what the process is doing, at first
_LONGEST_PAUSE = 0.008  # what takes long, as git does, is looked at less often
_STUCK = 120.0  # likewise, after which a test has failed: no request is waited for that long
_TURNS = 8  # of the event loop, in which whoever was woken comes to be seen

_WAITING = {
    VirtualClock.wait.__code__,
    asyncio.Event.wait.__code__,
    asyncio.Lock.acquire.__code__,
    asyncio.TaskGroup.__aexit__.__code__,
}


class LifeClock(VirtualClock):
    """``error``: seconds by which the wall clock is wrong; the monotonic one never is. ``waiting``: functions
    that only wait for tasks of their own."""

    def __init__(self, error: float, *waiting: Callable[..., object]) -> None:
        super().__init__()
        self.error = error
        self._waiting = _WAITING | {cast(FunctionType, function).__code__ for function in waiting}

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.error)

    async def sleep(self, seconds: float) -> None:
        """As ``asyncio.sleep``, by this clock."""
        await self.wait(asyncio.Event(), seconds)

    async def pass_by(self, seconds: float) -> None:
        """Let so much time pass, everybody doing what is due on the way."""
        end = self.monotonic() + seconds
        while True:
            await self._all_wait()
            due = [parked.until for parked in self._parked.values() if parked.until is not None]
            at = min([*due, end])
            self.advance(max(0.0, at - self.monotonic()))
            if at >= end:
                await self._all_wait()
                return

    async def _all_wait(self) -> None:
        quiet, pause, began = 0, _PAUSE, time.monotonic()
        while quiet < _TURNS:
            assert time.monotonic() - began < _STUCK, f"nothing comes of {asyncio.all_tasks()}"
            await asyncio.sleep(0)
            if self._is_idle():
                quiet += 1
            else:
                quiet = 0
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _is_idle(self) -> bool:
        """Whether all tasks but this one wait for the clock, for one another, or for an event."""
        woken = any(timer.done() or parked.event.is_set() for timer, parked in self._parked.items())
        this = asyncio.current_task()
        return not woken and all(task is this or self._waits(task) for task in asyncio.all_tasks())

    def _waits(self, task: "asyncio.Task[object]") -> bool:
        step: object = task.get_coro()
        while step is not None:
            if getattr(step, "cr_code", None) in self._waiting:
                return True
            step = getattr(step, "cr_await", None)
        return False
