"""The safety brake on the real control plane: real releases that are gone from one look to the next."""

from __future__ import annotations

import json

import pytest

from tests.cluster.chain import INTERVAL, SETTLE, Chain, Pushed
from tests.controlplane.cluster import CHARTS, Cluster

BARE = str(CHARTS / "bare")
NAMES = [f"app-{number}" for number in range(6)]
GONE = [Pushed(f"team-a/{name}", 1, "uninstalled") for name in NAMES]
HELD = "6 of 7 apps are gone at once"
STORED = ("secrets", "-n", "team-a", "--field-selector", "type=helm.sh/release.v1")


@pytest.fixture
async def team(chain: Chain, operated: Cluster) -> Cluster:
    """Six releases in a namespace, and one elsewhere, recorded and told."""
    team = operated.in_namespace("team-a")
    for name in NAMES:
        team.helm("install", name, BARE)
    operated.helm("install", "test", BARE)
    team.rolled_out()
    operated.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == 1
    assert len(chain.pushes()) == 7
    return team


async def said(chain: Chain, kind: str) -> tuple[str, str]:
    (found,) = [one for one in (await chain.status()).conditions if one.type == kind]
    return found.reason, found.message


async def test_releases_whose_secrets_were_deleted_are_held_and_the_others_go_on(
    chain: Chain, team: Cluster
) -> None:
    stored = team.get(*STORED)
    team.kubectl("delete", *STORED)
    chain.plane.helm("upgrade", "test", BARE)
    await chain.settle()
    assert await chain.subjects() == ["upgrade default/test: bare 0.1.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed("default/test", 2, "deployed")]
    reason, message = await said(chain, "Ready")
    assert reason == "RemovalsHeld"
    assert message.startswith(HELD)
    (event,) = [one for one in chain.plane.get("events", "-A") if one["reason"] == "RemovalsHeld"]
    assert event["type"] == "Warning"
    assert event["message"].startswith(HELD)
    team.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": stored}))
    await chain.wait(2 * INTERVAL)
    assert (await chain.commits(), chain.pushes()) == ([], [])
    assert (await said(chain, "Ready"))[0] == "UpToDate"


async def test_a_second_look_an_interval_later_or_the_command_of_the_message_releases_them(
    chain: Chain, team: Cluster
) -> None:
    for name in NAMES:
        team.helm("uninstall", name, "--wait")
    await chain.settle()
    assert (await chain.commits(), chain.pushes()) == ([], [])
    await chain.restart()
    chain.clock.advance(INTERVAL - 10 * SETTLE)
    await chain.settle()
    assert (await chain.commits(), chain.pushes()) == ([], [])
    chain.clock.advance(10 * SETTLE)
    await chain.settle()
    assert await chain.subjects() == ["6 apps uninstalled in team-a"]
    assert chain.pushes() == GONE
    for name in NAMES:
        team.helm("install", name, BARE)
    team.rolled_out()
    await chain.settle()
    await chain.commits()
    chain.pushes()
    for name in NAMES:
        team.helm("uninstall", name, "--wait")
    await chain.settle()
    _, message = await said(chain, "Recorded")
    command = message.partition("kubectl ")[2].partition(";")[0]
    chain.plane.kubectl(*command.split())
    await chain.settle()
    assert await chain.subjects() == ["6 apps uninstalled in team-a"]
    assert chain.pushes() == GONE
    assert (await said(chain, "Ready"))[0] == "UpToDate"


async def test_a_namespace_that_is_deleted_is_not_held(chain: Chain, team: Cluster) -> None:
    team.kubectl("delete", "namespace", "team-a", "--wait=false")
    team.wait(lambda: not team.get(*STORED), "the releases going with their namespace")
    await chain.settle()
    assert await chain.subjects() == ["6 apps uninstalled in team-a"]
    assert chain.pushes() == GONE
    assert (await said(chain, "Ready"))[0] == "UpToDate"
