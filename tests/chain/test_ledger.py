"""What was sent and not acknowledged, a ledger that is lost or older than it was, and another API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from examples.receiver.receiver import serving
from reconciler.project import PushSpec
from tests.chain.cluster import Release
from tests.chain.world import ConfigMapDisk, World
from tests.web.world import TOKEN, RecordingReceiver

Step = Callable[[World], None]
Deed = Callable[[World], Awaitable[object]]


async def settled(world: World) -> None:
    """All is told, so that nothing more is; the receiver is right."""
    await world.converge()
    await world.check()
    before = len(world.receiver.requests)
    await world.converge()
    assert len(world.receiver.requests) == before


async def unanswered(world: World) -> None:
    """What is to be told is received, and every answer lost."""
    world.receiver.fail("lost:20")
    await world.step()
    assert world.said("Delivered") == "False Pending"
    world.receiver.heal()


async def unheard(world: World) -> None:
    """What there is is recorded, and the API is away."""
    world.receiver.fail("503:20")
    await world.step()
    assert world.said("Recorded") == "True UpToDate"
    assert world.said("Delivered") == "False Pending"
    world.receiver.heal()


async def test_a_start_reads_the_ledger_once(either: World) -> None:
    either.cluster.install("shop/web")
    await settled(either)
    await either.start()
    either.faults.names.clear()
    await either.step()
    assert either.said("Recorded") == "True UpToDate"
    assert either.faults.names.count("load") == 1


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "restarted"])
async def test_b_sent_and_not_acknowledged_and_then_a_again_ends_with_the_receiver_on_a(
    restarted: bool, either: World
) -> None:
    world = either
    world.spec(push=PushSpec(on="AnyChange"))
    world.cluster.install("shop/web", image="web:a")
    await settled(world)
    world.cluster.change("shop/web", image="web:b")
    await unanswered(world)
    world.cluster.change("shop/web", image="web:a")
    if restarted:
        await world.start()
    await settled(world)
    images = [push["app_info"]["pod_info"][0]["image"] for _, push in world.requests]
    assert [images[0], images[-1]] == ["web:a", "web:a"]
    assert len({key for key, _ in world.requests}) == 3
    assert len(await world.revisions()) == 3


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "restarted"])
async def test_installed_sent_not_acknowledged_and_uninstalled_the_receiver_ends_on_uninstalled(
    restarted: bool, either: World
) -> None:
    world = either
    world.cluster.install("shop/web")
    await unanswered(world)
    assert world.knows() == {"shop/web": "1 deployed"}
    world.cluster.uninstall("shop/web")
    if restarted:
        await world.start()
    await settled(world)
    assert world.knows() == {"shop/web": "1 uninstalled"}


async def test_an_app_that_was_never_told_and_is_gone_again_is_never_told(either: World) -> None:
    world = either
    world.cluster.install("shop/db")
    await world.converge()
    world.cluster.install("shop/web")
    world.receiver.fail("away:9")
    await world.look()  # recorded, and not even tried
    world.receiver.heal()
    world.cluster.uninstall("shop/web")
    await settled(world)
    assert world.told == ["shop/db 1 deployed"]
    assert (await world.subjects())[1:] == ["install shop/web: web 1.0.0", "uninstall shop/web: web 1.0.0"]


def nothing(world: World) -> None:
    pass


def upgraded(world: World) -> None:
    world.cluster.upgrade("shop/web")


def uninstalled(world: World) -> None:
    world.cluster.uninstall("shop/web")


def renamed(world: World) -> None:
    world.cluster.uuid("shop", "0d9771b2")


CHANGES = [nothing, upgraded, uninstalled, renamed]


@pytest.mark.parametrize("then", CHANGES, ids=lambda step: f"then {step.__name__}")
@pytest.mark.parametrize("told", [unheard, unanswered], ids=lambda step: step.__name__)
@pytest.mark.parametrize("change", CHANGES[1:], ids=lambda step: step.__name__)
async def test_the_ledger_lost_at_any_moment_the_receiver_ends_right(
    change: Step, told: Deed, then: Step, in_configmaps: World
) -> None:
    world = in_configmaps
    world.cluster.install("shop/web", "shop/db", "ops/other")
    await settled(world)
    change(world)
    await told(world)
    await world.start()
    world.disk.lose_ledger()
    if (change, told, then) == (renamed, unheard, uninstalled):
        then = nothing  # see the next test
    if not (change is uninstalled and then in (upgraded, uninstalled)):
        then(world)
    await settled(world)


async def test_a_uuid_that_changed_unheard_the_ledger_lost_and_the_app_gone_is_beyond_us(
    in_configmaps: World,
) -> None:
    """The API knows the app under its old UUID, and nothing that is left says so: the record has the new
    one, under which it is ended. That is the limit; it would take the ledger to know better."""
    world = in_configmaps
    world.cluster.install("shop/web")
    await settled(world)
    old = world.requests[0][1]["app_api_info"]["app_uuid"]
    renamed(world)
    await unheard(world)
    await world.start()
    world.disk.lose_ledger()
    uninstalled(world)
    await world.converge()
    last = world.requests[-1][1]
    assert (last["app_api_info"]["app_uuid"], _status_of(last)) == ("A-0d9771b2", "uninstalled")
    (known,) = world.receiver.apps.values()
    assert (known.push["app_api_info"]["app_uuid"], _status_of(known.push)) == (old, "deployed")


def _status_of(push: Mapping[str, Any]) -> str:
    status: str = push["app_info"]["helm_info"]["status"]
    return status


@pytest.mark.parametrize("restarted", [False, True], ids=["under a running process", "restarted"])
async def test_the_ledger_file_deleted_after_an_uninstall_was_recorded_and_not_told_it_is_told(
    restarted: bool, world: World
) -> None:
    world.cluster.install("shop/web", "shop/db")
    await settled(world)
    world.cluster.uninstall("shop/web")
    await unheard(world)
    world.disk.lose_ledger()
    if restarted:
        await world.start()
    await settled(world)
    assert world.knows() == {"shop/db": "1 deployed", "shop/web": "1 uninstalled"}


async def test_the_ledger_lost_what_is_denied_is_still_not_told(either: World) -> None:
    world = either
    world.cluster.install("shop/web", "shop/db", "ops/other")
    await settled(world)
    world.spec(deny_namespaces=("ops",))
    await world.converge()
    world.disk.lose_ledger()
    before = len(world.told)
    await world.converge()
    assert not [told for told in world.told[before:] if told.startswith("ops/")]
    world.cluster.uninstall("ops/other")
    world.spec(deny_namespaces=())
    await settled(world)
    assert world.knows()["ops/other"] == "1 uninstalled"


SINCE: dict[str, tuple[Step, ...]] = {
    "nothing": (),
    "upgraded": (upgraded,),
    "upgraded and rolled back": (upgraded, lambda world: world.cluster.roll_back("shop/web", Release())),
    "uninstalled": (uninstalled,),
    "reinstalled": (uninstalled, lambda world: world.cluster.install("shop/web")),
    "uninstalled, reinstalled, uninstalled": (
        uninstalled,
        lambda world: world.cluster.install("shop/web"),
        uninstalled,
    ),
    "another app UUID": (renamed,),
    "another app UUID, and then none": (renamed, lambda world: world.cluster.secrets.clear()),
}


@pytest.mark.parametrize("last", [World.converge, unheard, unanswered], ids=["told", "unheard", "unanswered"])
@pytest.mark.parametrize("since", SINCE)
@pytest.mark.parametrize("at", [0, 1, 2], ids="of change {}".format)
async def test_a_ledger_restored_from_a_backup_the_receiver_ends_right(
    at: int, since: str, last: Deed, in_configmaps: World
) -> None:
    world, steps = in_configmaps, SINCE[since]
    disk = world.disk
    assert isinstance(disk, ConfigMapDisk)
    world.cluster.install("shop/web", "ops/other")
    await settled(world)
    backups = [disk.save()]
    for step in steps[:-1]:
        step(world)
        await settled(world)
        backups.append(disk.save())
    for step in steps[-1:]:
        step(world)
        await last(world)
    disk.restore_ledger(backups[min(at, len(backups) - 1)])
    await world.start()
    await settled(world)


async def test_back_to_what_an_old_ledger_says_the_receiver_ends_on_it(in_configmaps: World) -> None:
    world, disk = in_configmaps, in_configmaps.disk
    assert isinstance(disk, ConfigMapDisk)
    world.spec(push=PushSpec(on="AnyChange"))
    world.cluster.install("shop/web", image="web:a")
    await settled(world)
    backup = disk.save()
    world.cluster.change("shop/web", image="web:b")
    await settled(world)
    world.cluster.change("shop/web", image="web:a")
    await world.look()
    disk.restore_ledger(backup)
    await world.start()
    await settled(world)


async def test_another_endpoint_starts_empty_and_hears_everything_that_there_is(either: World) -> None:
    world = either
    world.cluster.install("shop/web", "shop/db")
    await settled(world)
    world.cluster.uninstall("shop/db")
    await settled(world)
    first = world.receiver
    other = RecordingReceiver()
    with serving(other, token=TOKEN) as url:
        world.url, world.receiver = url, other
        await world.start()
        await settled(world)
        assert world.told == ["shop/web 1 deployed"]
        assert len(first.requests) == 3


async def test_the_api_taken_away_and_given_back_hears_what_changed_meanwhile(either: World) -> None:
    world = either
    world.cluster.install("shop/web", "shop/db", "ops/other")
    await settled(world)
    url, world.url = world.url, ""
    await world.start()
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    await world.converge()
    assert world.said("Delivered") == "Unknown NotConfigured"
    assert world.said("Ready") == "True UpToDate"
    assert len(world.told) == 3
    world.url = url
    await world.start()
    await settled(world)
    assert sorted(world.told[3:]) == ["shop/db 1 uninstalled", "shop/web 2 deployed"]


async def test_a_ledger_restored_from_before_the_api_was_another_one_what_has_ended_since_is_told(
    in_configmaps: World,
) -> None:
    world, disk = in_configmaps, in_configmaps.disk
    assert isinstance(disk, ConfigMapDisk)
    world.cluster.install("shop/web", "shop/db")
    await settled(world)
    backup = disk.save()
    world.url = f"{world.url}/v2"
    world.receiver.apps.clear()
    await world.start()
    await settled(world)
    world.cluster.uninstall("shop/db")
    await unheard(world)
    disk.restore_ledger(backup)
    await world.start()
    await settled(world)
    assert world.knows() == {"shop/db": "1 uninstalled", "shop/web": "1 deployed"}
