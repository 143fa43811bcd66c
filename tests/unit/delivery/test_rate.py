import asyncio

import pytest

from reconciler.delivery.rate import Rate


class Time:
    """Seconds that pass when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


async def taken(per_second: float, count: int, time: Time | None = None) -> list[float]:
    """When each of so many turns came, in seconds since the first was asked for."""
    time = time or Time()
    rate, began, turns = Rate(per_second, time.monotonic, time.sleep), time.now, []
    for _ in range(count):
        await rate.take()
        turns.append(round(time.now - began, 6))
    return turns


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        pytest.param(4, [0, 0, 0, 0, 0.25, 0.5, 0.75, 1.0], id="a second's worth at once, then evenly"),
        pytest.param(1, [0, 1, 2, 3], id="one a second"),
        pytest.param(0.5, [0, 2, 4], id="one in two seconds"),
    ],
)
async def test_turns_come_evenly_after_a_burst(per_second: float, expected: list[float]) -> None:
    assert await taken(per_second, len(expected)) == expected


async def test_what_was_not_used_is_kept_for_one_second_only() -> None:
    time = Time()
    rate = Rate(2, time.monotonic, time.sleep)
    for _ in range(2):
        await rate.take()
    time.now += 3600
    for _ in range(2):
        await rate.take()
    assert time.slept == []
    await rate.take()
    assert time.slept == [pytest.approx(0.5)]


async def test_those_who_wait_together_are_told_different_times() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    rate = Rate(2, lambda: 0.0, sleep)
    await asyncio.gather(*(rate.take() for _ in range(5)))
    assert slept == [0.5, 1.0, 1.5]
