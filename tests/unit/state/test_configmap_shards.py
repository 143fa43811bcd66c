"""How apps are spread over shards: sizes, one change one shard, dividing and joining."""

import asyncio
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import TooLargeError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, Snapshot, encode
from reconciler.state.configmap import shards
from reconciler.state.configmap.access import PACKED_LIMIT
from reconciler.state.store import Recorded
from tests.builders import changes_between, make_app, make_snapshot
from tests.unit.state.configmap_standin import Faulty, StandIn
from tests.unit.state.configmap_world import append, head_of, noisy, open_track, realistic

LIMITS = {"SPLIT_AT": 3_000, "SPLIT_PLAIN_AT": 30_000, "JOIN_AT": 750}


@pytest.fixture(scope="module")
def many() -> list[App]:
    return realistic(2_000)


async def test_thousands_of_apps_are_in_shards_far_below_the_limit(many: list[App]) -> None:
    access = StandIn()
    done = await append(open_track(access), make_snapshot(*many), None)
    head = head_of(access)
    assert len(head.shards) > 8
    assert all(0 < ref.size <= shards.SPLIT_AT for ref in head.shards)
    assert max(len(encode(item.binary_data)) for item in access.items.values()) < PACKED_LIMIT
    assert sum(ref.apps for ref in head.shards) == 2_000
    assert await open_track(access).tip() == done


async def test_one_changed_app_of_thousands_rewrites_one_shard(many: list[App]) -> None:
    access = StandIn()
    done = await append(open_track(access), make_snapshot(*many), None)
    before = head_of(access).shards
    for number, track_knows in ((2, False), (3, True)):
        counting = Faulty(access)
        track = open_track(counting)
        if track_knows:
            assert await track.tip() == done
            counting.log.clear()
        key = many[7].key
        changed = make_app(key.namespace, key.name, number)
        done = await append(track, make_snapshot(*(a for a in many if a.key != key), changed), done)
        assert len(counting.made("create", "-apps-")) == 1
        assert len(counting.made("create", "-history-")) == 1
        assert len(counting.made("replace")) == 1
        assert not counting.made("delete")
    assert len(set(before) - set(head_of(access).shards)) == 1


async def test_parts_are_read_several_at_a_time_and_never_too_many(many: list[App]) -> None:
    access, most, now = StandIn(), 0, 0
    await append(open_track(access), make_snapshot(*many), None)

    class Slow(Faulty):
        async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1
            return await super().get_config_map(namespace, name)

    assert await open_track(Slow(access)).tip()
    assert most == 8


async def test_apps_of_five_hundred_pods_fit_and_several_such() -> None:
    access = StandIn()
    dice = random.Random(1)
    large = [
        make_app(name=f"large-{n}", pods=500, digest=f"sha256:{dice.randbytes(32).hex()}") for n in range(8)
    ]
    done = await append(open_track(access), make_snapshot(*large, *noisy(20)), None)
    assert await open_track(access).tip() == done


async def test_an_app_that_fits_nowhere_is_named_with_what_to_do_and_nothing_is_written() -> None:
    access = StandIn()
    small = await append(open_track(access), make_snapshot(*noisy(20)), None)
    there = dict(access.items)
    (huge,) = noisy(1, PACKED_LIMIT)
    huge = make_app("team", "huge", image=huge.app_info.pod_info[0].image)
    with pytest.raises(TooLargeError, match=rf"app team/huge .* \d{{7}} bytes .*{PACKED_LIMIT}.*denyNames"):
        await append(open_track(access), make_snapshot(*noisy(20), huge), small)
    assert access.items == there
    done = await append(open_track(access), make_snapshot(*noisy(21)), small)
    assert await open_track(access).tip() == done


contents = st.dictionaries(st.integers(0, 40), st.integers(1, 4), max_size=40)


@settings(max_examples=60, deadline=None)
@given(st.lists(contents, min_size=1, max_size=6))
def test_shards_cover_all_apps_once_and_only_what_changed_is_written(sequence: list[dict[int, int]]) -> None:
    def snapshot_of(content: dict[int, int]) -> Snapshot:
        dice = random.Random(1)
        images = {n: dice.randbytes(200).hex() for n in range(41)}
        return make_snapshot(
            *(make_app(name=f"app-{n}", revision=r, image=images[n]) for n, r in content.items())
        )

    with pytest.MonkeyPatch.context() as patch:
        for limit, value in LIMITS.items():
            patch.setattr(shards, limit, value)
        before, leaves = make_snapshot(), list[shards.Leaf]()
        for number, content in enumerate(sequence, start=1):
            after = snapshot_of(content)
            changes = changes_between(before, after)
            refs, written = shards.spread("head", number, leaves, changes)
            ranges = [shards.range_of(ref) for ref in refs]
            assert ranges == sorted(ranges)
            assert shards.cover(ranges)
            held = {leaf.ref.name: leaf.apps for leaf in leaves if leaf.ref} | {
                one.part.name: one.apps for one in written
            }
            there = [app for ref in refs for app in held[ref.name]]
            assert {app.key: app for app in there} == dict(after.apps)
            assert len(there) == len(after.apps)
            for ref, one in zip(refs, ranges, strict=True):
                assert all(shards.place(app.key) in one for app in held[ref.name])
                assert ref.size <= 3_000 or ref.apps == 1
            new = {one.part.name for one in written}
            touched = {shards.place(change.key) for change in changes}
            for one, leaf in ((leaf.range, leaf) for leaf in leaves):
                unchanged = not any(place in one for place in touched)
                joined = leaf.ref is not None and leaf.ref.size <= 750
                assert leaf.ref is not None
                assert leaf.ref.name not in new
                assert not unchanged or joined or leaf.ref in refs
            leaves = [
                shards.Leaf(where, held[ref.name], ref) for where, ref in zip(ranges, refs, strict=True)
            ]
            before = after


async def test_shards_that_shrank_are_joined_and_the_others_are_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for limit, value in LIMITS.items():
        monkeypatch.setattr(shards, limit, value)
    access = StandIn()
    apps = noisy(60, 200)
    done: Recorded = await append(open_track(access), make_snapshot(*apps), None)
    full = head_of(access).shards
    assert len(full) > 8
    one, other = next(
        (a, b)
        for a, b in pairwise(full)
        if shards.range_of(a).parent == shards.range_of(b).parent and a.apps + b.apps > 2
    )
    both = shards.range_of(one).parent
    gone = [app for app in apps if shards.place(app.key) in both][1:]
    done = await append(open_track(access), make_snapshot(*(a for a in apps if a not in gone)), done)
    now = head_of(access).shards
    assert both in [shards.range_of(ref) for ref in now]
    assert set(full) - set(now) == {one, other}
    done = await append(open_track(access), make_snapshot(), done)
    assert [(ref.first, ref.last) for ref in head_of(access).shards] == [("00000000", "ffffffff")]
    assert await open_track(access).tip() == done
