"""Time, as something that is handed in: the demo and the tests bring their own."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """``now``: the wall clock, in UTC. ``monotonic``: seconds that never go back."""

    def now(self) -> datetime: ...

    def monotonic(self) -> float: ...


class SystemClock:
    """This machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Wait(Protocol):
    """Wait until an event is set, or until so many seconds have passed; None: for the event alone."""

    async def __call__(self, event: asyncio.Event, seconds: float | None, /) -> None: ...


async def wait(event: asyncio.Event, seconds: float | None, /) -> None:
    """``Wait``, by the event loop's clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
