"""The store is away, other clusters write to it, a second writer does, a newer program did."""

import asyncio
import shutil
from pathlib import Path

import pytest

from reconciler.errors import StoreError
from reconciler.model import FORMAT
from reconciler.project import GitState
from tests.chain.faults import When
from tests.chain.world import GitDisk, World
from tests.git.factory import commit_as_a_person, git


def disk_of(world: World) -> GitDisk:
    assert isinstance(world.disk, GitDisk)
    return world.disk


@pytest.fixture
async def running(world: World) -> World:
    """Two apps, recorded and told."""
    world.cluster.install("shop/web", "shop/db")
    await world.converge()
    return world


async def test_while_the_store_is_away_pushes_wait_the_status_says_so_and_nothing_is_lost(
    running: World,
) -> None:
    world, disk = running, disk_of(running)
    away = disk.remote.rename(disk.folder / "moved.git")
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    world.cluster.install("shop/new")
    await world.step()
    assert len(world.told) == 2
    assert world.said("Recorded") == world.said("Ready") == "False RepositoryNotFound"
    assert world.said("Reconciling") == "True Retrying"
    assert world.said("Stalled") == ""
    assert world.said("Collected") == "True Complete"
    message = world.conditions["Recorded"].message
    assert "remote.git cannot be found" in message
    assert "\n" not in message
    away.rename(disk.remote)
    await world.converge()
    await world.check()
    assert (await world.subjects())[1:] == ["3 apps: 1 uninstalled, 1 installed, 1 upgraded"]
    assert len(world.told) == 5


async def test_what_was_recorded_before_the_store_went_away_is_still_told(running: World) -> None:
    world, disk = running, disk_of(running)
    world.receiver.fail("503:9")
    world.cluster.upgrade("shop/web")
    await world.step()
    world.receiver.heal()
    away = disk.remote.rename(disk.folder / "moved.git")
    world.cluster.upgrade("shop/db")
    world.clock.advance(600)
    await world.step()
    assert world.told[2:] == ["shop/web 2 deployed"]
    away.rename(disk.remote)
    await world.converge()
    await world.check()


async def test_what_is_gone_is_not_told_as_present_while_its_end_cannot_be_recorded(running: World) -> None:
    world, disk = running, disk_of(running)
    world.receiver.fail("503:9")
    world.cluster.upgrade("shop/web")
    await world.step()
    world.receiver.heal()
    away = disk.remote.rename(disk.folder / "moved.git")
    world.cluster.uninstall("shop/web")
    world.clock.advance(600)
    await world.step()
    assert len(world.told) == 2
    away.rename(disk.remote)
    await world.converge()
    await world.check()


@pytest.mark.parametrize("change", ["stop", "deny"])
async def test_stop_and_a_denied_namespace_hold_pushes_at_once_even_while_the_store_is_away(
    change: str, running: World
) -> None:
    world, disk = running, disk_of(running)
    world.receiver.fail("503:9")
    world.cluster.upgrade("shop/web")
    await world.step()
    world.receiver.heal()
    away = disk.remote.rename(disk.folder / "moved.git")
    world.spec(**({"stop": True} if change == "stop" else {"deny_namespaces": ("shop",)}))
    world.clock.advance(600)
    await world.step()
    assert len(world.told) == 2
    away.rename(disk.remote)
    await world.step()
    assert len(world.told) == 2


async def test_after_a_start_without_the_store_nothing_is_claimed_to_be_told(running: World) -> None:
    world, disk = running, disk_of(running)
    world.cluster.upgrade("shop/web")
    await world.start()
    away = disk.remote.rename(disk.folder / "moved.git")
    await world.look()
    assert world.said("Delivered") == "Unknown NotYet"
    assert world.said("Ready") == "False RepositoryNotFound"
    away.rename(disk.remote)
    await world.converge()
    await world.check()


async def test_a_store_that_may_not_be_written_says_so_and_nothing_is_pushed(running: World) -> None:
    world, disk = running, disk_of(running)
    hook = disk.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'this repository is read-only' >&2\nexit 1\n")
    hook.chmod(0o755)
    world.cluster.upgrade("shop/web")
    await world.step()
    assert world.said("Recorded") == "False WriteRefused"
    assert "this repository is read-only" in world.conditions["Recorded"].message
    assert len(world.told) == 2
    hook.unlink()
    await world.converge()
    await world.check()


