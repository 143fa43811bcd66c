"""What a process that is not ours uses: its CPU time and memory, as Linux tells them."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

_TICK = 1.0 / os.sysconf("SC_CLK_TCK")
_LOOK = 0.01  # seconds between two looks at the memory of a process that will have ended


class Ran(msgspec.Struct, frozen=True):
    """A program that ran to its end. ``seconds`` by the clock; ``cpu`` in seconds; ``peak`` in bytes."""

    seconds: float
    cpu: float
    peak: int
    output: str = ""


def cpu_of(pid: int) -> float:
    """Seconds of CPU time, children that it has waited for included; in steps of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) * _TICK


def memory_of(pid: int) -> int:
    """Bytes that it has in memory (RSS)."""
    return _status(pid, "VmRSS")


def peak_of(pid: int) -> int:
    """The most bytes that it had in memory since it began, or since ``forget_peak``."""
    return _status(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def run(command: Sequence[str], environment: Mapping[str, str], given: str = "") -> Ran:
    """Run a program to its end; RuntimeError with what it said when it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(environment),
    ) as process:
        peaks = [0]
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(_LOOK):
                try:
                    peaks.append(peak_of(process.pid))
                except (OSError, StopIteration):  # it has just ended
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        before = os.times()
        output, trouble = process.communicate(given)
        seconds = time.perf_counter() - began
        after = os.times()
        ended.set()
        watcher.join()
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with status {process.returncode}: {trouble.strip()[-2000:]}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(seconds, used, max(peaks), output)


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))
