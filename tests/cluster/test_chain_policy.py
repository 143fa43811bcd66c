"""Denied namespaces and `stop`, through the whole chain: what is recorded of them, and what is not told."""

from __future__ import annotations

import pytest

from tests.cluster.chain import SETTLE, Chain, NewChain, Pushed, StoreKind
from tests.controlplane.cluster import CHARTS, Cluster

WEB, BARE = str(CHARTS / "web"), str(CHARTS / "bare")


@pytest.fixture
def team(operated: Cluster) -> Cluster:
    return operated.in_namespace("team-a")


async def both_are_recorded(chain: Chain, team: Cluster) -> None:
    """`default/test` and `team-a/test` are installed, recorded and told."""
    chain.plane.helm("install", "test", BARE)
    team.helm("install", "test", BARE)
    chain.plane.rolled_out()
    team.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == 1
    assert len(chain.pushes()) == 2


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_a_namespace_that_becomes_denied_leaves_in_one_commit_and_is_told_by_no_push(
    new_chain: NewChain, team: Cluster, store: StoreKind
) -> None:
    chain = await new_chain(store=store)
    await both_are_recorded(chain, team)
    chain.edit(denyNamespaces=["team-*"])
    await chain.settle()
    (commit,) = await chain.commits()
    assert commit.subject == "deny team-*: 1 app leaves the record"
    if store == "git":
        assert commit.files == ("cluster.yaml", "team-a/test.yaml")
    assert chain.pushes() == []
    chain.edit(denyNamespaces=None)
    await chain.settle()
    assert await chain.subjects() == ["allow team-* again: 1 app returns to the record"]
    assert chain.pushes() == []


async def test_what_changed_while_its_namespace_was_denied_is_told_when_it_is_allowed_again(
    chain: Chain, team: Cluster
) -> None:
    await both_are_recorded(chain, team)
    team.helm("install", "gone", BARE)
    team.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1
    chain.edit(denyNamespaces=["team-a"])
    await chain.settle()
    team.helm("upgrade", "test", BARE)
    team.helm("uninstall", "gone", "--wait")
    team.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["deny team-a: 2 apps leave the record"]
    assert chain.pushes() == []
    chain.edit(denyNamespaces=None)
    await chain.settle()
    assert await chain.subjects() == ["allow team-a again: 1 app returns to the record"]
    assert chain.pushes() == [
        Pushed("team-a/gone", 1, "uninstalled"),
        Pushed("team-a/test", 2, "deployed"),
    ]


async def test_stop_is_one_commit_and_then_nothing_is_listed_recorded_or_pushed(chain: Chain) -> None:
    chain.agreement = False  # nothing is looked at
    chain.plane.helm("install", "test", WEB)
    chain.plane.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1
    mark = chain.plane.mark()
    chain.edit(stop=True)
    await chain.settle()
    (commit,) = await chain.commits()
    assert commit.subject == "stop: nothing of the cluster is recorded or pushed"
    assert commit.files == ("cluster.yaml",)
    chain.plane.helm("upgrade", "test", WEB)
    await chain.restart()
    await chain.settle()
    assert (await chain.commits(), chain.pushes()) == ([], [])
    lists = {(one.resource, one.namespace) for one in chain.asked(mark) if one.verb == "list"}
    assert lists == {("hosstedprojects", ""), ("configmaps", "hossted-system")}  # the project, the ledger
    conditions = {one.type: (one.status, one.reason) for one in (await chain.status()).conditions}
    assert conditions["Ready"] == ("True", "Stopped")


async def test_what_ends_a_stop_is_one_commit_that_says_how_long_it_was_and_catches_up(chain: Chain) -> None:
    plane = chain.plane
    for name in ("kept", "gone", "quiet"):
        plane.helm("install", name, BARE)
    plane.rolled_out()
    await chain.settle()
    assert len(chain.pushes()) == 3
    chain.edit(stop=True)
    await chain.look()
    plane.helm("upgrade", "kept", BARE)
    plane.helm("uninstall", "gone", "--wait")
    plane.helm("install", "new", BARE)
    plane.rolled_out()
    chain.clock.advance(10 * SETTLE)
    await chain.settle()
    await chain.commits()
    assert chain.pushes() == []
    chain.edit(stop=False)
    await chain.settle()
    (commit,) = await chain.commits()
    assert commit.subject == (
        "resume: the cluster is recorded and pushed again; meanwhile 1 uninstalled, 1 upgraded, 1 installed"
    )
    (gap,) = [value for name, value in commit.trailers if name == "Gap"]
    assert gap.endswith(" stopped")
    assert chain.pushes() == [
        Pushed("default/gone", 1, "uninstalled"),
        Pushed("default/kept", 2, "deployed"),
        Pushed("default/new", 1, "deployed"),
    ]
