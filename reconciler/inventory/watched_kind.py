"""One kind of a watched cluster: reflected, or listed where it may not be, and what of it cannot be seen."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Never

from reconciler.errors import ForbiddenError, ReconcilerError
from reconciler.inventory.held import Held
from reconciler.inventory.listing import Lister, Scope
from reconciler.inventory.objects import Gap
from reconciler.kube.client import Client
from reconciler.kube.reflector import Reflector
from reconciler.kube.resources import Resource
from reconciler.project import Duration


class WatchedKind:
    """What is held of a kind, and where that comes from. ``start_over``: has it reflected anew."""

    def __init__(
        self,
        client: Client,
        resource: Resource[Any],
        held: Held[Any],
        start_over: Callable[["WatchedKind"], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._start_over = start_over
        self.resource = resource
        self.held = held
        self.without: tuple[str, ...] = ()
        self._reflector: Reflector[Any] | None = None
        self._running: asyncio.Task[Never] | None = None
        self.gaps: tuple[Gap, ...] = ()
        self.listed_at: datetime | None = None
        self._checked: ReconcilerError | None = None
        self._lister: Lister[Any] = Lister(client, resource, lambda item: held.place(item).namespace)

    @property
    def heard(self) -> str:
        """Up to what version it was heard; "" while nothing is known."""
        return "" if self._reflector is None else self._reflector.version

    def start_over(self) -> None:
        """Reflect it anew, while what is held stands."""
        self._start_over(self)

    def reflect(self, tasks: asyncio.TaskGroup, without: tuple[str, ...]) -> None:
        """Begin to reflect it, ``without`` these namespaces."""
        self.without = without
        self._reflector = Reflector(self._client, self.resource, self.held, without=without)
        self._running = tasks.create_task(self._reflector.run())

    def end(self) -> None:
        """Reflect it no more."""
        if self._running is not None:
            self._running.cancel()
        self._reflector = self._running = None

    async def check(self, scope: Scope, interval: Duration, slots: asyncio.Semaphore) -> None:
        """Where the kind is forbidden as a whole, list it where it may be."""
        self._checked = self.held.error
        if not isinstance(self._checked, ForbiddenError):
            return
        is_done = all(gap.forbidden for gap in self.gaps)  # what failed is listed again
        if is_done and self.listed_at is not None and self.listed_at <= scope.now < self.listed_at + interval:
            return
        listing = await self._lister.look(scope, slots)
        if not isinstance(self.held.error, ForbiddenError):
            return  # it is reflected meanwhile, and what is held is newer than what was listed
        self.listed_at, self.gaps = scope.now, listing.gaps
        hidden = {gap.namespace for gap in listing.gaps}
        listed = {self.held.place(item) for item in listing.items}
        as_last_seen = [
            item
            for ref, item in self.held.items.items()
            if ref not in listed and not hidden.isdisjoint(("", ref.namespace))
        ]
        self.held.replace([*as_last_seen, *listing.items])

    def find_gaps(self) -> tuple[Gap, ...]:
        """What of it cannot be seen now."""
        error = self.held.error
        if error is None:
            self.listed_at, self.gaps = None, ()
            return ()
        if isinstance(error, ForbiddenError):
            if self.listed_at is not None:
                return self.gaps
            error = self._checked  # it is forbidden only since then
            if error is None:
                return ()
        return (Gap(self.resource.kind, forbidden=isinstance(error, ForbiddenError), message=str(error)),)
