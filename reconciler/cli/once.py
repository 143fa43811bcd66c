"""``once``: one reconcile and exit, for a CronJob, for CI, and to see what would happen."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import NamedTuple

import msgspec

from reconciler import settings as settings_module
from reconciler.cli import output, wiring
from reconciler.cli.memory import economise
from reconciler.delivery.deliver import Delivered, Delivery
from reconciler.errors import LeaseLostError, ReconcilerError, UsageError
from reconciler.inventory.live import LiveSource
from reconciler.inventory.recording import RecordedSource
from reconciler.kube import lease as leases
from reconciler.kube.client import Client
from reconciler.kube.events import Events
from reconciler.kube.lease import Lease
from reconciler.kube.projects import Projects
from reconciler.operator.clock import SystemClock
from reconciler.operator.gaps import Gaps
from reconciler.operator.reconcile import Reconciler
from reconciler.operator.reporter import Reporter
from reconciler.operator.result import Result, after
from reconciler.project import Project
from reconciler.settings import Settings

LEASE_WAIT = 90
"""Seconds to wait for the Lease: a holder that crashed lets go of it within 60."""


class _Parts(NamedTuple):
    project: Project
    reconciler: Reconciler
    delivery: Delivery | None
    reporter: Reporter | None


async def run(arguments: argparse.Namespace) -> int:
    """Exit status: 0 when everything is recorded and told, 1 when something is left."""
    economise()
    async with _parts(arguments) as parts:
        if arguments.dry_run:
            output.preview(await parts.reconciler.preview(parts.project), arguments.output)
            return 0
        result = await _reconciled(parts.project, parts.reconciler)
        delivered: Delivered | None = None
        if parts.delivery is not None and result.recorded is not None:
            delivered = await parts.reconciler.deliver(parts.delivery)
            result = msgspec.structs.replace(result, delivery=after(delivered))
            await _show(parts)
        if parts.reporter is not None:
            await parts.reporter.reconciled(parts.project, result)
            if delivered is not None:
                await parts.reporter.delivered(parts.project, result, delivered)
            await parts.reporter.flush()
        output.outcome(result, delivered, arguments.output)
        left = result.failure is not None or (delivered is not None and bool(delivered.plan.pushes))
        return int(left or result.braking.course.holds)


async def _show(parts: _Parts) -> None:
    """Show all of what was delivered; that it cannot be shown is no failure of the delivery."""
    try:
        while await parts.reconciler.show_delivered():
            print("showing what was delivered", file=sys.stderr)
    except ReconcilerError as error:
        print(f"what was delivered is not shown yet: {error}", file=sys.stderr)


async def _reconciled(project: Project, reconciler: Reconciler) -> Result:
    """Look until nothing waits: what has just changed is given the time to settle."""
    while True:
        result = await reconciler.reconcile(project)
        if result.next_look is None or not result.waiting:
            return result
        if result.changes is not None and result.recorded is not None:
            print(f"recorded {result.recorded.revision.message.subject}", file=sys.stderr)
        print(f"waiting for {len(result.waiting)} to settle", file=sys.stderr)
        await asyncio.sleep(max(result.next_look, 0.05))


@asynccontextmanager
async def _parts(arguments: argparse.Namespace) -> AsyncIterator[_Parts]:
    settings, clock = settings_module.load(), SystemClock()
    async with AsyncExitStack() as stack:
        client: Client | None = None
        if arguments.recording is None:
            client = Client.connect(arguments.context, kubeconfig=arguments.kubeconfig)
            stack.callback(client.close)
        project = await _project(arguments, client)
        ledger = wiring.ledger_of(settings, project.spec, client)
        stack.push_async_callback(ledger.close)
        gaps, lease = Gaps(), None
        if client is not None and not arguments.dry_run:
            lease, gaps = await _leased(client, settings, project, clock, stack)
        leadership = wiring.leadership_of(settings, ledger, clock, gaps)
        source = LiveSource(client) if client is not None else RecordedSource(arguments.recording)
        patient = client is not None and not arguments.dry_run
        opener = wiring.opener(settings, client, arguments.credentials)
        reconciler = Reconciler(source, opener, leadership, clock, patient=patient)
        stack.push_async_callback(reconciler.close)
        delivery = wiring.delivery_of(settings, ledger, clock, lease.remaining if lease is not None else None)
        if delivery is not None:
            stack.push_async_callback(delivery[0].close)
        reporter = None
        if client is not None and project.uid:
            events = Events(client, settings.identity)
            reporter = Reporter(Projects(client), events, clock, settings.email_id)
        yield _Parts(project, reconciler, delivery[1] if delivery is not None else None, reporter)


async def _project(arguments: argparse.Namespace, client: Client | None) -> Project:
    if arguments.project is not None:
        return wiring.project_from(arguments.project)
    if client is None:
        raise UsageError("--from reads no cluster, so it needs --project FILE, with spec.state.git")
    return await wiring.served_project(client)


async def _leased(
    client: Client, settings: Settings, project: Project, clock: SystemClock, stack: AsyncExitStack
) -> tuple[Lease, Gaps]:
    """The Lease, held until the stack ends; losing it ends everything."""
    lease = Lease(client, settings.namespace, settings.identity)
    try:
        async with asyncio.timeout(LEASE_WAIT):
            acquired = await lease.acquire()
    except TimeoutError:
        raise UsageError(
            f"the Lease {lease} is held by a running reconciler, which does this already"
        ) from None
    stack.push_async_callback(lease.release)
    worker = asyncio.current_task()

    async def hold() -> None:
        try:
            await lease.hold()
        except LeaseLostError as lost:
            print(f"hossted-reconciler: {lost}", file=sys.stderr)
            if worker is not None:
                worker.cancel()

    holder = asyncio.create_task(hold())
    stack.callback(holder.cancel)
    tolerated = max(timedelta(seconds=leases.DURATION), project.spec.interval)
    return lease, Gaps.after(acquired.renewed_before, clock.now(), tolerated)
