"""The ConfigMap store on the real API server, beyond the contract: crashes, garbage, size, rights, marks."""

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.errors import LostRaceError, StoreError, TooLargeError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.model import App, Snapshot
from reconciler.state.configmap.access import ConfigMapAccess, pack
from reconciler.state.configmap.documents import head_name
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.controlplane.cluster import Cluster
from tests.unit.state.configmap_standin import CrashError, Faulty
from tests.unit.state.configmap_world import realistic

RBAC = Path(__file__).parents[2] / "config" / "rbac"
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


async def test_five_thousand_apps_fit_and_one_that_changes_rewrites_one_shard(
    access: ConfigMaps, cluster: Cluster
) -> None:
    apps = realistic(5_000)
    first = await append(open_track(access, cluster), make_snapshot(*apps), None)
    track = open_track(access, cluster)
    assert await track.tip() == first
    key = apps[7].key
    changed = make_snapshot(*apps[:7], make_app(key.namespace, key.name, 2), *apps[8:])
    mark = cluster.mark()
    second = await append(track, changed, first)
    assert written(cluster, mark) == ["create", "create", "update"], "a shard, the history, the head"
    third = await append(track, make_snapshot(*(upgraded(app) for app in apps)), second)
    reader = open_track(access, cluster)
    assert await reader.tip() == third
    assert await reader.at("r2") == second
    assert await reader.at("r1") == first
    sizes = [len(json.dumps(item)) for item in cluster.get("configmaps", "-l", "hossted.com/state")]
    assert max(sizes) < 700_000, "the API allows 1 MiB"


async def test_apps_of_five_hundred_pods_fit_and_one_that_fits_nowhere_is_named(
    access: ConfigMaps, cluster: Cluster
) -> None:
    track = open_track(access, cluster)
    large = [make_app(name=f"large-{n}", pods=500) for n in range(3)]
    first = await append(track, make_snapshot(*large), None)
    assert await open_track(access, cluster).tip() == first
    dice = random.Random(1)
    huge = make_app("team", "huge", image=dice.randbytes(1_000_000).hex())
    mark = cluster.mark()
    with pytest.raises(TooLargeError, match=r"app team/huge .*spec\.denyNamespaces"):
        await append(track, make_snapshot(*large, huge), first)
    assert not written(cluster, mark)


def upgraded(app: App) -> App:
    helm = msgspec.structs.replace(app.helm, revision=app.helm.revision + 1)
    return msgspec.structs.replace(app, app_info=msgspec.structs.replace(app.app_info, helm_info=helm))


def written(cluster: Cluster, mark: int) -> list[str]:
    """The verbs of what was written since the mark, in order."""
    return [
        event.verb
        for event in cluster.api_requests(since=mark)
        if event.namespace == cluster.namespace and event.verb not in ("get", "list", "watch")
    ]


class TestMeddling:
    """What kubectl does to a record; beyond this the stand-in's tests go through every case."""

    @pytest.fixture
    async def made(self, access: ConfigMaps, cluster: Cluster) -> list[Recorded]:
        track, done, made = open_track(access, cluster), None, list[Recorded]()
        for snapshot in (ONE, TWO, THREE, ONE):
            done = await append(track, snapshot, done)
            made.append(done)
        return made

    async def check(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded], *said: str
    ) -> list[Recorded]:
        """What a program that starts now sees; what it then records is whole again, as its next one sees."""
        track = open_track(access, cluster)
        tip = await track.tip()
        assert tip is not None
        texts = "\n".join(repair.what for repair in tip.repairs)
        for text in said:
            assert text in texts
        done = await append(track, TWO, tip, minutes=1)
        again = await open_track(access, cluster).tip()
        assert again == done
        assert again.repairs == ()
        return [*made, done]

    async def test_a_shard_that_is_deleted_is_recorded_again(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded]
    ) -> None:
        (name,) = head(cluster)["shards"]
        cluster.kubectl("delete", "configmap", name["name"])
        await self.check(access, cluster, made, f"{name['name']} was deleted", "1 app (default/test) is lost")

    async def test_a_shard_with_other_content_under_its_name_is_not_believed(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded]
    ) -> None:
        (shard,) = head(cluster)["shards"]
        item = exported(cluster, shard["name"])
        item["binaryData"] = {"apps.json.gz": base64.b64encode(pack(b"[]")).decode()}
        restore(cluster, item)
        await self.check(access, cluster, made, "was deleted and created again with other content")

    async def test_labels_and_immutability_come_back(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded]
    ) -> None:
        (shard,), (pack_ref,) = head(cluster)["shards"], head(cluster)["history"]
        cluster.kubectl("label", "configmap", shard["name"], "hossted.com/state-", "hossted.com/cluster-")
        item = exported(cluster, pack_ref["name"])
        del item["immutable"]
        restore(cluster, item)
        made = await self.check(access, cluster, made, "given other labels", "so that it can be changed")
        track = open_track(access, cluster)
        assert [await track.at(one.revision.id) for one in made] == made
        for one in cluster.get("configmaps", "-l", "hossted.com/state in (apps,history)"):
            if one["metadata"]["name"] in {ref["name"] for kind in PARTS for ref in head(cluster)[kind]}:
                assert one["immutable"] is True

    async def test_a_pack_that_is_deleted_costs_older_snapshots_only(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded]
    ) -> None:
        (pack_ref,) = head(cluster)["history"]
        cluster.kubectl("delete", "configmap", pack_ref["name"])
        await self.check(access, cluster, made, "the changesets r1 to r4 are lost")

    @pytest.mark.parametrize("how", ["edited", "deleted", "set back", "restored with all"])
    async def test_a_head_that_is_meddled_with_is_known_from_its_copy(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded], how: str
    ) -> None:
        name = head_name("hossted-state", CLUSTER_UUID)
        kept = {one: exported(cluster, one) for one in names(cluster)}
        later = list(made)
        if how == "edited":
            cluster.kubectl("patch", "configmap", name, "--type=merge", "-p", '{"data": {"head.json": "{}"}}')
        elif how == "deleted":
            cluster.kubectl("delete", "configmap", name)
        elif how == "set back":
            for snapshot in (TWO, THREE, TWO):
                later.append(await append(open_track(access, cluster), snapshot, later[-1]))
            cluster.kubectl("replace", "-f", "-", stdin=json.dumps(kept[name]))
        else:
            for one in kept.values():
                restore(cluster, one)
        said = {
            "edited": "the head, was edited",
            "deleted": "the head, was deleted",
            "set back": "the head, was set back to r4, as from a backup: what was recorded later is known",
            "restored with all": "the head, was restored as it was at r4",
        }[how]
        made = await self.check(access, cluster, later, said)
        assert made[-1].revision.id == f"r{len(made)}"
        track = open_track(access, cluster)
        assert [await track.at(one.revision.id) for one in made] == made

    async def test_a_head_that_kubectl_applied_is_noticed_if_it_was_one_revision_back(
        self, access: ConfigMaps, cluster: Cluster, made: list[Recorded]
    ) -> None:
        name = head_name("hossted-state", CLUSTER_UUID)
        old = exported(cluster, name)
        made.append(await append(open_track(access, cluster), TWO, made[-1]))
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(old))
        assert head(cluster)["revision"] == 4
        await self.check(access, cluster, made, "was set back to r4, as from a backup", "up to r5")


