"""Memory, as it suits a program that reads large answers in many threads, and keeps some of what it reads."""

import ctypes
import gc

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h

LARGE = 256 * 1024
"""Bytes from which on a block is the system's own: pages of lists and bodies of releases are megabytes."""

YOUNG = 20_000
"""Objects that are made before Python looks among them for such as hold only each other: a page or two."""


def economise() -> None:
    """Give large blocks back as soon as they are freed, and let all threads share one heap.

    By itself glibc takes a first large block that is freed for a sign that such blocks come and go, and keeps
    the next ones in the heap of whichever thread asked for them, with what is small and stays in between: of
    4,000 pods and 400 releases, read and told from nothing, 99 MB were left where 75 are in use. For threads
    that wait for each other anyway heaps of their own gain nothing. Other C libraries are left as they are.

    What is imported stays, so Python need not look there for what can go, and among what is read there is
    hardly anything to find: 0.4 of the 3.8 seconds of CPU of ``once`` at 1,000 releases went into looking.
    """
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, LARGE)
        mallopt(_M_ARENA_MAX, 1)
