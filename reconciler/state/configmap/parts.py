"""The ConfigMaps of one cluster's record, one by one: named, fetched, checked by their digests, decoded."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, TypeVar

import msgspec

from reconciler.errors import StoreError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import digest_of
from reconciler.state.configmap import documents, repairs, shards
from reconciler.state.configmap import history as packs
from reconciler.state.configmap.access import CLUSTER, ConfigMapAccess, labels, selector, store_errors, unpack
from reconciler.state.configmap.documents import Entry, Head, PackRef, Ref

T = TypeVar("T")
S = TypeVar("S")

AT_ONCE: Final = 8
"""Requests at the same time."""


class GoneError(Exception):
    """A part that a head named is not there, or not what was written."""


class Parts:
    """Reads the head and the parts of one cluster. All methods raise StoreError."""

    def __init__(self, access: ConfigMapAccess, namespace: str, head_name: str, cluster_uuid: str) -> None:
        self.namespace = namespace
        self.head_name = head_name
        self.cluster_uuid = cluster_uuid
        self._access = access
        self._marks = {CLUSTER: documents.cluster_hash(cluster_uuid)}

    @property
    def where(self) -> str:
        return self.place(self.head_name)

    def place(self, name: str) -> str:
        return f"ConfigMap {self.namespace}/{name}"

    def labels(self, part: str) -> dict[str, str]:
        return labels(part) | self._marks

    async def head(self) -> tuple[ConfigMap | None, Head | None]:
        """The head's ConfigMap, and the head in it if it is one of ours."""
        at = await self.get(self.head_name)
        return at, self.decoded(at)

    def decoded(self, at: ConfigMap | None) -> Head | None:
        """The head that a ConfigMap has, if it is one of ours."""
        if at is None:
            return None
        head = documents.decode_head(at.data.get(documents.HEAD_KEY, ""), self.where)
        if head is None or head.cluster_uuid != self.cluster_uuid:
            return None
        return head if shards.cover(map(shards.range_of, head.shards)) else None

    async def copy(self, listed: Mapping[str, ConfigMap], above: int) -> Head | None:
        """The newest head, of a revision above that, of which a pack has a copy."""
        numbers = {name: self.number(name) for name in listed if "-history-" in name}
        for number in sorted({number for number in numbers.values() if number > above}, reverse=True):
            found = await each(self._copied, [name for name, its in numbers.items() if its == number])
            heads = [head for head in found if head and head.revision == number]
            if heads:
                return max(heads, key=lambda head: head.recorded)
        return None

    async def _copied(self, name: str) -> Head | None:
        """The head of which the pack of that name has a copy, if it does. Raises StoreError."""
        item = await self.get(name)
        if item is None:
            return None
        try:
            plain = unpack(item.binary_data.get(documents.PART_KEYS["history"], b""), self.place(name))
            entries = documents.decode_entries(plain)
        except (StoreError, msgspec.DecodeError):
            return None
        if not entries or not name.endswith(digest_of(plain)[:16]):
            return None
        size = len(item.binary_data[documents.PART_KEYS["history"]])
        ref = PackRef(entries[0].number, entries[-1].number, name, digest_of(plain), size, item.uid)
        head = documents.decode_copy(item.binary_data.get(documents.COPY_KEY, b""), ref)
        return head if head and head.cluster_uuid == self.cluster_uuid else None

    async def fetch(self, ref: Ref) -> tuple[ConfigMap, bytes]:
        """A part, and its plain bytes; GoneError if it is not there, or is not what was written."""
        item = await self.get(ref.name)
        if item is None:
            raise GoneError(repairs.DELETED)
        try:
            packed = item.binary_data.get(documents.PART_KEYS[documents.kind_of(ref)], b"")
            plain = unpack(packed, self.place(ref.name))
        except StoreError as error:
            raise GoneError(repairs.REPLACED) from error
        if digest_of(plain) != ref.digest:
            raise GoneError(repairs.REPLACED)
        return item, plain

    async def changesets(self, pack: Iterable[PackRef]) -> tuple[Entry, ...]:
        """The changesets of a pack, oldest first; GoneError if a part of it cannot be read."""
        pieces = await each(self._pieces, pack)
        return packs.joined(entry for piece in pieces for entry in piece)

    async def _pieces(self, ref: PackRef) -> tuple[Entry, ...]:
        return documents.decode_entries((await self.fetch(ref))[1])

    async def get(self, name: str) -> ConfigMap | None:
        async with store_errors(self.place(name)):
            return await self._access.get_config_map(self.namespace, name)

    async def listed(self) -> dict[str, ConfigMap]:
        """The metadata of all parts that carry our labels, by name."""
        async with store_errors(self.where):
            found = await self._access.list_config_map_metadata(
                self.namespace, selector(cluster=self._marks[CLUSTER])
            )
        return {item.name: item for item in found if self.number(item.name)}

    def number(self, name: str) -> int:
        return documents.made_for(name, self.head_name) or 0


async def each(work: Callable[[S], Awaitable[T]], items: Iterable[S]) -> list[T]:
    """What ``work`` makes of each, in their order; a bounded number at a time, and none once one fails."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(item: S) -> T:
        async with slots:
            return await work(item)

    tasks = [asyncio.ensure_future(one(item)) for item in items]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
