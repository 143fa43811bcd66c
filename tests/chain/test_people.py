"""People, and backups, change the record: it is put right in words, nothing of it is told, and no older state
than what was told before."""

import shutil
from typing import Any

import msgspec
import pytest

from reconciler.kube.configmaps import ConfigMap
from reconciler.operator.conditions import ATTENTION
from reconciler.project import Duration
from tests.chain.world import NAMESPACE, ConfigMapDisk, GitDisk, World
from tests.git.factory import commit_as_a_person, git


def git_of(world: World) -> GitDisk:
    assert isinstance(world.disk, GitDisk)
    return world.disk


def parts(world: World, kind: str) -> dict[str, ConfigMap]:
    """The ConfigMaps of the record whose names have this in them."""
    assert isinstance(world.disk, ConfigMapDisk)
    return {
        item.name: item
        for item in world.disk.items.items.values()
        if item.name.startswith("hossted-state") and kind in item.name
    }


def harm(world: World, app: str = "shop/web") -> None:
    """Somebody edits what is recorded of an app in git, or deletes the ConfigMap that it is in."""
    if isinstance(world.disk, GitDisk):
        path = f"clusters/{world.cluster_uuid}/{app}.yaml"
        text = git(world.disk.remote, "show", f"main:{path}")
        commit_as_a_person(world.disk.remote, {path: text.replace("revision:", "revision: 1")})
        return
    lose(world)


def lose(world: World) -> None:
    """The apps' ConfigMaps are deleted."""
    assert isinstance(world.disk, ConfigMapDisk)
    for name in parts(world, "-apps-"):
        del world.disk.items.items[NAMESPACE, name]


def saved_record(world: World) -> Any:
    """The record alone, as a backup would have it."""
    if isinstance(world.disk, GitDisk):
        return git(world.disk.remote, "rev-parse", "main").strip()
    return parts(world, "")


def restore_record(world: World, saved: Any) -> None:
    """An older record comes back, the ledger stays, and the clone of the newer one is gone."""
    if isinstance(world.disk, GitDisk):
        git(world.disk.remote, "update-ref", "refs/heads/main", saved)
        return
    assert isinstance(world.disk, ConfigMapDisk)
    world.disk.lose_store()
    for item in saved.values():
        world.disk.items.put(msgspec.structs.replace(item, uid=f"restored-{item.uid}"))


@pytest.fixture
async def running(either: World) -> World:
    """Two apps, recorded and told."""
    either.cluster.install("shop/web", "shop/db")
    await either.converge()
    return either


@pytest.fixture
async def kept(in_configmaps: World) -> World:
    in_configmaps.cluster.install("shop/web", "shop/db", "team/wiki")
    await in_configmaps.converge()
    return in_configmaps


async def test_what_a_person_edited_is_restored_by_a_commit_of_its_own_and_nothing_is_told(
    running: World,
) -> None:
    world = running
    before, told = await world.tip(), len(world.told)
    harm(world)
    await world.converge()
    after = await world.tip()
    assert after.revision.id != before.revision.id
    assert (after.snapshot.digest, after.repairs) == (before.snapshot.digest, ())
    assert after.revision.message.subject.startswith("restore ")
    assert after.revision.message.trailer("Snapshot") == before.snapshot.digest
    assert len(world.told) == told
    await world.check()


async def test_it_is_restored_once_for_each_edit_however_often_is_looked(running: World) -> None:
    world = running
    number = len(await world.revisions())
    for edits in range(1, 4):
        harm(world)
        await world.converge()
        await world.start()
        await world.converge()
        subjects = [s for s in await world.subjects() if s.startswith("restore ")]
        assert len(subjects) == edits
    people = 3 if isinstance(world.disk, GitDisk) else 0
    assert len(await world.revisions()) == number + 3 + people
    assert len(world.told) == 2


