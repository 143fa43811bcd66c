"""Tells of what happens, a burst of it at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """Of an event loop what is needed; times are seconds."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any: ...


class Burst:
    """``tell`` is called for the first of what happens at once, and then once in so many seconds; not when
    ``is_news`` says that there is nothing to tell any more."""

    def __init__(
        self,
        tell: Callable[[], None],
        is_news: Callable[[], bool],
        seconds: float,
        timer: Callable[[], Timer] = asyncio.get_running_loop,
    ) -> None:
        self._tell = tell
        self._is_news = is_news
        self._seconds = seconds
        self._timer = timer
        self._not_before = float("-inf")
        self._is_waiting = False

    def heard(self) -> None:
        """Something may have happened. Called on the event loop."""
        if self._is_waiting or not self._is_news():
            return
        timer = self._timer()
        wait = self._not_before - timer.time()
        if wait <= 0:
            self._now()
        else:
            self._is_waiting = True
            timer.call_later(wait, self._now)

    def _now(self) -> None:
        self._is_waiting = False
        if self._is_news():
            self._not_before = self._timer().time() + self._seconds
            self._tell()
