"""`python -m tests.controlplane`: a control plane to play with, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time

from tests.controlplane.build import BuildError, build
from tests.controlplane.cluster import WaitError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.processes import ProcessError


def main() -> int:
    """Builds what is missing, starts, says how to use it, and stops on Ctrl-C."""
    # Whoever ends us politely gets the same orderly stop as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        programs = build()
        started = time.monotonic()
        with ControlPlane() as plane:
            print(f"# a control plane, started in {time.monotonic() - started:.1f} s")
            for name in ("kubectl", "helm3", "helm4"):
                print(f"# {name}: {programs[name]}")
            print(f"# logs and the audit log: {plane.folder}")
            print(f"export KUBECONFIG={plane.kubeconfig}", flush=True)
            print("Ctrl-C stops it.", file=sys.stderr, flush=True)
            signal.pause()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    except (BuildError, ProcessError, WaitError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