async def test_other_clusters_that_write_to_the_same_branch_at_the_same_time_are_no_trouble(
    running: World, tmp_path: Path
) -> None:
    world = running
    others = []
    for number in range(2):
        folder = tmp_path / f"other-{number}"
        folder.mkdir()
        disk = GitDisk(folder)
        disk.state = GitState(url=f"file://{disk_of(world).remote}")
        other = World(disk, world.receiver, world.url)
        other.cluster.uid = f"kube-system-uid-{number}"
        others.append(other)
    everyone = [world, *others]
    for turn in range(3):
        for each in everyone:
            each.cluster.install(f"shop/app-{turn}")
        await asyncio.gather(*(each.converge() for each in everyone))
    for each in everyone:
        apps = len(each.cluster.releases)
        assert len((await each.tip()).snapshot.apps) == apps
        told = [app for (uuid, *_), app in world.receiver.apps.items() if uuid == each.cluster_uuid]
        assert len(told) == apps
        assert len(await each.subjects()) == (4 if each is world else 3)
        await each.stop()
    assert len({each.cluster_uuid for each in everyone}) == 3
    disk_of(world).check()


async def test_people_who_commit_to_the_same_branch_are_no_trouble(running: World) -> None:
    world = running
    world.cluster.upgrade("shop/web")
    commit_as_a_person(disk_of(world).remote, {"README.md": "ours"})
    await world.converge()
    await world.check()
    assert "README.md" in git(disk_of(world).remote, "ls-tree", "--name-only", "main")


async def second_writer(world: World, tmp_path: Path, starts: int = 100) -> str:
    """Another reconciler of the same cluster, with a ledger of its own, records and tells an upgrade."""
    folder = tmp_path / f"second-{starts}"
    folder.mkdir()
    disk = GitDisk(folder)
    disk.state = GitState(url=f"file://{disk_of(world).remote}")
    disk.file.write_bytes(disk_of(world).file.read_bytes())
    second = World(disk, world.receiver, world.url)
    second.starts = starts
    second.clock, second.cluster = world.clock, world.cluster
    await second.converge()
    await second.stop()
    return f"instance-{second.starts}"


async def test_a_second_writer_of_the_same_cluster_stops_us_until_a_person_accepts_it_once(
    running: World, tmp_path: Path
) -> None:
    world = running
    world.cluster.upgrade("shop/web")
    instance = await second_writer(world, tmp_path)
    told = len(world.told)
    world.cluster.upgrade("shop/db")
    await world.step()
    assert world.said("Stalled") == world.said("Recorded").replace("False", "True") == "True SecondWriter"
    message = world.conditions["Stalled"].message
    assert f"hossted.com/take-over={instance}" in message
    assert len(world.told) == told
    revisions = len(await world.revisions())
    await world.step()
    assert len(await world.revisions()) == revisions

    world.annotate(take_over=instance)
    await world.converge()
    await world.check()
    assert len(await world.revisions()) == revisions + 1

    world.cluster.upgrade("shop/web")
    other = await second_writer(world, tmp_path, starts=200)
    assert other != instance
    await world.step()
    assert world.said("Stalled") == "True SecondWriter", "once, not for ever"


async def test_what_the_other_writer_told_is_told_again_as_it_is_once_it_is_accepted(
    running: World, tmp_path: Path
) -> None:
    world = running
    before = world.cluster["shop/web"]
    world.cluster.upgrade("shop/web")
    instance = await second_writer(world, tmp_path)
    assert world.knows()["shop/web"] == "2 deployed"
    world.cluster.change("shop/web", **{name: getattr(before, name) for name in before.__struct_fields__})
    world.annotate(take_over=instance)
    await world.converge()
    await world.check()
    assert world.knows()["shop/web"] == "1 deployed"


async def test_a_store_of_a_newer_program_is_left_alone(running: World) -> None:
    world, disk = running, disk_of(running)
    path = f"clusters/{world.cluster_uuid}/cluster.yaml"
    text = git(disk.remote, "show", f"main:{path}")
    newer = text.replace(f"format: {FORMAT}\n", f"format: {FORMAT + 1}\n")
    said = f"Migrate\n\nCluster-UUID: {world.cluster_uuid}\nInstance: newer\nSnapshot: by other rules\n"
    tip = commit_as_a_person(disk.remote, {path: newer}, message=said)
    world.cluster.upgrade("shop/web")
    await world.step()
    assert world.said("Stalled") == "True UnknownFormat"
    assert git(disk.remote, "rev-parse", "main").strip() == tip
    assert len(world.told) == 2


async def test_the_clone_lost_is_made_again(running: World) -> None:
    world, disk = running, disk_of(running)
    world.cluster.upgrade("shop/web")
    await world.stop()
    shutil.rmtree(disk.folder / "clone.git")
    await world.converge()
    await world.check()


async def test_a_lost_answer_of_an_append_is_not_recorded_twice(either: World) -> None:
    world = either
    world.cluster.install("shop/web")
    await world.converge()
    world.cluster.upgrade("shop/web")
    world.faults.errors["append"] = (When.AFTER, StoreError("the connection broke"))
    await world.step()
    assert world.said("Ready") == "False StoreUnavailable"
    assert len(world.told) == 1
    world.faults.errors.clear()
    await world.converge()
    await world.check()
    assert len(await world.revisions()) == 2
