"""Time that passes when the test says so."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class _Parked(NamedTuple):
    event: asyncio.Event
    until: float | None


class VirtualClock:
    """Both clocks of a process, which survive it, and its waiting.

    Who waits is parked until its event is set or ``advance`` has passed its time. ``waits``: for how many
    seconds anybody wanted to wait.
    """

    def __init__(self) -> None:
        self._passed = 0.0
        self._parked: dict[asyncio.Future[None], _Parked] = {}
        self._changed = asyncio.Event()
        self.waits: list[float] = []

    def now(self) -> datetime:
        return START + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._passed += seconds
        for timer, parked in self._parked.items():
            if parked.until is not None and parked.until <= self._passed and not timer.done():
                timer.set_result(None)

    def advance_to(self, moment: datetime) -> None:
        self.advance(max(0.0, (moment - self.now()).total_seconds()))

    async def wait(self, event: asyncio.Event, seconds: float | None, /) -> None:
        """``reconciler.operator.clock.Wait``."""
        if seconds is not None:
            self.waits.append(seconds)
        timer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parked[timer] = _Parked(event, None if seconds is None else self._passed + seconds)
        self._changed.set()
        waiting: asyncio.Future[Any] = asyncio.ensure_future(event.wait())
        either: tuple[asyncio.Future[Any], ...] = (timer, waiting)
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
            del self._parked[timer]

    async def idle(self, waiters: int) -> None:
        """Wait until so many are parked, and none of them has a reason to go on."""
        while len(self._parked) != waiters or any(
            timer.done() or parked.event.is_set() for timer, parked in self._parked.items()
        ):
            self._changed.clear()
            await self._changed.wait()

    @property
    def next(self) -> float:
        """Seconds until the first of those parked goes on by itself."""
        times = [parked.until for parked in self._parked.values() if parked.until is not None]
        return max(0.0, min(times) - self._passed)

    @staticmethod
    def parse(text: str) -> datetime:
        return datetime.fromisoformat(text)
