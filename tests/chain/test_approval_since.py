"""From where on approvals count, and what approval goes with: stops, denials, dry runs, the status."""

import msgspec
import pytest

from reconciler.errors import StoreError
from reconciler.model import AppKey
from reconciler.policy.protocol import Reason
from tests.chain.approval import approver, message, new, required, world
from tests.chain.approvers import AUTOMATIC, REQUIRED, Approver, names
from tests.chain.faults import When
from tests.chain.world import World

AWAY = StoreError("the repository cannot be reached")

__all__ = ("approver", "new", "world")


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
