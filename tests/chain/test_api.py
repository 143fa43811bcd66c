"""The API refuses, times out, answers what it should not: recording goes on, conditions say how it stands,
and when it is well again exactly what is due is sent."""

from datetime import timedelta

import pytest

from tests.chain.gateway import OPEN, SHUT, SILENT, Gateway
from tests.chain.world import World
from tests.web.wire import answer

PASSING: dict[str, tuple[str | bytes, str]] = {
    "refuses the connection": (SHUT, "no answer"),
    "never answers": (SILENT, "no answer within 0.1 s"),
    "answers 500": (answer(500), "answered 500"),
    "answers 408": (answer(408), "answered 408"),
    "answers 429 with Retry-After": (answer(429, Retry_After="120"), "answered 429"),
}
LASTING: dict[str, tuple[str | bytes, str]] = {
    "answers 401": (answer(401), "answered 401 (check HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_SCHEME)"),
    "answers 404": (answer(404), "answered 404 (check HOSSTED_API_URL"),
    "redirects": (answer(302, Location="http://127.0.0.1:1/"), "answered 302 (check HOSSTED_API_URL"),
    "is a portal": (answer(200, "<html>", Content_Type="text/html"), "200 with a web page"),
}


async def while_it_is_so(world: World, door: Gateway, mode: str | bytes) -> None:
    """An app is upgraded and another installed while the API is like that."""
    world.cluster.install("shop/web", "shop/db")
    await world.converge()
    assert world.said("Ready") == "True UpToDate"
    await door.set(mode)
    world.push_timeout = 0.1
    world.cluster.upgrade("shop/web")
    await world.step()
    world.cluster.install("shop/new")
    await world.step()
    world.push_timeout = 10.0


@pytest.mark.parametrize("fault", PASSING | LASTING)
async def test_while_the_api_is_not_well_recording_goes_on_and_what_is_due_is_sent_afterwards(
    fault: str, through: World, door: Gateway
) -> None:
    world, (mode, what) = through, (PASSING | LASTING)[fault]
    await while_it_is_so(world, door, mode)
    assert (await world.subjects())[1:] == [
        "upgrade shop/web: web 1.0.0 → 1.1.0, revision 1 → 2",
        "install shop/new: web 1.0.0",
    ]
    assert world.said("Collected") == "True Complete"
    assert world.said("Recorded") == "True UpToDate"
    reason = "ApiUnusable" if fault in LASTING else "Pending"
    assert world.said("Delivered") == world.said("Ready") == f"False {reason}"
    assert world.said("Reconciling") == "True Delivering"
    message = world.conditions["Delivered"].message
    assert message.startswith(f"2 apps pending: {door.url}: {what}"), message
    assert world.project.status.summary is not None
    assert world.project.status.summary.pending == 2

    await door.set(OPEN)
    await world.converge()
    assert sorted(world.told[2:]) == ["shop/new 1 deployed", "shop/web 2 deployed"]
    assert world.said("Delivered") == world.said("Ready") == "True UpToDate"
    assert world.said("Reconciling") == ""
    await world.check()


async def test_retry_after_is_waited_for_across_looks(through: World, door: Gateway) -> None:
    world = through
    await while_it_is_so(world, door, PASSING["answers 429 with Retry-After"][0])
    await door.set(OPEN)
    asked, until = len(door.asked), world.clock.now() + timedelta(seconds=100)
    while world.clock.now() < until:
        await world.step()
        world.clock.advance(10)
    assert len(door.asked) == asked
    world.clock.advance(60)
    await world.step()
    assert world.said("Delivered") == "True UpToDate"


async def test_what_needs_a_person_stops_pushing_as_a_whole_until_the_process_has_new_credentials(
    through: World, door: Gateway
) -> None:
    world = through
    await while_it_is_so(world, door, LASTING["answers 401"][0])
    asked = len(door.asked)
    world.clock.advance(300)
    await world.step()
    assert len(door.asked) == asked, "for ten minutes nothing is tried"
    await door.set(OPEN)
    await world.start()
    await world.step()
    assert world.said("Delivered") == "True UpToDate"


REJECTING = answer(400, "no such chart", Content_Type="text/plain")


async def rejected(world: World, door: Gateway) -> int:
    """One app is rejected; how often the API was asked."""
    await while_it_is_so(world, door, REJECTING)
    await door.set(OPEN)
    return len(door.asked)


async def test_a_rejected_app_is_reported_and_not_sent_again_while_nothing_changes(
    through: World, door: Gateway
) -> None:
    world = through
    asked = await rejected(world, door)
    assert world.said("Delivered") == world.said("Ready") == "False Rejected"
    assert world.said("Reconciling") == ""
    assert world.conditions["Delivered"].message == "the API rejected shop/new; shop/web"
    assert world.project.status.summary is not None
    assert (world.project.status.summary.pending, world.project.status.summary.rejected) == (0, 2)
    world.clock.advance(timedelta(hours=23).total_seconds())
    await world.converge()
    assert len(door.asked) == asked
    assert (await world.tip()).snapshot.apps.keys() == world.cluster.releases.keys()


async def test_a_rejected_app_is_tried_again_when_it_changes_and_only_that_one(
    through: World, door: Gateway
) -> None:
    world = through
    await rejected(world, door)
    world.cluster.upgrade("shop/web")
    await world.converge()
    assert world.told[2:] == ["shop/web 3 deployed"]
    assert world.conditions["Delivered"].message == "the API rejected shop/new"


async def test_rejected_apps_are_tried_again_after_a_restart_with_the_same_keys(
    through: World, door: Gateway
) -> None:
    world = through
    asked = await rejected(world, door)
    keys = set(door.asked[2:])
    await world.start()
    await world.converge()
    assert set(door.asked[asked:]) == keys
    await world.check()


async def test_rejected_apps_are_tried_again_after_24_hours(through: World, door: Gateway) -> None:
    world = through
    await rejected(world, door)
    world.clock.advance(timedelta(hours=24).total_seconds())
    await world.converge()
    await world.check()


async def test_a_rejected_app_that_is_uninstalled_is_told_uninstalled_since_an_earlier_try_may_have_arrived(
    through: World, door: Gateway
) -> None:
    world = through
    await rejected(world, door)
    world.cluster.uninstall("shop/new")
    await world.converge()
    assert world.told[2:] == ["shop/new 1 uninstalled"]


async def test_one_app_rejected_does_not_keep_another_from_being_told(through: World, door: Gateway) -> None:
    world = through
    await rejected(world, door)
    world.cluster.install("ops/other")
    await world.converge()
    assert world.told[2:] == ["ops/other 1 deployed"]
