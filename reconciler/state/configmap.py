"""The state store in ConfigMaps of one namespace: one head per cluster, and what it names.

The layout is in ``configmap_documents``, the order of requests in ``configmap_track``.
"""

from reconciler.state import configmap_documents as documents
from reconciler.state.configmap_access import ConfigMapAccess, selector
from reconciler.state.configmap_track import ConfigMapTrack, store_errors
from reconciler.state.store import ClusterDirectory


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

    async def clusters(self) -> tuple[ClusterDirectory, ...]:
        """The clusters that have state here, oldest first. Raises StoreError, FormatError."""
        async with store_errors("the state store"):
            found = await self._access.list_config_maps(self._namespace, selector(state="head"))
        known = []
        for item in found:
            where = f"ConfigMap {item.namespace}/{item.name}"
            if not item.name.startswith(f"{self._name}-"):
                continue
            created, directory = documents.decode_directory(item.data.get(documents.HEAD_KEY, ""), where)
            if item.name == documents.head_name(self._name, directory.cluster_uuid):
                known.append((created is None, created, directory.cluster_uuid, directory))
        return tuple(directory for *_, directory in sorted(known, key=lambda one: one[:3]))

    def track(self, cluster_uuid: str) -> ConfigMapTrack:
        if cluster_uuid not in self._tracks:
            self._tracks[cluster_uuid] = ConfigMapTrack(
                self._access, self._namespace, self._name, self._history, cluster_uuid
            )
        return self._tracks[cluster_uuid]

    def delivered(self, cluster_uuid: str, endpoint: str) -> None:
        """Not shown: ``diff delivered`` reads the ledger itself."""
        return

    async def close(self) -> None:
        """Nothing to let go of: the requests are the client's."""
