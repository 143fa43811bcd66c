"""Whatever becomes of its connections: the live view is in the end what a fresh list says, and nothing that
is there was ever said to be gone.

Each test does a fault to the way to the API server while Helm works, and looks all the time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest

from reconciler.errors import KubernetesError
from reconciler.kube import reflector, transport
from reconciler.kube.client import Client
from reconciler.model import AppKey
from tests.cluster.faulty_way import FaultyWay
from tests.cluster.test_collect import role
from tests.cluster.test_watched import EVERYTHING, WATCH
from tests.cluster.under_faults import UnderFaults
from tests.controlplane.plane import ControlPlane

WEB, DB = AppKey("default", "web"), AppKey("default", "db")


@pytest.fixture(scope="module")
def faulted_once(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    """A cluster of its own: others would notice that its API server is killed."""
    with controlplane.fork() as plane:
        yield plane


@pytest.fixture
def plane(faulted_once: ControlPlane) -> ControlPlane:
    faulted_once.reset()
    return faulted_once


@pytest.fixture
async def way(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[FaultyWay]:
    async with FaultyWay(plane, tmp_path) as way:
        yield way


New = Callable[..., Any]


@pytest.fixture
async def watch(plane: ControlPlane, way: FaultyWay) -> AsyncIterator[New]:
    """Begins to watch a cluster with two apps, until all of it was seen once."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> UnderFaults:
            found = await stack.enter_async_context(UnderFaults(plane, way, **options))
            await found.install("web", "web")
            await found.install("db")
            await found.until(lambda seen: seen.apps.keys() == {WEB, DB})
            return found

        yield start


async def helm_works(faults: UnderFaults) -> None:
    """What a cluster sees in a minute."""
    await faults.upgrade("web", "web", "default", "--set", "replicas=3")
    await faults.install("files", "network")
    await faults.uninstall("db")
    await faults.install("db")
    await faults.do("helm", "rollback", "web", "1")
    await faults.uninstall("files")


async def during(faults: UnderFaults, what: Callable[[], object], seed: int, fault: str, often: int) -> None:
    """Helm works, and after every third look, drawn, this is done, until the fault was so often."""
    random = Random(seed)
    faults.meanwhile = lambda: random.random() < 0.3 and what()
    await helm_works(faults)
    await faults.until(lambda _: faults.way.done[fault] > often)
    faults.meanwhile = lambda: None


async def test_connections_that_are_cut_at_random(way: FaultyWay, watch: New) -> None:
    faults = await watch()
    await during(faults, lambda: way.cut(0.5), 1, "cut", 10)
    await faults.is_right()


async def test_answers_that_break_after_some_bytes(way: FaultyWay, watch: New) -> None:
    faults = await watch()
    way.breaking = 4_000
    way.cut()
    await during(faults, lambda: way.cut(0.1), 2, "broken", 10)
    way.honest()
    await faults.is_right()


async def test_chunks_that_are_truncated(way: FaultyWay, watch: New) -> None:
    faults = await watch()
    await during(faults, way.truncate, 1, "truncated", 5)
    way.honest()
    await faults.is_right()


