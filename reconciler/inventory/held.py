"""What is held of one kind while it is reflected, and whether that can be relied on."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from reconciler.errors import ReconcilerError
from reconciler.inventory.compare import Since
from reconciler.inventory.ownership import Ref

T = TypeVar("T")


class Held(Generic[T]):
    """The objects of one kind; the holder of its ``Reflector``.

    ``place``: where an object is; ``put`` and ``drop``: told of what came or changed, and of what went, and
    where, each only once; ``wanted``: whether a namespace's objects are kept at all; ``turned``: told when
    what is held can be relied on again, or could not be twice, so that a connection that breaks and is there
    again at once makes no noise but at its end.
    """

    def __init__(
        self,
        place: Callable[[T], Ref],
        put: Callable[[Ref, T], None],
        drop: Callable[[Ref, T], None],
        wanted: Callable[[str], bool] = lambda _: True,
        turned: Callable[[], None] = lambda: None,
    ) -> None:
        self.place = place
        self._put = put
        self._drop = drop
        self._wanted = wanted
        self._turned = turned
        self._failures = 0
        self._items: dict[Ref, T] = {}
        self._versions: dict[Ref, str] = {}
        self._first = asyncio.Event()
        self._since = Since(over=True)
        self.error: ReconcilerError | None = None
        """Why what is held may be old; None while it is what there is."""

    @property
    def items(self) -> Mapping[Ref, T]:
        """What there is, as far as is known."""
        return self._items

    @property
    def versions(self) -> Mapping[Ref, str]:
        """The ``resourceVersion`` of each object that was reflected, as it was last."""
        return self._versions

    def wants(self, namespace: str) -> bool:
        """Whether a namespace's objects are kept."""
        return self._wanted(namespace)

    def note(self) -> Since:
        """What is heard from now on, noted until it is ``over``."""
        self.note_no_more()
        self._since = Since()
        return self._since

    def note_no_more(self) -> None:
        self._since.over = True

    async def ready(self) -> None:
        """Wait until it was listed, or could not be, for the first time."""
        await self._first.wait()

    def begin(self) -> None:
        """A new reflector begins: until it has listed, nothing is known of what is."""
        self.note_no_more()
        self._first.clear()
        self.error, self._failures = None, 0

    def listed(self, items: Sequence[T], versions: Sequence[str]) -> None:
        places = [self.place(item) for item in items]
        self._replace(places, items)
        self._versions = {ref: of for ref, of in zip(places, versions, strict=True) if ref in self._items}
        self.current()

    def replace(self, items: Iterable[T]) -> None:
        """Hold these, however they were found, and nothing else; nothing is known of their versions."""
        there = list(items)
        self._replace([self.place(item) for item in there], there)

    def _replace(self, places: Sequence[Ref], items: Sequence[T]) -> None:
        self.note_no_more()
        self._versions = {}
        # A policy's patterns are matched once for a namespace: most of what there is, is with others like it.
        wanted = {namespace: self._wanted(namespace) for namespace in {ref.namespace for ref in places}}
        found = {ref: item for ref, item in zip(places, items, strict=True) if wanted[ref.namespace]}
        before, self._items = self._items, found
        for ref in before.keys() - found.keys():
            self._drop(ref, before[ref])
        for ref, item in found.items():
            if before.get(ref) != item:
                self._put(ref, item)

    def put(self, item: T, version: str) -> None:
        ref = self.place(item)
        if not self._wanted(ref.namespace):
            return
        if ref not in self._versions and not self._since.over:
            self._since.came.add(ref)
        self._versions[ref] = version
        if self._items.get(ref) != item:
            self._items[ref] = item
            self._put(ref, item)

    def gone(self, item: T, version: str) -> None:
        ref = self.place(item)
        if not self._since.over:
            self._since.gone[ref] = version
        self.drop(ref)

    def drop(self, ref: Ref) -> None:
        """Let go of an object that is not there any more."""
        self._versions.pop(ref, None)
        if ref in self._items:
            self._drop(ref, self._items.pop(ref))

    def current(self) -> None:
        failed, self.error, self._failures = self.error is not None, None, 0
        self._first.set()
        if failed:
            self._turned()

    def failed(self, error: ReconcilerError) -> None:
        self.error = error
        self._failures += 1
        self._first.set()
        if self._failures == 2:
            self._turned()

    def sift(self) -> None:
        """Let go of what is not wanted any more."""
        for ref in [ref for ref in self._items if not self._wanted(ref.namespace)]:
            self._versions.pop(ref, None)
            self._drop(ref, self._items.pop(ref))
