"""What is kept of real objects is the same, in whichever form they came."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from reconciler.kube import resources, watched_event
from reconciler.kube.client import METADATA_EITHER, METADATA_LIST, METADATA_WATCH, Client
from reconciler.kube.protobuf import MAGIC
from reconciler.kube.resources import Resource
from reconciler.kube.watched_event import Event
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


def watched_as_json(resource: Resource[Any]) -> str:
    return METADATA_WATCH if resource.accept == METADATA_EITHER else "application/json"


async def events(
    client: Client, resource: Resource[Any], accept: str, count: int, **params: str
) -> list[Event[Any]]:
    """The first so many of a watch."""
    read = watched_event.reader("WATCH", resource.reader.one)

    def in_its_form(frame: bytes) -> Event[Any]:
        assert frame.startswith(b"{") == accept.startswith("application/json")
        return read(frame)

    found: list[Event[Any]] = []
    params = {**resource.params(), **params}
    watch = client.watch(resource.path(), in_its_form, params, read_timeout=60, accept=accept)
    async with aclosing(watch):
        while len(found) < count:
            found += await anext(watch)
    return found


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
        named = await client.list_all(path, resources.read_names, params, METADATA_EITHER)
        assert (named.versions, len(named.items)) == (cheap.versions, len(cheap.items))
        in_json = await client.list_all(path, resources.read_names, params, METADATA_LIST)
        assert (in_json.versions, in_json.items) == (named.versions, named.items)
    client.close()


async def test_of_what_is_watched_the_same_is_kept_in_both_forms_and_as_of_a_list(
    plane: ControlPlane,
) -> None:
    for chart in ("web", "network", "keycloak"):
        install(plane, chart, chart)
    install(plane, "other", driver="configmap")
    plane.apply(secret("uuid", uuid="u-1"))
    plane.rolled_out("default")
    client = Client.connect(kubeconfig=plane.kubeconfig)
    for kind in KINDS:
        listed = await client.list_all(kind.path(), kind.read, kind.params(), kind.accept)
        expected = sorted(zip(listed.versions, listed.items, strict=True), key=lambda one: int(one[0]))
        for accept in (kind.watch_accept, watched_as_json(kind)):
            found = await events(client, kind, accept, len(expected), resourceVersion="0")
            assert {event.type for event in found} <= {"ADDED"}
            assert sorted(((one.version, one.item) for one in found), key=lambda one: int(one[0])) == expected
    client.close()


@pytest.mark.parametrize("form", ["either", "json"])
async def test_what_comes_changes_and_goes_and_how_far_it_is_heard(plane: ControlPlane, form: str) -> None:
    client, kind = Client.connect(kubeconfig=plane.kubeconfig), resources.UUID_SECRETS
    accept = kind.watch_accept if form == "either" else METADATA_WATCH
    version = (await client.list_all(kind.path(), kind.read, kind.params(), kind.accept)).resource_version
    plane.apply(secret("uuid", uuid="u-1"))
    plane.kubectl("label", "secret", "uuid", "a=b")
    plane.kubectl("delete", "secret", "uuid")
    found = await events(client, kind, accept, 3, resourceVersion=version)
    # A bookmark comes about once a minute, or at once where it is to say that this is all there is.
    all_there_is = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    found += await events(client, kind, accept, 1, allowWatchBookmarks="true", **all_there_is)
    assert [event.type for event in found] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert [event.item and event.item.name for event in found] == [*["uuid"] * 3, None]
    versions = [int(event.version) for event in found]
    assert versions == sorted(versions)
    assert versions[0] > int(version)
    client.close()
