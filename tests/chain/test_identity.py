"""The same UUIDs as before, whatever is lost; and what the Secret ``uuid`` does to an app's."""

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from reconciler.inventory.app_uuid import derived
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.policy.identity import derived_cluster_uuid
from reconciler.project import GitState, HelmStatus, Status
from tests.chain.world import GitDisk, World
from tests.git.factory import commit_as_a_person, git

UPSTREAM = "K-8d2c8b8e-7f0e-4f7e-9d55-0f9d0c3a1b11"


def upstream(world: World, apps: int = 2) -> None:
    """The project has the status of an upstream operator, which drew its UUIDs at random."""
    names = [f"app-{number}" for number in range(apps)]
    world.cluster.install(*(f"shop/{name}" for name in names))
    status = Status(
        clusterUUID=UPSTREAM,
        helmStatus=tuple(HelmStatus(name=name, namespace="shop", appUUID=f"A-up-{name}") for name in names),
    )
    world.project = msgspec.structs.replace(world.project, status=status)


async def uuids(world: World) -> tuple[str, dict[str, str]]:
    """What the receiver was told last: the cluster's UUID, and each app's."""
    await world.converge()
    clusters = {uuid for uuid, _, _ in world.receiver.apps}
    assert len(clusters) == 1, "no app under two names"
    apps = {
        f"{where}/{name}": known.push["app_api_info"]["app_uuid"]
        for (_, where, name), known in world.receiver.apps.items()
        if known.push["app_info"]["helm_info"]["status"] != "uninstalled"
    }
    return clusters.pop(), apps


def lose_project(world: World) -> None:
    """Deleted and created again: the status is gone with it."""
    world.spec(first=True, settle=world.project.spec.settle)


LOSSES: dict[str, Callable[[World], None]] = {
    "the project": lose_project,
    "the ledger": lambda world: world.disk.lose_ledger(),
    "the store": lambda world: world.disk.lose_store(),
}
PAIRS = [pair for number in (1, 2) for pair in itertools.combinations(LOSSES, number)]


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "restarted"])
@pytest.mark.parametrize("lost", PAIRS, ids=" and ".join)
async def test_with_any_two_of_project_ledger_and_store_lost_the_uuids_are_the_same(
    lost: tuple[str, ...], restarted: bool, either: World
) -> None:
    world = either
    upstream(world)
    before = await uuids(world)
    assert before == (UPSTREAM, {"shop/app-0": "A-up-app-0", "shop/app-1": "A-up-app-1"})
    for each in lost:
        LOSSES[each](world)
    if restarted:
        await world.start()
    told = len(world.told)
    assert await uuids(world) == before
    if "the ledger" not in lost:
        assert len(world.told) == told
    await world.check()


async def test_with_everything_lost_the_derived_uuids_need_no_memory(either: World) -> None:
    world = either
    world.cluster.install("shop/web")
    before = await uuids(world)
    assert before[0] == derived_cluster_uuid(world.cluster.uid)
    for lose in LOSSES.values():
        lose(world)
    await world.start()
    assert await uuids(world) == before


async def test_all_201_app_uuids_of_an_upstream_status_go_on(in_configmaps: World) -> None:
    world = in_configmaps
    upstream(world, 201)
    cluster, apps = await uuids(world)
    assert cluster == UPSTREAM
    assert apps == {f"shop/app-{number}": f"A-up-app-{number}" for number in range(201)}
    await world.start()
    assert await uuids(world) == (cluster, apps)


async def test_an_adopted_uuid_outlives_the_app_and_the_ledger(either: World) -> None:
    world = either
    upstream(world)
    before = await uuids(world)
    world.cluster.uninstall("shop/app-0")
    await world.converge()
    world.disk.lose_ledger()
    await world.start()
    await world.converge()
    world.cluster.install("shop/app-0")
    assert await uuids(world) == before


async def test_adopted_uuids_are_in_the_ledger_before_the_first_status_write(in_configmaps: World) -> None:
    world = in_configmaps
    upstream(world)
    await world.look()
    assert world.project.status.kubeSystemUID == world.cluster.uid
    facts = (await world.disk.ledger().load()).facts
    assert facts.adopted == {"shop/app-0": "A-up-app-0", "shop/app-1": "A-up-app-1"}