async def test_what_changed_meanwhile_is_the_subject_and_the_restored_a_paragraph(running: World) -> None:
    world = running
    harm(world)
    world.cluster.upgrade("shop/db")
    await world.converge()
    message = (await world.tip()).revision.message
    assert message.subject == "upgrade shop/db: web 1.0.0 → 1.1.0, revision 1 → 2"
    assert [line for line in message.body.splitlines() if line.startswith("restore ")]
    assert world.told[2:] == ["shop/db 2 deployed"]
    await world.check()


async def test_while_stopped_nothing_is_restored_and_it_is_when_resumed(running: World) -> None:
    world = running
    world.spec(stop=True)
    await world.step()
    number = len(await world.revisions())
    harm(world)
    people = 1 if isinstance(world.disk, GitDisk) else 0
    for _ in range(3):
        await world.step()
    assert len(await world.revisions()) == number + people
    assert world.said("Recorded") == f"True {ATTENTION}"
    assert "restored with the next commit" in world.conditions["Recorded"].message
    world.spec(stop=False)
    await world.converge()
    assert len(await world.revisions()) == number + people + 1
    message = (await world.tip()).revision.message
    assert message.subject.startswith("resume: ")
    assert "restore " in message.body
    assert world.said("Recorded") == "True UpToDate"
    assert len(world.told) == 2
    await world.check()


async def test_the_apps_of_a_lost_configmap_are_recorded_again_and_neither_installed_nor_uninstalled(
    kept: World,
) -> None:
    world = kept
    before = await world.tip()
    await world.stop()
    lose(world)
    await world.converge()
    after = await world.tip()
    assert after.snapshot.digest == before.snapshot.digest
    assert after.revision.message.subject == "3 apps recorded again"
    assert "install" not in after.revision.message.body
    assert len(world.told) == 3
    await world.check()


async def test_a_lost_app_without_an_api_is_recorded_again_by_what_helm_says(in_configmaps: World) -> None:
    world = in_configmaps
    world.url = ""
    world.cluster.install("shop/web")
    await world.converge()
    await world.stop()
    lose(world)
    world.cluster.install("shop/new")
    await world.converge()
    assert (await world.subjects())[-1] == "2 apps: 1 installed, 1 recorded again"


async def test_a_restoring_commit_waits_for_the_lost_apps_that_settle(in_configmaps: World) -> None:
    world = in_configmaps
    world.url = ""
    world.cluster.install("shop/web")
    await world.converge()
    await world.stop()
    lose(world)
    world.spec(settle=Duration(seconds=30))
    for _ in range(3):
        await world.step()
        world.clock.advance(1)
        assert len(await world.revisions()) == 1
    await world.converge()
    assert (await world.subjects())[1:] == ["record shop/web again: web 1.0.0"]


async def test_a_lost_app_that_is_on_its_way_is_recorded_as_it_was_told_last(kept: World) -> None:
    world = kept
    await world.stop()
    lose(world)
    world.cluster.upgrade("shop/web", status="pending-upgrade")
    await world.step()
    await world.step()
    tip = await world.tip()
    assert {str(key): app.helm.revision for key, app in tip.snapshot.apps.items()} == {
        "shop/db": 1, "shop/web": 1, "team/wiki": 1,
    }  # fmt: skip
    assert len(world.told) == 3
    world.cluster.change("shop/web", status="deployed")
    await world.converge()
    assert (await world.subjects())[-1] == "upgrade shop/web: web 1.0.0 → 1.1.0, revision 1 → 2"
    await world.check()


async def test_a_lost_app_that_is_gone_is_told_as_that_and_what_is_unseen_is_not(kept: World) -> None:
    world = kept
    await world.stop()
    lose(world)
    world.cluster.uninstall("shop/web")
    await world.converge()
    assert world.told[3:] == ["shop/web 1 uninstalled"]
    assert len((await world.tip()).snapshot.apps) == 2


async def older(world: World) -> Any:
    """The record as it was before an upgrade, an install and an uninstall that were told."""
    world.clock.advance(60)
    saved = saved_record(world)
    world.cluster.upgrade("shop/web")
    world.cluster.install("shop/new")
    world.cluster.uninstall("shop/db")
    world.clock.advance(60)
    await world.converge()
    await world.check()
    return saved


