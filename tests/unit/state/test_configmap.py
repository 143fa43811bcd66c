"""The ConfigMap store on a stand-in for the API server: crashes, garbage, history, damage.

What every store promises is in tests/contract, which runs on the real server.
"""

import asyncio
import json
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import FormatError, KubernetesError, LostRaceError, StoreError, UsageError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import Cluster, encode, snapshot_of
from reconciler.state.configmap import documents
from reconciler.state.configmap import history as packs
from reconciler.state.configmap.access import PACKED_LIMIT, unpack
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.store import Recorded
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.unit.state.configmap_standin import CrashError, Faulty, StandIn
from tests.unit.state.configmap_world import (
    HEAD,
    HEAD_NAME,
    NAMESPACE,
    ONE,
    START,
    THREE,
    TWO,
    append,
    append_all,
    head_of,
    ids,
    noisy,
    open_track,
    part,
    parts_of,
    revisions,
)

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


class Slow(Faulty):
    """The head's next version is on its way until it is let go."""

    def __init__(self, access: StandIn) -> None:
        super().__init__(access)
        self.sent, self.arrives = asyncio.Event(), asyncio.Event()

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        self.sent.set()
        await self.arrives.wait()
        return await super().replace_config_map(wanted)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_look_after_a_cancelled_append_waits_for_the_request_that_was_on_its_way(lost: bool) -> None:
    access = StandIn()
    slow = Slow(access)
    track = open_track(slow)
    first = await append(track, ONE, None)
    appending = asyncio.create_task(append(track, TWO, first))
    await slow.sent.wait()
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    looking = asyncio.create_task(track.tip())
    await asyncio.wait([looking], timeout=0)
    assert not looking.done()
    if lost:
        access.put(access.items[HEAD])
    slow.arrives.set()
    tip = await looking
    assert tip is not None
    assert tip.snapshot == (ONE if lost else TWO)
    assert tip == await open_track(access).tip()
    assert (await append(track, THREE, tip)).snapshot == THREE


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


async def test_garbage_that_was_deleted_is_not_named_again_by_a_program_that_saw_it() -> None:
    access = StandIn()
    made = await append_all(open_track(access), [ONE, TWO])
    fresh = open_track(access)
    assert await fresh.tip() == made[-1]
    await append(fresh, THREE, made[-1], minutes=30)
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
            if name != HEAD_NAME and self.done is None:
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


async def test_the_tip_that_is_known_costs_one_small_request() -> None:
    access = StandIn()
    await append_all(open_track(access), revisions(3))
    faulty = Faulty(access)
    track = open_track(faulty)
    tip = await track.tip()
    assert faulty.reads == 4, "the head, the metadata of all parts, the apps, the newest history"
    assert await track.tip() == tip
    assert faulty.reads == 6, "the head, the metadata"


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


async def test_a_change_of_all_apps_at_once_is_kept_in_several_parts_and_rebuilt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packs, "PIECE_PLAIN", 20_000)
    monkeypatch.setattr(packs, "PACK_BYTES", 20_000)
    access = StandIn()
    track = open_track(access)
    sequence = [make_snapshot(*noisy(60, revision=n)) for n in (1, 2)]
    made = await append_all(track, [ONE, *sequence, TWO])
    head = head_of(access)
    assert [ref.first for ref in head.history].count(3) > 1
    assert max(ref.size for ref in head.history) <= PACKED_LIMIT
    reader = open_track(access)
    assert await ids(reader) == ["r4", "r3", "r2", "r1"]
    for recorded in made:
        assert await reader.at(recorded.revision.id) == recorded
    left = {app.key: app for app in await reader.departed(START - timedelta(1))}
    assert left == {**made[2].snapshot.apps, **ONE.apps}


async def test_one_pack_of_a_divided_changeset_is_not_dropped_without_the_others() -> None:
    for parts, left in ((4, [2, 2, 2, 3]), (3, [3])):
        refs = [documents.PackRef(n, n, "", "", packs.HISTORY_BYTES // parts) for n in (1, 2, 2, 2, 3)]
        assert [ref.first for ref in packs.trim(refs, 200)] == left


async def test_what_an_app_was_that_does_not_fit_is_not_kept_and_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    access = StandIn()
    track = open_track(access)
    big = make_snapshot(*noisy(2, 20_000))
    made = await append_all(track, [ONE, big])
    with monkeypatch.context() as patch:
        patch.setattr(packs, "PACKED_LIMIT", 20_000)
        patch.setattr(packs, "PACK_BYTES", 20_000)
        made += await append_all(track, [TWO, THREE], made[-1])
    reader = open_track(access)
    assert await ids(reader) == ["r4", "r3", "r2", "r1"]
    assert await reader.at("r4") == made[3]
    assert await reader.at("r3") == made[2]
    with pytest.raises(UsageError, match="r2 cannot be rebuilt: what r3 replaced"):
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
        ([packs.HISTORY_BYTES, 1, 1], 200, [21, 41]),
        ([1, 1, packs.HISTORY_BYTES + 1], 200, [41]),
    ],
)
def test_the_oldest_history_goes_first_by_number_and_by_size(
    sizes: list[int], keep: int, left: list[int]
) -> None:
    refs = [documents.PackRef(20 * i + 1, 20 * i + 20, "", "", size) for i, size in enumerate(sizes)]
    assert [ref.first for ref in packs.trim(refs, keep)] == left


