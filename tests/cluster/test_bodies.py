"""Bodies of many releases, read by lists or one by one: on a real API server the same comes of both."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, NamedTuple

import pytest

from reconciler.inventory import bodies
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.live import LiveSource
from reconciler.inventory.watched import WatchedSource
from reconciler.kube.client import JSON, Client, Page
from reconciler.model import AppKey, PolicyInEffect
from tests.cluster.test_collect import DENY_SYSTEM, install, namespace
from tests.cluster.test_watched import folded
from tests.controlplane.audit import AuditEvent
from tests.controlplane.plane import ControlPlane

DRIVERS = ("secret", "configmap")
PLAIN = 25


class Revision(NamedTuple):
    name: str
    version: int
    status: str
    broken: bool = False


STORED = (
    *(Revision(f"plain-{number}", 1, "deployed") for number in range(PLAIN)),
    Revision("broken", 1, "deployed", broken=True),
    Revision("odd", 1, "superseded"),  # and nothing came after it
    *(Revision("waits", 1, "deployed"), Revision("waits", 2, "pending-upgrade")),
    *(Revision("failed", 1, "deployed"), Revision("failed", 2, "failed")),
    *(Revision("grown", version, "superseded") for version in range(1, 4)),
    Revision("grown", 4, "deployed"),
)


@pytest.fixture
def plane(fresh_cluster: ControlPlane) -> ControlPlane:
    return fresh_cluster


@pytest.fixture
def template(plane: ControlPlane) -> dict[str, Any]:
    """A release as the real Helm stores it."""
    install(plane, "app")
    release: dict[str, Any] = plane.get("secret", "sh.helm.release.v1.app.v1")
    plane.helm("uninstall", "app")
    return release


def store(
    plane: ControlPlane, like: dict[str, Any], driver: str, where: str, revisions: Iterable[Revision]
) -> None:
    """More releases like that one, as Helm would store them with that driver."""
    packed = gzip.decompress(base64.b64decode(base64.b64decode(like["data"]["release"])))
    items = []
    for one in revisions:
        release = {**json.loads(packed), "name": one.name, "namespace": where, "version": one.version}
        text = json.dumps(release, separators=(",", ":")).encode()
        value = "bm90IGd6aXA=" if one.broken else base64.b64encode(gzip.compress(text)).decode()
        labels = {"name": one.name, "owner": "helm", "status": one.status, "version": str(one.version)}
        metadata = {"name": f"sh.helm.release.v1.{one.name}.v{one.version}", "namespace": where}
        item = {"apiVersion": "v1", "metadata": {**metadata, "labels": labels}, "data": {"release": value}}
        if driver == "secret":
            data = {"release": base64.b64encode(value.encode()).decode()}
            item |= {"kind": "Secret", "type": "helm.sh/release.v1", "data": data}
        items.append({"kind": "ConfigMap", **item})
    plane.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


async def first_look(client: Client, source: str, policy: PolicyInEffect = DENY_SYSTEM) -> Inventory:
    """From nothing, by lists (``listed``) or as it is followed (``watched``)."""
    if source == "listed":
        return folded(await LiveSource(client).look(policy), policy)
    watched = WatchedSource(client)
    running = asyncio.create_task(watched.run())
    try:
        return folded(await watched.look(policy), policy)
    finally:
        running.cancel()
        await asyncio.wait([running])


def ways(requests: Iterable[AuditEvent]) -> tuple[list[AuditEvent], list[str]]:
    """The lists that brought bodies, and the objects that were asked for by themselves."""
    every = list(requests)
    lists = [one for one in every if "superseded" in one.query.get("labelSelector", "")]
    return lists, sorted(one.name for one in every if one.verb == "get" and one.resource)


SOURCES = pytest.mark.parametrize("source", ["listed", "watched"])


@SOURCES
async def test_lists_and_single_requests_end_in_the_same_inventory(
    plane: ControlPlane, template: dict[str, Any], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where, driver in zip(("first", "second"), DRIVERS, strict=True):
        namespace(plane, where)
        store(plane, template, driver, where, STORED)
    client = Client.connect(kubeconfig=plane.kubeconfig)
    mark = plane.mark()
    by_lists = await first_look(client, source)
    lists, single = ways(plane.api_requests(mark, user_agent="hossted-reconciler"))
    assert sorted(one.resource for one in lists) == ["configmaps", "secrets"]
    assert single == ["sh.helm.release.v1.odd.v1"] * 2
    monkeypatch.setattr(bodies, "FEWEST_LISTED", 10**6)
    mark = plane.mark()
    one_by_one = await first_look(client, source)
    client.close()
    lists, single = ways(plane.api_requests(mark, user_agent="hossted-reconciler"))
    assert (lists, len(single)) == ([], 2 * (PLAIN + 5))
    assert by_lists == one_by_one
    names = {one.name for one in STORED} - {"broken"}
    assert set(by_lists.apps) == {AppKey(where, name) for where in ("first", "second") for name in names}
    assert set(by_lists.unreadable) == {AppKey("first", "broken"), AppKey("second", "broken")}
    assert set(by_lists.in_transit) == {AppKey("first", "waits"), AppKey("second", "waits")}


@SOURCES
async def test_json_brings_the_same_as_protobuf(
    plane: ControlPlane, template: dict[str, Any], source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for where, driver in zip(("first", "second"), DRIVERS, strict=True):
        namespace(plane, where)
        store(plane, template, driver, where, STORED)
    client = Client.connect(kubeconfig=plane.kubeconfig)
    in_protobuf = await first_look(client, source)
    monkeypatch.setattr(bodies, "EITHER", JSON)
    assert await first_look(client, source) == in_protobuf
    client.close()


@SOURCES
async def test_of_denied_namespaces_no_list_brings_a_body(
    plane: ControlPlane, template: dict[str, Any], source: str
) -> None:
    for where in ("open", "secret-a"):
        namespace(plane, where)
        store(plane, template, "secret", where, STORED)
    client = Client.connect(kubeconfig=plane.kubeconfig)
    mark = plane.mark()
    inventory = await first_look(client, source, PolicyInEffect(denyNamespaces=("kube-*", "secret-*")))
    client.close()
    (brought,), _ = ways(plane.api_requests(mark, user_agent="hossted-reconciler"))
    assert "metadata.namespace!=secret-a" in brought.query["fieldSelector"].split(",")
    assert {key.namespace for key in inventory.apps} == {"open"}


class Meddled(Client):
    """Something happens when the first list of bodies is asked for."""

    happens: Callable[[], object] = staticmethod(lambda: None)
    times = 0

    async def flowing(self, *asked: Any, **named: Any) -> AsyncGenerator[Page[Any], None]:
        self.times += 1
        if self.times == 1:
            self.happens()
        async with aclosing(super().flowing(*asked, **named)) as pages:
            async for page in pages:
                yield page


@pytest.fixture
def meddled(plane: ControlPlane) -> Iterator[Meddled]:
    client = Meddled.connect(kubeconfig=plane.kubeconfig)
    assert isinstance(client, Meddled)
    yield client
    client.close()


async def test_what_goes_or_is_replaced_before_its_body_is_read_is_listed_again(
    plane: ControlPlane, template: dict[str, Any], meddled: Meddled
) -> None:
    store(plane, template, "secret", "default", STORED)

    def meddle() -> None:
        names = [f"sh.helm.release.v1.plain-{number}.v1" for number in range(3)]
        plane.kubectl("delete", "secret", *names)
        store(plane, template, "secret", "default", [Revision("plain-0", 1, "deployed")])

    meddled.happens = meddle
    seen = await first_look(meddled, "listed")
    assert meddled.times
    gone = {AppKey("default", "plain-1"), AppKey("default", "plain-2")}
    assert gone.isdisjoint({*seen.apps, *seen.unreadable})
    assert AppKey("default", "plain-0") in seen.apps


async def test_whoever_follows_hears_of_what_went_before_its_body_was_read(
    plane: ControlPlane, template: dict[str, Any], meddled: Meddled
) -> None:
    store(plane, template, "secret", "default", STORED)
    meddled.happens = lambda: plane.kubectl("delete", "secret", "sh.helm.release.v1.plain-1.v1")
    source = WatchedSource(meddled)
    running = asyncio.create_task(source.run())
    gone = AppKey("default", "plain-1")
    async with asyncio.timeout(60):
        while True:
            source.changed.clear()
            seen = folded(await source.look(DENY_SYSTEM), DENY_SYSTEM)
            if gone not in {*seen.apps, *seen.unreadable}:
                break
            await source.changed.wait()
    running.cancel()
    await asyncio.wait([running])
    assert len(seen.apps) == len({one.name for one in STORED}) - 2  # and the broken one
