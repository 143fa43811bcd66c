"""What is reflected, compared with fresh lists of versions: proof that nothing was missed, or what was.

Of each kind, one after the other, only names and versions are listed. What is not as it is held may be on its
way: it is judged again when more was heard, which a bookmark makes sure of about once a minute. What was
missed for sure is counted, said, and read again, object by object. What cannot be told this way is listed
again as a whole.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from reconciler.errors import ReconcilerError
from reconciler.inventory.compare import ABSENT, Claims, Fresh, Since, as_of, judge, number
from reconciler.inventory.held import Held
from reconciler.inventory.ownership import Ref
from reconciler.kube.client import METADATA_EITHER, Client, Page
from reconciler.kube.resources import Resource, read_names

PAUSES = (0.2, 0.5, 1.0, 2.0, *(5.0,) * 36)
"""Seconds between looks at how far was heard. In these three minutes there are some bookmarks."""

MOST_READ = 100
"""Objects of a kind that are read again one by one; when more were missed, all are listed."""

MOST_NAMED = 5
"""Objects that are named in the log."""

_LOG = logging.getLogger(__name__)


class Reflected(Protocol):
    """A kind that is reflected. ``without``: namespaces that the server leaves out."""

    resource: Resource[Any]
    held: Held[Any]
    without: tuple[str, ...]

    @property
    def heard(self) -> str:
        """Up to what version; "" while nothing is known."""
        ...

    def start_over(self) -> None:
        """List and watch it anew, while what is held stands."""
        ...


class _Open(msgspec.Struct):
    """What a list as of ``at`` claims, and cannot be judged yet."""

    kind: Reflected
    since: Since
    at: int
    claims: Claims


class Comparing:
    """Compares, and counts what differed. ``sleep``: for seconds."""

    def __init__(self, client: Client, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._client = client
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self.differences = 0
        """Objects that were not as the cluster had them, and of which nothing was on its way. Must stay 0."""

    async def compare(self, kinds: Sequence[Reflected]) -> None:
        """Compare each kind that is well with a fresh list of its versions, and repair what differs.

        Nothing is raised that the API answers: what is in trouble is listed again anyhow.
        """
        begun: list[_Open] = []
        async with self._lock:
            try:
                for kind in kinds:
                    if (one := await self._begin(kind)) is not None:
                        begun.append(one)
                        await self._judge(one)
                for pause in PAUSES:
                    if not any(map(_is_open, begun)):
                        return
                    await self._sleep(pause)
                    for one in begun:
                        await self._judge(one)
                for one in filter(_is_open, begun):
                    if one.kind.held.error is None:
                        _LOG.info("%s are listed again: too little is heard of them", one.kind.resource.kind)
                        one.kind.start_over()
            finally:
                for kind in kinds:
                    kind.held.note_no_more()

    async def _begin(self, kind: Reflected) -> _Open | None:
        """List a kind; None when it cannot be compared now."""
        resource, held, heard = kind.resource, kind.held, kind.heard
        if held.error is not None or not heard:
            return None
        since, at = held.note(), ""
        fresh = Fresh(held.versions, since)
        params = resource.params(kind.without)
        try:
            async with aclosing(
                self._client.pages(resource.path(), read_names, params, METADATA_EITHER)
            ) as pages:
                async for page in pages:
                    at = at or page.resource_version
                    fresh.take(_refs(kind, page))
            return _Open(kind, since, as_of(at, heard), fresh.claims())
        except ReconcilerError as error:
            _LOG.info("%s are not compared this time: %s", resource.kind, error)
        except ValueError as error:
            self._list_again(kind, since, error)
        return None

    async def _judge(self, one: _Open) -> None:
        """Judge what can be judged by now, and repair what differs."""
        held, heard = one.kind.held, one.kind.heard
        if not heard:
            one.since.over = True
        if not _is_open(one):
            return
        try:
            verdict = judge(one.claims, one.at, held.versions, one.since.gone, number(heard))
            one.claims = verdict.claims
            if verdict.differing:
                self._count(one.kind, verdict.differing)
                await self._repair(one, verdict.differing)
        except ValueError as error:
            self._list_again(one.kind, one.since, error)

    def _count(self, kind: Reflected, differing: tuple[Ref, ...]) -> None:
        self.differences += len(differing)
        named = [f"{ref.namespace}/{ref.name}".lstrip("/") for ref in sorted(differing)[:MOST_NAMED]]
        more = ", …" if len(differing) > MOST_NAMED else ""
        _LOG.warning(
            "%s: %d of them were not held as the cluster has them (%s%s) and are read again; a change was"
            " missed, which must not happen: please report it with this log",
            kind.resource.kind,
            len(differing),
            ", ".join(named),
            more,
        )

    async def _repair(self, one: _Open, differing: tuple[Ref, ...]) -> None:
        """Hold these as they are now. ValueError for a version that is none."""
        if len(differing) > MOST_READ:
            one.since.over = True
            one.kind.start_over()
            return
        resource = one.kind.resource
        for ref in differing:
            params = resource.params(name=ref.name)
            try:
                page = await self._client.read(
                    resource.path(ref.namespace), resource.read, params, resource.accept
                )
            except ReconcilerError as error:
                self._list_again(one.kind, one.since, error)
                return
            if one.since.over:  # listed meanwhile
                return
            _hold(one, ref, page)

    def _list_again(self, kind: Reflected, since: Since, why: Exception) -> None:
        since.over = True
        _LOG.info("%s are listed again instead of being compared: %s", kind.resource.kind, why)
        kind.start_over()


def _is_open(one: _Open) -> bool:
    return bool(one.claims) and not one.since.over


def _refs(kind: Reflected, page: Page[tuple[str, str]]) -> Iterable[tuple[Ref, str]]:
    """What a page lists of that which is held at all."""
    for (namespace, name), version in zip(page.items, page.versions, strict=True):
        if kind.held.wants(namespace):
            yield Ref(kind.resource.kind, namespace, name), version


def _hold(one: _Open, ref: Ref, page: Page[Any]) -> None:
    """Hold an object as a list of it alone says, unless something newer was heard meanwhile."""
    held = one.kind.held
    now = number(held.versions.get(ref, ABSENT) or "0")
    newest = max(now, number(one.since.gone.get(ref, ABSENT) or "0"))
    for item, version in zip(page.items, page.versions, strict=True):
        if number(version) > newest:
            held.put(item, version)
    if not page.items and now <= number(page.resource_version):
        held.drop(ref)
