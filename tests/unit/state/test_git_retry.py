"""When a lost race is tried again: on a clock that only the pauses and the attempts move."""

import asyncio
import heapq
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import LostRaceError, StoreError
from reconciler.state.git.retry import LONGEST, PATIENCE, longest_pause, until_landed


class Time:
    """``took``: what each attempt takes, the last one for ever; ``pauses``: that were made."""

    def __init__(self, *took: float) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []
        self._took = list(took)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def attempt(self) -> None:
        self.now += self._took.pop(0) if len(self._took) > 1 else self._took[0]


async def run(time: Time, outcomes: Iterator[str | Exception | None], jitter: float = 0.5) -> str:
    async def attempt() -> str | None:
        time.attempt()
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return await until_landed(
        attempt, what="refs/heads/main", clock=time.clock, sleep=time.sleep, jitter=lambda: jitter
    )


def losing() -> Iterator[None]:
    while True:
        yield None


async def test_what_lands_at_once_waits_for_nothing() -> None:
    time = Time(1.0)
    assert await run(time, iter(["landed"])) == "landed"
    assert time.pauses == []


async def test_pauses_double_with_each_race_that_is_lost() -> None:
    time = Time(0.1)
    assert await run(time, iter([None, None, None, "landed"]), jitter=1.0) == "landed"
    assert time.pauses == pytest.approx([0.2, 0.4, 0.8])


async def test_a_pause_is_measured_in_attempts() -> None:
    time = Time(0.1, 1.0)
    await run(time, iter([None, None, "landed"]), jitter=1.0)
    assert time.pauses == pytest.approx([0.2, 4.0])


async def test_a_pause_is_a_random_part_of_the_longest() -> None:
    time = Time(1.0)
    await run(time, iter([None, None, "landed"]), jitter=0.25)
    assert time.pauses == pytest.approx([0.5, 1.0])


@given(lost=st.integers(1, 10_000), lasted=st.floats(0, 1000))
def test_a_pause_is_never_nothing_and_never_too_long(lost: int, lasted: float) -> None:
    assert 0 < longest_pause(lost, lasted) <= LONGEST
    assert longest_pause(lost, lasted) <= longest_pause(lost + 1, lasted)


@given(st.floats(0.001, 100), st.floats(0, 1, exclude_max=True))
def test_patience_ends(took: float, jitter: float) -> None:
    time = Time(took)
    with pytest.raises(
        StoreError, match=r"refs/heads/main was moved by others .* a branch of its own, with {cluster_uuid}"
    ) as lost:
        asyncio.run(run(time, losing(), jitter))
    assert not isinstance(lost.value, LostRaceError)  # what was built on may still be the tip
    assert time.now - 1000 <= PATIENCE + took


async def test_an_error_ends_it_at_once() -> None:
    time = Time(1.0)
    with pytest.raises(LostRaceError):
        await run(time, iter([None, LostRaceError("another wrote")]))
    assert len(time.pauses) == 1


async def test_a_pause_can_be_cancelled() -> None:
    waiting = asyncio.Event()

    async def attempt() -> None:
        return None

    async def sleep(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    task: asyncio.Task[None] = asyncio.create_task(until_landed(attempt, what="main", sleep=sleep))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_whole_fleet_gets_through_within_patience() -> None:
    """Forty at once, each landing when nobody else has landed since its attempt began."""
    spent = [fleet_of(40, took=1.0, seed=seed) for seed in range(20)]
    assert max(ended for ended, _ in spent) < PATIENCE
    assert max(attempts for _, attempts in spent) < 40 * 8


def fleet_of(size: int, took: float, seed: int) -> tuple[float, int]:
    """When the last of so many simultaneous appends has landed, and after how many attempts of all."""
    random = Random(seed)
    landings: list[float] = []
    attempts = 0
    # (when the attempt ends, when it began, races lost before)
    pending = [(took * (1 + 0.01 * random.random()), 0.0, 0) for _ in range(size)]
    heapq.heapify(pending)
    while pending:
        ends, began, lost = heapq.heappop(pending)
        attempts += 1
        if landings and landings[-1] > began:
            again = ends + longest_pause(lost + 1, ends - began) * random.random()
            heapq.heappush(pending, (again + took, again, lost + 1))
        else:
            landings.append(ends)
    return landings[-1], attempts
