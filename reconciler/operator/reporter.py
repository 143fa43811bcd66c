"""Tells others what reconciles came to: Events and log lines at once, the status as often as is right."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, Protocol

import msgspec

from reconciler.delivery.deliver import Delivered, PushResult
from reconciler.errors import KubernetesError, NotFoundError
from reconciler.operator import report
from reconciler.operator.clock import Clock, Wait, wait
from reconciler.operator.conditions import ATTENTION, REMOVALS_HELD, stalled
from reconciler.operator.result import Result
from reconciler.project import Listing, Project, Status, build_status, status_patch

_LOG = logging.getLogger(__name__)


class StatusAccess(Protocol):
    """``kube.projects.Projects``, or nobody where there is no cluster."""

    async def patch_status(self, name: str, patch: Mapping[str, object]) -> None: ...


class EventAccess(Protocol):
    """``kube.events.Events``."""

    async def emit(
        self, name: str, uid: str, type_: Literal["Normal", "Warning"], reason: str, message: str
    ) -> None: ...


class Reporter:
    """The reports of one leadership. ``run`` writes the status; everything else only hands it in."""

    def __init__(
        self,
        statuses: StatusAccess,
        events: EventAccess,
        clock: Clock,
        email_id: str,
        *,
        wait: Wait = wait,
    ) -> None:
        self._wait = wait
        self._statuses = statuses
        self._events = events
        self._clock = clock
        self._email_id = email_id
        self._before: Result | None = None
        self._latest: tuple[Project, Result] | None = None
        self._news = asyncio.Event()
        self._told_ignored = ("", 0)
        self._last_write: datetime | None = None
        self._under_way: datetime | None = None  # since when something is
        self._written: dict[str, tuple[str, Status]] = {}
        self._echoed: dict[str, frozenset[str]] = {}
        self._listing = Listing()

    @property
    def latest(self) -> Result | None:
        """The newest result that was handed in; any thread may ask."""
        latest = self._latest
        return None if latest is None else latest[1]

    async def reconciled(self, project: Project, result: Result) -> None:
        """A reconcile has ended."""
        before, self._before = self._before, result
        self._hand_in(project, result)  # before anything is waited for: meanwhile there may be newer news
        line = report.line(result)
        news = before is None or line != report.line(before) or result.changes is not None
        _LOG.log(_level(result) if news else logging.DEBUG, "%s: %s", project.name, line)
        for notice in report.notices(before, result):
            if notice.reason in (ATTENTION, REMOVALS_HELD):
                _LOG.warning("%s: %s", project.name, notice.message)
            await self._emit(project, notice)
        ignored = report.ignored(project)
        if ignored is not None and self._told_ignored != (project.uid, project.generation):
            self._told_ignored = (project.uid, project.generation)
            await self._emit(project, ignored)

    async def delivered(self, project: Project, result: Result, delivered: Delivered) -> None:
        """A delivery has ended; ``result`` has its outcome."""
        for push in delivered.pushed:
            _LOG.info("%s: pushed %s (%s): %s", project.name, push.key, push.idempotency_key, push.why)
        for push in delivered.rejected:
            _LOG.warning("%s: the API rejected %s: %s", project.name, push.key, push.what)
            await self._emit(project, _rejection(push))
        if delivered.trouble:
            _LOG.warning("%s: %d pending: %s", project.name, len(delivered.plan.pushes), delivered.trouble)
        self._hand_in(project, result)

    async def refused(self, project: Project, reason: str, message: str) -> None:
        """A project is not served: it is invalid, or not the oldest."""
        status = build_status(
            project.status,
            at=self._clock.now(),
            generation=project.generation,
            conditions=stalled(reason, message),
        )
        known = self._known(project)
        if report.delay(known, status, timedelta.max, timedelta.max) is not None:
            _LOG.warning("%s: %s", project.name, message)
            await self._write(project, status)

    async def run(self) -> None:
        """Write the status whenever there is news and it is due, for ever."""
        while True:
            await self._wait(self._news, None)
            self._news.clear()
            assert self._latest is not None, "news is of something"  # noqa: S101 - for the type checker
            project, result = self._latest
            status = self._status(project, result)
            under_way = None if self._under_way is None else self._clock.now() - self._under_way
            delay = report.delay(
                project.status, status, self._since_last(), project.spec.interval, under_way=under_way
            )
            if delay is None:
                continue
            if delay:
                await self._wait(self._news, delay.total_seconds())
                if self._news.is_set():  # newer news, which may be urgent
                    continue
            if not await self._write(project, status):
                await self._wait(self._news, report.MIN_DELAY.total_seconds())
                self._news.set()
            elif report.echo(project, {*self._echoed.get(project.uid, ()), status.lastHandledReconcileAt}):
                self._news.set()

    async def flush(self) -> None:
        """Write the newest status now, if it differs."""
        if self._latest is not None:
            project, result = self._latest
            await self._write(project, self._status(project, result))

    def _status(self, project: Project, result: Result) -> Status:
        return report.status_of(
            project, result, self._email_id, self._echoed.get(project.uid, ()), self._listing
        )

    def _hand_in(self, project: Project, result: Result) -> None:
        self._latest = (msgspec.structs.replace(project, status=self._known(project)), result)
        since = self._under_way or self._clock.now()
        self._under_way = since if report.is_under_way(result) else None
        self._news.set()

    def _known(self, project: Project) -> Status:
        """The project's status: as it was read, or, until it is read anew, as we wrote it since."""
        version, status = self._written.get(project.uid, ("", project.status))
        return status if version == project.resource_version else project.status

    async def _write(self, project: Project, status: Status) -> bool:
        """Whether it is written, as far as there is anything to write and anything to write it to."""
        patch = status_patch(project.status, status)
        if patch is None:
            return True
        try:
            await self._statuses.patch_status(project.name, patch)
        except NotFoundError:
            return True  # deleted meanwhile
        except KubernetesError as error:
            _LOG.warning("the status of %s could not be written: %s", project.name, error)
            return False
        self._last_write = self._clock.now()
        self._written[project.uid] = (project.resource_version, status)
        shown = {
            *self._echoed.get(project.uid, ()),
            project.status.lastHandledReconcileAt,
            status.lastHandledReconcileAt,
        }
        self._echoed[project.uid] = frozenset(project.requests).intersection(shown)
        if self._latest is not None and self._latest[0].uid == project.uid:
            self._latest = (msgspec.structs.replace(self._latest[0], status=status), self._latest[1])
        return True

    async def _emit(self, project: Project, notice: report.Notice) -> None:
        kind: Literal["Normal", "Warning"] = "Warning" if notice.warning else "Normal"
        await self._events.emit(project.name, project.uid, kind, notice.reason, notice.message)

    def _since_last(self) -> timedelta:
        return timedelta.max if self._last_write is None else self._clock.now() - self._last_write


def _level(result: Result) -> int:
    return logging.WARNING if result.failure is not None else logging.INFO


def _rejection(push: PushResult) -> report.Notice:
    return report.Notice("Rejected", f"the API rejected {push.key}: {push.what}", warning=True)
