"""What a reflector misses is found by comparing versions, counted and repaired; and nothing else ever counts.

A real reflector tells its holder of everything, so the tests make holders that are deaf for a while.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest

from reconciler.inventory.held import Held
from reconciler.inventory.objects import Kind
from reconciler.inventory.ownership import Ref
from reconciler.kube.client import METADATA_A_PAGE
from reconciler.model import AppKey, PolicyInEffect
from tests.cluster.faulty_way import FaultyWay
from tests.cluster.test_collect import install, namespace, secret
from tests.cluster.test_gateway import CALLS, bring, told
from tests.cluster.test_watched import KINDS, WEB, Watching, asked
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

DB = AppKey("default", "db")


@pytest.fixture
def plane(fresh_cluster: ControlPlane) -> ControlPlane:
    return fresh_cluster


@pytest.fixture
async def watching(plane: ControlPlane) -> AsyncIterator[Watching]:
    found = Watching(plane.kubeconfig)
    yield found
    await found.close()


class Deafness:
    """While ``async with`` lasts no holder hears what its reflector tells; ``missed``: by kind, of which
    objects."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.missed: dict[Kind, set[Ref]] = {}
        self._told = asyncio.Event()
        self._context = monkeypatch.context()

    def __enter__(self) -> Self:
        patch = self._context.__enter__()

        def miss(held: Held[Any], item: Any, _: str) -> None:
            ref = held.place(item)
            self.missed.setdefault(ref.kind, set()).add(ref)
            self._told.set()

        patch.setattr(Held, "put", miss)
        patch.setattr(Held, "gone", miss)
        return self

    def __exit__(self, *error: Any) -> None:
        self._context.__exit__(*error)

    async def until(self, **least: int) -> None:
        """Wait until of so many objects of these kinds something was missed."""
        try:
            async with asyncio.timeout(120):
                while any(len(self.missed.get(Kind[kind], ())) < count for kind, count in least.items()):
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            pytest.fail(f"only these were told of: {self.missed}")


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> Deafness:
    return Deafness(monkeypatch)


async def do(plane: ControlPlane, what: str, *arguments: Any, **options: Any) -> None:
    """What blocks, beside everything."""
    await asyncio.to_thread(getattr(plane, what), *arguments, **options)


async def test_what_was_missed_is_found_counted_and_repaired(
    plane: ControlPlane, watching: Watching, deaf: Deafness, caplog: pytest.LogCaptureFixture
) -> None:
    plane.apply(secret("uuid", uuid="first"))
    install(plane, "web", "web")
    install(plane, "files", "network")
    plane.rolled_out()
    before = await watching.agreed()
    await watching.source.compare()
    assert watching.source.differences == 0
    with deaf:
        await do(plane, "helm", "upgrade", "web", str(CHARTS / "web"), "--set", "replicas=3")
        await do(plane, "helm", "install", "db", str(CHARTS / "tiny"), driver="configmap")
        await do(plane, "helm", "uninstall", "files")
        await do(plane, "apply", secret("uuid", uuid="second"))
        namespace(plane, "shop")
        await do(plane, "rolled_out")
        await deaf.until(RELEASE_SECRETS=3, RELEASE_CONFIGMAPS=1, UUID_SECRETS=1, NAMESPACES=1, PODS=1)
    assert await watching.seen() == before  # nothing of it is known
    await watching.source.compare()
    after = await watching.agreed()
    assert (set(after.apps), after.apps[WEB].helm.revision) == ({WEB, DB}, 2)
    assert after.apps[WEB].app_uuid == "A-second"
    assert after.apps[WEB].pods == 3
    assert 0 < watching.source.differences <= sum(map(len, deaf.missed.values()))
    said = Counter(record.name for record in caplog.records if record.levelname == "WARNING")
    assert said["reconciler.inventory.comparing"] >= 5
    look = await watching.source.look(PolicyInEffect())
    assert look.differences == watching.source.differences
    known = watching.source.differences
    await watching.source.compare()
    assert watching.source.differences == known