async def test_an_older_record_from_a_backup_is_made_up_for_and_nothing_is_told(running: World) -> None:
    world = running
    saved = await older(world)
    newest, told = await world.tip(), len(world.told)
    await world.stop()
    restore_record(world, saved)
    lose_clone(world)
    await world.converge()
    after = await world.tip()
    assert after.snapshot.digest == newest.snapshot.digest
    message = after.revision.message
    assert message.subject == "3 apps recorded again in shop"
    assert "record shop/web again: web 1.1.0, revision 2" in message.body
    assert "record again that shop/db is gone" in message.body
    assert "set back" in message.body
    assert len(world.told) == told
    await world.check()


async def test_while_apps_settle_no_older_state_of_a_record_that_came_back_is_told(running: World) -> None:
    world = running
    world.spec(settle=Duration(seconds=30))
    saved = await older(world)
    told = len(world.told)
    await world.stop()
    restore_record(world, saved)
    lose_clone(world)
    world.cluster.change("shop/web", image="web:by-hand", phase="Pending")
    for _ in range(5):
        await world.step()
        world.clock.advance(1)
        assert len(world.told) == told
        assert [app.helm.revision for app in (await world.tip()).snapshot.apps.values()] == [1, 2], (
            "as it was told last, at once"
        )
    world.cluster.change("shop/web", phase="Running")
    await world.converge()
    assert len(world.told) == told, "an image by hand is recorded, and not told"
    world.cluster.upgrade("shop/web")
    await world.converge()
    await world.check()


async def test_nothing_is_told_from_an_older_record_while_its_commit_has_to_wait(running: World) -> None:
    world = running
    world.cluster.install("team/wiki")
    await world.converge()
    world.spec(deny_namespaces=("team",))
    await world.converge()
    world.clock.advance(60)
    saved = saved_record(world)
    world.cluster.upgrade("shop/web")
    await world.converge()
    told = len(world.told)
    await world.stop()
    restore_record(world, saved)
    lose_clone(world)
    world.spec(deny_namespaces=(), settle=Duration(seconds=30))
    number = len(await world.revisions())
    for _ in range(4):
        await world.step()
        world.clock.advance(1)
        assert len(await world.revisions()) == number, "it waits for the app that is allowed again"
        assert len(world.told) == told
        assert world.said("Delivered") == "Unknown NotYet"
    await world.converge()
    assert len(world.told) == told
    assert (await world.subjects())[-1] == "2 apps: 1 recorded again, 1 allowed again"
    await world.check()


async def test_a_stop_leaves_no_older_record_behind(running: World) -> None:
    world = running
    saved = await older(world)
    told = len(world.told)
    await world.stop()
    restore_record(world, saved)
    lose_clone(world)
    world.spec(stop=True)
    await world.step()
    tip = await world.tip()
    assert tip.revision.message.subject.startswith("stop: ")
    assert "record shop/web again" in tip.revision.message.body
    world.spec(stop=False, settle=Duration(seconds=30))
    for _ in range(5):
        await world.step()
        world.clock.advance(1)
    assert len(world.told) == told
    await world.converge()
    await world.check()


async def test_a_lost_store_is_begun_anew_and_says_that_there_was_one(running: World) -> None:
    world = running
    before, told = await world.tip(), len(world.told)
    await world.stop()
    world.disk.lose_store()
    lose_clone(world)
    world.cluster.upgrade("shop/web", status="pending-upgrade")
    await world.step()
    await world.step()
    tip = await world.tip()
    assert tip.revision.message.subject == "record 2 apps of the cluster"
    assert f"There was a record here, up to revision {before.revision.id[:12]}" in tip.revision.message.body
    assert tip.snapshot.digest == before.snapshot.digest
    assert len(world.told) == told
    world.cluster.change("shop/web", status="deployed")
    await world.converge()
    await world.check()


def lose_clone(world: World) -> None:
    """Nothing remembers the newer record but the ledger."""
    if isinstance(world.disk, GitDisk):
        shutil.rmtree(world.disk.folder / "clone.git", ignore_errors=True)
