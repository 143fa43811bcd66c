"""The ConfigMap store on a stand-in for the API server: crashes, garbage, history, damage.

What every store promises is in tests/contract, which runs on the real server.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import (
    FormatError,
    KubernetesError,
    LostRaceError,
    StoreError,
    TooLargeError,
    UsageError,
)
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, Snapshot
from reconciler.state import configmap_documents as documents
from reconciler.state.configmap import ConfigMapStore
from reconciler.state.configmap_access import ConfigMapAccess
from reconciler.state.configmap_track import ConfigMapTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.unit.state.configmap_standin import CrashError, Faulty, StandIn

NAMESPACE = "hossted"
START = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)
HEAD = (NAMESPACE, documents.head_name("hossted-state", CLUSTER_UUID))


def open_track(access: ConfigMapAccess, history: int = 200) -> ConfigMapTrack:
    """The track as a program that has just started finds it."""
    return ConfigMapStore(access, NAMESPACE, history=history).track(CLUSTER_UUID)


async def append(
    track: ConfigMapTrack, snapshot: Snapshot, on: Recorded | None, minutes: int = 0
) -> Recorded:
    now = START + timedelta(minutes=minutes)
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        Message(subject=f"Record {len(snapshot.apps)} apps"),
        on=on,
        happened=now,
        recorded=now,
    )


async def append_all(
    track: ConfigMapTrack, snapshots: Sequence[Snapshot], on: Recorded | None = None
) -> list[Recorded]:
    made = []
    for snapshot in snapshots:
        on = await append(track, snapshot, on)
        made.append(on)
    return made


def revisions(count: int, first: int = 1) -> list[Snapshot]:
    return [make_snapshot(make_app(revision=number)) for number in range(first, first + count)]


def head_of(access: StandIn) -> documents.Head:
    return documents.decode_head(access.items[HEAD].data["head.json"], "the head")


def parts_of(access: StandIn) -> set[str]:
    return {name for _, name in access.items} - {HEAD[1]}


ONE, TWO, THREE = revisions(3)

contents = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 3), max_size=6)


@settings(max_examples=20)
@given(st.lists(contents, min_size=1, max_size=45), st.integers(1, 30))
def test_every_revision_that_is_kept_is_rebuilt_as_it_was_recorded(
    sequence: list[dict[str, int]], history: int
) -> None:
    async def run() -> None:
        access, on, made = StandIn(), None, list[Recorded]()
        track = open_track(access, history)
        for content in sequence:
            snapshot = make_snapshot(*(make_app(name=name, revision=n) for name, n in content.items()))
            if on is None or snapshot != on.snapshot:
                on = await append(track, snapshot, on)
                made.append(on)
        reader = open_track(access, history)
        assert [r async for r in reader.history()] == [one.revision for one in made[::-1][:history]]
        for recorded in made[-history:]:
            assert await reader.at(recorded.revision.id) == recorded
        for before, recorded in zip(made[-history:], made[-history:][1:], strict=False):
            assert await reader.before(recorded.revision.id) == before

    asyncio.run(run())


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
@pytest.mark.parametrize("first", [True, False], ids=["first revision", "later revision"])
async def test_a_crash_at_any_request_of_an_append_leaves_the_old_tip_or_the_new_one(
    first: bool, made: bool
) -> None:
    async def prepared() -> tuple[StandIn, Recorded | None]:
        access = StandIn()
        track = open_track(access)
        return access, None if first else (await append_all(track, [ONE, THREE]))[-1]

    access, on = await prepared()
    counting = Faulty(access)
    await append(open_track(counting), TWO, on)
    assert counting.writes == 3, "the apps, the history, the head"
    for at in range(counting.writes):
        access, on = await prepared()
        with pytest.raises(CrashError):
            await append(open_track(Faulty(access, at, made=made)), TWO, on)
        tip = await open_track(access).tip()
        if made and at == counting.writes - 1:
            assert tip is not None
            assert tip.snapshot == TWO
        else:
            assert tip == on
            done = await append(open_track(access), TWO, on, minutes=1)
            assert await open_track(access).tip() == done


@pytest.mark.parametrize("restarted", [True, False])
async def test_what_an_append_that_failed_left_is_deleted_in_time(restarted: bool) -> None:
    access = StandIn()
    track = open_track(Faulty(access, 5, error=KubernetesError("no answer")))
    first = await append(track, ONE, None)
    with pytest.raises(StoreError):
        await append(track, TWO, first)
    left = parts_of(access) - head_of(access).names
    assert len(left) == 2
    track = open_track(access) if restarted else track
    second = await append(track, THREE, first, minutes=1)
    assert left <= parts_of(access), "somebody may be reading"
    await append(track, ONE, second, minutes=11)
    assert not left & parts_of(access)


async def test_a_part_that_a_later_revision_may_name_is_no_garbage() -> None:
    access = StandIn()
    await append_all(open_track(access), [ONE, TWO, THREE])
    later = {name for name in parts_of(access) if "-r3-" in name}
    del access.items[HEAD]
    first = await append(open_track(access), ONE, None)
    await append(open_track(access), TWO, first)
    garbage = {item.name for item in head_of(access).garbage}
    assert not later & garbage
    assert {name for name in parts_of(access) if "-r1-" in name} <= garbage | head_of(access).names


async def test_garbage_is_deleted_ten_minutes_after_a_head_stopped_naming_it() -> None:
    access = StandIn()
    track = open_track(access)
    first = await append(track, ONE, None)
    old = parts_of(access)
    second = await append(track, TWO, first, minutes=1)
    third = await append(track, THREE, second, minutes=10)
    assert old <= parts_of(access)
    await append(track, ONE, third, minutes=11)
    assert not old & parts_of(access)
    head = head_of(access)
    assert parts_of(access) == head.names | {item.name for item in head.garbage}


async def test_garbage_that_cannot_be_deleted_stays_named_and_does_not_fail_the_append() -> None:
    access = StandIn()
    track = open_track(access)
    second = await append(track, TWO, await append(track, ONE, None))
    garbage = head_of(access).garbage
    faulty = Faulty(access, 0, error=KubernetesError("no answer"))
    await append(open_track(faulty), THREE, second, minutes=20)
    assert garbage[0] in head_of(access).garbage
    assert garbage[1] not in head_of(access).garbage


async def test_a_reader_who_finds_a_part_gone_starts_again_from_the_head() -> None:
    access = StandIn()
    writer = open_track(access)
    first = await append(writer, ONE, None)

    class Slow(Faulty):
        """Between the reader's look at the head and at its parts, the writer goes on, and much later."""

        done: Recorded | None = None

        async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
            if name != HEAD[1] and self.done is None:
                second = await append(writer, TWO, first, minutes=1)
                self.done = await append(writer, THREE, second, minutes=20)
            return await super().get_config_map(namespace, name)

    reader = Slow(access)
    assert await open_track(reader).tip() == reader.done


