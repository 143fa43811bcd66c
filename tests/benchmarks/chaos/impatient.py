"""The program itself, of less patience, so that what takes it minutes is seen several times a run.

python -m tests.benchmarks.chaos.impatient run --kubeconfig FILE
"""

import sys
from datetime import timedelta
from functools import partial

from reconciler.cli import git_state
from reconciler.cli.main import main
from reconciler.delivery import breaker
from reconciler.kube import reflector, transport, watch
from reconciler.kube.client import Client
from reconciler.operator import loop
from reconciler.state.git.network.access import Access, Timeouts

SILENCE = 16.0  # seconds, in place of 70
WATCH_SECONDS = 10  # in place of 300; a bookmark comes two seconds before the end, before it is silence
REFUSED_AGAIN = 5.0  # seconds at most, in place of 600
LONGEST_WAIT = 5.0  # seconds, in place of 60, between two watches that fail
READ_TIMEOUT = 8.0  # seconds, in place of 30
LONGEST = timedelta(seconds=10)  # between two attempts to tell, in place of 5 minutes
IDLE = 10.0  # seconds, in place of 60
PAGE_SIZE = 5  # objects, in place of 500: no list of so few objects would have a second page
GIT = Timeouts(answer=8.0, silence=8.0, connect=8.0)  # seconds, in place of 60, 60 and 30


def impatient() -> None:
    """For this process."""
    reflector.SILENCE, reflector.WATCH_SECONDS, reflector.REFUSED_AGAIN = (
        SILENCE,
        WATCH_SECONDS,
        REFUSED_AGAIN,
    )
    watch.LONGEST_WAIT, transport.READ_TIMEOUT = LONGEST_WAIT, READ_TIMEOUT
    breaker.CAP = LONGEST
    loop.IDLE = IDLE
    vars(git_state)["Access"] = partial(Access, timeouts=GIT)
    Client.connect = partial(Client.connect, page_size=PAGE_SIZE)  # type: ignore[method-assign]  # a class method, for this process


if __name__ == "__main__":
    impatient()
    sys.exit(main())
