"""The ConfigMap store on the real API server, beyond the contract: crashes, garbage, size, rights, marks."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import LostRaceError, StoreError, TooLargeError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.model import Snapshot
from reconciler.state.configmap import ConfigMapStore
from reconciler.state.configmap_access import ConfigMapAccess
from reconciler.state.configmap_track import ConfigMapTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.controlplane.cluster import Cluster
from tests.unit.state.configmap_standin import CrashError, Faulty

START = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)


@pytest.fixture
def access(cluster: Cluster) -> ConfigMaps:
    return ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig))


def open_track(access: ConfigMapAccess, cluster: Cluster, name: str = "hossted-state") -> ConfigMapTrack:
    """The track as a program that has just started finds it."""
    return ConfigMapStore(access, cluster.namespace, name).track(CLUSTER_UUID)


async def append(
    track: ConfigMapTrack, snapshot: Snapshot, on: Recorded | None, minutes: int = 0
) -> Recorded:
    now = START + timedelta(minutes=minutes)
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        Message(subject="Record a change"),
        on=on,
        happened=now,
        recorded=now,
    )


def names(cluster: Cluster) -> set[str]:
    items = cluster.get("configmaps", "-l", "hossted.com/state")
    return {item["metadata"]["name"] for item in items}


ONE, TWO, THREE = (make_snapshot(make_app(revision=number)) for number in (1, 2, 3))


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
async def test_a_crash_at_any_request_of_an_append_leaves_the_old_tip_or_the_new_one(
    access: ConfigMaps, cluster: Cluster, made: bool
) -> None:
    for at in range(3):
        name = f"state-{at}"
        first = await append(open_track(access, cluster, name), ONE, None)
        with pytest.raises(CrashError):
            await append(open_track(Faulty(access, at, made=made), cluster, name), TWO, first)
        tip = await open_track(access, cluster, name).tip()
        assert tip is not None
        assert tip.snapshot == (TWO if made and at == 2 else ONE)
        if tip == first:
            second = await append(open_track(access, cluster, name), TWO, first, minutes=1)
            assert await open_track(access, cluster, name).tip() == second


async def test_of_two_writers_one_loses(access: ConfigMaps, cluster: Cluster) -> None:
    first = await append(open_track(access, cluster), ONE, None)
    mine, others = open_track(access, cluster), open_track(access, cluster)
    await others.tip()
    await append(mine, TWO, first)
    with pytest.raises(LostRaceError):
        await append(others, THREE, first)


async def test_garbage_is_deleted_after_ten_minutes_and_the_rest_stays(
    access: ConfigMaps, cluster: Cluster
) -> None:
    track = open_track(access, cluster)
    first = await append(track, ONE, None)
    old = names(cluster)
    second = await append(track, TWO, first, minutes=1)
    third = await append(track, THREE, second, minutes=10)
    assert old <= names(cluster)
    fourth = await append(track, ONE, third, minutes=11)
    assert len(old & names(cluster)) == 1, "the head"
    assert await open_track(access, cluster).at("r1") == first
    assert await open_track(access, cluster).tip() == fourth


async def test_the_largest_inventory_that_fits_is_kept_and_a_larger_one_refused(
    access: ConfigMaps, cluster: Cluster
) -> None:
    dice = random.Random(1)
    apps = [make_app(name=f"app-{n}", image=dice.randbytes(600).hex()) for n in range(1500)]
    track = open_track(access, cluster)
    fits = make_snapshot(*apps[:1210])
    recorded = await append(track, fits, None)
    assert await open_track(access, cluster).tip() == recorded
    emptied = await append(track, make_snapshot(), recorded)
    assert await open_track(access, cluster).before(emptied.revision.id) == recorded
    with pytest.raises(TooLargeError, match=r"spec\.state\.git"):
        await append(track, make_snapshot(*apps), emptied)


async def test_what_is_kept_belongs_to_nobody_and_carries_no_mark_of_the_project(
    access: ConfigMaps, cluster: Cluster
) -> None:
    await append(open_track(access, cluster), ONE, None)
    for item in cluster.get("configmaps", "-l", "hossted.com/state"):
        meta = item["metadata"]
        assert "ownerReferences" not in meta
        assert "annotations" not in meta
        assert "finalizers" not in meta
        assert set(meta["labels"]) == {
            "app.kubernetes.io/managed-by",
            "hossted.com/state",
            "hossted.com/cluster",
        }


async def test_rights_on_the_configmaps_of_one_namespace_are_enough(cluster: Cluster) -> None:
    name = "state-keeper"
    verbs = ["get", "list", "create", "update", "delete"]
    cluster.kubectl("create", "serviceaccount", name)
    cluster.kubectl("create", "role", name, f"--verb={','.join(verbs)}", "--resource=configmaps")
    account = f"{cluster.namespace}:{name}"
    cluster.kubectl("create", "rolebinding", name, f"--role={name}", f"--serviceaccount={account}")
    access = ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig_for(cluster.namespace, name)))
    track = open_track(access, cluster)
    first = await append(track, ONE, None)
    second = await append(track, TWO, first, minutes=1)
    third = await append(open_track(access, cluster), THREE, second, minutes=20)
    assert await track.tip() == third
    assert await track.at("r1") == first
    assert len(await ConfigMapStore(access, cluster.namespace).clusters()) == 1
    with pytest.raises(StoreError, match="forbidden"):
        await ConfigMapStore(access, "default").clusters()