async def test_a_history_that_is_read_while_it_grows_tells_each_revision_once() -> None:
    access = StandIn()
    writer = open_track(access)
    made = await append_all(writer, revisions(45))
    seen = []
    async for revision in open_track(access).history():
        seen.append(revision.id)
        if len(seen) in (3, 30):
            made.append(
                await append(writer, make_snapshot(make_app(revision=1000 + len(seen))), made[-1], 60)
            )
    assert seen == [f"r{number}" for number in range(45, 0, -1)]


async def test_a_part_that_is_gone_for_good_is_named_with_what_to_do() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    (apps,) = (name for name in parts_of(access) if "-apps-" in name)
    del access.items[NAMESPACE, apps]
    with pytest.raises(StoreError, match=rf"{apps} is gone, and .*/{HEAD[1]} needs it: restore"):
        await open_track(access).tip()


@pytest.mark.parametrize("kind", ["apps", "history"])
@pytest.mark.parametrize("how", ["not gzip", "cut short", "other content"])
async def test_a_part_that_is_not_what_the_head_says_is_named(kind: str, how: str) -> None:
    access = StandIn()
    await append_all(open_track(access), [ONE, TWO])
    (here,) = (name for name in head_of(access).names if f"-{kind}-" in name)
    other = next(name for name in parts_of(access) if f"-{kind}-" in name and name != here)
    key = documents.PART_KEYS[kind]
    packed = access.items[NAMESPACE, here].binary_data[key]
    wrong = {
        "not gzip": b"PK",
        "cut short": packed[:-9],
        "other content": access.items[NAMESPACE, other].binary_data[key],
    }[how]
    item = access.items[NAMESPACE, here]
    access.items[NAMESPACE, here] = msgspec.structs.replace(item, binary_data={key: wrong})
    with pytest.raises(StoreError, match=f"{here} is damaged"):
        await open_track(access).tip()


async def test_the_tip_that_is_known_costs_one_small_request() -> None:
    access = StandIn()
    await append_all(open_track(access), revisions(3))
    faulty = Faulty(access)
    track = open_track(faulty)
    tip = await track.tip()
    assert faulty.reads == 3, "the head, the apps, the newest history"
    assert await track.tip() == tip
    assert faulty.reads == 4


async def test_a_failed_request_is_a_store_error_that_names_the_object() -> None:
    faulty = Faulty(StandIn(), 0, error=KubernetesError("no answer"))
    with pytest.raises(StoreError, match=r"ConfigMap hossted/hossted-state-\w+-r1-apps-\w+: no answer"):
        await append(open_track(faulty), ONE, None)


