"""One kind, listed once and then watched for ever: what keeps a live view of it.

A list gives the state and a version, a watch from there every change. A watch ends by itself after some
minutes and goes on from the last version that was seen; a connection that is silent counts as dead, since
most servers send a bookmark about once a minute. When the server has forgotten the version (410, as an answer
or as an event of the watch), the kind is listed again, and nothing is forgotten meanwhile: what came and
went is for the holder to find by comparing. Of a kind that the server does not have there is none.
"""

import asyncio
import random as random_module
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Generic, Never, Protocol, TypeVar

from reconciler.errors import ForbiddenError, KubernetesError, NotFoundError, ReconcilerError
from reconciler.kube import watched_event
from reconciler.kube.client import Client
from reconciler.kube.discovery import is_served
from reconciler.kube.resources import Resource
from reconciler.kube.watch import backoff
from reconciler.kube.watched_event import Event

WATCH_SECONDS = 300
"""How long one watch lasts at the server at least; each lasts up to half as long again, so that those of
many kinds do not end together."""

SILENCE = 70.0
"""Seconds without a byte after which a connection counts as dead: bookmarks come about once a minute."""

LASTING = 10.0
"""Seconds that a watch must have lasted to count as one, if nothing came of it."""

GRACE = 1.0
"""Seconds after which a watch that was accepted goes on from where it was to: a server that has forgotten
that says so at once. The next bookmark, which proves it as well, may be a minute away."""

REFUSED_AGAIN = 600.0
"""Seconds at most until what is forbidden, or not served, is asked for again. What is a moment late, or away
for a moment, as while roles and kinds are made or a server starts, is asked for after a few."""

T = TypeVar("T")
Object_contra = TypeVar("Object_contra", contravariant=True)


class Holder(Protocol[Object_contra]):
    """Who keeps what is reflected. Called on the event loop, in the order in which things happened."""

    def listed(self, items: Sequence[Object_contra], versions: Sequence[str]) -> None:
        """All that there is, and of what version each is."""
        ...

    def put(self, item: Object_contra, version: str) -> None:
        """An object that came, or is as it is now."""
        ...

    def gone(self, item: Object_contra, version: str) -> None:
        """An object that was deleted, as it was last, and the version of its deletion."""
        ...

    def current(self) -> None:
        """From now on what is held is what there is, but for what is on its way."""
        ...

    def failed(self, error: ReconcilerError) -> None:
        """From now on what is held may be old, until ``current`` or ``listed`` says otherwise."""
        ...


class Reflector(Generic[T]):
    """Lists and watches one kind, everywhere or in one namespace. Run it in a task of its own.

    ``without``: namespaces that the server leaves out; ``sleep``: for seconds.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource[T],
        holder: Holder[T],
        *,
        namespace: str = "",
        without: Sequence[str] = (),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._client = client
        self._resource = resource
        self._holder = holder
        self._path = resource.path(namespace)
        self._params = resource.params(without)
        self._read = watched_event.reader(f"WATCH {self._path}", resource.reader.one)
        self._sleep = sleep
        self._random = random
        self._version = ""
        self._heard = False
        self._is_current = False

    @property
    def version(self) -> str:
        """The version up to which everything was heard; "" while nothing is known, or is to begin anew."""
        return self._version

    async def run(self) -> Never:
        """Reflect until cancelled. Every failure is the holder's to know, and is tried again."""
        now = asyncio.get_running_loop().time
        failures = refusals = 0
        while True:
            self._heard, self._is_current = False, False
            began: float | None = None
            error: ReconcilerError | None = None
            try:
                if not self._version and not await self._list():
                    refusals += 1
                    await self._sleep(self._slowly(refusals))
                    continue
                began = now()
                await self._watch()
            except ReconcilerError as failure:
                error = failure
            # A watch that ends at once and without a word is no success, or a bad proxy would have us spin.
            seconds = now() - began if began is not None else 0.0
            failures = 0 if self._heard or seconds >= LASTING else failures + 1
            refusals = 0 if self._is_current else refusals
            if isinstance(error, KubernetesError) and self._is_to_begin_anew(error):
                self._version = ""  # what is held is old by what was missed, not wrong
                error = error if failures > 1 else None
            elif self._is_current and not self._heard and seconds >= SILENCE:
                error = await self._after_silence(error)
            elif error is None and failures > 1:
                error = KubernetesError(f"WATCH {self._path}: ends at once, without a word")
            if error is None:
                continue
            self._holder.failed(error)
            if isinstance(error, ForbiddenError):
                self._version = ""
                refusals += 1
                await self._sleep(self._slowly(refusals))
            else:
                await self._sleep(backoff(max(failures, 1), self._random()))

    async def _after_silence(self, error: ReconcilerError | None) -> ReconcilerError | None:
        """What a watch comes to that was silent from its start: None if it may go on from where it was to.

        Where etcd does not tell of its progress a server has no bookmarks of a kind to which nothing happens.
        But one whose history was put back is silent as well, until it is where it was before; so it is asked
        where it is, and if it is behind, or does not count, the kind is listed again.
        """
        try:
            params = {**self._params, "limit": "1"}
            page = await self._client.read(self._path, self._resource.read, params, self._resource.accept)
        except ReconcilerError as failure:
            return failure
        is_counted = page.resource_version.isdecimal() and self._version.isdecimal()
        if is_counted and int(page.resource_version) >= int(self._version):
            return None
        self._version = ""
        return error

    def _is_to_begin_anew(self, error: KubernetesError) -> bool:
        """Whether the version is forgotten, or the kind perhaps gone."""
        return error.status == 410 or (self._resource.optional and isinstance(error, NotFoundError))

    def _slowly(self, refusals: int) -> float:
        """Seconds after so many refusals (1 or more) without a watch between them."""
        return min(REFUSED_AGAIN, 2.0 ** min(refusals + 1, 10)) * (0.9 + 0.2 * self._random())

    async def _list(self) -> bool:
        """List all that there is; False when the server has no such kind."""
        resource = self._resource
        if resource.optional and not await is_served(self._client, resource):
            self._holder.listed((), ())
            return False
        found = await self._client.list_all(self._path, resource.read, self._params, resource.accept)
        self._version = found.resource_version
        self._holder.listed(found.items, found.versions)
        return True

    async def _watch(self) -> None:
        """One watch, to its end."""
        params = {
            **self._params,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(int(WATCH_SECONDS * (1 + self._random() / 2))),
        }
        loop = asyncio.get_running_loop()
        graces: list[asyncio.TimerHandle] = []
        watch = self._client.watch(
            self._path,
            self._read,
            params,
            read_timeout=SILENCE,
            accept=self._resource.watch_accept,
            accepted=lambda: graces.append(loop.call_later(GRACE, self._current)),
        )
        try:
            async with aclosing(watch):
                async for events in watch:
                    for event in events:
                        self._take(event)
        finally:
            for each in graces:
                each.cancel()

    def _current(self) -> None:
        """Say once of each watch that it goes on from where it was to."""
        if not self._is_current:
            self._is_current = True
            self._holder.current()

    def _take(self, event: Event[T]) -> None:
        """One event of a watch."""
        self._version = event.version or self._version
        self._heard = True
        self._current()
        if event.item is not None:
            happened = self._holder.gone if event.type == "DELETED" else self._holder.put
            happened(event.item, self._version)
