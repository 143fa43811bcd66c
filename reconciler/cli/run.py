"""``run``: the operator, until it is told to stop."""

import argparse
import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import timedelta

from reconciler import settings as settings_module
from reconciler.cli import wiring
from reconciler.cli.memory import economise
from reconciler.errors import KubernetesError, LeaseLostError
from reconciler.inventory.watched import WatchedSource
from reconciler.kube import lease as leases
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.kube.events import Events
from reconciler.kube.lease import Lease
from reconciler.kube.projects import Projects
from reconciler.operator.clock import SystemClock
from reconciler.operator.gaps import Gaps
from reconciler.operator.loop import Loop
from reconciler.operator.reconcile import Reconciler
from reconciler.operator.reporter import Reporter
from reconciler.operator.result import Result
from reconciler.settings import Settings
from reconciler.state.ledger.configmaps import ConfigMapLedger

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
RETRY_LEASE = 5.0
"""Seconds until the Lease is tried again when the API server cannot be reached."""

_LOG = logging.getLogger(__name__)


async def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    economise()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=LOG_FORMAT)
    settings = settings_module.load()
    client = Client.connect(arguments.context, kubeconfig=arguments.kubeconfig)
    operator = _Operator(settings, client, arguments.identity or settings.identity)
    with _metrics(operator, arguments.metrics_bind_address):
        work = asyncio.create_task(operator.serve())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        try:
            await work
        except asyncio.CancelledError:
            _LOG.info("stopped")
        finally:
            client.close()
    return 0


@contextmanager
def _metrics(operator: "_Operator", address: tuple[str, int] | None) -> Iterator[None]:
    """Serve metrics where there is an address for them."""
    if address is None:
        yield
        return
    # Its library takes a tenth of a second to import.
    from reconciler.operator.web import serving_metrics  # noqa: PLC0415

    with serving_metrics(*address, lambda: operator.latest) as port:
        _LOG.info("metrics are served on port %d", port)
        yield


class _Operator:
    def __init__(self, settings: Settings, client: Client, identity: str) -> None:
        self.settings = settings
        self.client = client
        self.identity = identity
        self._reporter: Reporter | None = None

    @property
    def latest(self) -> Result | None:
        """What the newest reconcile came to, while we lead; any thread may ask."""
        reporter = self._reporter
        return None if reporter is None else reporter.latest

    async def serve(self) -> None:
        """One leadership after another."""
        clock, lease = SystemClock(), Lease(self.client, self.settings.namespace, self.identity)
        while True:
            try:
                acquired = await lease.acquire()
            except KubernetesError as error:
                _LOG.warning("the lease cannot be had, trying again: %s", error)
                await asyncio.sleep(RETRY_LEASE)
                continue
            tolerated = timedelta(seconds=leases.DURATION)
            gaps = Gaps.after(acquired.renewed_before, clock.now(), tolerated)
            try:
                await self._lead(lease, clock, gaps)
            except* LeaseLostError as lost:
                _LOG.warning("%s: everything is stopped until it is ours again", lost.exceptions[0])
            finally:
                await lease.release()

    async def _lead(self, lease: Lease, clock: SystemClock, gaps: Gaps) -> None:
        """Everything that only the holder of the Lease may do."""
        settings, client = self.settings, self.client
        async with AsyncExitStack() as stack:
            ledger = ConfigMapLedger(ConfigMaps(client), settings.namespace)
            stack.push_async_callback(ledger.close)
            leadership = wiring.leadership_of(settings, ledger, clock, gaps)
            source = WatchedSource(client)
            reconciler = Reconciler(source, wiring.opener(settings, client), leadership, clock)
            stack.push_async_callback(reconciler.close)
            delivery = wiring.delivery_of(settings, ledger, clock, lease.remaining)
            if delivery is not None:
                stack.push_async_callback(delivery[0].close)
            else:
                _LOG.info("HOSSTED_API_URL is not set: nothing is pushed, everything else works")
            projects = Projects(client)
            reporter = Reporter(projects, Events(client, self.identity), clock, settings.email_id)
            self._reporter = reporter
            stack.callback(self._forget)
            loop = Loop(
                projects,
                reconciler,
                delivery[1] if delivery is not None else None,
                reporter,
                clock,
                moved=source.changed,
            )
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(lease.hold(), name="lease")
                tasks.create_task(source.run(), name="look")
                tasks.create_task(loop.run(), name="work")

    def _forget(self) -> None:
        self._reporter = None  # what was seen then, nobody vouches for any more
