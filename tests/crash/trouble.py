"""What goes wrong around the program: a disk that takes no more, and a folder that cannot be written to.

Without being root, and without a file system of its own: no file may grow (``RLIMIT_FSIZE``), for the process
and for every git; and root gives up the right to write where nobody may. In the killed process only.
"""

import ctypes
import functools
import os
import resource
import signal
import subprocess

from tests.crash.points import Points

FULL, READ_ONLY = "full disk", "read-only"

_CAP_DAC_OVERRIDE = 1
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION_3 = 0x20080522


class Trouble:
    """``install`` it before the life begins, ``end`` it when it is over."""

    def __init__(self, name: str, points: Points) -> None:
        self._name = name
        self._points = points

    def install(self) -> None:
        if self._name == FULL:
            # An error, not a signal, for us and for the programs that we start.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            started = subprocess.Popen.__init__
            subprocess.Popen.__init__ = functools.partialmethod(started, restore_signals=False)  # type: ignore[assignment,method-assign]  # a method in its place
            self._points.room = 0
            self._points.unlimit_files()
        elif self._name == READ_ONLY:
            if os.geteuid() == 0:
                _be_like_anybody()
        else:
            assert not self._name

    def end(self) -> None:
        if self._name == FULL:
            self._points.room = resource.RLIM_INFINITY
            self._points.unlimit_files()


def _be_like_anybody() -> None:
    """Give up, for us and for what we start, root's right to write what its mode forbids."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_CAPBSET_DROP, _CAP_DAC_OVERRIDE, 0, 0, 0) == 0
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, data) == 0
    for kind in range(3):  # effective, permitted, inheritable
        data[kind] &= ~(1 << _CAP_DAC_OVERRIDE)
    assert libc.capset(header, data) == 0
