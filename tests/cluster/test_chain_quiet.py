"""When something is recorded: once it is quiet, as part of what belongs to it, and never twice."""

from __future__ import annotations

import msgspec
import pytest

from tests.cluster.chain import INTERVAL, SETTLE, Chain, NewChain, Pushed, StoreKind
from tests.controlplane.cluster import CHARTS, CommandError
from tests.controlplane.plane import ControlPlane

WEB, BATCH, BARE = (str(CHARTS / name) for name in ("web", "batch", "bare"))
TEST = "default/test"


async def install(chain: Chain, chart: str, *args: str, name: str = "test") -> None:
    """An install that has settled, is recorded, told, and not news any more."""
    chain.plane.helm("install", name, chart, *args)
    chain.plane.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1


async def is_silent(chain: Chain) -> bool:
    """Whether nothing was recorded or pushed since it was last asked for."""
    return (await chain.commits(), chain.pushes()) == ([], [])


def pods(plane: ControlPlane) -> set[str]:
    return {one["metadata"]["name"] for one in plane.get("pods")}


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_an_unchanged_cluster_makes_no_commit_no_push_and_no_write_but_the_status_timestamp(
    new_chain: NewChain, store: StoreKind
) -> None:
    chain = await new_chain(store=store)
    await install(chain, WEB)
    await install(chain, BATCH, name="jobs")
    before, stored, mark = await chain.status(), chain.stored(), chain.plane.mark()
    for _ in range(3):
        chain.clock.advance(SETTLE)
        await chain.look()
    chain.clock.advance(INTERVAL)
    await chain.look()
    after = await chain.status_after(before)
    assert after == msgspec.structs.replace(before, lastReconcileTimestamp=after.lastReconcileTimestamp)
    writes = [one for one in chain.asked(mark) if one.verb not in ("get", "list", "watch")]
    assert [(one.verb, one.resource) for one in writes] == [("patch", "hosstedprojects/status")]
    assert await is_silent(chain)
    assert chain.stored() == stored


async def test_a_replaced_pod_makes_no_commit_of_its_own_and_is_in_the_next(chain: Chain) -> None:
    plane = chain.plane
    await install(chain, WEB)
    (gone, *_) = sorted(pods(plane))
    plane.kubectl("delete", "pod", gone)
    plane.rolled_out()
    await chain.wait(INTERVAL)
    assert await is_silent(chain)
    assert gone in {pod.name for pod in chain.recorded(TEST).app_info.pod_info}
    plane.kubectl("patch", "service", "test-web", "--type=json", "-p", NEW_PORT)
    await chain.settle()
    (commit,) = await chain.commits()
    assert commit.subject == "change default/test: service test-web: new port 8080"
    assert f"pod {gone} (shop/web:2.4.0) gone" in commit.body
    assert {pod.name for pod in chain.recorded(TEST).app_info.pod_info} == pods(plane)


NEW_PORT = '[{"op": "add", "path": "/spec/ports/-", "value": {"name": "extra", "port": 8080}}]'


async def test_pods_of_jobs_and_cron_jobs_come_and_go_without_a_commit_and_are_in_the_next(
    chain: Chain,
) -> None:
    plane = chain.plane
    await install(chain, BATCH)
    plane.kubectl("create", "job", "first", "--from=cronjob/test-backup")
    plane.rolled_out()
    await chain.wait(INTERVAL)
    plane.kubectl("delete", "job", "first", "test-load-1")
    plane.kubectl("create", "job", "second", "--from=cronjob/test-backup")
    plane.rolled_out()
    result = await chain.wait(INTERVAL)
    assert await is_silent(chain)
    assert result.inventory is not None
    (seen,) = result.inventory.apps.values()
    assert [pod.name.rpartition("-")[0] for pod in seen.app_info.pod_info] == ["second"]
    plane.helm("upgrade", "test", BATCH)
    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["upgrade default/test: batch 0.5.1, revision 1 → 2"]
    told = [pod["name"].rpartition("-")[0] for pod in chain.emitted(TEST)["pod_info"]]
    assert told == ["second", "test-load-2"]


async def test_an_install_is_told_once_and_with_its_pods(chain: Chain) -> None:
    chain.plane.helm("install", "test", WEB)
    result = await chain.look()
    assert await is_silent(chain)
    assert [str(key) for key in result.waiting] == [TEST]
    chain.plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["install default/test: web 1.0.0"]
    assert chain.pushes() == [Pushed(TEST, 1, "deployed")]
    told = chain.emitted(TEST)
    assert {pod["name"] for pod in told["pod_info"]} == pods(chain.plane)
    assert [pod["status"] for pod in told["pod_info"]] == ["Running"] * 4


@pytest.mark.parametrize(("store", "restart"), [("git", False), ("configmap", True)])
async def test_an_image_pull_of_minutes_is_recorded_as_it_stands_and_its_end_once_more_and_never_again(
    new_chain: NewChain, store: StoreKind, restart: bool
) -> None:
    chain = await new_chain(store=store)
    plane = chain.plane
    plane.helm("install", "test", WEB, "--set", "hold=true")
    plane.wait(lambda: len(pods(plane)) == 2, "the pods")
    result = await chain.wait(11 * SETTLE)
    assert await is_silent(chain)
    assert {str(key): why for key, why in result.waiting.items()} == {TEST: "a pod is Pending"}
    await chain.wait(2 * SETTLE)
    assert await chain.subjects() == ["install default/test: web 1.0.0"]
    assert chain.pushes() == [Pushed(TEST, 1, "deployed")]
    assert {pod["status"] for pod in chain.emitted(TEST)["pod_info"]} == {"Pending"}
    await chain.wait(INTERVAL)
    assert await is_silent(chain)
    if restart:
        await chain.restart()
    plane.finish_image_pulls()
    plane.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["change default/test: 2 pods Pending → Running"]
    assert chain.pushes() == [Pushed(TEST, 1, "deployed")]
    assert {pod["status"] for pod in chain.emitted(TEST)["pod_info"]} == {"Running"}
    plane.kubectl("delete", "pods", "--all")
    plane.wait(lambda: len(pods(plane)) == 2, "other pods")
    plane.finish_image_pulls()
    plane.rolled_out()
    if restart:
        await chain.restart()
    await chain.wait(INTERVAL)
    assert await is_silent(chain)


async def test_revisions_that_came_and_went_between_two_looks_are_named_in_the_commit(chain: Chain) -> None:
    helm = chain.plane.helm
    await install(chain, BARE)
    helm("upgrade", "test", BARE)
    with pytest.raises(CommandError):
        helm("upgrade", "test", BARE, "--set", "replicas=nonsense")
    helm("upgrade", "test", BARE)
    chain.plane.rolled_out()
    await chain.settle()
    (commit,) = await chain.commits()
    assert commit.subject == "upgrade default/test: bare 0.1.0, revision 1 → 4"
    assert "revisions 2 (superseded) and 3 (failed) came and went unseen" in commit.body.splitlines()
    assert chain.pushes() == [Pushed(TEST, 4, "deployed")]
