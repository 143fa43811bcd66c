"""Nothing is told that people did not approve, and what they approved is: through the real reconcile, git
with a person's clone, the ledger's file, and a receiver behind a socket."""

import pytest

from reconciler.inventory.objects import Gap, Kind
from reconciler.operator import report
from reconciler.policy.protocol import Reason
from tests.chain.approval import approver, held, message, new, required, world
from tests.chain.approvers import AUTOMATIC, REQUIRED, Approver, ReviewedDisk
from tests.chain.world import World
from tests.git.factory import files

# What people approve

__all__ = ("approver", "new", "world")


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
