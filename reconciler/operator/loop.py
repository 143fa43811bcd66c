"""The operator: who is served, when to look again, and delivery beside it.

Looking and recording go on whatever the API does, and pushing goes on between looks. One reconcile at a
time, one delivery at a time; both end with the Lease.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from random import Random
from time import thread_time
from typing import Protocol

import msgspec

from reconciler.changes import diff
from reconciler.delivery.deliver import Delivered, Delivery
from reconciler.errors import KubernetesError, NotFoundError, ReconcilerError, SpecError
from reconciler.operator.clock import Clock, Wait, wait
from reconciler.operator.delivered import EVERY
from reconciler.operator.pace import Pace
from reconciler.operator.reconcile import Reconciler
from reconciler.operator.reporter import Reporter
from reconciler.operator.result import Result, after
from reconciler.operator.spent import Metered
from reconciler.project import InvalidProjectError, Project, oldest, parse_project

IDLE = 60.0
"""Seconds between two looks for a project when there is none, should the watch have missed one."""

LOOK_AT_CREDENTIALS = 5.0
"""Seconds between two looks at the credentials' files, while something waits that new ones could help."""

JITTER = 0.05
"""By what share of it an ``interval`` is longer at most, so that the clusters of a fleet get out of step."""

BACKOFF_FIRST, BACKOFF_CAP = 0.75, 900.0
"""Seconds to wait after a reconcile failed for a passing reason: doubled each time, with jitter."""

_LOG = logging.getLogger(__name__)


class ProjectAccess(Protocol):
    """``kube.projects.Projects``."""

    async def list_projects(self) -> list[bytes]: ...

    def changes(self) -> AsyncIterator[None]: ...


