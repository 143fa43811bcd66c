"""The ConfigMap store for the contract suite, on the real API server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reconciler.errors import KubernetesError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.model import FORMAT
from reconciler.state.configmap.access import unpack
from reconciler.state.configmap.documents import head_name
from reconciler.state.configmap.store import ConfigMapStore
from tests.chain.faults import Faults, FaultyAccess, When
from tests.controlplane.cluster import Cluster

NAME = "hossted-state"


class ConfigMapFactory:
    """A namespace of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._faults = Faults()
        self._access = FaultyAccess(ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig)), self._faults)

    async def open(self) -> ConfigMapStore:
        return ConfigMapStore(self._access, self._cluster.namespace, NAME)

    async def contents(self) -> object:
        items: list[dict[str, Any]] = self._cluster.get("configmaps", "-l", "hossted.com/state")
        return {item["metadata"]["name"]: item for item in items}

    async def documents(self, cluster_uuid: str) -> object:
        head = self._head(cluster_uuid)
        found = []
        for shard in head["shards"]:
            item = await self._access.get_config_map(self._cluster.namespace, shard["name"])
            assert item is not None
            found.append(unpack(item.binary_data["apps.json.gz"], shard["name"]))
        return head["digest"], found

    async def make_newer(self, cluster_uuid: str) -> None:
        head = self._head(cluster_uuid) | {"format": FORMAT + 1, "unheard": "of"}
        patch = json.dumps({"data": {"head.json": json.dumps(head)}})
        name = head_name(NAME, cluster_uuid)
        self._cluster.kubectl("patch", "configmap", name, "--type=merge", "-p", patch)

    def _head(self, cluster_uuid: str) -> dict[str, Any]:
        item = self._cluster.get("configmap", head_name(NAME, cluster_uuid))
        head: dict[str, Any] = json.loads(item["data"]["head.json"])
        return head

    @contextmanager
    def away(self) -> Iterator[None]:
        error = KubernetesError("the Kubernetes API did not answer")
        self._faults.errors = dict.fromkeys(
            ("get", "list", "create", "replace", "delete"), (When.BEFORE, error)
        )
        yield
        self._faults.errors = {}

    @contextmanager
    def unanswered(self) -> Iterator[None]:
        error = KubernetesError("the Kubernetes API did not answer")
        self._faults.errors = dict.fromkeys(("create", "replace"), (When.AFTER, error))
        yield
        self._faults.errors = {}
