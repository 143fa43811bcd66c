"""What is kept of real objects is the same, in whichever form they came."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reconciler.kube import resources
from reconciler.kube.client import METADATA_EITHER, METADATA_LIST, Client
from reconciler.kube.protobuf import MAGIC
from reconciler.kube.resources import Resource
from tests.cluster.test_collect import copy, install, namespace, secret
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

KINDS: tuple[Resource[Any], ...] = (
    resources.NAMESPACES,
    resources.RELEASE_SECRETS,
    resources.RELEASE_CONFIGMAPS,
    resources.UUID_SECRETS,
    *(resources.PODS, resources.SERVICES, resources.CLAIMS, resources.INGRESSES),
    *resources.WORKLOADS,
)


@pytest.fixture
def plane(fresh_cluster: ControlPlane) -> ControlPlane:
    return fresh_cluster


def as_json(resource: Resource[Any]) -> str:
    return METADATA_LIST if resource.accept == METADATA_EITHER else "application/json"


async def test_every_kind_of_every_chart_is_the_same_in_both_forms(plane: ControlPlane) -> None:
    for chart in sorted(path.name for path in CHARTS.iterdir() if path.is_dir()):
        namespace(plane, f"in-{chart}")
        install(plane, chart, chart, namespace=f"in-{chart}")
        plane.rolled_out(f"in-{chart}")
    install(plane, "other", driver="configmap")
    plane.apply(secret("uuid", uuid="u-1"))
    await assert_the_same(plane.kubeconfig, 500)


async def test_pages_are_the_same_too(plane: ControlPlane) -> None:
    install(plane, "app")
    copy(plane, "app", [("default", "app", revision) for revision in range(2, 20)])
    await assert_the_same(plane.kubeconfig, 7, resources.RELEASE_SECRETS)


async def assert_the_same(kubeconfig: Path, page_size: int, *kinds: Resource[Any]) -> None:
    client = Client.connect(kubeconfig=kubeconfig, page_size=page_size)
    for kind in kinds or KINDS:
        path, params = kind.path(), kind.params()
        assert (await client.get(path, params, kind.accept)).startswith(MAGIC), path
        assert (await client.get(path, params, as_json(kind))).startswith(b"{"), path
        cheap = await client.list_all(path, kind.read, params, kind.accept)
        plain = await client.list_all(path, kind.read, params, as_json(kind))
        assert cheap.items, path
        assert cheap.items == plain.items
    client.close()
