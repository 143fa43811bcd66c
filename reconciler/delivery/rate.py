"""How many requests a second: a token bucket that fills evenly and holds one second's worth."""

import asyncio
from collections.abc import Awaitable, Callable


class Rate:
    """``per_second``: requests, on average; above 0. ``monotonic``: seconds that never go back."""

    def __init__(
        self,
        per_second: float,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.per_second = per_second
        self._burst = max(1.0, per_second)
        self._monotonic = monotonic
        self._sleep = sleep
        self._full_at = float("-inf")  # when the bucket is full again if nobody takes any more

    async def take(self) -> None:
        """Wait for one's turn: in the order of the calls."""
        now = self._monotonic()
        self._full_at = max(self._full_at, now) + 1 / self.per_second
        wait = self._full_at - now - self._burst / self.per_second
        if wait > 1e-9:
            await self._sleep(wait)
