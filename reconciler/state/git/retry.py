"""When to try again after a lost race: another cluster's commit reached the shared branch first.

Each attempt that fails means that somebody else's succeeded, so all would get through in the end without
waiting; but forty at once would make forty attempts for each that lands. So whoever lost waits a random
part of a time that doubles, and that is measured in attempts: how long one takes (a forge far away, a busy
machine) is how long it keeps others from landing theirs.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from reconciler.errors import StoreError

_Result = TypeVar("_Result")

PATIENCE = 600.0
"""Seconds after which no further attempt begins."""

LONGEST = 60.0
"""Seconds of one pause, at most."""

_DOUBLINGS = 6  # up to 64 attempts' time: more than the clusters that one branch is good for
_SHORTEST = 0.02  # seconds that an attempt counts for at least


def longest_pause(lost: int, lasted: float) -> float:
    """The longest that may be waited after ``lost`` races in a row (1 or more), in seconds.

    ``lasted``: the seconds that the last attempt took. The pause is a random part of it, none excluded.
    """
    return min(LONGEST, max(lasted, _SHORTEST) * 2.0 ** min(lost, _DOUBLINGS))


async def until_landed(
    attempt: Callable[[], Awaitable[_Result | None]],
    *,
    what: str,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> _Result:
    """Call ``attempt`` until it gives something else than None, which means that it lost a race.

    ``what``: the branch, for people. ``jitter`` gives numbers of [0, 1). StoreError when patience ends, with
    nothing written; whatever ``attempt`` raises ends it, and so does a cancellation, in a pause as well.
    """
    began = clock()
    lost = 0
    while True:
        started = clock()
        landed = await attempt()
        if landed is not None:
            return landed
        lost += 1
        now = clock()
        pause = longest_pause(lost, now - started) * jitter()
        if now - began + pause > PATIENCE:
            raise StoreError(
                f"{what} was moved by others {lost} times in {now - began:.0f} seconds, each time before our"
                " commit arrived: where many clusters share it, give each a branch of its own, with"
                " {cluster_uuid} in spec.state.git.branch"
            )
        await sleep(pause)
