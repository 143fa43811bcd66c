"""What belongs to a release, as the API is told of it, and what belongs to none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.cluster.chain import Chain, Pushed
from tests.controlplane.cluster import CHARTS, Cluster

WEB, BARE, NETWORK = (str(CHARTS / name) for name in ("web", "bare", "network"))

KINDS = {
    "pod_info": "pods",
    "service_info": "services",
    "volume_info": "persistentvolumeclaims",
    "ingress_info": "ingresses",
}


def names(items: Iterable[dict[str, Any]]) -> set[str]:
    """The names of objects, or of the elements of what is emitted, with their namespaces."""
    metas = [item.get("metadata", item) for item in items]
    return {f"{meta['namespace']}/{meta['name']}" for meta in metas}


def everything(cluster: Cluster, namespace: str) -> dict[str, set[str]]:
    """What a namespace has, by the block that it should be in."""
    return {
        block: {
            name
            for name in names(cluster.get(kind, "-n", namespace))
            if name != "default/kubernetes"  # the API server's own service
        }
        for block, kind in KINDS.items()
    }


def told(chain: Chain, app: str) -> dict[str, set[str]]:
    info = chain.emitted(app)
    return {block: names(items) for block, items in info.items() if block != "helm_info"}


async def test_a_chart_without_labels_comes_out_complete_with_the_claims_of_pods_scaled_away(
    chain: Chain,
) -> None:
    plane = chain.plane
    plane.helm("install", "test", BARE)
    plane.rolled_out()
    await chain.settle()
    first = told(chain, "default/test")
    assert first == everything(plane, "default")
    assert {block: len(items) for block, items in first.items()} == {
        "pod_info": 5,  # one of the Deployment, two of the StatefulSet, one of the DaemonSet on each node
        "service_info": 1,
        "volume_info": 2,
        "ingress_info": 1,
    }
    plane.helm("upgrade", "test", BARE, "--set", "nodes=1")
    plane.rolled_out()
    await chain.settle()
    scaled_down = told(chain, "default/test")
    assert scaled_down == everything(plane, "default")
    assert scaled_down["volume_info"] == {"default/data-test-node-0", "default/data-test-node-1"}
    assert "default/test-node-1" not in scaled_down["pod_info"]


async def test_releases_of_one_name_in_two_namespaces_and_by_two_drivers_do_not_mix(chain: Chain) -> None:
    plane = chain.plane
    one, two = plane.in_namespace("one"), plane.in_namespace("two")
    one.helm("install", "test", WEB)
    two.helm("install", "test", BARE, driver="configmap")
    one.rolled_out()
    two.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["2 apps installed"]
    assert chain.pushes() == [Pushed("one/test", 1, "deployed"), Pushed("two/test", 1, "deployed")]
    assert told(chain, "one/test") == everything(one, "one")
    assert told(chain, "two/test") == everything(two, "two")
    two.helm("upgrade", "test", BARE, driver="configmap", version=4)
    two.rolled_out()
    await chain.settle()
    assert await chain.subjects() == ["upgrade two/test: bare 0.1.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed("two/test", 2, "deployed")]


async def test_a_release_whose_name_begins_anothers_has_only_what_is_its_own(chain: Chain) -> None:
    plane = chain.plane
    longer = "app-node"  # what the shorter one's StatefulSet and service are called
    for name in ("app", longer):
        plane.helm("install", name, BARE)
    plane.rolled_out()
    await chain.settle()
    whole = everything(plane, "default")
    mine, theirs = told(chain, "default/app"), told(chain, f"default/{longer}")
    for block, items in whole.items():
        assert mine[block] | theirs[block] == items
        assert not mine[block] & theirs[block]
    assert mine["service_info"] == {"default/app-node"}
    assert theirs["service_info"] == {"default/app-node-node"}
    assert mine["volume_info"] == {"default/data-app-node-0", "default/data-app-node-1"}


async def test_objects_in_another_namespace_than_the_releases_belong_to_it(chain: Chain) -> None:
    plane = chain.plane
    there = plane.in_namespace("elsewhere")
    plane.helm("install", "test", WEB, "--set", "elsewhere=elsewhere")
    plane.rolled_out()
    there.rolled_out()
    await chain.settle()
    here, outside = everything(plane, "default"), everything(there, "elsewhere")
    assert told(chain, "default/test") == {block: here[block] | outside[block] for block in here}
    assert outside["pod_info"]
    assert outside["service_info"] == {"elsewhere/test-elsewhere"}


async def test_pods_that_belong_to_no_app_are_counted_unless_their_namespace_is_denied(chain: Chain) -> None:
    plane = chain.plane
    denied = plane.in_namespace("denied")
    chain.edit(denyNamespaces=["denied"])
    plane.helm("install", "test", BARE)
    for where in (plane, denied):
        where.kubectl("run", "stray", "--image=registry.example.com/stray:1")
        where.rolled_out()
    result = await chain.settle()
    assert result.inventory is not None
    assert [(meta.namespace, meta.name) for meta in result.inventory.unattributed] == [("default", "stray")]
    summary = (await chain.status()).summary
    assert summary is not None
    assert (summary.releases, summary.pods, summary.unattributed) == (1, 5, 1)


async def test_services_and_ingresses_of_every_form_are_told_with_all_ports_and_hosts(chain: Chain) -> None:
    chain.plane.helm("install", "test", NETWORK)
    await chain.settle()
    info = chain.emitted("default/test")
    assert [(one["name"], one["port"]) for one in info["service_info"]] == [
        ("test-dns", 53),
        ("test-external", 0),
        ("test-portless", 0),
    ]
    assert [(one["name"], one["domain"]) for one in info["ingress_info"]] == [
        ("test-any-host", ""),
        ("test-default", ""),
        ("test-hosts", "one.example.com"),
        ("test-hosts", "two.example.com"),
        ("test-no-rules", ""),
    ]
