"""What every state store promises of what was: its history, older revisions, what has left it."""

from datetime import UTC, datetime, timedelta

import pytest

from reconciler.changes.diff import diff
from reconciler.errors import UsageError
from reconciler.model import AppKey
from reconciler.state.store import Message, Recorded
from tests.builders import (
    CLUSTER_UUID,
    changes_between,
    make_app,
    make_snapshot,
)
from tests.contract.appending import KEYCLOAK, START, append, history_of
from tests.contract.conftest import Opener


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