PARTS = ("shards", "history")


def head(cluster: Cluster) -> dict[str, Any]:
    item = cluster.get("configmap", head_name("hossted-state", CLUSTER_UUID))
    found: dict[str, Any] = json.loads(item["data"]["head.json"])
    return found


def exported(cluster: Cluster, name: str) -> dict[str, Any]:
    """A ConfigMap as backup tools keep it: without what is the server's."""
    item: dict[str, Any] = cluster.get("configmap", name)
    for field in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        item["metadata"].pop(field, None)
    return item


def restore(cluster: Cluster, item: dict[str, Any]) -> None:
    cluster.kubectl("delete", "configmap", item["metadata"]["name"])
    cluster.kubectl("create", "-f", "-", stdin=json.dumps(item))


async def test_nothing_that_is_kept_is_argo_cds_to_adopt_or_prune(
    access: ConfigMaps, cluster: Cluster
) -> None:
    """Argo CD takes for its own what carries its label or its annotation, and prunes what its owner's
    application does not have. We write neither, whatever the namespace carries, and no owner."""
    marks = ("app.kubernetes.io/instance=hossted", "argocd.argoproj.io/instance=hossted")
    cluster.kubectl("label", "namespace", cluster.namespace, *marks)
    tracking = "argocd.argoproj.io/tracking-id=hossted:/Namespace:x/y"
    cluster.kubectl("annotate", "namespace", cluster.namespace, tracking)
    track = open_track(access, cluster)
    first = await append(track, ONE, None)
    name = head_name("hossted-state", CLUSTER_UUID)
    cluster.kubectl("annotate", "configmap", name, tracking)
    cluster.kubectl("label", "configmap", name, *marks)
    tip = await track.tip()
    assert tip is not None
    assert tip.repairs
    await append(track, TWO, tip)
    items = cluster.get("configmaps", "-l", "hossted.com/state")
    assert len(items) == 5
    assert first.snapshot == ONE
    for item in items:
        meta = item["metadata"]
        assert meta.keys().isdisjoint({"ownerReferences", "annotations", "finalizers"})
        assert meta["labels"].keys() == {
            "app.kubernetes.io/managed-by",
            "hossted.com/state",
            "hossted.com/cluster",
        }


async def test_the_rights_of_the_shipped_role_are_enough_and_nothing_is_written_elsewhere(
    cluster: Cluster,
) -> None:
    for file in ("service_account.yaml", "role.yaml"):
        text = (RBAC / file).read_text()
        cluster.apply(text.replace("hossted-system", cluster.namespace))
    account = "hossted-reconciler"
    access = ConfigMaps(Client.connect(kubeconfig=cluster.kubeconfig_for(cluster.namespace, account)))
    mark = cluster.mark()
    track = open_track(access, cluster)
    first = await append(track, ONE, None)
    second = await append(track, TWO, first, minutes=1)
    third = await append(open_track(access, cluster), THREE, second, minutes=20)
    assert await track.tip() == third
    assert await track.at("r1") == first
    await track.protest("one", "another")
    await track.withdraw()
    (shard,) = head(cluster)["shards"]
    cluster.kubectl("delete", "configmap", shard["name"])
    fresh = open_track(access, cluster)
    tip = await fresh.tip()
    assert tip is not None
    assert tip.repairs
    await append(fresh, ONE, tip, minutes=21)
    assert len(await ConfigMapStore(access, cluster.namespace).clusters()) == 1
    user = f"system:serviceaccount:{cluster.namespace}:{account}"
    requests = cluster.api_requests(since=mark, user=user)
    assert {(event.resource, event.namespace) for event in requests} == {("configmaps", cluster.namespace)}
    assert {event.verb for event in requests} == {"get", "list", "create", "update", "delete"}
    assert all(event.code < 300 or event.code == 404 for event in requests)
    with pytest.raises(StoreError, match="forbidden"):
        await ConfigMapStore(access, "default").clusters()
