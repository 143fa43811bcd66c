"""When a watch rests, so that what comes in a storm is read many events at a time. Pure.

To be woken for one event costs several times what it takes to read it: at 200 a second, read one by one,
four fifths of the CPU went into that.
"""

from typing import Final

REST: Final = 0.1
"""Seconds of a rest: how late an event of a storm is at most."""

AT_ONCE: Final = 20
"""Wakes without a rest after a quiet time: what people do is a few events, which are read as they come."""


class Gathering:
    """An allowance of wakes, which grows by one with each ``REST`` up to ``AT_ONCE``."""

    def __init__(self) -> None:
        self._left: float = AT_ONCE
        self._at: float | None = None

    def read(self, at: float) -> float:
        """Everything that was there has been read, at a moment in monotonic seconds: how long to rest."""
        since = at - self._at if self._at is not None else 0.0
        self._left = max(min(AT_ONCE, self._left + since / REST) - 1, -1)
        self._at = at
        return REST if self._left < 0 else 0.0
