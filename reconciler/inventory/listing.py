"""One kind, listed look after look: what is seen is kept, and what cannot be seen is said.

A list that fails changes nothing: the objects last seen stand, with a Gap. Where a kind may not be listed
in all namespaces at once, it is listed in each, and a Gap is left only where that is forbidden too. What
was forbidden is tried again slowly, since permissions may come but usually do not. So is a kind that the
server may not have, and does not: there is none of it.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

from reconciler.errors import ForbiddenError, NotFoundError, ReconcilerError
from reconciler.inventory.objects import Gap
from reconciler.kube.client import Client
from reconciler.kube.discovery import is_served
from reconciler.kube.resources import Resource

FORBIDDEN_AGAIN = timedelta(minutes=10)
"""How long what was forbidden is not asked for again."""

MOST_EXCLUDED = 50
"""Namespaces that a request leaves out by name; beyond, they are left out on arrival (a URL has limits)."""

EVERYWHERE = ""
"""The scope of a list over all namespaces."""


T = TypeVar("T")


class Scope(msgspec.Struct, frozen=True):
    """What a look may look at, and when it is.

    ``allowed``: the namespaces that are known and not denied; ``denied``: those that are; ``denies``: the
    policy, for namespaces that came in between.
    """

    allowed: frozenset[str]
    denied: frozenset[str]
    denies: Callable[[str], bool]
    now: datetime


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """What of a kind could not be listed in a look, and which of that never could."""

    gaps: tuple[Gap, ...] = ()
    never_listed: tuple[Gap, ...] = ()


class Listing(Unseen, Generic[T], frozen=True, kw_only=True):
    """What is known of a kind after a look."""

    items: tuple[T, ...]


class Lister(Generic[T]):
    """The memory of one kind between looks. ``place``: an object's namespace."""

    def __init__(self, client: Client, resource: Resource[T], place: Callable[[T], str]) -> None:
        self._client = client
        self._resource = resource
        self._place = place
        self._seen: dict[str, list[T]] = {}
        self._listed_everywhere = False
        self._covered: frozenset[str] = frozenset()
        self._forbidden: dict[str, tuple[datetime, Gap]] = {}
        self._is_there = not resource.optional
        self._absent_until: datetime | None = None

    async def look(self, scope: Scope, slots: asyncio.Semaphore) -> Listing[T]:
        """List the kind, or as much of it as may be; ``slots`` bounds the requests at one time.

        Never raises an error of ours: what fails is a gap.
        """
        gap = await self._everywhere(scope, slots)
        if gap is None:
            gaps: tuple[Gap, ...] = ()
        elif gap.forbidden and scope.allowed:
            gaps = await self._one_by_one(scope, slots, gap)
        else:
            gaps = (gap,)
        self._forget(scope)
        items = [item for namespace in sorted(self._seen) for item in self._seen[namespace]]
        listed = self._listed_everywhere or bool(self._covered)
        uncovered = scope.allowed - self._covered
        never = _never_listed(gaps, uncovered) if listed else gaps
        return Listing(items=tuple(items), gaps=gaps, never_listed=never)

    async def _everywhere(self, scope: Scope, slots: asyncio.Semaphore) -> Gap | None:
        denied = scope.denied if len(scope.denied) <= MOST_EXCLUDED else ()
        found = await self._list(EVERYWHERE, scope, slots, denied)
        if isinstance(found, Gap):
            return found
        self._seen = found
        self._listed_everywhere = True
        self._covered = scope.allowed
        # Whoever may list everywhere may list anywhere.
        self._forbidden.clear()
        return None

    async def _one_by_one(self, scope: Scope, slots: asyncio.Semaphore, whole: Gap) -> tuple[Gap, ...]:
        names = sorted(scope.allowed)
        answers = await asyncio.gather(*(self._list(name, scope, slots) for name in names))
        gaps = []
        for name, found in zip(names, answers, strict=True):
            if isinstance(found, Gap):
                gaps.append(found)
            else:
                self._seen[name] = found.get(name, [])
                self._covered |= {name}
        if all(gap.forbidden for gap in gaps) and len(gaps) == len(names):
            return (whole,)
        # A namespace that is gone has nothing in it any more.
        self._seen = {name: items for name, items in self._seen.items() if name in scope.allowed}
        return tuple(gaps)

    async def _list(
        self, namespace: str, scope: Scope, slots: asyncio.Semaphore, without: Collection[str] = ()
    ) -> dict[str, list[T]] | Gap:
        """The objects by namespace, or why not."""
        remembered = self._forbidden.get(namespace)
        if remembered and scope.now < remembered[0]:
            return remembered[1]
        try:
            async with slots:
                items = await self._items(namespace, scope, without)
        except ReconcilerError as error:
            forbidden = isinstance(error, ForbiddenError)
            gap = Gap(self._resource.kind, namespace, forbidden, str(error))
            if forbidden:
                self._forbidden[namespace] = (scope.now + FORBIDDEN_AGAIN, gap)
            return gap
        self._forbidden.pop(namespace, None)
        found: dict[str, list[T]] = {}
        for item in items:
            found.setdefault(self._place(item), []).append(item)
        return found

    async def _items(self, namespace: str, scope: Scope, without: Collection[str]) -> list[T]:
        """The objects; none of a kind that the server does not have."""
        resource = self._resource
        whole = namespace == EVERYWHERE
        if whole and not self._is_there and not await self._find(scope):
            return []
        try:
            listed = await self._client.list_all(
                resource.path(namespace), resource.read, resource.params(without), resource.accept
            )
        except (ForbiddenError, NotFoundError) as error:
            # Also a kind that has gone is forbidden to whom it was.
            if whole and resource.optional:
                self._is_there = False
                if isinstance(error, NotFoundError) and not await self._find(scope):
                    return []
            raise
        return listed.items

    async def _find(self, scope: Scope) -> bool:
        """Whether the server has the kind by now, as far as is asked."""
        if self._absent_until is None or self._absent_until <= scope.now:
            self._is_there = await is_served(self._client, self._resource)
            self._absent_until = None if self._is_there else scope.now + FORBIDDEN_AGAIN
        return self._is_there

    def _forget(self, scope: Scope) -> None:
        """Nothing of a denied namespace is kept, nor where something was forbidden that is gone."""
        self._seen = {name: items for name, items in self._seen.items() if not scope.denies(name)}
        self._covered &= scope.allowed
        keep = scope.allowed | {EVERYWHERE}
        self._forbidden = {name: entry for name, entry in self._forbidden.items() if name in keep}


def _never_listed(gaps: Iterable[Gap], uncovered: frozenset[str]) -> tuple[Gap, ...]:
    """Of these gaps, what lies in namespaces whose objects were never seen."""
    return tuple(
        msgspec.structs.replace(gap, namespace=name)
        for gap in gaps
        for name in sorted(uncovered)
        if gap.namespace in (EVERYWHERE, name)
    )
