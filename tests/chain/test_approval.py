"""Nothing is told that people did not approve, and what they approved is: through the real reconcile, git
with a person's clone, the ledger's file, and a receiver behind a socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from reconciler.errors import StoreError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.operator import report
from reconciler.policy.protocol import Reason
from reconciler.project import GitState
from tests.chain.approvers import AUTOMATIC, REQUIRED, Approver, ReviewedDisk, names
from tests.chain.faults import Crash, When
from tests.chain.world import World
from tests.git.factory import files, git
from tests.web.world import RecordingReceiver

AWAY = StoreError("the repository cannot be reached")


@pytest.fixture
async def new(served: tuple[RecordingReceiver, str], tmp_path: Path) -> AsyncIterator[World]:
    """Nothing has happened yet, and nobody need approve."""
    world = World(ReviewedDisk(tmp_path), *served)
    yield world
    await world.stop()


@pytest.fixture
async def world(new: World) -> World:
    """Three apps, recorded and told; from now on people approve."""
    new.cluster.install("shop/web", "shop/db", "ops/other")
    await new.converge()
    new.spec(push=REQUIRED)
    await new.converge()
    new.receiver.requests.clear()
    return new


@pytest.fixture
def approver(world: World) -> Approver:
    return Approver(world)


async def held(world: World) -> dict[str, Reason]:
    """What is held back, and why."""
    assert world.process is not None
    plan = world.process.reconciler.plan(await world.disk.ledger().load())
    return {str(key): one.reason for key, one in plan.held.items()}


async def required(world: World) -> str | None:
    """From where on approvals count, by the ledger."""
    return (await world.disk.ledger().load()).facts.required


def message(world: World) -> str:
    return world.conditions["Delivered"].message


# What people approve


async def test_what_was_told_stays_told_and_what_is_new_waits_for_people(
    world: World, approver: Approver
) -> None:
    assert world.said("Delivered") == world.said("Ready") == "True UpToDate"
    world.cluster.upgrade("shop/web")
    world.cluster.install("shop/new")
    world.cluster.uninstall("shop/db")
    await world.converge()
    assert world.told == []
    assert await held(world) == dict.fromkeys(["shop/db", "shop/new", "shop/web"], Reason.UNAPPROVED)
    assert world.said("Delivered") == world.said("Ready") == "True AwaitingApproval"
    assert message(world) == (
        f"3 apps wait for approval on the branch {approver.approved}: shop/db; shop/new; shop/web"
    )
    assert world.project.status.summary is not None
    assert world.project.status.summary.pending == 0
    approver.merge()
    await world.converge()
    assert sorted(world.told) == ["shop/db 1 uninstalled", "shop/new 1 deployed", "shop/web 2 deployed"]
    assert world.said("Delivered") == "True UpToDate"
    await world.check()


async def test_one_app_is_approved_and_another_is_not(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    assert world.told == ["shop/web 2 deployed"]
    assert message(world).endswith(": shop/db")
    approver.approve("shop/db")
    await world.converge()
    assert world.told == ["shop/web 2 deployed", "shop/db 2 deployed"]
    await world.check()


async def test_an_older_state_is_approved_and_the_newest_waits(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    second = approver.revision
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    approver.approve("shop/web", at=second)
    await world.converge()
    assert world.told == ["shop/web 3 deployed", "shop/web 2 deployed"]
    assert await held(world) == {"shop/web": Reason.UNAPPROVED}
    world.cluster.upgrade("shop/web")
    await world.converge()
    assert len(world.told) == 2
    approver.approve("shop/web")
    await world.converge()
    assert world.told[2:] == ["shop/web 4 deployed"]
    await world.check()


async def test_going_back_to_what_stood_there_when_approval_began_is_an_approval_too(
    world: World, approver: Approver
) -> None:
    first = approver.revision
    approver.merge()
    world.spec(push=AUTOMATIC)
    await world.converge()
    world.spec(push=REQUIRED)
    await world.converge()
    assert await required(world) == approver.tip != ""
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    approver.approve("shop/web", at=first)
    await world.converge()
    assert world.told == ["shop/web 2 deployed", "shop/web 1 deployed"]


@pytest.mark.parametrize("options", [(), ("--squash",), ("--ff-only",)], ids=["merge", "squash", "ff"])
async def test_a_merge_approves_all_of_it_however_it_is_made(
    options: tuple[str, ...], world: World, approver: Approver
) -> None:
    approver.merge()
    world.cluster.upgrade("shop/web")
    await world.converge()
    world.cluster.upgrade("shop/web", "shop/db")
    world.cluster.uninstall("ops/other")
    await world.converge()
    approver.merge(*options)
    await world.converge()
    assert sorted(world.told) == ["ops/other 1 uninstalled", "shop/db 2 deployed", "shop/web 3 deployed"]
    await world.check()


async def test_a_cherry_pick_approves_what_that_commit_did(world: World, approver: Approver) -> None:
    approver.merge()
    world.cluster.upgrade("shop/db")
    await world.converge()
    picked = approver.revision
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.cherry_pick(picked)
    await world.converge()
    assert world.told == ["shop/db 2 deployed"]
    assert await held(world) == {"shop/web": Reason.UNAPPROVED}


async def test_the_branch_is_deleted_after_the_merge_and_made_again(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.merge()
    await world.converge()
    told = ["shop/web 2 deployed"]
    assert world.told == told
    approver.delete_branch()
    world.cluster.upgrade("shop/db")
    world.cluster.uninstall("ops/other")
    await world.converge()
    await world.start()
    await world.converge()
    assert world.told == told, "what was told stays told"
    approver.merge()
    await world.converge()
    assert sorted(world.told[1:]) == ["ops/other 1 uninstalled", "shop/db 2 deployed"]
    await world.check()


async def test_a_new_branch_that_lacks_what_was_there_when_approval_began_approves_its_end(
    world: World, approver: Approver
) -> None:
    world.spec(push=AUTOMATIC)
    await world.converge()
    approver.merge()
    world.spec(push=REQUIRED)
    await world.converge()
    approver.delete_branch()
    world.cluster.upgrade("shop/web", "shop/db")
    world.cluster.uninstall("ops/other")
    await world.converge()
    assert world.told == []
    approver.approve("shop/web")
    assert isinstance(world.disk, ReviewedDisk)
    assert list(files(world.disk.remote, approver.approved)) == [approver.path("shop/web")]
    await world.converge()
    assert sorted(world.told) == ["ops/other 1 uninstalled", "shop/web 2 deployed"]
    assert await held(world) == {"shop/db": Reason.ABSENCE_UNPROVEN}


async def test_a_branch_that_is_moved_back_takes_its_approval_back_before_it_was_told(
    world: World, approver: Approver
) -> None:
    approver.merge()
    await world.converge()
    before = approver.tip
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.approve("shop/web")
    await world.look()
    approver.move_branch(before)
    await world.look()
    await world.converge()
    assert world.told == []
    approver.approve("shop/web")
    await world.converge()
    assert world.told == ["shop/web 2 deployed"]


# From where on approvals count


async def test_a_branch_from_an_earlier_time_approves_nothing(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    approver.merge()
    await world.converge()
    world.spec(push=AUTOMATIC)
    await world.converge()
    assert await required(world) is None
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    world.cluster.install("shop/new")
    await world.converge()
    told = len(world.told)
    world.spec(push=REQUIRED)
    await world.start()
    await world.converge()
    assert await required(world) == approver.tip
    assert len(world.told) == told, "neither the older state, nor that the new app is gone"
    assert world.said("Delivered") == "True UpToDate"
    world.cluster.upgrade("shop/new")
    await world.converge()
    approver.approve("shop/new")
    await world.converge()
    assert world.told[told:] == ["shop/new 2 deployed"], "one app is approved, the others as they were"
    await world.check()


async def test_200_apps_between_automatic_and_required(new: World) -> None:
    world = new
    apps = names(range(200))
    world.cluster.install(*apps)
    await world.converge()
    assert len(world.told) == 200
    world.spec(push=REQUIRED)
    await world.converge()
    world.cluster.upgrade(*apps)
    await world.converge()
    world.cluster.uninstall(*apps[:20])
    await world.converge()
    assert len(world.told) == 200
    assert message(world).startswith("200 apps wait for approval")
    assert message(world).endswith("; and 197 more")
    approver = Approver(world)
    approver.approve(*apps[20:120])
    await world.converge()
    assert sorted(world.told[200:]) == sorted(f"{app} 2 deployed" for app in apps[20:120])
    world.spec(push=AUTOMATIC)
    await world.converge()
    assert len(world.told) == 400
    assert sorted(world.told[300:]) == sorted(
        [f"{app} 1 uninstalled" for app in apps[:20]] + [f"{app} 2 deployed" for app in apps[120:]]
    )
    world.spec(push=REQUIRED)
    await world.converge()
    assert len(world.told) == 400
    assert world.said("Delivered") == "True UpToDate"
    await world.check()


async def test_where_it_began_is_durable_before_anything_is_planned_by_it(new: World) -> None:
    world = new
    world.cluster.install("shop/web")
    await world.converge()
    approver = Approver(world)
    approver.merge()
    world.cluster.upgrade("shop/web")
    world.spec(push=REQUIRED)
    world.faults.errors["write"] = (When.BEFORE, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        await world.look()
    assert world.faults.names[-1] == "write"
    world.faults.errors.clear()
    await world.deliver()
    assert len(world.told) == 1
    began = approver.tip
    await world.start()
    await world.converge()
    assert await required(world) == began
    approver.merge()
    await world.start()
    await world.converge()
    assert await required(world) == began
    assert world.told[1:] == ["shop/web 2 deployed"]


async def test_while_it_cannot_be_read_where_it_begins_nothing_is_told_and_the_record_goes_on(
    new: World,
) -> None:
    world = new
    world.cluster.install("shop/web")
    await world.converge()
    approver = Approver(world)
    world.faults.errors["approved tip"] = (When.BEFORE, AWAY)
    world.spec(push=REQUIRED)
    world.cluster.upgrade("shop/web")
    await world.step()
    approver.merge()
    result = await world.step()
    assert len(await world.revisions()) == 2
    assert len(world.told) == 1
    assert await required(world) is None
    assert world.said("Delivered") == world.said("Ready") == "False ApprovalUnreadable"
    assert message(world).endswith(f"so no more is told: {AWAY}")
    assert result.next_look == 60
    world.faults.errors.clear()
    await world.converge()
    assert len(world.told) == 1, "it began only then"
    assert world.said("Delivered") == "True AwaitingApproval"


async def test_while_it_cannot_be_read_what_was_approved_before_still_is(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.approve("shop/web")
    world.receiver.fail("away:99")
    await world.step()
    world.faults.errors["approved"] = (When.BEFORE, AWAY)
    approver.approve("shop/db")
    world.receiver.heal()
    world.clock.advance(600)
    world.cluster.upgrade("shop/web")
    await world.step()
    assert world.told == ["shop/web 2 deployed"]
    assert world.said("Delivered") == "False ApprovalUnreadable"
    await world.start()
    await world.step()
    assert world.told == ["shop/web 2 deployed"], "a new process knows of nothing that is approved"
    world.faults.errors.clear()
    await world.converge()
    assert world.told == ["shop/web 2 deployed", "shop/db 2 deployed"]


# What the cluster does meanwhile


async def test_what_is_gone_is_never_told_as_present_whatever_is_approved(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    world.cluster.install("shop/new")
    await world.converge()
    second = approver.revision
    world.cluster.upgrade("shop/web")
    await world.converge()
    world.cluster.uninstall("shop/web", "shop/new")
    await world.converge()
    approver.approve("shop/web", "shop/new", "shop/db", at=second)
    await world.converge()
    assert world.told == []
    assert await held(world) == {"shop/web": Reason.UNAPPROVED, "shop/new": Reason.GONE}
    world.cluster.gaps = (Gap(Kind.RELEASE_SECRETS, "shop"),)  # nor by a process that cannot see that far
    await world.start()
    for _ in range(3):
        await world.step()
    assert world.told == []
    world.cluster.gaps = ()
    approver.approve_end("shop/web", "shop/new")
    await world.converge()
    assert world.told == ["shop/web 1 uninstalled"]
    await world.check()


async def test_an_end_that_is_approved_is_told_when_it_is_proven_and_recorded(
    world: World, approver: Approver
) -> None:
    approver.merge()
    await world.converge()
    approver.approve_end("shop/web")
    await world.converge()
    assert world.told == []
    assert await held(world) == {"shop/web": Reason.ABSENCE_UNPROVEN}
    world.cluster.uninstall("shop/web")
    world.cluster.gaps = (Gap(Kind.RELEASE_SECRETS, "shop"),)
    for _ in range(3):
        await world.step()
    assert world.told == []
    world.cluster.gaps = ()
    await world.converge()
    assert world.told == ["shop/web 1 uninstalled"]
    world.cluster.install("shop/web")
    await world.converge()
    assert len(world.told) == 1
    assert await held(world) == {"shop/web": Reason.UNAPPROVED}
    approver.approve("shop/web")
    await world.converge()
    assert world.told[1:] == ["shop/web 1 deployed"]
    await world.check()


async def test_what_was_uninstalled_and_installed_again_meanwhile_is_approved_as_it_is(
    world: World, approver: Approver
) -> None:
    world.cluster.uninstall("shop/web")
    await world.converge()
    world.cluster.install("shop/web", image="web:again")
    await world.converge()
    approver.merge()
    await world.converge()
    assert world.told == ["shop/web 1 deployed"], "its end was never told, and is no more"
    await world.check()


async def test_another_app_uuid_waits_and_ends_the_old_one_when_it_is_approved(
    world: World, approver: Approver
) -> None:
    world.cluster.uuid("ops", "secret")
    await world.converge()
    assert world.told == []
    approver.approve("ops/other")
    await world.converge()
    assert world.told == ["ops/other 1 uninstalled", "ops/other 1 deployed"]
    assert world.requests[1][1]["app_api_info"]["app_uuid"] == "A-secret"
    await world.check()


# What people may not approve


async def test_what_was_never_recorded_is_refused_named_and_not_told(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    made_up = approver.text("shop/web").replace("1.1.0", "6.6.6")
    assert made_up != approver.text("shop/web")
    approver.write({approver.path("shop/web"): made_up, approver.path("shop/never"): made_up})
    approver.approve("shop/db")
    before = world.results[-1]
    await world.converge()
    assert world.told == ["shop/db 2 deployed"]
    assert await held(world) == dict.fromkeys(["shop/never", "shop/web"], Reason.REFUSED)
    assert world.said("Delivered") == world.said("Ready") == "False ApprovalRefused"
    for app in ("shop/never", "shop/web"):
        assert f"{approver.path(app)} on the branch {approver.approved}" in message(world)
    warnings = [
        notice.reason
        for was, now in zip((before, *world.results), world.results, strict=False)
        for notice in report.notices(was, now)
        if notice.warning
    ]
    assert warnings == ["ApprovalRefused"]
    approver.write({approver.path("shop/never"): None})
    approver.approve("shop/web")
    await world.converge()
    assert world.told[1:] == ["shop/web 2 deployed"]
    assert world.said("Delivered") == "True UpToDate"
    await world.check()


# Crashes and losses


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


# Beside it


async def test_stopped_it_tells_nothing_and_resumed_what_was_approved_meanwhile(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    world.spec(stop=True)
    await world.converge()
    approver.approve("shop/web")
    await world.converge()
    assert world.told == []
    assert world.said("Ready") == "True Stopped"
    world.spec(stop=False)
    await world.converge()
    assert world.told == ["shop/web 2 deployed"]


async def test_approval_that_begins_while_stopped_counts_from_there(world: World, approver: Approver) -> None:
    world.spec(push=AUTOMATIC, stop=True)
    await world.converge()
    assert await required(world) is None
    world.cluster.upgrade("shop/web")
    world.spec(push=REQUIRED)
    await world.converge()
    assert await required(world) == ""
    approver.merge()
    world.spec(stop=False)
    await world.converge()
    assert world.told == []
    approver.merge()
    await world.converge()
    assert world.told == ["shop/web 2 deployed"]


async def test_a_denied_namespace_is_not_told_of_though_it_is_approved(
    world: World, approver: Approver
) -> None:
    world.cluster.upgrade("shop/web")
    await world.converge()
    world.spec(deny_namespaces=("shop",))
    await world.converge()
    approver.approve("shop/web", at=f"{approver.revision}~1")
    await world.converge()
    assert world.told == []
    world.spec(deny_namespaces=())
    await world.converge()
    assert world.told == ["shop/web 2 deployed"]
    await world.check()


async def test_a_dry_run_shows_what_waits_and_changes_nothing(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.approve("shop/web")
    world.cluster.install("shop/new")
    process = await world.start()
    saved = await world.disk.ledger().load()
    seen = await process.reconciler.preview(world.project)
    assert [str(push.key) for push in seen.plan.pushes] == ["shop/web"]
    assert {str(key): held.reason for key, held in seen.plan.held.items()} == {
        "shop/db": Reason.UNAPPROVED,
        "shop/new": Reason.UNAPPROVED,
    }
    assert await world.disk.ledger().load() == saved
    assert world.told == []


async def test_a_dry_run_shows_what_will_wait_when_approval_begins(world: World) -> None:
    world.spec(push=AUTOMATIC)
    await world.converge()
    world.spec(push=REQUIRED)
    world.cluster.upgrade("shop/web")
    process = await world.start()
    seen = await process.reconciler.preview(world.project)
    assert (seen.plan.pushes, list(seen.plan.held)) == ((), [AppKey("shop", "web")])
    assert await required(world) is None


async def test_while_nothing_happens_the_status_stays_as_it_is(world: World, approver: Approver) -> None:
    world.cluster.upgrade("shop/web", "shop/db")
    await world.converge()
    approver.write({approver.path("shop/db"): "made up\n"})
    for _ in range(3):
        await world.converge()
        first = world.project.status
        await world.converge()
        again = msgspec.structs.replace(
            world.project.status, lastReconcileTimestamp=first.lastReconcileTimestamp
        )
        assert again == first
        await world.start()
