"""The state store in ConfigMaps of one namespace: one head per cluster, and what it names.

The layout is in ``documents``, the order of requests in ``track``.
"""

from collections.abc import Iterable
from datetime import datetime

from reconciler.kube.configmaps import ConfigMap
from reconciler.state.configmap import documents
from reconciler.state.configmap.access import ConfigMapAccess, selector, store_errors
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.store import ClusterDirectory

_Directory = tuple[datetime | None, ClusterDirectory]


class ConfigMapStore:
    """A Store in the ConfigMaps of ``namespace`` whose names begin with ``name``.

    ``history``: changesets that are kept of each cluster, at least 1. Several clusters, and several names,
    share a namespace without touching each other's.
    """

    def __init__(
        self, access: ConfigMapAccess, namespace: str, name: str = "hossted-state", history: int = 200
    ) -> None:
        self._access = access
        self._namespace = namespace
        self._name = name
        self._history = history
        self._tracks: dict[str, ConfigMapTrack] = {}

    @property
    def location(self) -> str:
        return f"ConfigMaps {self._name}-* in namespace {self._namespace}"

    @property
    def signing_key(self) -> str:
        return ""

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        """The clusters that have state here, oldest first. Raises StoreError.

        One whose head was deleted or edited is known by the copies that its history has.
        """
        async with store_errors("the state store"):
            heads = await self._access.list_config_maps(self._namespace, selector(state="head"))
            parts = await self._access.list_config_map_metadata(self._namespace, selector(state="history"))
        texts = {item.name: item.data.get(documents.HEAD_KEY, "") for item in heads}
        packs: dict[str, list[str]] = {}
        for part in parts:
            packs.setdefault(documents.head_of_part(part.name), []).append(part.name)
        known = []
        for name in sorted(filter(self._is_head, texts.keys() | packs)):
            found = self._directory(name, texts.get(name, ""))
            found = found or await self._unlisted(name, packs.get(name, ()))
            if found is not None:
                created, directory = found
                known.append((created is None, created, directory.cluster_uuid, directory))
        return tuple(directory for *_, directory in sorted(known, key=lambda one: one[:3]))

    async def _unlisted(self, name: str, packs: Iterable[str]) -> _Directory | None:
        """What a head says that has lost its labels, or that only copies are left of."""
        at = await self._get(name)
        if at and (found := self._directory(name, at.data.get(documents.HEAD_KEY, ""))):
            return found
        for pack in packs:
            item = await self._get(pack)
            head = documents.decode_bare_copy(item.binary_data.get(documents.COPY_KEY, b"")) if item else None
            # Of a first append that was not finished, parts are all that there ever was.
            if head and (at or head.revision > 1):
                directory = ClusterDirectory(head.cluster_uuid, head.kube_system_uid)
                return (head.created, directory) if self._is_of(name, directory) else None
        return None

    def _directory(self, name: str, text: str) -> _Directory | None:
        found = documents.decode_directory(text)
        return found if found and self._is_of(name, found[1]) else None

    def _is_of(self, name: str, directory: ClusterDirectory) -> bool:
        return name == documents.head_name(self._name, directory.cluster_uuid)

    def _is_head(self, name: str) -> bool:
        """Whether a head of ours may have that name: others' names may begin as ours do."""
        return len(name) == len(documents.head_name(self._name, "")) and name.startswith(f"{self._name}-")

    async def _get(self, name: str) -> ConfigMap | None:
        async with store_errors(f"ConfigMap {self._namespace}/{name}"):
            return await self._access.get_config_map(self._namespace, name)

    def track(self, cluster_uuid: str) -> ConfigMapTrack:
        if cluster_uuid not in self._tracks:
            self._tracks[cluster_uuid] = ConfigMapTrack(
                self._access, self._namespace, self._name, self._history, cluster_uuid
            )
        return self._tracks[cluster_uuid]

    def approved(self, cluster_uuid: str) -> None:
        """People sign off by moving a branch, and there are no branches here."""
        return

    def delivered(self, cluster_uuid: str, endpoint: str) -> None:
        """Not shown: ``diff delivered`` reads the ledger itself."""
        return

    async def close(self) -> None:
        """Nothing to let go of: the requests are the client's."""
