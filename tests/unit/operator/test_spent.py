"""What one piece of work takes, whatever others do between its steps."""

import asyncio

import pytest

from reconciler.operator.spent import Metered


class Thread:
    """A thread's seconds of CPU, as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def work(self, *steps: float) -> str:
        """So many seconds in each step."""
        for step in steps:
            self.seconds += step
            await asyncio.sleep(0)
        self.seconds += 1.0
        return "done"


async def test_only_the_work_s_own_steps_count() -> None:
    thread = Thread()
    metered = Metered(thread.work(2.0, 3.0), lambda: thread.seconds)
    done = await asyncio.gather(metered, thread.work(70.0, 0.0, 900.0))
    assert list(done) == ["done", "done"]
    assert (metered.seconds, thread.seconds) == (6.0, 977.0)


async def test_what_the_work_raises_is_raised_and_counts() -> None:
    thread = Thread()

    async def fail() -> None:
        await thread.work(2.0)
        raise ValueError("no")

    metered = Metered(fail(), lambda: thread.seconds)
    with pytest.raises(ValueError, match="no"):
        await metered
    assert metered.seconds == 3.0


async def test_a_cancellation_reaches_the_work() -> None:
    thread, ended = Thread(), []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(await thread.work(2.0))

    metered = Metered(wait(), lambda: thread.seconds)

    async def run() -> None:
        await metered

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ended, metered.seconds) == (["done"], 3.0)
