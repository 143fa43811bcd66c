"""How often looks in passing may come: a twentieth of a core on average, and what is rare at once. Pure."""

REST = 19.0
"""Seconds of rest for each second of CPU: a storm is seen in bursts, in which what happened to one app again
and again is one change. That a store is slow to answer is no reason to be late."""

AT_ONCE = 0.5
"""Seconds of CPU that may be used without a rest after a long one: Helm's upgrade is several events, and the
last of them, which is recorded, must not wait for what the first ones cost."""

LONGEST = 5.0
"""Seconds of rest at most, whatever a look was about: the next upgrade must not wait a minute for that. Only
looks of more than a quarter of a second of CPU each take a larger share therefore."""


class Pace:
    """An allowance that grows with time, up to ``AT_ONCE``. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._left = AT_ONCE
        self._at: float | None = None

    def used(self, seconds: float, at: float) -> float:
        """So many seconds of CPU were used up to a moment; when the next look may come."""
        since = at - self._at if self._at is not None else 0.0
        left = min(AT_ONCE, self._left + since / (1 + REST)) - seconds
        self._left = max(left, -LONGEST / (1 + REST))
        self._at = at
        return at + max(0.0, -self._left) * (1 + REST)