@pytest.fixture
async def fleet(world: World, tmp_path: Path) -> list[World]:
    """Three clusters in one repository."""
    disk = world.disk
    assert isinstance(disk, GitDisk)
    worlds = [world]
    for number in range(2):
        folder = tmp_path / f"cluster-{number}"
        folder.mkdir()
        other_disk = GitDisk(folder)
        other_disk.state = GitState(url=f"file://{disk.remote}")
        other = World(other_disk, world.receiver, world.url)
        other.cluster.uid = f"kube-system-uid-{number}"
        worlds.append(other)
    for number, each in enumerate(worlds):
        each.cluster.install("shop/web", f"shop/only-{number}")
        await each.converge()
        await each.stop()
    return worlds


async def test_among_three_clusters_in_one_repository_each_finds_its_own_directory(
    fleet: list[World],
) -> None:
    before = [each.cluster_uuid for each in fleet]
    assert len(set(before)) == 3
    for each in fleet:
        told = len(each.told)
        lose_project(each)
        each.disk.lose_ledger()
        each.results.clear()
        await each.converge()
        assert len(each.told) == told + 2, "in doubt, so told again"
        assert len(await each.revisions()) == 1
        await each.stop()
    assert [each.cluster_uuid for each in fleet] == before


def write_directory(world: World, cluster_uuid: str, kube_system_uid: str) -> None:
    """Somebody copies our directory, or makes one, with that UID in it."""
    disk = world.disk
    assert isinstance(disk, GitDisk)
    path = f"clusters/{world.cluster_uuid}/cluster.yaml"
    text = git(disk.remote, "show", f"main:{path}").replace(world.cluster.uid, kube_system_uid)
    commit_as_a_person(disk.remote, {f"clusters/{cluster_uuid}/cluster.yaml": text})


async def test_a_directory_of_another_cluster_in_our_place_stalls_until_a_person_chooses(
    world: World,
) -> None:
    world.cluster.install("shop/web")
    await world.converge()
    ours = world.cluster_uuid
    write_directory(world, ours, "another-kube-system")
    lose_project(world)
    world.disk.lose_ledger()
    await world.start()
    await world.step()
    assert world.said("Stalled") == "True IdentityUnclear"
    assert f"hossted.com/cluster-uuid={ours}" in world.conditions["Stalled"].message
    assert len(world.told) == 1
    assert len(await world.revisions()) == 2
    world.annotate(cluster_uuid=ours)
    await world.converge()
    assert world.said("Stalled") == ""
    assert (await world.tip()).snapshot.cluster.kube_system_uid == world.cluster.uid
    world.annotate()
    await world.converge()
    await world.check()


@pytest.mark.parametrize("choice", ["to go on", "to start anew"])
async def test_a_cluster_rebuilt_under_an_old_project_stalls_until_a_person_chooses(
    choice: str, either: World
) -> None:
    world = either
    world.cluster.install("shop/web")
    await world.converge()
    before, told = world.cluster_uuid, len(world.told)
    world.cluster.uid = "rebuilt"
    await world.start()
    await world.step()
    assert world.said("Stalled") == "True IdentityUnclear"
    assert len(world.told) == told
    wanted = before if choice == "to go on" else derived_cluster_uuid("rebuilt")
    assert f"hossted.com/cluster-uuid={wanted}" in world.conditions["Stalled"].message
    world.annotate(cluster_uuid=wanted)
    await world.converge()
    assert world.cluster_uuid == wanted
    world.annotate()  # remembered
    await world.start()
    await world.converge()
    assert world.cluster_uuid == wanted


async def test_a_cluster_whose_uid_cannot_be_read_is_not_taken_for_another(either: World) -> None:
    world = either
    world.cluster.install("shop/web")
    uid, world.cluster.uid = world.cluster.uid, ""
    await world.step()
    assert world.said("Stalled") == ""
    assert world.said("Reconciling") == "True Retrying"
    assert world.told == []
    world.cluster.uid = uid
    await world.converge()
    assert world.cluster_uuid == derived_cluster_uuid(uid)


SECRET = "0d9771b2-42d2-4b32-bcac-41d0f65e261c"
WEB = AppKey("shop", "web")


def own(world: World) -> str:
    return derived(world.cluster_uuid, WEB)


