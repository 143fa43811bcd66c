"""Crashes, and ledgers and repositories that are lost, older or others, tell nothing that is not approved."""

from pathlib import Path

import msgspec
import pytest

from reconciler.policy.protocol import Reason
from reconciler.project import GitState
from tests.chain.approval import approver, held, new, required, world
from tests.chain.approvers import AUTOMATIC, REQUIRED, Approver, ReviewedDisk
from tests.chain.faults import Crash, When
from tests.chain.world import World
from tests.git.factory import git

__all__ = ("approver", "new", "world")


async def test_what_is_in_doubt_is_sent_again_as_it_was_whatever_is_approved_since(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    second = approver.revision
    approver.approve("shop/web")
    world.receiver.fail("lost:99")
    await world.step()
    lost = len(world.told)
    approver.delete_branch()
    world.cluster.upgrade("shop/web")
    world.receiver.heal()
    world.clock.advance(600)
    await world.start()
    await world.converge()
    assert len(world.told) == lost + 1
    assert len({key for key, _ in world.requests}) == 1, "under its own key"
    assert set(world.told) == {"shop/web 2 deployed"}
    world.check_keys()
    approver.approve("shop/web", at=second)
    await world.converge()
    assert len(world.told) == lost + 1


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("effect", ["approved", "write", "append", "push"])
async def test_a_crash_tells_nothing_that_is_not_approved(
    effect: str, when: When, world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    world.cluster.uninstall("ops/other")
    await world.converge()
    approver.approve("shop/web")
    world.cluster.upgrade("shop/web")
    world.faults.crash_on = (effect, when)
    await world.start()
    with pytest.raises((Crash, BaseExceptionGroup)):
        await world.converge()
    world.faults.crash_on = None
    await world.start()
    await world.converge()
    assert set(world.told) == {"shop/web 2 deployed"}
    assert world.knows()["ops/other"] == "1 deployed"
    world.check_keys()


async def test_a_lost_ledger_tells_again_what_was_delivered_and_approved_and_nothing_else(
    world: World, approver: Approver
) -> None:
    approver.merge()
    await world.converge()
    world.cluster.upgrade("shop/web", "shop/db")
    world.cluster.install("shop/new")
    world.cluster.uninstall("ops/other")
    await world.converge()
    approver.approve("shop/db")
    await world.converge()
    began = await required(world)
    assert world.told == ["shop/db 2 deployed"]
    world.receiver.requests.clear()
    world.disk.lose_ledger()
    await world.start()
    await world.converge()
    assert await required(world) == began == ""
    assert sorted(world.told) == ["shop/db 2 deployed", "shop/web 1 deployed"]
    assert world.knows() == {"ops/other": "1 deployed", "shop/db": "2 deployed", "shop/web": "1 deployed"}
    assert await held(world) == dict.fromkeys(["ops/other", "shop/new", "shop/web"], Reason.UNAPPROVED)
    approver.merge()
    await world.converge()
    assert sorted(world.told[2:]) == ["ops/other 1 uninstalled", "shop/new 1 deployed", "shop/web 2 deployed"]
    await world.check()


async def test_a_ledger_lost_before_what_was_approved_was_shown_tells_it_again(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    await world.converge()
    approver.merge()
    await world.step()
    assert sorted(world.told) == ["shop/db 1 uninstalled", "shop/web 2 deployed"]
    world.receiver.requests.clear()
    world.disk.lose_ledger()
    await world.start()
    await world.converge()
    assert sorted(world.told) == ["ops/other 1 deployed", "shop/db 1 uninstalled", "shop/web 2 deployed"]
    assert world.knows() == {"ops/other": "1 deployed", "shop/db": "1 uninstalled", "shop/web": "2 deployed"}
    await world.check()


async def test_an_older_ledger_does_not_take_the_api_back(world: World, approver: Approver) -> None:
    disk = world.disk
    assert isinstance(disk, ReviewedDisk)
    world.spec(push=AUTOMATIC)
    await world.converge()
    older = disk.file.read_bytes()
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    world.spec(push=REQUIRED)
    await world.converge()
    began = await required(world)
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    await world.stop()
    world.receiver.requests.clear()
    disk.file.write_bytes(older)
    await world.converge()
    assert sorted(world.told) == ["shop/db 2 deployed", "shop/web 3 deployed"]
    assert world.knows() == {"ops/other": "1 deployed", "shop/db": "2 deployed", "shop/web": "3 deployed"}
    assert await required(world) == began


async def test_a_ledger_lost_while_nobody_need_approve_begins_anew(world: World, approver: Approver) -> None:
    approver.merge()
    world.spec(push=AUTOMATIC)
    await world.converge()
    world.cluster.upgrade("shop/web")
    await world.converge()
    world.disk.lose_ledger()
    world.spec(push=REQUIRED)
    await world.start()
    await world.converge()
    assert await required(world) == approver.tip
    assert world.knows()["shop/web"] == "2 deployed"


async def test_in_another_repository_approval_begins_anew(
    world: World, approver: Approver, tmp_path: Path
) -> None:
    disk = world.disk
    assert isinstance(disk, ReviewedDisk)
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    world.receiver.requests.clear()
    disk.remote = disk.folder / "elsewhere.git"
    git(disk.folder, "init", "--quiet", "--bare", str(disk.remote))
    disk.state = GitState(url=f"file://{disk.remote}", branch=disk.state.branch)
    world.spec(state=disk.state)
    await world.converge()
    assert await required(world) == ""
    assert world.told == []
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    assert world.told == []
    Approver(world).approve("shop/db")
    await world.converge()
    assert world.told == ["shop/db 2 deployed"]


async def test_a_repository_that_was_lost_is_made_again_and_approved_anew(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    world.receiver.requests.clear()
    world.disk.lose_store()
    world.cluster.upgrade("shop/web")
    await world.converge()
    assert world.told == []
    again = Approver(world)
    again.approve("shop/web")
    await world.converge()
    assert world.told == ["shop/web 3 deployed"]
    await world.check()


async def test_what_another_writer_told_is_not_guessed_from_the_record(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    tip = await world.tip()
    ledger = world.disk.ledger()
    facts = (await ledger.load()).facts
    ours = tip.revision.message.trailer("Instance")
    left = tuple(instance for instance in facts.instances if instance != ours)
    await ledger.write({}, msgspec.structs.replace(facts, instances=left))
    await world.start()
    await world.look()
    assert world.said("Stalled") == "True SecondWriter"
    world.annotate(take_over=ours)
    await world.converge()
    assert sorted(set(world.told)) == ["ops/other 1 deployed", "shop/db 1 deployed", "shop/web 1 deployed"]
    assert await held(world) == {"shop/web": Reason.UNAPPROVED}


async def test_another_endpoint_is_told_what_is_approved_and_all_of_it_when_nobody_need_approve(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    world.url = f"{world.url}/v2"
    world.receiver.apps.clear()
    await world.start()
    await world.converge()
    assert world.knows() == {"shop/web": "2 deployed"}
    assert await held(world) == dict.fromkeys(["ops/other", "shop/db"], Reason.UNAPPROVED)
    world.spec(push=AUTOMATIC)
    await world.converge()
    await world.check()