async def test_more_than_are_read_one_by_one_are_listed_again(
    plane: ControlPlane, watching: Watching, deaf: Deafness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.inventory.comparing.MOST_READ", 1)
    await watching.agreed()
    with deaf:
        for name in ("web", "db", "files"):
            await do(plane, "helm", "install", name, str(CHARTS / "tiny"))
        await deaf.until(RELEASE_SECRETS=3)
    mark = plane.mark()
    await watching.source.compare()
    assert len((await watching.agreed()).apps) == 3
    assert watching.source.differences >= 3
    asked_for = Counter(one.resource for one in asked(plane, mark) if one.verb == "list" and not one.name)
    assert asked_for["secrets"] > 2  # compared with, and listed again


async def test_while_nothing_is_missed_nothing_ever_differs(plane: ControlPlane, watching: Watching) -> None:
    """Comparisons all the time, while Helm works as it does in a minute."""
    comparisons = 0
    is_over = False
    await watching.agreed()

    async def compare() -> None:
        nonlocal comparisons
        while not is_over:
            await watching.source.compare()
            comparisons += 1

    async with asyncio.TaskGroup() as tasks:
        comparing = tasks.create_task(compare())
        for number in range(3):
            await do(plane, "helm", "install", "web", str(CHARTS / "web"), "--set", "replicas=2")
            await do(plane, "helm", "upgrade", "web", str(CHARTS / "web"), "--set", "replicas=4")
            await do(plane, "helm", "install", f"db-{number}", str(CHARTS / "tiny"), driver="configmap")
            await do(plane, "apply", secret("uuid", uuid=f"{number}"))
            await do(plane, "helm", "upgrade", "web", str(CHARTS / "web"), "--set", "replicas=1")
            await do(plane, "rolled_out")
            await do(plane, "helm", "rollback", "web", "1")
            await do(plane, "helm", "uninstall", "web")
            await do(plane, "kubectl", "delete", "secret", "uuid")
        is_over = True
        await comparing
    assert comparisons > 3
    assert watching.source.differences == 0
    await watching.agreed()
    await watching.source.compare()
    assert watching.source.differences == 0


async def test_connections_that_break_are_no_differences(plane: ControlPlane, tmp_path: Path) -> None:
    """What breaks is heard later, or listed again: neither is a change that was missed."""
    async with FaultyWay(plane, tmp_path) as way:
        watching = Watching(way.kubeconfig(plane.kubeconfig))
        await watching.agreed()

        async def helm_works() -> None:
            for number in range(2):
                await do(plane, "helm", "install", "web", str(CHARTS / "web"), "--set", "replicas=3")
                await do(plane, "helm", "upgrade", "web", str(CHARTS / "web"), "--set", "replicas=1")
                await do(plane, "helm", "install", f"db-{number}", str(CHARTS / "tiny"))
                await do(plane, "helm", "uninstall", "web")

        work = asyncio.create_task(helm_works())
        while not work.done():
            way.cut(0.3)
            await asyncio.wait({work}, timeout=0.5)  # some connections are there again by then
            await watching.source.compare()
        await work
        way.honest()
        await watching.agreed()
        await watching.source.compare()
        assert watching.source.differences == 0
        assert way.done["cut"] > 0
        await watching.close()


async def test_a_comparison_asks_for_a_list_of_each_kind_and_for_nothing_else(
    plane: ControlPlane, watching: Watching
) -> None:
    namespace(plane, "hidden")
    install(plane, "web", "web")
    install(plane, "web", "web", namespace="hidden")
    plane.rolled_out()
    plane.rolled_out("hidden")
    for denied in ("hidden", "hidd*"):  # by the server, and on arrival
        policy = PolicyInEffect(denyNamespaces=("kube-*", denied))
        assert set((await watching.agreed(policy)).apps) == {WEB}
        mark = plane.mark()
        await watching.source.compare()
        requests = asked(plane, mark)
        assert Counter(one.verb for one in requests) == {"list": KINDS}
        assert Counter(one.query.get("limit") for one in requests) == {str(METADATA_A_PAGE): KINDS}
    assert watching.source.differences == 0


async def test_it_is_done_a_little_more_often_than_once_an_interval(
    plane: ControlPlane, watching: Watching
) -> None:
    await watching.source.look(PolicyInEffect(interval="1h"))
    mark = plane.mark()
    await watching.source.look(PolicyInEffect(interval="1s"))
    await do(plane, "wait", lambda: len(asked(plane, mark)) >= 2 * KINDS, "two comparisons")
    assert {one.verb for one in asked(plane, mark)} == {"list"}


async def test_looks_do_not_wait_for_it(plane: ControlPlane, tmp_path: Path) -> None:
    install(plane, "web")
    async with FaultyWay(plane, tmp_path) as way:
        watching = Watching(way.kubeconfig(plane.kubeconfig))
        await watching.agreed()
        came, goes = way.hold(lambda one: one.kind == "pods" and not one.is_watch)
        comparing = asyncio.create_task(watching.source.compare())
        await came.wait()
        assert set((await watching.seen()).apps) == {WEB}
        assert not comparing.done()
        goes.set()
        await comparing
        await watching.close()


async def test_routes_of_the_gateway_api_are_compared_too(
    another_cluster: ControlPlane, deaf: Deafness
) -> None:
    plane = another_cluster
    bring(plane, "GRPCRoute")
    watching = Watching(plane.kubeconfig)
    try:
        install(plane, "web", "gateway")
        plane.rolled_out()
        assert CALLS in told((await watching.agreed()).apps[WEB])[0]
        patch = json.dumps({"spec": {"hostnames": ["other.example.com"]}})
        with deaf:
            await do(plane, "kubectl", "patch", "grpcroute", "web-calls", "--type=merge", "-p", patch)
            await deaf.until(GRPC_ROUTES=1)
        await watching.source.compare()
        (host,) = [
            one.domain for one in told((await watching.agreed()).apps[WEB])[0] if one.name == CALLS.name
        ]
        assert (host, watching.source.differences) == ("other.example.com", 1)
    finally:
        await watching.close()
