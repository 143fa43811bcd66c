"""What every state store promises of an append: concurrency, refusals, faults."""

import asyncio
import contextlib

import pytest

from reconciler.errors import FormatError, LostRaceError, StoreError
from reconciler.state.store import Recorded
from tests.builders import (
    CLUSTER_UUID,
    make_app,
    make_snapshot,
)
from tests.contract.appending import append, history_of
from tests.contract.conftest import Opener
from tests.contract.factories import StoreFactory


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
