"""Times two ways of doing the same in one process, by turns, and says how many times faster one is.

Seconds differ between machines and hours; the ratio of two medians of the same run is what is compared.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable

import msgspec

ROUNDS = 5


class Figure(msgspec.Struct, frozen=True):
    """Medians in seconds, and the most memory (bytes) that Python allocated during one call."""

    name: str
    baseline: str
    seconds: float
    baseline_seconds: float
    peak: int
    baseline_peak: int

    @property
    def ratio(self) -> float:
        """How many times faster than the baseline."""
        return self.baseline_seconds / self.seconds

    @property
    def memory_ratio(self) -> float:
        """How many times less memory than the baseline at the peak."""
        return self.baseline_peak / max(self.peak, 1)


def compare(
    name: str, ours: Callable[[], object], baseline_name: str, baseline: Callable[[], object]
) -> Figure:
    """Run both once to warm up and to see their memory, then by turns."""
    peaks = [_peak(ours), _peak(baseline)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for kept, work in zip(times, (ours, baseline), strict=True):
            began = time.perf_counter()
            work()
            kept.append(time.perf_counter() - began)
    medians = [statistics.median(kept) for kept in times]
    return Figure(name, baseline_name, medians[0], medians[1], peaks[0], peaks[1])


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