async def test_nothing_that_is_kept_carries_a_mark_of_the_project() -> None:
    access = StandIn()
    await append_all(open_track(access), [ONE, TWO])
    for (_, name), item in access.items.items():
        assert set(item.labels) == {
            "app.kubernetes.io/managed-by",
            "hossted.com/state",
            "hossted.com/cluster",
        }
        assert item.immutable is (name != HEAD_NAME)


async def test_stores_of_other_names_in_the_namespace_are_not_seen() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    other = ConfigMapStore(access, NAMESPACE, "hossted-state-two")
    snapshot = make_snapshot(cluster_uuid=OTHER_CLUSTER_UUID)
    await append(other.track(OTHER_CLUSTER_UUID), snapshot, None)
    assert [one.cluster_uuid for one in await other.clusters()] == [OTHER_CLUSTER_UUID]
    assert [one.cluster_uuid for one in await ConfigMapStore(access, NAMESPACE).clusters()] == [CLUSTER_UUID]


async def test_the_head_is_json_for_people() -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    text = access.items[HEAD].data["head.json"]
    assert text.startswith('{\n  "format": 1,')
    (shard,) = json.loads(text)["shards"]
    assert (shard["first"], shard["last"], shard["apps"]) == ("00000000", "ffffffff", 1)
    assert shard["name"] == f"{HEAD_NAME}-r1-apps-{shard['digest'][:16]}"


@pytest.mark.parametrize("cluster", [{}, {"cluster_uuid": OTHER_CLUSTER_UUID}])
async def test_the_head_of_a_newer_program_is_refused(cluster: dict[str, str]) -> None:
    access = StandIn()
    await append(open_track(access), ONE, None)
    newer = json.dumps(json.loads(access.items[HEAD].data["head.json"]) | {"format": 2, "new": 1} | cluster)
    access.put(msgspec.structs.replace(access.items[HEAD], data={"head.json": newer}))
    with pytest.raises(FormatError, match=f"{HEAD_NAME} was written by a newer program"):
        await open_track(access).tip()


def as_before(access: StandIn) -> None:
    """Put the store back as programs left it before shards were divided: one shard, and a bare head."""
    head, apps = head_of(access), list[object]()
    for ref in head.shards:
        key = documents.PART_KEYS["apps"]
        item = access.items.pop((NAMESPACE, ref.name))
        apps += documents.decode_apps(unpack(item.binary_data[key], ""))
    whole = documents.make_part(HEAD_NAME, head.revision, "apps", encode(apps))
    access.put(msgspec.structs.replace(item, name=whole.name, binary_data={key: whole.packed}))
    for pack in head.history:
        item = part(access, pack.name)
        kept = {documents.PART_KEYS["history"]: item.binary_data[documents.PART_KEYS["history"]]}
        access.put(msgspec.structs.replace(item, binary_data=kept))
    shard = {"first": "00", "last": "ff", "name": whole.name, "digest": whole.digest, "apps": len(apps)}
    old = {
        "format": 1,
        "cluster_uuid": CLUSTER_UUID,
        "kube_system_uid": head.kube_system_uid,
        "created": head.created,
        "revision": head.revision,
        "subject": head.subject,
        "recorded": head.recorded,
        "digest": head.digest,
        "shards": [shard],
        "history": [
            {"first": one.first, "last": one.last, "name": one.name, "digest": one.digest, "size": one.size}
            for one in head.history
        ],
    }
    text = encode(old).decode()
    access.put(msgspec.structs.replace(access.items[HEAD], data={"head.json": text}))


async def test_an_old_head_with_one_shard_is_read_and_divided_at_the_next_append() -> None:
    access = StandIn()
    many = noisy(400)
    made = await append_all(open_track(access), [ONE, make_snapshot(*many)])
    as_before(access)
    track = open_track(access)
    assert await track.tip() == made[-1]
    assert await track.at("r1") == made[0]
    assert await track.tip() == made[-1]
    await track.protest("me", "you")
    assert await open_track(access).tip() == made[-1]
    upgraded = make_snapshot(*many[1:], make_app(name="app-0", revision=9))
    made.append(await append(track, upgraded, made[-1]))
    assert len(head_of(access).shards) > 2
    assert [await open_track(access).at(one.revision.id) for one in made] == made


async def test_a_policy_that_changed_is_known_from_the_head_alone() -> None:
    access = StandIn()
    stopped = Cluster(name="stopped")
    made = await append_all(open_track(access), [ONE, snapshot_of(CLUSTER_UUID, stopped, ONE.apps.values())])
    del access.items[NAMESPACE, head_of(access).history[-1].name]
    tip = await open_track(access).tip()
    assert tip is not None
    assert tip.snapshot == made[-1].snapshot
    assert tip.revision.message == msgspec.structs.replace(made[-1].revision.message, body="")
