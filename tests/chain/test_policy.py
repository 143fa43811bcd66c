"""Denied namespaces, stop and resume, and the times in which nobody looked."""

import asyncio
from datetime import timedelta

import pytest

from reconciler.operator.gaps import Gaps, text
from reconciler.project import Duration, PushSpec
from tests.chain.gateway import SILENT, Gateway
from tests.chain.world import World


@pytest.fixture
async def running(either: World) -> World:
    """Two apps in shop and one in ops, recorded and told."""
    either.cluster.install("shop/web", "shop/db", "ops/other")
    await either.converge()
    return either


async def deny(world: World, *namespaces: str) -> int:
    """Deny these and no others; how much has been told."""
    world.spec(deny_namespaces=namespaces)
    await world.converge()
    return len(world.told)


async def test_a_namespace_that_becomes_denied_leaves_in_one_commit_that_says_so_and_is_not_told_uninstalled(
    running: World,
) -> None:
    world = running
    before = (await world.disk.ledger().load()).entries
    told = await deny(world, "shop")
    assert (await world.subjects())[1:] == ["deny shop: 2 apps leave the record"]
    assert told == 3
    assert {str(key) for key in (await world.tip()).snapshot.apps} == {"ops/other"}
    assert (await world.disk.ledger().load()).entries == before, "its entries stay"
    assert world.said("Delivered") == world.said("Ready") == "True UpToDate"
    assert world.project.status.summary is not None
    assert world.project.status.summary.pending == 0


async def test_allowed_again_its_apps_come_back_and_only_what_changed_is_told(running: World) -> None:
    world = running
    told = await deny(world, "sh*")
    world.cluster.upgrade("shop/web")
    world.cluster.install("shop/new")
    await world.converge()
    assert len(world.told) == told
    await deny(world)
    assert (await world.subjects())[2:] == ["allow sh* again: 3 apps return to the record"]
    assert sorted(world.told[told:]) == ["shop/new 1 deployed", "shop/web 2 deployed"]
    await world.check()


async def test_uninstalled_while_denied_it_is_told_uninstalled_only_when_allowed_again(
    running: World,
) -> None:
    world = running
    told = await deny(world, "shop")
    world.cluster.uninstall("shop/web")
    await world.start()
    await world.converge()
    assert len(world.told) == told
    await deny(world)
    assert world.told[told:] == ["shop/web 1 uninstalled"]
    await world.check()


async def test_what_was_in_doubt_when_its_namespace_was_denied_is_told_when_it_is_allowed(
    running: World,
) -> None:
    world = running
    world.cluster.upgrade("shop/web")
    world.receiver.fail("lost:2")  # on the connection that was there, and on a new one
    await world.step()
    world.clock.advance(600)
    told = await deny(world, "shop")
    await world.start()
    await world.converge()
    assert len(world.told) == told == 5
    await deny(world)
    assert world.told[told:] == ["shop/web 2 deployed"]
    assert len(world.repeated()) == 1
    await world.check()


async def stop(world: World) -> None:
    world.spec(stop=True)
    await world.converge()


async def test_stop_makes_one_commit_and_then_nothing_is_listed_recorded_or_pushed(running: World) -> None:
    world = running
    await stop(world)
    subjects = await world.subjects()
    assert subjects[1:] == ["stop: nothing of the cluster is recorded or pushed"]
    world.cluster.upgrade("shop/web")
    world.faults.names.clear()
    for _ in range(3):
        await world.converge()
    await world.start()
    await world.converge()
    assert "look" not in world.faults.names
    assert "append" not in world.faults.names
    assert "push" not in world.faults.names
    assert await world.subjects() == subjects
    assert world.said("Ready") == "True Stopped"
    assert world.said("Collected") == world.said("Delivered") == "False Stopped"


async def test_resumed_it_catches_up_with_one_comparison_and_tells_the_time_that_it_was_stopped(
    running: World,
) -> None:
    world = running
    await stop(world)
    since = (await world.tip()).revision.recorded
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    world.clock.advance(3600)
    world.spec(stop=False)
    await world.converge()
    await world.check()
    tip = await world.tip()
    assert len(await world.revisions()) == 3
    assert tip.revision.message.subject.startswith("resume: the cluster is recorded and pushed again")
    assert tip.revision.message.trailer("Gap") == text(since, tip.revision.recorded, "stopped")
    assert sorted(world.told[3:]) == ["shop/db 1 uninstalled", "shop/web 2 deployed"]


async def test_what_was_in_flight_when_it_was_stopped_is_still_acknowledged(
    through: World, door: Gateway
) -> None:
    world = through
    world.cluster.install("shop/web")
    await door.set(SILENT)
    await world.look()
    delivering = asyncio.create_task(world.deliver())
    await door.waiting.wait()
    world.spec(stop=True)
    await world.look()
    assert world.said("Delivered") == "False Stopped"
    await door.answer_those_waiting()
    await delivering
    (entry,) = (await world.disk.ledger().load()).entries.values()
    assert entry.sending is None
    assert entry.acked is not None


async def test_a_project_that_is_stopped_from_the_start_records_and_tells_nothing(either: World) -> None:
    world = either
    world.cluster.install("shop/web")
    world.spec(stop=True)
    await world.converge()
    assert world.told == []
    assert world.said("Ready") == "True Stopped"
    world.spec(stop=False)
    await world.converge()
    await world.check()


