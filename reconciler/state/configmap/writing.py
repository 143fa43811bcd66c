"""The requests that change a record in ConfigMaps: create a part, move the head, delete garbage."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from reconciler.errors import ConflictError, KubernetesError, LostRaceError, NotFoundError, StoreError
from reconciler.kube.configmaps import ConfigMap
from reconciler.kube.threads import heed
from reconciler.state.configmap import documents
from reconciler.state.configmap.access import ConfigMapAccess, store_errors
from reconciler.state.configmap.documents import Garbage, Head, Part
from reconciler.state.configmap.parts import Parts, each

GRACE: Final = timedelta(minutes=10)
"""How long a part that no head names any more is kept for readers of the head that did."""

_log = logging.getLogger(__name__)


class Writer:
    """Writes where ``parts`` are read."""

    def __init__(self, access: ConfigMapAccess, parts: Parts) -> None:
        self._access = access
        self._parts = parts
        self._moving: asyncio.Future[ConfigMap] | None = None

    async def create(self, part: Part, copy: bytes = b"") -> str:
        """Create a part, with the copy of a head if there is one; its UID. Raises StoreError.

        One that is there with the same content is as good: it was left by an attempt that went no further.
        """
        key = documents.PART_KEYS[part.kind]
        wanted = ConfigMap(
            name=part.name,
            namespace=self._parts.namespace,
            binary_data={key: part.packed} | ({documents.COPY_KEY: copy} if copy else {}),
            labels=self._parts.labels(part.kind),
            immutable=True,
        )
        async with store_errors(self._parts.place(part.name)):
            try:
                return (await self._access.create_config_map(wanted)).uid
            except ConflictError:
                there = await self._access.get_config_map(self._parts.namespace, part.name)
            if there is not None:
                same = there.binary_data.get(key) == part.packed and there.labels == wanted.labels
                if same and there.immutable:
                    return there.uid
                # Nothing names it, and it is in the way: somebody made it, or changed what we had made.
                await self._access.delete_config_map(self._parts.namespace, part.name, there.uid)
            return (await self._access.create_config_map(wanted)).uid

    async def move(self, at: ConfigMap | None, head: Head) -> ConfigMap:
        """Put a head where ``at`` was read (None: nothing); LostRaceError if it is not like that any more.

        Cancelled, it does not wait for an answer, and the head may still move: until ``settled``.
        """
        wanted = ConfigMap(
            name=self._parts.head_name,
            namespace=self._parts.namespace,
            uid=at.uid if at else "",
            resource_version=at.resource_version if at else "",
            data={documents.HEAD_KEY: documents.encode_head(head.sealed())},
            labels=self._parts.labels("head"),
        )
        async with store_errors(self._parts.where):
            try:
                request = self._access.replace_config_map if at else self._access.create_config_map
                self._moving = asyncio.ensure_future(request(wanted))
                self._moving.add_done_callback(heed)  # the next look finds what became of it
                return await asyncio.shield(self._moving)
            except ConflictError as error:
                raise LostRaceError(
                    f"{self._parts.where}: another revision was recorded in between"
                ) from error
            except NotFoundError as error:
                if at is None:
                    raise StoreError(f"{self._parts.where}: {error}") from error
                raise LostRaceError(f"{self._parts.where} was deleted in between") from error

    async def settled(self) -> None:
        """Wait for a move that was cancelled, so that what is read then stays as it is."""
        if self._moving is not None and not self._moving.done():
            await asyncio.wait([self._moving])

    async def sweep(self, garbage: Iterable[Garbage], now: datetime) -> tuple[Garbage, ...]:
        """Delete the garbage whose time has come; what is left is returned."""

        async def gone(item: Garbage) -> bool:
            if now - item.since < GRACE:
                return False
            try:
                await self._access.delete_config_map(self._parts.namespace, item.name)
            except KubernetesError as error:
                _log.warning("%s cannot be deleted yet: %s", self._parts.place(item.name), error)
                return False
            return True

        items = tuple(garbage)
        return tuple(
            item for item, is_gone in zip(items, await each(gone, items), strict=True) if not is_gone
        )