async def test_connections_that_stall_and_go_on(
    way: FaultyWay, watch: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = await watch()
    monkeypatch.setattr(transport, "READ_TIMEOUT", 1.0)
    monkeypatch.setattr(reflector, "SILENCE", 1.0)
    way.stall()
    way.cut()
    await helm_works(faults)
    await faults.until(lambda seen: seen.unproven)
    monkeypatch.undo()
    way.flow()
    await faults.is_right()


async def test_answers_that_are_late(way: FaultyWay, watch: New) -> None:
    faults = await watch()
    way.delay = 0.2
    await helm_works(faults)
    await faults.until(lambda _: way.done["delayed"] > 10)
    await faults.is_right()


async def test_watches_that_stay_open_and_bring_nothing(
    way: FaultyWay, watch: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = await watch()
    monkeypatch.setattr(reflector, "SILENCE", 3.0)
    watches = way.watches
    way.cut()
    await faults.until(lambda _: way.watches == watches)
    monkeypatch.undo()
    way.silence()
    await helm_works(faults)
    assert way.done["silenced"] > 10
    await faults.is_right()


async def test_watches_without_bookmarks(way: FaultyWay, watch: New, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "WATCH_SECONDS", 4)  # a bookmark comes two seconds before a watch ends
    monkeypatch.setattr(reflector, "LASTING", 1.0)
    way.bookmarks = False
    faults = await watch()
    await helm_works(faults)
    await faults.until(lambda _: way.done["without a bookmark"] > 10)
    monkeypatch.undo()
    await faults.is_right()


@pytest.mark.parametrize("in_watch", [True, False])
async def test_versions_that_are_forgotten(way: FaultyWay, watch: New, *, in_watch: bool) -> None:
    faults = await watch()
    way.lie(lambda asked: asked.is_watch, 410, times=1_000, in_watch=in_watch)
    await during(faults, lambda: way.cut(0.2), 3, "410 in a watch" if in_watch else "410", 20)
    way.honest()
    await faults.is_right()


@pytest.mark.parametrize("code", [404, 500, 503])
async def test_errors_in_the_middle_of_paging_and_of_watching(way: FaultyWay, watch: New, code: int) -> None:
    way.lie(lambda asked: asked.is_next_page, code, times=4)
    faults = await watch(page_size=1)
    way.lie(lambda asked: asked.is_next_page, code, times=20)
    way.lie(lambda asked: asked.is_watch, 410, times=14)
    way.lie(lambda _: True, code, times=20)
    way.cut()
    await helm_works(faults)
    told = (str(code), f"{code} in the middle of paging")
    await faults.until(lambda _: way.cut() and min(way.done[each] for each in told) > 10)
    way.honest()
    await faults.is_right()


async def test_continue_tokens_that_expire(plane: ControlPlane, way: FaultyWay, watch: New) -> None:
    """The real ones: what the second page is of is compacted, and a server that begins anew has no copy."""
    faults = await watch(page_size=1)
    came, go = way.hold(lambda asked: asked.is_next_page and asked.kind == "services")
    way.lie(lambda asked: asked.is_watch and asked.kind == "services", 410)
    way.cut()
    await came.wait()
    await helm_works(faults)
    await faults.do("restart_apiserver", plane.etcd.compact)
    before = way.codes[410]
    go.set()
    await faults.until(lambda _: way.codes[410] > before)
    await faults.is_right()


async def test_an_api_server_that_is_killed_and_has_forgotten_what_was(
    plane: ControlPlane, way: FaultyWay, watch: New
) -> None:
    faults = await watch()
    way.stall()
    await helm_works(faults)
    way.cut()
    restarting = asyncio.create_task(faults.do("restart_apiserver", plane.etcd.compact))
    way.flow()
    await restarting
    await faults.until(lambda _: way.codes[410] > 10)
    await faults.install("more")
    await faults.is_right()


async def test_a_token_that_is_replaced(plane: ControlPlane, way: FaultyWay, watch: New) -> None:
    kubeconfig = role(plane, "eye", *EVERYTHING, verbs=WATCH)
    ours = way.kubeconfig(kubeconfig)
    faults = await watch(client=Client.connect(kubeconfig=ours))
    old = json.loads(kubeconfig.read_text())["users"][0]["user"]["token"]
    plane.kubectl("delete", "serviceaccount", "eye")
    plane.kubectl("create", "serviceaccount", "eye")  # its rights are by name, its tokens by UID
    await faults.do("restart_apiserver")  # which remembers for a moment whose tokens are good
    way.cut()
    await faults.until(lambda seen: way.codes[401] > 10 and seen.unproven)
    await faults.install("more")
    assert way.kubeconfig(plane.kubeconfig_for("default", "eye")) == ours
    assert old not in ours.read_text()
    await helm_works(faults)
    await faults.is_right()


async def test_a_permission_that_is_taken_away_and_given_back(
    plane: ControlPlane, way: FaultyWay, watch: New, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "REFUSED_AGAIN", 2.0)
    kubeconfig = way.kubeconfig(role(plane, "eye", *EVERYTHING, verbs=WATCH))
    faults = await watch(client=Client.connect(kubeconfig=kubeconfig))
    await faults.do("kubectl", "delete", "clusterrolebinding", "eye-all")
    await faults.until(lambda _: way.cut() and way.codes[403] > 20)
    await faults.until(lambda seen: seen.unproven)
    await helm_works(faults)
    assert WEB in faults.last
    role(plane, "eye", *EVERYTHING, verbs=WATCH)
    await faults.is_right()


async def test_a_way_that_is_faulty_from_the_start(plane: ControlPlane, way: FaultyWay) -> None:
    """Nothing is known yet: nothing is gone, and nothing is complete."""
    for code in (500, 403, 404):
        way.lie(lambda _: True, code, times=1_000)
        async with UnderFaults(plane, way) as faults:
            seen = await faults.seen()
            assert not seen.is_gone(WEB)
            way.honest()
            await faults.install(f"after-{code}")
            await faults.is_right()
            await faults.uninstall(f"after-{code}")


async def test_a_client_that_was_refused_says_so(plane: ControlPlane, way: FaultyWay) -> None:
    token = json.loads(plane.kubeconfig.read_text())["users"][0]["user"]["token"]
    way.refused = frozenset({token})
    client = Client.connect(kubeconfig=way.kubeconfig(plane.kubeconfig))
    with pytest.raises(KubernetesError, match="a lie of 401"):
        await anext(client.watch("/api/v1/pods", bytes, {}, read_timeout=5))