async def test_the_time_in_which_no_reconciler_ran_is_told_by_the_next_commit_whoever_makes_it(
    running: World,
) -> None:
    world = running
    down = world.clock.now()
    world.clock.advance(7200)
    up = world.clock.now()
    await world.start(Gaps.after(down, up, timedelta(minutes=1)))
    await world.converge()
    assert len(await world.revisions()) == 1, "a gap alone is no reason for a commit"
    await world.start()  # another leadership: the ledger has kept it
    world.cluster.upgrade("shop/web")
    await world.converge()
    world.cluster.upgrade("shop/web")
    await world.converge()
    gaps = [revision.message.trailer("Gap") for revision in await world.revisions()]
    assert gaps == ["", text(down, up, "down"), ""]


async def test_looks_that_failed_for_longer_than_an_interval_are_a_gap(running: World) -> None:
    world = running
    await world.look()
    since = world.clock.now()
    world.cluster.away = True
    world.cluster.upgrade("shop/web")
    for _ in range(3):
        await world.step()
        assert world.said("Collected") == "False KubernetesUnavailable"
        assert world.said("Recorded").split()[0] == "True"
        world.clock.advance(600)
    world.cluster.away = False
    await world.converge()
    gap = (await world.tip()).revision.message.trailer("Gap")
    assert gap.startswith(text(since, since, "")[:20])
    assert gap.endswith(" unreadable")
    await world.check()


async def test_never_pushes_nothing_and_its_end_pushes_what_differs(running: World) -> None:
    world = running
    world.spec(push=PushSpec(on="Never"))
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    await world.converge()
    assert len(world.told) == 3
    world.spec(push=PushSpec(on="HelmUpdate"))
    await world.converge()
    assert sorted(world.told[3:]) == ["shop/db 1 uninstalled", "shop/web 2 deployed"]
    await world.check()


@pytest.mark.parametrize(("on", "pushes"), [("HelmUpdate", 1), ("AnyChange", 2)])
async def test_an_image_changed_by_hand_is_recorded_and_told_as_push_on_says(
    on: str, pushes: int, in_configmaps: World
) -> None:
    world = in_configmaps
    world.spec(push=PushSpec(on=on))
    world.cluster.install("shop/web")
    await world.converge()
    world.cluster.change("shop/web", image="web:hand")
    await world.converge()
    assert len(await world.revisions()) == 2
    assert len(world.told) == pushes


async def test_an_install_is_told_with_its_pods_and_once(in_configmaps: World) -> None:
    world = in_configmaps
    world.spec(settle=Duration(seconds=5))
    world.cluster.install("shop/web", phase="Pending")
    await world.look()
    world.clock.advance(10)
    await world.step()
    assert world.told == []
    world.cluster.change("shop/web", phase="Running")
    await world.converge()
    assert world.told == ["shop/web 1 deployed"]
    assert world.requests[0][1]["app_info"]["pod_info"][0]["status"] == "Running"
    assert len(await world.revisions()) == 1


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "restarted in between"])
async def test_an_image_pull_of_minutes_is_recorded_as_it_stands_then_finished_and_told_once_more(
    restarted: bool, in_configmaps: World
) -> None:
    world = in_configmaps
    world.spec(settle=Duration(seconds=5))
    world.cluster.install("shop/db")
    await world.converge()
    world.cluster.install("shop/web", phase="Pending")
    await world.step()
    world.clock.advance(61)
    await world.step()
    assert world.told[1:] == ["shop/web 1 deployed"]
    if restarted:
        await world.start()
    world.cluster.change("shop/web", phase="Running")
    await world.converge()
    assert world.told[1:] == ["shop/web 1 deployed"] * 2
    assert len(await world.revisions()) == 3
    await world.check()


async def test_a_release_on_its_way_is_neither_recorded_nor_told_until_it_ends(in_configmaps: World) -> None:
    world = in_configmaps
    world.cluster.install("shop/web")
    await world.converge()
    world.cluster.upgrade("shop/web", status="pending-upgrade")
    await world.step()
    assert len(world.told) == len(await world.revisions()) == 1
    world.cluster.change("shop/web", status="deployed")
    await world.converge()
    assert world.told[1:] == ["shop/web 2 deployed"]
    assert len(await world.revisions()) == 2


async def test_one_app_that_is_on_its_way_does_not_keep_the_others_from_their_first_record(
    in_configmaps: World,
) -> None:
    world = in_configmaps
    world.cluster.install("shop/web")
    world.cluster.install("shop/slow")
    world.cluster.change("shop/slow", status="pending-install")
    await world.step()
    assert world.told == ["shop/web 1 deployed"]
    world.cluster.change("shop/slow", status="deployed")
    await world.converge()
    await world.check()
    assert await world.subjects() == ["record 1 app of the cluster", "install shop/slow: web 1.0.0"]


async def test_an_unchanged_cluster_makes_no_commit_no_push_and_writes_nothing_to_the_ledger(
    running: World,
) -> None:
    world = running
    await world.start()
    await world.converge()
    saved = world.disk.save()
    world.faults.names.clear()
    for _ in range(3):
        await world.converge()
        world.clock.advance(600)
    assert not {"append", "push", "write", "settle"} & set(world.faults.names)
    if isinstance(saved, dict):
        assert saved == world.disk.save()
