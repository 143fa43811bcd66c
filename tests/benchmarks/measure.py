"""Measures ways of doing the same, and says how many times less one costs.

Seconds differ between machines and hours; the ratio of two figures of the same run is what is compared. On
a machine that does other things as well, CPU time says more than the clock.
"""

import multiprocessing
import resource
import statistics
import time
import tracemalloc
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

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


class Cost(msgspec.Struct, frozen=True):
    """``cpu``: seconds of a process and its children; ``peak``: bytes of memory that the process had."""

    cpu: float
    peak: int


def cpu() -> float:
    """Seconds of CPU time that this process and the children that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def alone(prepare: Callable[..., Callable[[], object]], *arguments: object) -> Cost:
    """What the function that ``prepare(*arguments)`` makes costs, in a fresh interpreter.

    ``prepare`` is a function of a module; what it does itself is not counted, but for the memory.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(theirs, prepare, arguments))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    finally:
        process.join()
    return Cost(*answer)


def _measure(
    answer: Connection, prepare: Callable[..., Callable[[], object]], arguments: tuple[object]
) -> None:
    work = prepare(*arguments)
    before = cpu()
    work()
    spent = cpu() - before
    # Not ru_maxrss: it begins with what the parent had.
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    answer.send((spent, int(peak) * 1024))
