"""A cluster that is reflected is at any time what a fresh look at it says, and costs next to nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.inventory.fold import fold
from reconciler.inventory.inventory import Inventory
from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Kind, Look
from reconciler.inventory.watched import WatchedSource
from reconciler.kube.client import Client
from reconciler.model import AppKey, PolicyInEffect
from tests.builders import CLUSTER_UUID
from tests.cluster.test_collect import DENY_SYSTEM, grant, install, namespace, role, secret
from tests.controlplane.audit import AuditEvent
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

KINDS = 14
WEB = AppKey("default", "web")


class Watching:
    """A source that runs, and one that looks afresh to compare it with."""

    def __init__(self, kubeconfig: Path) -> None:
        self.at = datetime(2026, 11, 21, 12, tzinfo=UTC)
        self._clients = [Client.connect(kubeconfig=kubeconfig) for _ in range(2)]
        self.source = WatchedSource(self._clients[0], lambda: self.at)
        self._fresh = LiveSource(self._clients[1])
        self._task = asyncio.create_task(self.source.run())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for client in self._clients:
            client.close()

    async def seen(self, policy: PolicyInEffect = DENY_SYSTEM) -> Inventory:
        """What it has now."""
        return folded(await self.source.look(policy), policy)

    async def agreed(self, policy: PolicyInEffect = DENY_SYSTEM) -> Inventory:
        """What it has when that is what a fresh look says; it never is if events were lost.

        The fresh one comes second: what it has more is told of when it arrives, where nothing would tell
        again of what only the first has.
        """
        async with asyncio.timeout(60):
            while True:
                self.source.changed.clear()
                seen, fresh = await self.seen(policy), folded(await self._fresh.look(policy), policy)
                if seen == fresh:
                    return seen
                await self.source.changed.wait()


def asked(plane: ControlPlane, mark: int) -> list[AuditEvent]:
    """What was asked for since then; a watch is noted whenever it has begun."""
    requests = plane.api_requests(mark, user_agent="hossted-reconciler")
    return [one for one in requests if one.verb != "watch"]


def folded(look: Look, policy: PolicyInEffect) -> Inventory:
    return fold(look, cluster_uuid=CLUSTER_UUID, policy=policy, adopted={}, previous={})


@pytest.fixture
def plane(fresh_cluster: ControlPlane) -> ControlPlane:
    return fresh_cluster


@pytest.fixture
async def watching(plane: ControlPlane) -> AsyncIterator[Watching]:
    found = Watching(plane.kubeconfig)
    yield found
    await found.close()


@pytest.fixture
async def watched_by(plane: ControlPlane) -> AsyncIterator[Callable[[Path], Watching]]:
    """Watches as another user."""
    started: list[Watching] = []

    def start(kubeconfig: Path) -> Watching:
        started.append(Watching(kubeconfig))
        return started[-1]

    yield start
    for each in started:
        await each.close()


async def test_everything_that_helm_does_is_seen(plane: ControlPlane, watching: Watching) -> None:
    assert (await watching.agreed()).apps == {}
    install(plane, "web", "web")
    install(plane, "db", driver="configmap")
    plane.rolled_out()
    assert set((await watching.agreed()).apps) == {WEB, AppKey("default", "db")}
    plane.helm("upgrade", "web", str(CHARTS / "web"), "--set", "replicas=3")
    plane.rolled_out()
    assert (await watching.agreed()).apps[WEB].helm.revision == 2
    plane.helm("rollback", "web", "1")
    plane.rolled_out()
    assert (await watching.agreed()).apps[WEB].record.rolled_back_to == 1
    plane.helm("uninstall", "web", "--keep-history")
    plane.helm("uninstall", "db", driver="configmap")
    plane.wait(lambda: not plane.get("pods"), "the pods being gone")
    last = await watching.agreed()
    assert (set(last.apps), set(last.kept)) == (set(), {WEB})


async def test_a_look_at_what_is_reflected_asks_for_nothing(plane: ControlPlane, watching: Watching) -> None:
    install(plane, "web", "web")
    plane.rolled_out()
    await watching.agreed()
    mark = plane.mark()
    for _ in range(20):
        assert WEB in (await watching.seen()).apps
    assert asked(plane, mark) == []


async def test_each_kind_is_listed_and_watched_once_and_each_newest_body_read_once(
    plane: ControlPlane,
) -> None:
    install(plane, "web", "web")
    plane.helm("upgrade", "web", str(CHARTS / "web"))
    plane.rolled_out()
    mark = plane.mark()
    watching = Watching(plane.kubeconfig)
    try:
        await watching.seen()
        requests = asked(plane, mark)
        assert Counter(one.verb for one in requests if one.resource) == {"list": KINDS, "get": 1}
        routes = ["/apis", "/apis/gateway.networking.k8s.io/v1"]
        assert sorted(one.path for one in requests if not one.resource) == sorted(2 * routes)
        mark = plane.mark()
        plane.helm("upgrade", "web", str(CHARTS / "web"))
        while (await watching.seen()).apps[WEB].helm.revision != 3 or (await watching.seen()).in_transit:
            watching.source.changed.clear()
            await watching.source.changed.wait()
        # Kinds that are not served are asked for again by discovery, ever more seldom.
        assert {one.name for one in asked(plane, mark) if one.resource} == {"sh.helm.release.v1.web.v3"}
    finally:
        await watching.close()


async def test_what_becomes_denied_is_let_go_and_what_is_allowed_again_is_seen(
    plane: ControlPlane, watching: Watching
) -> None:
    namespace(plane, "shop")
    install(plane, "web", namespace="shop")
    install(plane, "web")
    there = AppKey("shop", "web")
    assert set((await watching.agreed()).apps) == {WEB, there}
    for denied in ("shop", "sh*"):
        policy = PolicyInEffect(denyNamespaces=("kube-*", denied))
        assert set((await watching.agreed(policy)).apps) == {WEB}
        assert set((await watching.agreed()).apps) == {WEB, there}


async def test_what_rests_has_no_watches_and_begins_anew(plane: ControlPlane, watching: Watching) -> None:
    install(plane, "web")
    await watching.agreed()
    watching.source.rest()
    install(plane, "db")
    mark = plane.mark()
    install(plane, "files")
    assert plane.api_requests(mark, user_agent="hossted-reconciler") == []
    assert len((await watching.agreed()).apps) == 3


async def test_the_uuid_secret_counts_as_soon_as_it_is_there(plane: ControlPlane, watching: Watching) -> None:
    plane.apply(secret("uuid", uuid="first"))
    install(plane, "web")
    assert (await watching.agreed()).apps[WEB].app_uuid == "A-first"
    plane.apply(secret("uuid", uuid="second"))
    assert (await watching.agreed()).apps[WEB].app_uuid == "A-second"
    plane.kubectl("delete", "secret", "uuid")
    assert not (await watching.agreed()).apps[WEB].app_api_info.hossted_helm


async def test_a_body_that_cannot_be_read_is_said_and_read_when_it_changes(
    plane: ControlPlane, watching: Watching
) -> None:
    install(plane, "web")
    install(plane, "db")
    await watching.agreed()
    name = "sh.helm.release.v1.web.v1"
    whole = plane.get("secret", name)
    plane.kubectl("delete", "secret", name)
    broken: dict[str, Any] = {**whole, "data": {"release": "bm90IGd6aXA="}}
    broken["metadata"] = {key: whole["metadata"][key] for key in ("name", "namespace", "labels")}
    plane.apply(broken)
    seen = await watching.agreed()
    assert (set(seen.unreadable), set(seen.apps)) == ({WEB}, {AppKey("default", "db")})
    plane.kubectl("delete", "secret", name)
    plane.apply({**whole, "metadata": broken["metadata"]})
    assert WEB in (await watching.agreed()).apps


EVERYTHING = (
    *("namespaces", "secrets", "configmaps", "pods", "services", "persistentvolumeclaims", "ingresses"),
    *("replicasets", "deployments", "statefulsets", "daemonsets", "jobs", "cronjobs"),
)
WATCH = ("get", "list", "watch")


async def test_a_kind_that_may_not_be_read_is_a_gap_and_the_rest_goes_on(
    plane: ControlPlane, watched_by: Callable[[Path], Watching]
) -> None:
    watching = watched_by(role(plane, "half", *(each for each in EVERYTHING if each != "pods"), verbs=WATCH))
    install(plane, "web", "web")
    plane.rolled_out()
    look = await watching.source.look(DENY_SYSTEM)
    assert [(gap.kind, gap.forbidden) for gap in look.gaps] == [(Kind.PODS, True)]
    app = (await watching.agreed()).apps[WEB]
    assert app.app_info.pod_info == ()
    assert app.app_info.service_info
    mark = plane.mark()
    await watching.seen()
    # Its reflector asks whether the permission has come, first soon and then ever more seldom.
    assert [one for one in asked(plane, mark) if one.resource != "pods"] == []


async def test_a_kind_that_may_be_read_in_some_namespaces_is_listed_there(
    plane: ControlPlane, watched_by: Callable[[Path], Watching]
) -> None:
    kubeconfig = role(plane, "some", *(each for each in EVERYTHING if each != "pods"), verbs=WATCH)
    grant(plane, "some", "pods", namespaces=("default",))
    watching = watched_by(kubeconfig)
    namespace(plane, "shop")
    install(plane, "web", "web")
    install(plane, "web", "web", namespace="shop")
    plane.rolled_out()
    plane.rolled_out("shop")
    seen = await watching.agreed()
    assert seen.apps[WEB].app_info.pod_info
    assert not seen.apps[AppKey("shop", "web")].app_info.pod_info


async def test_who_may_list_and_not_watch_has_the_looks_that_lists_give(
    plane: ControlPlane, watched_by: Callable[[Path], Watching]
) -> None:
    watching = watched_by(role(plane, "lists", *EVERYTHING))
    install(plane, "web", "web")
    plane.rolled_out()
    look = await watching.source.look(DENY_SYSTEM)
    assert look.gaps == ()
    assert (await watching.agreed()).apps[WEB].app_info.pod_info
