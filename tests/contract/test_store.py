"""What every state store promises, whatever it keeps its snapshots in."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.changes.diff import diff
from reconciler.errors import FormatError, LostRaceError, StoreError, UsageError
from reconciler.model import AppKey, Cluster, PolicyInEffect, Snapshot
from reconciler.policy.approval import Approval
from reconciler.state.store import Message, Recorded, Revision, Track
from tests.builders import (
    CLUSTER_UUID,
    KUBE_SYSTEM_UID,
    OTHER_CLUSTER_UUID,
    changes_between,
    make_app,
    make_cluster,
    make_snapshot,
)
from tests.contract.conftest import Opener
from tests.contract.factories import StoreFactory
from tests.git.actions import trailers_of

START = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)
KEYCLOAK = AppKey("default", "test")


async def append(
    track: Track,
    snapshot: Snapshot,
    on: Recorded | None,
    *,
    subject: str = "Record a change",
    minutes: int = 0,
) -> Recorded:
    """Append with a plausible message; ``minutes`` after the start."""
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        Message(subject=subject, trailers=trailers_of(snapshot)),
        on=on,
        happened=START + timedelta(minutes=minutes),
        recorded=START + timedelta(minutes=minutes, seconds=5),
    )


async def history_of(track: Track, app: AppKey | None = None) -> list[Revision]:
    return [revision async for revision in track.history(app)]


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


class TestAppend:
    @pytest.mark.parametrize("reopened", [False, True])
    async def test_an_append_on_a_stale_base_loses_and_writes_nothing(
        self, stores: Opener, store_factory: StoreFactory, reopened: bool
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        before = await store_factory.contents()
        late = (await stores()).track(CLUSTER_UUID) if reopened else track
        with pytest.raises(LostRaceError):
            await append(late, make_snapshot(make_app(revision=3)), first)
        assert await store_factory.contents() == before
        assert await late.tip() == second

    async def test_a_first_append_on_a_track_that_has_revisions_loses(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        first = await append((await stores()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        before = await store_factory.contents()
        late = (await stores()).track(CLUSTER_UUID)
        with pytest.raises(LostRaceError):
            await append(late, make_snapshot(make_app(revision=9)), None)
        assert await store_factory.contents() == before
        assert await late.tip() == first

    async def test_going_back_to_an_earlier_snapshot_still_makes_a_stale_base_lose(
        self, stores: Opener
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        one, two = make_snapshot(make_app()), make_snapshot(make_app(revision=2))
        first = await append(track, one, None)
        await append(track, one, await append(track, two, first))
        with pytest.raises(LostRaceError):
            await append((await stores()).track(CLUSTER_UUID), two, first)

    @pytest.mark.parametrize("started", [False, True], ids=["the first revision", "a later revision"])
    async def test_of_concurrent_appends_exactly_one_wins(self, stores: Opener, started: bool) -> None:
        base = None
        if started:
            base = await append((await stores()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        tracks = [(await stores()).track(CLUSTER_UUID) for _ in range(4)]
        outcomes = await asyncio.gather(
            *(
                append(track, make_snapshot(make_app(revision=10 + number)), base)
                for number, track in enumerate(tracks)
            ),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
        assert len(won) == 1
        assert [type(outcome) for outcome in outcomes].count(LostRaceError) == 3
        for track in tracks:
            assert await track.tip() == won[0]

    async def test_concurrent_appends_through_one_track_have_one_winner(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        outcomes = await asyncio.gather(
            *(append(track, make_snapshot(make_app(revision=number)), None) for number in range(1, 5)),
            return_exceptions=True,
        )
        won = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
        assert len(won) == 1
        assert await track.tip() == won[0]

    async def test_whoever_lost_can_read_the_tip_and_append_on_it(self, stores: Opener) -> None:
        one, other = (await stores()).track(CLUSTER_UUID), (await stores()).track(CLUSTER_UUID)
        first = await append(one, make_snapshot(make_app()), None)
        tip = await other.tip()
        assert tip == first
        second = await append(one, make_snapshot(make_app(revision=2)), first)
        with pytest.raises(LostRaceError):
            await append(other, make_snapshot(make_app(revision=3)), tip)
        tip = await other.tip()
        assert tip == second
        third = await append(other, make_snapshot(make_app(revision=3)), tip)
        assert await one.tip() == third

    async def test_changes_that_change_nothing_are_refused(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        before = await store_factory.contents()
        with pytest.raises(ValueError, match="change nothing"):
            await append(track, first.snapshot, first)
        assert await store_factory.contents() == before

    async def test_a_newer_format_is_refused_with_nothing_written(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        await store_factory.make_newer(CLUSTER_UUID)
        before = await store_factory.contents()
        fresh = (await stores()).track(CLUSTER_UUID)
        for late in (track, fresh):
            with pytest.raises(FormatError, match="upgrade"):
                await late.tip()
            for base in (first, None):
                with pytest.raises(FormatError, match="upgrade"):
                    await append(late, make_snapshot(make_app(revision=2)), base)
        assert await store_factory.contents() == before


class TestHistory:
    async def test_history_is_newest_first(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        recorded: Recorded | None = None
        made = []
        for number in range(1, 6):
            recorded = await append(track, make_snapshot(make_app(revision=number)), recorded, minutes=number)
            made.append(recorded.revision)
        assert await history_of(track) == made[::-1]
        assert await history_of((await stores()).track(CLUSTER_UUID)) == made[::-1]

    async def test_the_history_of_an_app_has_only_the_revisions_that_changed_it(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        other = make_app("default", "other")
        first = await append(track, make_snapshot(make_app()), None)
        second = await append(track, make_snapshot(make_app(), other), first)
        third = await append(track, make_snapshot(make_app(revision=2), other), second)
        fourth = await append(track, make_snapshot(other), third)
        assert await history_of(track, KEYCLOAK) == [fourth.revision, third.revision, first.revision]
        assert await history_of(track, other.key) == [second.revision]
        assert await history_of(track, AppKey("default", "never-there")) == []

    async def test_messages_trailers_and_dates_survive(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        message = Message(
            subject="upgrade default/test: keycloak 18.3.3 → 18.4.0, revision 4 → 5",
            body="default/test: image 23.0.4 → 24.0.0\nsecond line\n\nanother paragraph",
            trailers=(
                ("Cluster-UUID", CLUSTER_UUID),
                ("Snapshot", "ab" * 32),
                ("Instance", "0a6f1c2e-7f0e-4c39-8f5c-7c3f1a2b3c4d"),
                ("Gap", "2026-11-21T08:00:00Z/2026-11-21T09:00:00Z down"),
            ),
        )
        happened = datetime(2026, 11, 21, 10, 0, 1, 999999, tzinfo=UTC)
        snapshot = make_snapshot(make_app())
        recorded = await track.append(
            snapshot,
            changes_between(None, snapshot),
            message,
            on=None,
            happened=happened,
            recorded=happened + timedelta(hours=3),
        )
        again = (await stores()).track(CLUSTER_UUID)
        (revision,) = await history_of(again)
        assert revision == recorded.revision
        assert revision.message == message
        assert revision.message.trailer("Gap").endswith("down")
        assert revision.happened.replace(microsecond=0) == happened.replace(microsecond=0)
        assert (revision.recorded - revision.happened) == timedelta(hours=3)
        assert revision.happened.utcoffset() == timedelta(0)

    async def test_a_message_of_a_subject_alone_survives(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        snapshot = make_snapshot(make_app())
        await track.append(
            snapshot,
            changes_between(None, snapshot),
            Message(subject="a subject: alone"),
            on=None,
            happened=START,
            recorded=START,
        )
        (revision,) = await history_of((await stores()).track(CLUSTER_UUID))
        assert revision.message == Message(subject="a subject: alone")

    async def test_a_history_that_is_left_early_leaves_the_store_usable(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        async for revision in track.history():
            assert revision == second.revision
            break
        assert await track.tip() == second


class TestAtAndBefore:
    async def test_a_revision_is_found_by_its_id_with_the_snapshot_that_it_had(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app(), make_app("b", "gone")), None)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        for reader in (track, (await stores()).track(CLUSTER_UUID)):
            assert await reader.at(first.revision.id) == first
            assert await reader.at(second.revision.id) == second

    @pytest.mark.parametrize(
        "unknown", ["", "main", "HEAD", "--all", "ffffffffffffffff", "0" * 40, "r999", "../x", "r", "v1\n"]
    )
    async def test_a_revision_that_is_not_there_is_a_usage_error(self, stores: Opener, unknown: str) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        await append(track, make_snapshot(make_app()), None)
        for find in (track.at, track.before):
            with pytest.raises(UsageError):
                await find(unknown)

    async def test_a_revision_of_an_empty_store_is_a_usage_error(self, stores: Opener) -> None:
        with pytest.raises(UsageError):
            await (await stores()).track(CLUSTER_UUID).at("0123456789")

    async def test_before_gives_the_revision_that_came_before(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.before(second.revision.id) == first
        assert await track.before(first.revision.id) is None


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


class TestDeparted:
    async def test_what_left_lately_is_known_as_it_was_last(self, stores: Opener) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        old, early, late = make_app(name="old"), make_app(name="early"), make_app(name="late", revision=3)
        stays = make_app(name="stays")
        tip = await append(track, make_snapshot(old, early, make_app(name="late"), stays), None)
        tip = await append(track, make_snapshot(early, make_app(name="late"), stays), tip, minutes=1)
        tip = await append(track, make_snapshot(early, late, stays), tip, minutes=10)
        tip = await append(track, make_snapshot(late, stays), tip, minutes=20)
        await append(track, make_snapshot(stays), tip, minutes=30)
        store = await stores()
        assert set(await store.track(CLUSTER_UUID).departed(START + timedelta(minutes=5))) == {early, late}
        assert await store.track(CLUSTER_UUID).departed(START + timedelta(minutes=40)) == ()

    async def test_an_empty_track_has_lost_nothing(self, stores: Opener) -> None:
        assert await (await stores()).track(CLUSTER_UUID).departed(START) == ()


class TestFaults:
    async def test_a_place_that_cannot_be_reached_is_said_in_one_sentence_and_nothing_is_lost(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        store = await stores()
        track = store.track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        second = make_snapshot(make_app(revision=2))
        with store_factory.away():
            for ask in (track.tip, store.clusters, lambda: append(track, second, first)):
                with pytest.raises(StoreError) as error:
                    await ask()
                assert not isinstance(error.value, LostRaceError)
                assert str(error.value).strip()
                assert "\n" not in str(error.value)
                assert "Traceback" not in str(error.value)
        assert await track.tip() == first
        assert (await append(track, second, first)).snapshot == second

    async def test_a_place_that_cannot_be_reached_is_not_taken_for_an_empty_one(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        first = await append((await stores()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        fresh = await stores()
        with store_factory.away():
            with pytest.raises(StoreError):
                await fresh.track(CLUSTER_UUID).tip()
            with pytest.raises(StoreError):
                await fresh.clusters()
            with pytest.raises(StoreError):
                await append(fresh.track(CLUSTER_UUID), make_snapshot(), None)
        assert await fresh.track(CLUSTER_UUID).tip() == first
        assert [each.cluster_uuid for each in await fresh.clusters()] == [CLUSTER_UUID]

    async def test_what_was_written_without_an_answer_is_there_once(
        self, stores: Opener, store_factory: StoreFactory
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        wanted = make_snapshot(make_app(revision=2))
        with store_factory.unanswered(), contextlib.suppress(StoreError):
            await append(track, wanted, first)
        tip = await track.tip()
        assert tip is not None
        if tip == first:
            tip = await append(track, wanted, first)
        assert tip.snapshot == wanted
        assert await (await stores()).track(CLUSTER_UUID).tip() == tip
        assert await history_of(track) == [tip.revision, first.revision]

    async def test_an_append_that_is_cancelled_has_happened_as_a_whole_or_not_at_all(
        self, stores: Opener
    ) -> None:
        track = (await stores()).track(CLUSTER_UUID)
        tip = await append(track, make_snapshot(make_app()), None)
        passes = 0  # of the loop, for one append
        task = asyncio.create_task(append(track, make_snapshot(make_app(revision=2)), tip))
        while not task.done():
            passes += 1
            await asyncio.sleep(0)
        tip = task.result()
        for revision, part in enumerate((0.1, 0.3, 0.5, 0.7, 0.9), 3):
            wanted = make_snapshot(make_app(revision=revision), make_app(name="other", revision=revision))
            task = asyncio.create_task(append(track, wanted, tip))
            for _ in range(int(passes * part)):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            found = await track.tip()
            assert found is not None
            assert found == tip or found.snapshot == wanted
            assert await (await stores()).track(CLUSTER_UUID).tip() == found
            tip = found
        last = await append(track, make_snapshot(make_app(revision=100)), tip)
        assert await track.tip() == last


async def test_what_two_revisions_differ_in_is_what_was_recorded_between_them(stores: Opener) -> None:
    track = (await stores()).track(CLUSTER_UUID)
    before = make_snapshot(make_app(), make_app(name="gone"), make_app(name="same"))
    after = make_snapshot(make_app(revision=2), make_app(name="new"), make_app(name="same"))
    first = await append(track, before, None)
    second = await append(track, after, first)
    reader = (await stores()).track(CLUSTER_UUID)
    old, new = await reader.before(second.revision.id), await reader.at(second.revision.id)
    assert old is not None
    assert diff(old.snapshot, new.snapshot) == diff(before, after)
    assert [str(change.key) for change in diff(old.snapshot, new.snapshot).apps] == [
        "default/gone",
        "default/new",
        "default/test",
    ]


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
