"""Time that passes when the test says so."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class VirtualClock:
    """Both clocks of a process, which survive it, and its waiting.

    Who waits is parked until its event is set or ``advance`` has passed its time.
    """

    def __init__(self) -> None:
        self._passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return self._passed

    def advance(self, seconds: float) -> None:
        assert seconds >= 0
        self._passed += seconds

    def advance_to(self, moment: datetime) -> None:
        self.advance(max(0.0, (moment - self.now()).total_seconds()))

    @staticmethod
    def parse(text: str) -> datetime:
        return datetime.fromisoformat(text)