class Loop:
    """The work of one leadership. ``delivery`` is None where there is no API; ``random``: for the jitter;
    ``moved``: set whenever something has happened in the cluster, None where nobody tells; ``spent``: seconds
    of this thread's CPU so far."""

    def __init__(
        self,
        projects: ProjectAccess,
        reconciler: Reconciler,
        delivery: Delivery | None,
        reporter: Reporter,
        clock: Clock,
        *,
        wait: Wait = wait,
        random: Random | None = None,
        moved: asyncio.Event | None = None,
        spent: Callable[[], float] = thread_time,
    ) -> None:
        self._spent = spent
        self._moved = moved
        self._random = random or Random()  # noqa: S311 - jitter
        self._projects = projects
        self._reconciler = reconciler
        self._delivery = delivery
        self._reporter = reporter
        self._clock = clock
        self._wait = wait
        self._changed = asyncio.Event()  # a project
        self._due = asyncio.Event()  # a round, for whatever reason
        self._to_tell = asyncio.Event()
        self._to_show = asyncio.Event()
        self._unshown = True  # a former leadership may have told more than it showed
        self._latest: tuple[Project, Result] | None = None
        self._failures = 0
        self._pace = Pace()
        self._is_prepared = False  # for the first upgrade
        self._in_doubt = False  # the ledger, as delivery found it last

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch(), name="watch")
            if self._moved is not None:
                tasks.create_task(self._follow(self._moved), name="follow")
            tasks.create_task(self._reconcile_on(), name="reconcile")
            tasks.create_task(self._reporter.run(), name="report")
            if self._delivery is not None:
                tasks.create_task(self._deliver_on(self._delivery), name="deliver")
                tasks.create_task(self._show_on(), name="show")

    async def _watch(self) -> None:
        async for _ in self._projects.changes():
            self._changed.set()
            self._due.set()

    async def _follow(self, moved: asyncio.Event) -> None:
        """Wake the reconcile for what happens in the cluster."""
        while True:
            await self._wait(moved, None)
            moved.clear()
            self._due.set()

    async def _reconcile_on(self) -> None:
        whole_at = 0.0
        while True:
            began, used = self._clock.monotonic(), 0.0
            project = self._in_passing() if began < whole_at else None
            in_passing = project is not None
            self._due.clear()
            if project is None:
                self._changed.clear()
                project = await self._served()
            wait = IDLE
            if project is None:
                self._reconciler.rest()
                self._latest = None
            else:
                look = Metered(self._reconcile(project, in_passing=in_passing), self._spent)
                result = await look
                wait = self._until_next(project, result)
                if in_passing:
                    used = look.seconds
                else:
                    whole_at = began + project.spec.interval.total_seconds()
            earliest = self._pace.used(used, self._clock.monotonic())
            await self._wait(self._due, wait)
            rest = earliest - self._clock.monotonic()
            if rest > 0:  # but a project that has changed does not wait
                await self._wait(self._changed, rest)

    def _in_passing(self) -> Project | None:
        """The project, if nothing is due but a look at what happened in the cluster."""
        if (
            self._moved is None
            or self._in_doubt
            or self._changed.is_set()
            or self._latest is None
            or self._latest[1].failure is not None
        ):
            return None
        return self._latest[0]

    async def _reconcile(self, project: Project, *, in_passing: bool) -> Result:
        result = await self._reconciler.reconcile(project, in_passing=in_passing)
        if result.delivery is not None and self._latest is not None and self._latest[1].delivery is not None:
            known = self._latest[1].delivery  # why it waits has not changed by looking
            if result.delivery.pending:
                result = msgspec.structs.replace(
                    result,
                    delivery=msgspec.structs.replace(
                        result.delivery, trouble=known.trouble, stopped=known.stopped, next_try=known.next_try
                    ),
                )
        elif result.delivery is None and self._latest is not None:
            result = msgspec.structs.replace(result, delivery=self._latest[1].delivery)
        self._latest = (project, result)
        waits = result.delivery is None or not result.delivery.pending or result.delivery.trouble
        if not (in_passing and waits):
            self._to_tell.set()  # goes on while this is reported
        await self._reporter.reconciled(project, result)
        if result.recorded is not None and not self._is_prepared:  # now that nothing is in a hurry
            self._is_prepared = True
            await asyncio.to_thread(diff.prepare)
        return result

    def _until_next(self, project: Project, result: Result) -> float:
        """Seconds until the next look: an app to see again, removals to see again, a fault to try again, else
        the interval."""
        interval = project.spec.interval.total_seconds() * self._random.uniform(1.0, 1.0 + JITTER)
        if result.failure is not None and not result.failure.stalled:
            self._failures += 1
            longest = min(BACKOFF_CAP, BACKOFF_FIRST * float(2 ** min(self._failures, 20)))
            return min(interval, longest * self._random.uniform(0.5, 1.0))
        self._failures = 0
        waits = [] if result.next_look is None else [result.next_look]
        if result.braking.course.holds and result.braking.due is not None and result.at < result.braking.due:
            waits.append((result.braking.due - self._clock.now()).total_seconds())
        return min([interval, *(max(wait, 0.05) for wait in waits)])

    async def _served(self) -> Project | None:
        """The oldest project, once it can be used; the others are told that they are not."""
        try:
            raw = await self._projects.list_projects()
        except NotFoundError:
            _LOG.error("the cluster does not know Hosstedprojects: apply config/crd")
            return None
        except KubernetesError as error:
            _LOG.warning("the projects cannot be listed: %s", error)
            return self._latest[0] if self._latest is not None else None
        found: list[Project] = []
        invalid: dict[str, str] = {}
        for each in raw:
            try:
                found.append(parse_project(each))
            except InvalidProjectError as error:
                found.append(error.project)
                invalid[error.project.uid] = str(error)
            except SpecError as error:
                _LOG.error("%s", error)
        found = [project for project in found if not project.deleting]
        if not found:
            return None
        served = oldest(found)
        for project in found:
            if project is not served:
                message = (
                    f"only the oldest project is served, and that is {served.name}: delete one of the two"
                )
                await self._reporter.refused(project, "NotTheOldest", message)
        if served.uid in invalid:
            await self._reporter.refused(served, SpecError.reason, invalid[served.uid])
            return None
        return served

    async def _deliver_on(self, delivery: Delivery) -> None:
        wait: float | None = None
        delivered: Delivered | None = None
        while True:
            if delivered is not None and delivery.may_renew and delivered.could_be_helped:
                await self._until_renewed(delivery, wait)
            else:
                await self._wait(self._to_tell, wait)
            self._to_tell.clear()
            try:
                delivered = await self._reconciler.deliver(delivery)
            except ReconcilerError as error:
                _LOG.warning("nothing is pushed: %s", error)
                wait = BACKOFF_FIRST * self._random.uniform(4, 8)
                continue
            await self._tell_of(delivered)
            if delivered.in_doubt and not self._in_doubt:  # a round that fails is tried ever later
                self._due.set()
            self._in_doubt = delivered.in_doubt
            await delivery.prepare()  # now that nothing is in a hurry
            wait = None
            if delivered.next_try is not None:
                wait = max(0.05, (delivered.next_try - self._clock.now()).total_seconds())

    async def _until_renewed(self, delivery: Delivery, seconds: float | None) -> None:
        """Wait for something to tell or for so many seconds, or until there are new credentials; the API is
        not contacted, nor is anything else."""
        until = None if seconds is None else self._clock.monotonic() + seconds
        while not self._to_tell.is_set():
            left = LOOK_AT_CREDENTIALS
            if until is not None and (left := min(left, until - self._clock.monotonic())) <= 0:
                return
            await self._wait(self._to_tell, left)
            if await delivery.renew():
                return

    async def _show_on(self) -> None:
        """Show what was delivered: at most one push in ``EVERY`` seconds, and all of it in the end."""
        trouble, never = "", asyncio.Event()
        while True:
            await self._wait(self._to_show, None)
            self._to_show.clear()
            self._unshown, said = False, ""
            try:
                more = await self._reconciler.show_delivered()
                self._unshown |= more  # something may have been told meanwhile
            except ReconcilerError as error:
                self._unshown, said = True, str(error)
                if said != trouble:
                    _LOG.warning("what was delivered is not shown yet: %s", said)
            trouble = said
            await self._wait(never, EVERY)
            self._show_if_any()

    def _show_if_any(self) -> None:
        if self._unshown and self._reconciler.may_show:
            self._to_show.set()

    async def _tell_of(self, delivered: Delivered) -> None:
        self._unshown |= bool(delivered.pushed)
        self._show_if_any()
        if self._latest is None:
            return
        project, result = self._latest
        if self._reconciler.has_plan:
            result = msgspec.structs.replace(result, delivery=after(delivered))
        self._latest = (project, result)
        await self._reporter.delivered(project, result, delivered)
