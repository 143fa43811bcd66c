"""What every state store promises, whatever it keeps its snapshots in: the tip, documents, clusters."""

import pytest

from reconciler.errors import StoreError, UsageError
from reconciler.model import Cluster, PolicyInEffect
from reconciler.policy.approval import Approval
from tests.builders import (
    CLUSTER_UUID,
    KUBE_SYSTEM_UID,
    OTHER_CLUSTER_UUID,
    make_app,
    make_cluster,
    make_snapshot,
)
from tests.contract.appending import KEYCLOAK, append, history_of
from tests.contract.conftest import Opener
from tests.contract.factories import StoreFactory


class TestTip:
    async def test_an_empty_store_has_no_tip_no_history_and_no_clusters(self, stores: Opener) -> None:
        store = await stores()
        assert await store.track(CLUSTER_UUID).tip() is None
        assert await history_of(store.track(CLUSTER_UUID)) == []
        assert await store.clusters() == ()

    async def test_what_is_appended_is_the_tip(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        snapshot = make_snapshot(make_app(volumes=[1 << 33], hosts=["a.example"]), make_app("b", "other"))
        recorded = await append(track, snapshot, None)
        assert recorded.snapshot == snapshot
        assert await track.tip() == recorded

    async def test_a_store_opened_again_has_the_same_tip(self, stores: Opener) -> None:
        first = await stores()
        snapshot = make_snapshot(make_app(), make_app(name="test2"), cluster=make_cluster(name="prod"))
        recorded = await append(first.track(CLUSTER_UUID), snapshot, None)
        await first.close()
        again = await (await stores()).track(CLUSTER_UUID).tip()
        assert again == recorded
        assert again.snapshot.digest == snapshot.digest

    async def test_a_snapshot_without_apps_is_a_snapshot(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        recorded = await append(track, make_snapshot(), None)
        assert recorded.snapshot.apps == {}
        assert await (await stores()).track(CLUSTER_UUID).tip() == recorded

    async def test_an_app_that_left_the_snapshot_leaves_the_store(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app(), make_app(name="gone")), None)
        second = await append(track, make_snapshot(make_app()), first)
        tip = await (await stores()).track(CLUSTER_UUID).tip()
        assert tip == second
        assert list(tip.snapshot.apps) == [KEYCLOAK]

    async def test_a_changed_policy_alone_is_a_revision(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        stopped = Cluster(
            name="test",
            kube_system_uid=KUBE_SYSTEM_UID,
            policy=PolicyInEffect(stop=True),
            unreadable=("pods",),
        )
        second = await append(track, make_snapshot(make_app(), cluster=stopped), first)
        tip = await (await stores()).track(CLUSTER_UUID).tip()
        assert tip == second
        assert tip.snapshot.cluster == stopped

    async def test_strings_that_look_like_something_else_come_back_as_they_were(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        apps = [
            make_app(name=f"app-{number}", app_version=text, chart=text)
            for number, text in enumerate(
                ["1.0", "yes", "", "---", "a\nb", " lead ", "\x00\x1b", "日本", "\u2028"]
            )
        ]
        await append(track, make_snapshot(*apps), None)
        tip = await (await stores()).track(CLUSTER_UUID).tip()
        assert tip is not None
        assert tip.snapshot == make_snapshot(*apps)

    async def test_each_app_is_stored_under_its_own_key(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        snapshot = make_snapshot(
            make_app("a", "cluster"),
            make_app("b", "cluster"),
            make_app("a", "cluster.yaml"),
            make_app("cluster", "cluster"),
            make_app("a", "test"),
            make_app("a", "test-2"),
            make_app("a-test", "2"),
        )
        await append(track, snapshot, None)
        tip = await (await stores()).track(CLUSTER_UUID).tip()
        assert tip is not None
        assert tip.snapshot == snapshot


class TestDocuments:
    async def test_the_same_snapshot_has_the_same_bytes_however_it_came_about(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        wanted = make_snapshot(make_app(), make_app(name="two", revision=2))
        first = await append(track, wanted, None)
        documents = await store_factory.documents(CLUSTER_UUID)
        between = await append(track, make_snapshot(make_app(revision=7), make_app("c", "three")), first)
        assert await store_factory.documents(CLUSTER_UUID) != documents
        await append(track, wanted, between)
        assert await store_factory.documents(CLUSTER_UUID) == documents

    async def test_reading_writes_nothing(self, stores: Opener, store_factory: StoreFactory) -> None:
        first = await stores()
        recorded = await append(first.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        before = await store_factory.contents()
        store = await stores()
        track = store.track(CLUSTER_UUID)
        await track.tip()
        await track.at(recorded.revision.id)
        await track.before(recorded.revision.id)
        await history_of(track)
        await store.clusters()
        assert await store_factory.contents() == before


class TestClusters:
    async def test_clusters_in_one_store_do_not_see_each_other(self, stores: Opener) -> None:
        store = await stores()
        ours, theirs = store.track(CLUSTER_UUID), store.track(OTHER_CLUSTER_UUID)
        mine = await append(ours, make_snapshot(make_app()), None)
        assert await theirs.tip() is None
        other = await append(
            theirs,
            make_snapshot(make_app(cluster_uuid=OTHER_CLUSTER_UUID), cluster_uuid=OTHER_CLUSTER_UUID),
            None,
        )
        assert await ours.tip() == mine
        mine_again = await append(ours, make_snapshot(make_app(revision=2)), mine)
        assert await history_of(ours) == [mine_again.revision, mine.revision]
        assert await history_of(theirs) == [other.revision]
        assert await theirs.tip() == other
        assert await theirs.before(other.revision.id) is None
        if other.revision.id not in (mine.revision.id, mine_again.revision.id):
            with pytest.raises(UsageError):
                await ours.at(other.revision.id)

    async def test_clusters_are_listed_oldest_first_with_their_kube_system_uids(self, stores: Opener) -> None:
        store = await stores()
        # In neither the order of the names nor its reverse, and the oldest one is written last.
        uuids = [OTHER_CLUSTER_UUID, "K-00000000-0000-4000-8000-000000000000", CLUSTER_UUID]
        uids = ["uid-of-the-oldest", "", "uid-of-the-newest"]
        recorded = {}
        for minute, (cluster_uuid, uid) in enumerate(zip(uuids, uids, strict=True)):
            snapshot = make_snapshot(cluster=Cluster(kube_system_uid=uid), cluster_uuid=cluster_uuid)
            recorded[cluster_uuid] = await append(store.track(cluster_uuid), snapshot, None, minutes=minute)
        oldest = make_snapshot(
            make_app(), cluster=Cluster(kube_system_uid="uid-of-the-oldest"), cluster_uuid=uuids[0]
        )
        await append(store.track(uuids[0]), oldest, recorded[uuids[0]], minutes=10)
        for reader in (store, await stores()):
            listed = await reader.clusters()
            assert [(each.cluster_uuid, each.kube_system_uid) for each in listed] == list(
                zip(uuids, uids, strict=True)
            )

    async def test_a_track_is_the_same_object_each_time(self, stores: Opener) -> None:
        store = await stores()
        assert store.track(CLUSTER_UUID) is store.track(CLUSTER_UUID)
        assert store.track(CLUSTER_UUID) is not store.track(OTHER_CLUSTER_UUID)


async def test_the_location_names_the_place_for_people(stores: Opener) -> None:
    location = (await stores()).location
    assert location
    assert "\n" not in location


class TestApproved:
    """What people do to an approved track is theirs to do, so this is as far as all kinds of stores go."""

    async def test_it_is_the_same_object_each_time_and_empty_before_people_make_it(
        self, stores: Opener
    ) -> None:
        store = await stores()
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        approved = store.approved(CLUSTER_UUID)
        assert store.approved(CLUSTER_UUID) is approved
        if approved is not None:
            assert approved.name
            assert await approved.tip() == ""
            assert await approved.read("", recorded) == Approval()
            assert await approved.read("0" * 40, recorded) == Approval()
            assert await store.track(CLUSTER_UUID).tip() == recorded

    async def test_while_the_store_is_away_it_is_not_taken_for_empty(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        store = await stores()
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        approved = store.approved(CLUSTER_UUID)
        if approved is not None:
            with store_factory.away():
                with pytest.raises(StoreError):
                    await approved.tip()
                with pytest.raises(StoreError):
                    await approved.read("", recorded)
            assert await approved.read("", recorded) == Approval()
