"""A stand-in for the API server that outlives its clients: ConfigMaps, the Lease, the project, Events.

It speaks HTTP, so that the program's own client is what talks to it, and it is strongly consistent, as the
real one is. The real one is tested in ``tests/cluster``.
"""

import base64
import json
import threading
from collections.abc import Coroutine, Mapping
from copy import deepcopy
from typing import Any, TypeVar

from reconciler.errors import ConflictError, KubernetesError
from reconciler.kube.configmaps import ConfigMap, read_config_map
from tests.unit.kube.server import Reply, Request, status
from tests.unit.state.configmap_standin import StandIn

T = TypeVar("T")

Json = dict[str, Any]


class StandInApi:
    """``answer`` is for ``tests.unit.kube.server.Server``."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self.maps = StandIn()
        self.lease: Json | None = None
        self.project: Json = {
            "apiVersion": "hossted.com/v1",
            "kind": "Hosstedproject",
            "metadata": {
                "name": "hossted",
                "uid": "uid-of-the-project",
                "generation": 1,
                "resourceVersion": "1",
                "creationTimestamp": "2026-11-21T11:00:00Z",
            },
            "spec": {"settle": "0s", **spec},
        }
        self.events = 0
        self._lock = threading.Lock()

    def edit(self, changes: Mapping[str, Any]) -> None:
        """As a person edits the project's spec."""
        with self._lock:
            self.project["spec"] |= changes
            self.project["metadata"]["generation"] += 1
            self._touch(self.project)

    def save(self) -> Any:
        with self._lock:
            return dict(self.maps.items), deepcopy(self.lease), deepcopy(self.project)

    def restore(self, saved: Any) -> None:
        with self._lock:
            self.maps.items = dict(saved[0])
            self.lease, self.project = deepcopy(saved[1]), deepcopy(saved[2])

    def answer(self, request: Request) -> Reply:
        with self._lock:
            parts = request.path.strip("/").split("/")
            if "configmaps" in parts:
                return self._config_map(request, parts)
            if "leases" in parts:
                return self._leases(request)
            if "hosstedprojects" in parts:
                return self._projects(request)
            if parts[-1] == "events":
                self.events += 1
                return Reply(201, json.loads(request.body))
            return status(404, f"nothing at {request.path}")

    def _touch(self, item: Json) -> None:
        item["metadata"]["resourceVersion"] = str(int(item["metadata"]["resourceVersion"]) + 1)

    def _projects(self, request: Request) -> Reply:
        if request.method == "PATCH":
            merge(self.project, json.loads(request.body))
            self._touch(self.project)
            return Reply(200, self.project)
        return Reply(200, {"metadata": {"resourceVersion": "1"}, "items": [self.project]})

    def _leases(self, request: Request) -> Reply:
        if request.method == "GET":
            return Reply(200, self.lease) if self.lease else status(404, "there is no Lease")
        wanted = json.loads(request.body)
        if request.method == "POST":
            if self.lease:
                return status(409, "there is one")
            self.lease = wanted
            wanted["metadata"] |= {"uid": "uid-of-the-lease", "resourceVersion": "1"}
            return Reply(201, wanted)
        if self.lease is None:
            return status(404, "there is no Lease")
        there = self.lease["metadata"]
        if wanted["metadata"].get("resourceVersion") != there["resourceVersion"]:
            return status(409, "the Lease is at another version")
        self.lease = {**wanted, "metadata": there}
        self._touch(self.lease)
        return Reply(200, self.lease)

    def _config_map(self, request: Request, parts: list[str]) -> Reply:
        place = parts.index("configmaps")
        namespace, name = parts[place - 1], (parts[place + 1] if len(parts) > place + 1 else "")
        try:
            if request.method == "GET":
                return self._read(request, namespace, name)
            if request.method == "DELETE":
                uid = json.loads(request.body or b"{}").get("preconditions", {}).get("uid", "")
                _now(self.maps.delete_config_map(namespace, name, uid))
                return Reply(200, {})
            wanted = read_config_map(request.body)
            if request.method == "POST":
                return Reply(201, _written(_now(self.maps.create_config_map(wanted))))
            return Reply(200, _written(_now(self.maps.replace_config_map(wanted))))
        except ConflictError as error:
            return status(409, str(error))
        except KubernetesError as error:
            return status(error.status or 500, str(error))

    def _read(self, request: Request, namespace: str, name: str) -> Reply:
        if name:
            item = _now(self.maps.get_config_map(namespace, name))
            return Reply(200, _written(item)) if item else status(404, f"no ConfigMap {name}")
        found = _now(self.maps.list_config_maps(namespace, request.query["labelSelector"]))
        return Reply(200, {"metadata": {"resourceVersion": "1"}, "items": [_written(item) for item in found]})


def merge(target: Json, patch: Mapping[str, Any]) -> None:
    """A JSON merge patch (RFC 7386), in place."""
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def _now(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine that waits for nothing returns."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it does wait")


def _written(item: ConfigMap) -> Json:
    return {
        "metadata": {
            "name": item.name,
            "namespace": item.namespace,
            "uid": item.uid,
            "resourceVersion": item.resource_version,
            "labels": dict(item.labels),
            "managedFields": [{"manager": manager, "fieldsV1": {"f:data": {}}} for manager in item.managers],
        },
        "data": dict(item.data),
        "binaryData": {key: base64.b64encode(value).decode() for key, value in item.binary_data.items()},
        "immutable": item.immutable,
    }
