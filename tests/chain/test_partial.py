"""A failed or partial look never reads as gone: what was known stays, marked and reported, and is untold."""

import pytest

from reconciler.inventory.objects import Gap, Kind
from tests.chain.world import World

FAILING = Gap(Kind.PODS, message="the API answered 500")


@pytest.fixture
async def running(in_configmaps: World) -> World:
    in_configmaps.cluster.install("shop/web", "shop/db", "ops/other")
    await in_configmaps.converge()
    return in_configmaps


PROOF = [Kind.NAMESPACES, Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS]


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "never listed after a restart"])
@pytest.mark.parametrize("forbidden", [False, True], ids=["failed", "forbidden"])
@pytest.mark.parametrize("where", ["", "shop"], ids=["everywhere", "in one namespace"])
@pytest.mark.parametrize("kind", [*PROOF, Kind.PODS, Kind.SERVICES, Kind.UUID_SECRETS, Kind.STATEFUL_SETS])
async def test_a_list_that_fails_is_never_told_as_gone(
    kind: Kind, where: str, forbidden: bool, restarted: bool, in_configmaps: World
) -> None:
    world = in_configmaps
    world.cluster.install("shop/web", "shop/db", "ops/other")
    await world.converge()
    before = await world.tip()
    if restarted:
        await world.start()
    gap = Gap(kind, where, forbidden, "" if forbidden else "the API answered 500")
    world.cluster.gaps = (gap,)
    world.cluster.uninstall("shop/db")
    await world.converge()
    assert world.said("Collected") == "False Partial"
    assert str(kind) in world.conditions["Collected"].message
    assert world.said("Ready") == "True Partial"
    gone = [told for told in world.told if told.endswith("uninstalled")]
    assert gone == ([] if kind in PROOF else ["shop/db 1 uninstalled"])
    after = (await world.tip()).snapshot.apps
    assert {key for key in before.snapshot.apps if key not in after} == {
        key for key in before.snapshot.apps if key.name == "db" and kind not in PROOF
    }
    for key, app in after.items():
        assert app.app_info == before.snapshot.apps[key].app_info or forbidden
    world.cluster.gaps = ()
    await world.converge()
    await world.check()
    assert world.told[3:] == ["shop/db 1 uninstalled"]


async def test_a_kind_that_fails_after_a_restart_leaves_its_block_as_it_was_and_the_rest_goes_on(
    running: World,
) -> None:
    world = running
    await world.start()
    world.cluster.gaps = (FAILING,)
    world.cluster.upgrade("shop/web")
    await world.converge()
    images = [pod["image"] for pod in world.requests[-1][1]["app_info"]["pod_info"]]
    assert (world.told[3:], images) == (["shop/web 2 deployed"], ["web:1"])
    world.cluster.gaps = ()
    await world.converge()
    app = (await world.tip()).snapshot.apps
    assert {pod.image for one in app.values() for pod in one.app_info.pod_info} == {"web:1", "web:2"}


async def test_a_new_app_waits_for_a_kind_that_fails_and_the_others_go_on(running: World) -> None:
    world = running
    world.cluster.gaps = (Gap(Kind.PODS, "shop", message="500"),)
    world.cluster.install("shop/new", "ops/new")
    await world.step()
    assert world.told[3:] == ["ops/new 1 deployed"]
    assert "shop/new" in world.conditions["Recorded"].message
    world.cluster.gaps = ()
    await world.converge()
    await world.check()


async def test_at_the_first_start_a_namespace_that_fails_holds_up_only_itself(either: World) -> None:
    world = either
    world.cluster.install("shop/web", "ops/other")
    world.cluster.gaps = (Gap(Kind.PODS, "shop", message="500"),)
    await world.step()
    assert world.told == ["ops/other 1 deployed"]
    world.cluster.gaps = ()
    await world.converge()
    await world.check()


async def test_a_kind_that_may_not_be_read_is_empty_and_named_in_the_record(either: World) -> None:
    world = either
    world.cluster.install("shop/web")
    world.cluster.gaps = (Gap(Kind.PODS, forbidden=True),)
    await world.converge()
    assert (await world.tip()).snapshot.cluster.unreadable == ("pods",)
    assert world.requests[0][1]["app_info"]["pod_info"] == []
    assert world.said("Ready") == "True Partial"


async def test_a_release_that_cannot_be_read_is_named_keeps_its_last_state_and_costs_nothing_else(
    running: World,
) -> None:
    world = running
    world.cluster.upgrade("shop/web")
    world.cluster.change("shop/web", broken="is not gzip")
    world.cluster.upgrade("ops/other")
    await world.converge()
    assert world.told[3:] == ["ops/other 2 deployed"]
    assert world.conditions["Collected"].message == "Secret shop/sh.helm.release.v1.web.v2 is not gzip"
    assert world.project.status.summary is not None
    assert world.project.status.summary.unreadable == 1
    assert len((await world.tip()).snapshot.apps) == 3
    world.cluster.change("shop/web", broken="")
    await world.converge()
    await world.check()


async def test_a_broken_release_that_is_uninstalled_is_told_uninstalled(running: World) -> None:
    world = running
    world.cluster.change("shop/web", broken="is not gzip")
    await world.converge()
    assert len(world.told) == 3
    world.cluster.uninstall("shop/web")
    await world.converge()
    assert world.told[3:] == ["shop/web 1 uninstalled"]


async def test_the_whole_api_server_away_changes_nothing(running: World) -> None:
    world = running
    world.cluster.away = True
    world.cluster.uninstall("shop/web", "shop/db", "ops/other")
    for _ in range(3):
        await world.step()
    await world.start()
    await world.step()
    assert (len(world.told), len(await world.revisions())) == (3, 1)
    world.cluster.away = False
    await world.converge()
    assert sorted(world.told[3:]) == [
        "ops/other 1 uninstalled",
        "shop/db 1 uninstalled",
        "shop/web 1 uninstalled",
    ]


async def test_what_was_gone_at_the_last_look_and_came_back_unseen_is_not_told_as_gone_for_ever(
    running: World,
) -> None:
    world = running
    world.cluster.uninstall("shop/web")
    world.receiver.fail("503:9")
    await world.step()
    world.receiver.heal()
    world.cluster.install("shop/web")
    world.clock.advance(600)
    await world.converge()
    assert world.knows()["shop/web"] == "1 deployed"
    await world.check()


@pytest.mark.parametrize("kind", PROOF)
@pytest.mark.parametrize("lost", ["its namespace was denied", "the store was lost"])
async def test_what_only_the_ledger_knows_is_not_told_as_gone_by_a_look_that_cannot_prove_it(
    lost: str, kind: Kind, in_configmaps: World
) -> None:
    world = in_configmaps
    world.cluster.install("shop/web", "shop/db", "ops/other")
    await world.converge()
    if lost == "the store was lost":
        world.disk.lose_store()
    else:
        world.spec(deny_namespaces=("shop",))
        await world.converge()
    await world.start()
    world.cluster.gaps = (Gap(kind, message="500"),)
    world.cluster.uninstall("shop/db")
    world.spec(deny_namespaces=())
    for _ in range(3):
        await world.step()
    assert len(world.told) == 3
    world.cluster.gaps = ()
    await world.converge()
    await world.check()
    assert world.told[3:] == ["shop/db 1 uninstalled"]