async def test_a_head_that_another_moved_in_the_last_moment_loses_the_race() -> None:
    access = StandIn()
    first = await append(open_track(access), ONE, None)

    class Interrupted(Faulty):
        async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
            if self.writes == 0:
                await append(open_track(access), THREE, first)
            return await super().create_config_map(wanted)

    with pytest.raises(LostRaceError):
        await append(open_track(Interrupted(access)), TWO, first)
    tip = await open_track(access).tip()
    assert tip is not None
    assert tip.snapshot == THREE


def noisy(count: int) -> list[App]:
    """Apps that pack badly: about 1.3 kB each."""
    dice = random.Random(1)
    return [make_app(name=f"app-{n}", image=dice.randbytes(600).hex(), digest="") for n in range(count)]


async def test_apps_that_do_not_fit_are_refused_with_sizes_and_what_to_do() -> None:
    access = StandIn()
    with pytest.raises(TooLargeError, match=r"the 1500 apps .* take \d{7} bytes .*921600.*spec\.state\.git"):
        await append(open_track(access), make_snapshot(*noisy(1500)), None)
    assert access.items == {}


async def test_a_changeset_that_does_not_fit_is_kept_without_the_earlier_forms_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = StandIn()
    track = open_track(access)
    big = make_snapshot(*noisy(50))
    made = await append_all(track, [ONE, big])
    with monkeypatch.context() as patch:
        patch.setattr(documents, "PACKED_LIMIT", 20_000)
        patch.setattr(documents, "PACK_BYTES", 20_000)
        made += await append_all(track, [TWO, THREE], made[-1])
    reader = open_track(access)
    assert [revision.id async for revision in reader.history()] == ["r4", "r3", "r2", "r1"]
    assert await reader.at("r4") == made[3]
    assert await reader.at("r3") == made[2]
    with pytest.raises(UsageError, match="r2 cannot be rebuilt: r3 was too large"):
        await reader.at("r2")


async def test_history_beyond_what_is_kept_is_said_to_be_dropped() -> None:
    access = StandIn()
    track = open_track(access, history=25)
    await append_all(track, revisions(70))
    head = head_of(access)
    assert head.dropped == 40, "whole packs of 20"
    assert [pack.first for pack in head.history] == [41, 61]
    assert [revision.id async for revision in track.history()] == [f"r{n}" for n in range(70, 45, -1)]
    with pytest.raises(UsageError, match="r45 is not kept any more: the oldest is r46"):
        await track.at("r45")
    with pytest.raises(UsageError, match="r45 is not kept any more"):
        await track.before("r46")


@pytest.mark.parametrize(
    ("sizes", "keep", "left"),
    [
        ([1, 1, 1], 200, [1, 21, 41]),
        ([1, 1, 1], 40, [21, 41]),
        ([1, 1, 1], 41, [1, 21, 41]),
        ([1, 1, 1], 1, [41]),
        ([documents.HISTORY_BYTES, 1, 1], 200, [21, 41]),
        ([1, 1, documents.HISTORY_BYTES + 1], 200, [41]),
    ],
)
def test_the_oldest_history_goes_first_by_number_and_by_size(
    sizes: list[int], keep: int, left: list[int]
) -> None:
    packs = [documents.PackRef(20 * i + 1, 20 * i + 20, "", "", size) for i, size in enumerate(sizes)]
    assert [pack.first for pack in documents.trim(packs, keep)] == left


async def test_nothing_that_is_kept_carries_a_mark_of_the_project() -> None:
    access = StandIn()
    await append_all(open_track(access), [ONE, TWO])
    for (_, name), item in access.items.items():
        assert set(item.labels) == {
            "app.kubernetes.io/managed-by",
            "hossted.com/state",
            "hossted.com/cluster",
        }
        assert item.immutable is (name != HEAD[1])


async def test_stores_of_other_names_in_the_namespace_are_not_seen() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    other = ConfigMapStore(access, NAMESPACE, "hossted-state-two")
    snapshot = make_snapshot(cluster_uuid=OTHER_CLUSTER_UUID)
    await append(other.track(OTHER_CLUSTER_UUID), snapshot, None)
    assert [one.cluster_uuid for one in await other.clusters()] == [OTHER_CLUSTER_UUID]
    assert [one.cluster_uuid for one in await ConfigMapStore(access, NAMESPACE).clusters()] == [CLUSTER_UUID]


async def test_a_head_that_is_not_ours_is_refused_by_name() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    access.items[HEAD] = msgspec.structs.replace(access.items[HEAD], data={"head.json": "{}"})
    for read in (open_track(access).tip, ConfigMapStore(access, NAMESPACE).clusters):
        with pytest.raises(FormatError, match=HEAD[1]):
            await read()


async def test_the_head_is_json_for_people_and_layout_allows_more_shards() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    text = access.items[HEAD].data["head.json"]
    assert text.startswith('{\n  "format": 1,')
    (shard,) = json.loads(text)["shards"]
    assert (shard["first"], shard["last"], shard["apps"]) == ("00", "ff", 1)
    assert shard["name"] == f"{HEAD[1]}-r1-apps-{shard['digest'][:16]}"
