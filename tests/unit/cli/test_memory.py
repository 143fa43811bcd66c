"""What becomes of memory, in processes of their own; how it is on Linux with glibc."""

import subprocess
import sys

LARGE_BLOCKS = """
import sys
from pathlib import Path
from reconciler.cli.memory import economise

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

if sys.argv[1] == "economise":
    economise()
bytearray(8_000_000)  # freed: a sign that such come and go
before, kept = resident(), []
for _ in range(10):
    page = bytearray(b"x" * 4_000_000)
    kept.append(bytearray(1_000))
    del page
print(resident() - before)
"""

THREADS = """
import ctypes, sys, threading
from reconciler.cli.memory import economise

if sys.argv[1] == "economise":
    economise()
together, kept = threading.Barrier(4), []

def work():
    together.wait()
    kept.append(bytearray(100_000))
    together.wait()

threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads:
    each.start()
for each in threads:
    each.join()
ctypes.CDLL(None).malloc_stats()
"""

OBJECTS = """
import gc, sys
from reconciler.cli.memory import YOUNG, economise

if sys.argv[1] == "economise":
    economise()

def looks(of):
    before = sum(each["collections"] for each in gc.get_stats())
    kept = [[number] for number in range(of)]
    return sum(each["collections"] for each in gc.get_stats()) > before

print(looks(YOUNG // 2), looks(YOUNG * 2), gc.get_freeze_count() > 1_000)
"""


def ran(program: str, how: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program, how], capture_output=True, text=True, check=True)


def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    assert int(ran(LARGE_BLOCKS, "economise").stdout) < 1_000_000
    assert int(ran(LARGE_BLOCKS, "as it is").stdout) > 3_000_000


def test_what_can_go_is_looked_for_less_often_and_not_among_what_is_imported() -> None:
    assert ran(OBJECTS, "economise").stdout == "False True True\n"
    assert ran(OBJECTS, "as it is").stdout == "True True False\n"


def test_threads_share_one_heap() -> None:
    assert "Arena 1:" not in ran(THREADS, "economise").stderr
    assert "Arena 1:" in ran(THREADS, "as it is").stderr