def seen(world: World) -> list[tuple[str, str, bool]]:
    """What was told of shop/web: the app UUID, the status, hossted_helm."""
    return [
        (
            push["app_api_info"]["app_uuid"],
            push["app_info"]["helm_info"]["status"],
            push["app_api_info"]["hossted_helm"],
        )
        for _, push in world.requests
        if push["app_info"]["helm_info"]["name"] == "web"
    ]


@pytest.fixture
async def running(in_configmaps: World) -> World:
    in_configmaps.cluster.install("shop/web", "ops/other")
    await in_configmaps.converge()
    return in_configmaps


async def test_the_secret_appearing_and_changing_the_old_uuid_is_told_uninstalled_before_the_new_one(
    running: World,
) -> None:
    world = running
    world.cluster.uuid("shop", SECRET)
    await world.converge()
    world.cluster.uuid("shop", "another")
    await world.converge()
    world.cluster.secrets.clear()
    await world.converge()
    assert seen(world) == [
        (own(world), "deployed", False),
        (own(world), "uninstalled", False),
        (f"A-{SECRET}", "deployed", True),
        (f"A-{SECRET}", "uninstalled", True),
        ("A-another", "deployed", True),
        ("A-another", "uninstalled", True),
        (own(world), "deployed", False),
    ]
    assert len(await world.revisions()) == 4
    await world.check()


async def test_the_new_uuid_is_not_told_before_the_end_of_the_old_one_is_acknowledged(
    running: World,
) -> None:
    world = running
    world.cluster.uuid("shop", SECRET)
    world.receiver.fail("lost:9")
    for _ in range(3):
        await world.step()
        world.clock.advance(600)
    world.receiver.heal()
    assert {told[:2] for told in seen(world)[1:]} == {(own(world), "uninstalled")}
    await world.start()
    await world.converge()
    assert seen(world)[-1] == (f"A-{SECRET}", "deployed", True)
    await world.check()


async def test_a_uuid_that_came_and_went_unacknowledged_is_ended_too(running: World) -> None:
    world = running
    world.cluster.uuid("shop", SECRET)
    await world.step()
    world.cluster.uuid("shop", "another")
    world.receiver.fail("lost:2")  # the second is the same request at once again
    await world.step()  # the end of the first, received and not answered
    world.receiver.heal()
    world.cluster.uuid("shop", SECRET)
    world.clock.advance(600)
    await world.converge()
    assert seen(world)[-1] == (f"A-{SECRET}", "deployed", True)
    assert "A-another" not in {told[0] for told in seen(world)}
    await world.check()


UNUSABLE = {
    "unreadable": ("", "cannot be read: 403"),
    "rubbish": ("no uuid\nat all", ""),
    "empty": ("", ""),
}


@pytest.mark.parametrize("fault", UNUSABLE)
async def test_a_secret_that_cannot_be_used_changes_no_uuid_and_is_named(fault: str, running: World) -> None:
    world = running
    world.cluster.uuid("shop", SECRET)
    await world.converge()
    told, revisions = len(world.told), len(await world.revisions())
    world.cluster.uuid("shop", *UNUSABLE[fault])
    await world.converge()
    assert (len(world.told), len(await world.revisions())) == (told, revisions)
    assert world.said("Collected") == "False Partial"
    assert world.said("Ready") == "True Partial"
    message = world.conditions["Collected"].message
    assert message.startswith("Secret shop/uuid cannot be used: ")
    assert "no uuid" not in message
    world.cluster.upgrade("shop/web")
    await world.converge()
    assert seen(world)[-1] == (f"A-{SECRET}", "deployed", True)


async def test_secrets_that_cannot_be_listed_change_no_uuid(running: World) -> None:
    world = running
    world.cluster.uuid("shop", SECRET)
    await world.converge()
    world.cluster.gaps = (Gap(Kind.UUID_SECRETS, message="500"),)
    world.cluster.upgrade("shop/web")
    await world.start()
    await world.converge()
    assert seen(world)[-1] == (f"A-{SECRET}", "deployed", True)
    assert (own(world), "deployed", False) == seen(world)[0]


async def test_apps_that_share_a_uuid_are_told_apart(running: World) -> None:
    world = running
    world.cluster.install("shop/second")
    world.cluster.uuid("shop", SECRET)
    await world.converge()
    world.cluster.uninstall("shop/second")
    await world.converge()
    assert world.knows()["shop/web"] == "1 deployed"
    assert world.knows()["shop/second"] == "1 uninstalled"
    await world.check()
