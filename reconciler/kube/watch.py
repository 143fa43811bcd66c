"""Watching for changes that matter: what tells the loop that it is worth waking up.

List, then watch from there, again and again: every watch ends by itself after some minutes, and what
changed in between is found by comparing with the list. So there is no version to keep, and nothing to
lose when the server has forgotten it (410).
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import msgspec

from reconciler.errors import KubernetesError
from reconciler.kube.client import METADATA_LIST, METADATA_WATCH, Client, Page
from reconciler.kube.watched_event import read_raw
from reconciler.kube.wire import ListOf, Wire

WATCH_SECONDS = 300
"""How long one watch lasts at the server."""

SILENCE = 90.0
"""Seconds without a byte after which a connection counts as dead: bookmarks come about once a minute."""

LONGEST_WAIT = 60.0
"""Seconds between two attempts, at most."""

_LOG = logging.getLogger(__name__)


class Matter(NamedTuple):
    """What of an object matters: a write to its status alone changes none of it."""

    uid: str
    generation: int
    deleting: bool
    annotations: frozenset[tuple[str, str]]


Known = Mapping[str, Matter]
"""What matters of each object, by its name (``namespace/name`` where it has a namespace)."""


class Event(NamedTuple):
    """``type``: ADDED, MODIFIED or DELETED."""

    type: str
    name: str
    matter: Matter


def after(known: Known, event: Event) -> Known:
    """What is known after an event; equal to ``known`` when nothing that matters has changed."""
    if event.type == "DELETED":
        return {name: matter for name, matter in known.items() if name != event.name}
    return {**known, event.name: event.matter}


def differing(before: Known, now: Known) -> frozenset[str]:
    """The names of what came, went, or has changed in what matters."""
    return frozenset(name for name, _ in before.items() ^ now.items())


def backoff(failures: int, jitter: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more); ``jitter`` is in [0, 1)."""
    return min(LONGEST_WAIT, 0.5 * 2.0 ** min(failures, 10)) * (0.5 + jitter / 2)


async def changes(
    client: Client, path: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> AsyncGenerator[frozenset[str], None]:
    """Yield once when it begins, then the names of what came, went, or was changed in more than its status.

    Trouble is logged and tried again with backoff, without end. Leaving the iteration ends the connection
    at once. ``sleep``: for seconds.
    """
    known: Known | None = None
    failures = 0
    while True:
        try:
            listed = await client.list_all(path, _read_list, accept=METADATA_LIST)
            before, known = known, {one.full_name: one.matter for one in listed.items}
            if before is None or before != known:
                yield differing(before or {}, known)
            async with aclosing(_events(client, path, listed.resource_version)) as events:
                async for event in events:
                    failures = 0
                    if event is None:
                        continue
                    before, known = known, after(known, event)
                    if before != known:
                        yield differing(before, known)
            # A watch that ended without a word is no success, or a bad proxy would have us spin.
            failures += 1
        except KubernetesError as error:
            failures += 1
            _LOG.warning("cannot watch for changes, trying again: %s", error)
        await sleep(backoff(failures, random.random()))  # noqa: S311


async def _events(client: Client, path: str, version: str) -> AsyncGenerator[Event | None, None]:
    """The events of one watch; None for a bookmark. KubernetesError when it fails."""
    params = {
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(WATCH_SECONDS),
    }
    read = partial(_read_event, f"WATCH {path}")
    async with aclosing(
        client.watch(path, read, params, read_timeout=SILENCE, accept=METADATA_WATCH)
    ) as watch:
        async for events in watch:
            for event in events:
                yield event


class _Meta(Wire, frozen=True):
    name: str
    uid: str
    namespace: str = ""
    generation: int = 0
    deletion_timestamp: str = ""
    annotations: dict[str, str] | None = None

    @property
    def full_name(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def matter(self) -> Matter:
        annotations = frozenset((self.annotations or {}).items())
        return Matter(self.uid, self.generation, bool(self.deletion_timestamp), annotations)


class _Object(Wire, frozen=True):
    metadata: _Meta


_LIST = msgspec.json.Decoder(ListOf[_Object])
_OBJECT = msgspec.json.Decoder(_Object)


def _read_list(body: bytes) -> Page[_Meta]:
    page = _LIST.decode(body)
    items = [item.metadata for item in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.token)


def _read_event(request: str, frame: bytes) -> Event | None:
    event = read_raw(request, frame)
    if event.type == "BOOKMARK":
        return None
    meta = _OBJECT.decode(event.object).metadata
    return Event(event.type, meta.full_name, meta.matter)
