"""Kills what a dead test run left behind.

A control plane starts this program and writes to its standard input which processes it has started
and where its files are. When the pipe closes, for whatever reason (the end, a crash, `kill -9`),
the reaper kills those process groups and removes the files. A signal handler or `atexit` could not
promise that, and Linux' parent-death signal would fire when the starting thread ends.

It runs as a plain file, with the standard library alone, because it must start quickly.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Reads `+pid`, `-pid` and `folder path` lines until the end, then cleans up."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # it must outlive those it cleans up after
    groups: set[int] = set()
    folders: set[str] = set()
    for line in sys.stdin:
        sign, rest = line[0], line[1:].strip()
        if sign == "+":
            groups.add(int(rest))
        elif sign == "-":
            groups.discard(int(rest))
        else:
            folders.add(line.removeprefix("folder ").strip())
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
