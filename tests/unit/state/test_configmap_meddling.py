"""What others do to a record in ConfigMaps: noticed, said in words, and put right by the next append.

Each case is seen by a program that has just started, and by one that knew the record before.
"""

import json
from collections.abc import Callable

import msgspec
import pytest

from reconciler.changes.change import Changeset
from reconciler.errors import KubernetesError, LostRaceError, StoreError, UsageError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, AppKey
from reconciler.state.configmap import documents, shards
from reconciler.state.configmap.access import pack
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.store import Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.unit.state.configmap_standin import Faulty, StandIn
from tests.unit.state.configmap_world import (
    HEAD,
    HEAD_NAME,
    NAMESPACE,
    ONE,
    START,
    THREE,
    append,
    append_all,
    edit,
    head_of,
    ids,
    noisy,
    open_track,
    part,
    parts_of,
    recreate,
)

APPS = noisy(40, 200)
WHOLE = make_snapshot(*APPS)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "SPLIT_AT", 3_000)
    monkeypatch.setattr(shards, "JOIN_AT", 750)


class World:
    """A record of a few revisions, in several shards and two packs; and a program that knows it."""

    def __init__(self) -> None:
        self.access = StandIn()
        self.made: list[Recorded] = []
        self.knows = open_track(self.access)

    async def grown(self, count: int = 24) -> "World":
        sequence = [make_snapshot(*APPS, make_app(name="x", revision=n)) for n in range(1, count)]
        self.made = await append_all(self.knows, [*sequence, WHOLE])
        return self

    @property
    def head(self) -> documents.Head:
        return head_of(self.access)

    def track(self, *, knows: bool) -> ConfigMapTrack:
        return self.knows if knows else open_track(self.access)

    def delete(self, name: str) -> None:
        del self.access.items[NAMESPACE, name]

    def shard(self) -> documents.ShardRef:
        assert len(self.head.shards) > 3
        return max(self.head.shards, key=lambda ref: ref.apps)

    def apps_in(self, ref: documents.ShardRef) -> set[AppKey]:
        return {app.key for app in APPS if shards.place(app.key) in shards.range_of(ref)}


@pytest.fixture
async def world() -> World:
    return await World().grown()


async def repaired(track: ConfigMapTrack, tip: Recorded, apps: list[App] | None = None) -> Recorded:
    """What the reconcile does: compare with the live cluster, and record even if nothing differs."""
    return await append(track, make_snapshot(*(APPS if apps is None else apps)), tip, minutes=1)


async def check_sound(world: World, done: Recorded) -> None:
    """Nothing is wrong any more, for whoever looks."""
    for track in (open_track(world.access), world.knows):
        tip = await track.tip()
        assert tip == done
        assert tip.repairs == ()
        assert await track.at(done.revision.id) == done
    assert world.head.names <= parts_of(world.access)


def of(tip: Recorded | None) -> tuple[Recorded, str]:
    assert tip is not None
    return tip, "\n".join(repair.what for repair in tip.repairs)


def other_content(item: ConfigMap) -> dict[str, object]:
    return {"binary_data": {key: pack(b"[]") for key in item.binary_data}}


def no_gzip(item: ConfigMap) -> dict[str, object]:
    return {"binary_data": dict.fromkeys(item.binary_data, b"PK")}


def no_data(item: ConfigMap) -> dict[str, object]:
    return {"binary_data": {}}


def cut_short(item: ConfigMap) -> dict[str, object]:
    return {"binary_data": {key: value[:-9] for key, value in item.binary_data.items()}}


REPLACED = [other_content, no_gzip, no_data, cut_short]


class TestShards:
    @pytest.mark.parametrize("how", [None, *REPLACED])
    async def test_one_that_is_lost_is_named_with_its_apps_and_proved_whole_by_the_next_append(
        self, world: World, how: Callable[[ConfigMap], dict[str, object]] | None
    ) -> None:
        ref = world.shard()
        if how is None:
            world.delete(ref.name)
        else:
            recreate(world.access, ref.name, **how(part(world.access, ref.name)))
        track = open_track(world.access)
        tip, said = of(await track.tip())
        done_to_it = "was deleted" if how is None else "was deleted and created again with other content"
        assert f"ConfigMap {NAMESPACE}/{ref.name} {done_to_it}: what was recorded of" in said
        lost = world.apps_in(ref)
        assert str(min(lost)) in said
        assert f"{ref.apps} apps" in said
        assert tip.snapshot.apps.keys() == WHOLE.apps.keys() - lost
        assert tip.revision == world.made[-1].revision
        counting = Faulty(world.access)
        fresh = open_track(counting)
        tip, _ = of(await fresh.tip())
        done = await repaired(fresh, tip)
        assert len(counting.made("create", "-apps-")) == 1
        assert done.snapshot == WHOLE
        await check_sound(world, done)
        # The digest of what was recorded before proves that nothing had changed: the history goes on.
        for recorded in world.made:
            assert await open_track(world.access).at(recorded.revision.id) == recorded
        changed = [r.id async for r in open_track(world.access).history(min(lost))]
        assert changed == ["r1"], "what was put back has not changed"

    async def test_one_that_is_lost_while_the_cluster_changed_ends_what_can_be_rebuilt(
        self, world: World
    ) -> None:
        ref = world.shard()
        world.delete(ref.name)
        track = open_track(world.access)
        tip, _ = of(await track.tip())
        live = [app for app in APPS if app.key != min(world.apps_in(ref))]
        done = await repaired(track, tip, live)
        assert done.snapshot == make_snapshot(*live)
        await check_sound(world, done)
        fresh = open_track(world.access)
        assert (await ids(fresh))[:3] == ["r25", "r24", "r23"], "what is said of them is still there"
        with pytest.raises(UsageError, match="r24 cannot be rebuilt: what r25 replaced was lost before"):
            await fresh.at("r24")
        again = await append(fresh, make_snapshot(*live, *make_snapshot(make_app()).apps.values()), done, 2)
        assert await fresh.at("r25") == done
        assert await fresh.before(again.revision.id) == done

    async def test_one_that_is_lost_while_a_program_knows_it_loses_nothing(self, world: World) -> None:
        ref = world.shard()
        world.delete(ref.name)
        tip, said = of(await world.knows.tip())
        assert f"{ref.name} was deleted: {ref.apps} apps in it are known, and nothing is lost" in said
        assert tip.snapshot == WHOLE
        assert (await world.knows.tip()) == tip, "it says so until it is put right"
        done = await world.knows.append(
            tip.snapshot,
            Changeset((), tip.snapshot.cluster, tip.snapshot.cluster),
            world.made[-1].revision.message,
            on=tip,
            happened=START,
            recorded=START,
        )
        await check_sound(world, done)
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made

    async def test_all_of_them_lost_is_a_record_without_apps_that_goes_on(self, world: World) -> None:
        for ref in world.head.shards:
            world.delete(ref.name)
        track = open_track(world.access)
        tip, said = of(await track.tip())
        assert tip.snapshot.apps == {}
        assert len(tip.repairs) == len(world.head.shards)
        assert "and taken from the live cluster" in said
        await check_sound(world, await repaired(track, tip))
        assert await open_track(world.access).at("r7") == world.made[6]

    async def test_a_repair_of_a_shard_with_one_app_is_about_that_app(self) -> None:
        world = await World().grown(2)
        done = await append(world.knows, ONE, world.made[-1])
        world.delete(world.head.shards[0].name)
        (repair,) = of(await open_track(world.access).tip())[0].repairs
        assert repair.key == AppKey("default", "test")
        assert done.snapshot == ONE


class TestParts:
    @pytest.mark.parametrize("knows", [False, True])
    @pytest.mark.parametrize("kind", ["shards", "history"])
    @pytest.mark.parametrize(
        ("changes", "said_of_it"),
        [
            ({"labels": {}}, "given other labels"),
            ({"labels": {"app.kubernetes.io/instance": "argo"}}, "given other labels"),
            ({"immutable": False}, "made again so that it can be changed"),
            ({}, "deleted and created again"),
        ],
        ids=["no labels", "others' labels", "not immutable", "another UID"],
    )
    async def test_one_that_is_whole_and_not_as_it_was_left_is_put_right(
        self, world: World, kind: str, changes: dict[str, object], said_of_it: str, *, knows: bool
    ) -> None:
        ref = getattr(world.head, kind)[0]
        recreate(world.access, ref.name, **changes)
        tip, said = of(await world.track(knows=knows).tip())
        assert f"{ref.name} was {said_of_it}: " in said
        assert "nothing is lost" in said
        assert len(tip.repairs) == 1
        assert tip.snapshot == WHOLE
        track = world.track(knows=knows)
        done = await repaired(track, of(await track.tip())[0])
        await check_sound(world, done)
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made
        for name in world.head.names:
            item = part(world.access, name)
            assert item.immutable
            assert len(item.labels) == 3

    async def test_labels_that_are_taken_away_in_place_are_noticed(self, world: World) -> None:
        ref = world.shard()
        edit(world.access, ref.name, labels={})
        assert f"{ref.name} was given other labels" in of(await world.knows.tip())[1]

    async def test_many_that_are_whole_have_one_sentence(self, world: World) -> None:
        for ref in world.head.refs:
            recreate(world.access, ref.name)
        tip, said = of(await open_track(world.access).tip())
        assert len(tip.repairs) == 1
        assert f"and {len(world.head.refs) - 1} more of the record were deleted and created again" in said

    async def test_a_stray_that_is_in_the_way_of_a_new_part_is_replaced(self, world: World) -> None:
        trial = StandIn()
        trial.items = dict(world.access.items)
        await repaired(open_track(trial), world.made[-1], APPS[1:])
        (name,) = (name for name in parts_of(trial) - parts_of(world.access) if "-apps-" in name)
        world.access.put(msgspec.structs.replace(part(trial, name), uid="by hand", binary_data={}, labels={}))
        done = await repaired(world.knows, world.made[-1], APPS[1:])
        await check_sound(world, done)


class TestHistory:
    @pytest.mark.parametrize("knows", [False, True])
    @pytest.mark.parametrize("how", [None, *REPLACED])
    async def test_a_pack_that_is_lost_costs_older_snapshots_and_nothing_else(
        self, world: World, how: Callable[[ConfigMap], dict[str, object]] | None, *, knows: bool
    ) -> None:
        first, newest = world.head.history
        if how is None:
            world.delete(first.name)
        else:
            recreate(world.access, first.name, **how(part(world.access, first.name)))
        track = world.track(knows=knows)
        tip, said = of(await track.tip())
        assert tip.snapshot == WHOLE
        assert "the changesets r1 to r20 are lost" in said
        assert first.name in said
        done = await repaired(track, tip, APPS[1:])
        await check_sound(world, done)
        fresh = open_track(world.access)
        assert await ids(fresh) == ["r25", "r24", "r23", "r22", "r21"]
        assert await fresh.at("r21") == world.made[20]
        for lost in ("r20", "r1"):
            with pytest.raises(UsageError, match=f"{lost} is"):
                await fresh.at(lost)
        assert newest.first == 21

    async def test_the_newest_pack_that_is_lost_leaves_the_tip_and_older_messages(self, world: World) -> None:
        newest = world.head.history[-1]
        world.delete(newest.name)
        track = open_track(world.access)
        tip, said = of(await track.tip())
        assert tip.snapshot == WHOLE
        assert tip.revision.message.trailer("Instance") == world.made[-1].revision.message.trailer("Instance")
        assert "the changesets r21 to r24 are lost" in said
        done = await repaired(track, tip, APPS[1:])
        await check_sound(world, done)
        fresh = open_track(world.access)
        assert (await ids(fresh))[:2] == ["r25", "r20"]
        assert await fresh.at("r25") == done
        with pytest.raises(UsageError, match="r22 is lost"):
            await fresh.at("r22")
        with pytest.raises(UsageError, match="r20 is lost"):
            await fresh.at("r20")

    async def test_the_newest_pack_that_a_program_knows_is_not_lost(self, world: World) -> None:
        world.delete(world.head.history[-1].name)
        tip, said = of(await world.knows.tip())
        assert "nothing is lost" in said
        assert (await ids(world.knows))[:2] == ["r24", "r23"]
        await check_sound(world, await repaired(world.knows, tip, APPS[1:]))
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made

    async def test_what_is_left_of_it_is_read_while_nothing_was_repaired_yet(self, world: World) -> None:
        world.delete(world.head.history[0].name)
        track = open_track(world.access)
        assert await ids(track) == ["r24", "r23", "r22", "r21"]
        assert await track.at("r22") == world.made[21]


def broken(text: str) -> str:
    return text.replace("{", "[", 1)


def no_digest(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "digest"})


def no_check(text: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key != "check"})


def fewer_shards(text: str) -> str:
    head = json.loads(text)
    return json.dumps(head | {"shards": head["shards"][:-1]})


def shard_digest(text: str) -> str:
    head = json.loads(text)
    head["shards"][0]["digest"] = "ab" * 32
    return json.dumps(head)


def other_number(text: str) -> str:
    return json.dumps(json.loads(text) | {"revision": 3})


def other_cluster(text: str) -> str:
    return json.dumps(json.loads(text) | {"cluster_uuid": "K-other"})


def empty(text: str) -> str:
    return ""


EDITS = [broken, no_digest, no_check, fewer_shards, shard_digest, other_number, other_cluster, empty]


class TestHead:
    @pytest.mark.parametrize("knows", [False, True])
    @pytest.mark.parametrize("how", EDITS)
    async def test_one_that_was_edited_is_known_from_its_copy(
        self, world: World, how: Callable[[str], str], *, knows: bool
    ) -> None:
        data = {"head.json": how(part(world.access, HEAD_NAME).data["head.json"])}
        edit(world.access, HEAD_NAME, data=data)
        track = world.track(knows=knows)
        tip, said = of(await track.tip())
        assert f"ConfigMap {NAMESPACE}/{HEAD_NAME}, the head, was edited: " in said
        assert len(tip.repairs) == 1
        assert (tip.snapshot, tip.revision) == (WHOLE, world.made[-1].revision)
        assert [await track.at(one.revision.id) for one in world.made[:-1]] == world.made[:-1]
        done = await repaired(track, tip)
        assert done.revision.id == "r25"
        await check_sound(world, done)
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made

    async def test_one_that_is_only_written_otherwise_is_no_matter(self, world: World) -> None:
        text = json.dumps(json.loads(part(world.access, HEAD_NAME).data["head.json"]))
        edit(world.access, HEAD_NAME, data={"head.json": text})
        assert await open_track(world.access).tip() == world.made[-1]

    @pytest.mark.parametrize("knows", [False, True])
    async def test_one_that_was_deleted_is_known_from_its_copy_and_the_numbers_go_on(
        self, world: World, *, knows: bool
    ) -> None:
        world.delete(HEAD_NAME)
        track = world.track(knows=knows)
        tip, said = of(await track.tip())
        assert "the head, was deleted: it is made again" in said
        assert (tip.snapshot, tip.revision) == (WHOLE, world.made[-1].revision)
        with pytest.raises(LostRaceError):
            await append(open_track(world.access), ONE, None)
        done = await repaired(track, tip)
        assert done.revision.id == "r25"
        await check_sound(world, done)
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made

    async def test_one_that_lost_its_labels_gets_them_back(self, world: World) -> None:
        edit(world.access, HEAD_NAME, labels={"argocd.argoproj.io/instance": "x"})
        tip, said = of(await open_track(world.access).tip())
        assert "the head, was given other labels" in said
        await check_sound(world, await repaired(world.knows, of(await world.knows.tip())[0]))
        assert len(part(world.access, HEAD_NAME).labels) == 3
        assert tip.snapshot == WHOLE

    @pytest.mark.parametrize("knows", [False, True])
    async def test_one_that_was_set_back_is_noticed_by_the_parts_of_later_revisions(
        self, world: World, *, knows: bool
    ) -> None:
        old = dict(world.access.items)
        world.made += await append_all(
            world.knows, [make_snapshot(*APPS[n:]) for n in range(1, 4)], world.made[-1]
        )
        edit(world.access, HEAD_NAME, data=old[HEAD].data)
        track = world.track(knows=knows)
        tip, said = of(await track.tip())
        assert "was set back to r24, as from a backup: what was recorded later is known, up to r27" in said
        assert (tip.snapshot, tip.revision) == (world.made[-1].snapshot, world.made[-1].revision)
        done = await repaired(track, tip)
        assert done.revision.id == "r28"
        await check_sound(world, done)
        assert [await open_track(world.access).at(one.revision.id) for one in world.made] == world.made

    async def test_one_that_was_set_back_by_one_is_noticed_by_who_knew_the_later_one(
        self, world: World
    ) -> None:
        old = world.access.items[HEAD].data
        later = await append(world.knows, make_snapshot(*APPS[1:]), world.made[-1])
        edit(world.access, HEAD_NAME, data=old)
        tip, said = of(await world.knows.tip())
        assert "was set back to r24, as from a backup: what was recorded later is known, up to r25" in said
        assert (tip.snapshot, tip.revision) == (later.snapshot, later.revision)

    @pytest.mark.parametrize("knows", [False, True])
    async def test_a_record_that_was_restored_as_a_whole_is_noticed(
        self, world: World, *, knows: bool
    ) -> None:
        old = dict(world.access.items)
        later = await append_all(world.knows, [make_snapshot(*APPS[n:]) for n in range(1, 4)], world.made[-1])
        world.access.items.clear()
        for item in old.values():
            world.access.put(msgspec.structs.replace(item, uid=world.access.new_uid()))
        track = world.track(knows=knows)
        tip, said = of(await track.tip())
        if knows:
            assert "set back to r24, as from a backup: what was recorded later is known, up to r27" in said
            assert (tip.snapshot, tip.revision) == (later[-1].snapshot, later[-1].revision)
        else:
            assert (
                f"the head, was restored as it was at r24 ({world.made[-1].revision.message.subject})" in said
            )
            assert (tip.snapshot, tip.revision) == (WHOLE, world.made[-1].revision)
        done = await repaired(track, tip)
        assert done.revision.id == ("r28" if knows else "r25")
        assert await open_track(world.access).tip() == done
        readable = {revision async for revision in open_track(world.access).history()}
        for recorded in world.made if not knows else ():
            assert recorded.revision in readable
            assert await open_track(world.access).at(recorded.revision.id) == recorded

    @pytest.mark.parametrize("also", ["head", "packs"])
    async def test_all_that_is_gone_is_known_to_the_program_that_wrote_it(
        self, world: World, also: str
    ) -> None:
        head = part(world.access, HEAD_NAME)
        world.access.items.clear()
        if also == "head":
            world.access.put(head)
        tip, said = of(await world.knows.tip())
        assert (tip.snapshot, tip.revision) == (WHOLE, world.made[-1].revision)
        assert said
        done = await repaired(world.knows, tip)
        assert done.revision.id == "r25"
        await check_sound(world, done)
        assert "r24" in await ids(world.knows), "its pack was in memory"

    @pytest.mark.parametrize("at", ["deleted", "edited"])
    async def test_one_of_which_no_copy_is_left_begins_anew_at_a_higher_number(
        self, world: World, at: str
    ) -> None:
        for name in parts_of(world.access):
            if "-history-" in name:
                world.delete(name)
        if at == "deleted":
            world.delete(HEAD_NAME)
        else:
            edit(world.access, HEAD_NAME, data={})
        track = open_track(world.access)
        assert await track.tip() is None
        (notice,) = track.notices
        highest = max(documents.made_for(name, HEAD_NAME) or 0 for name in parts_of(world.access))
        assert f"the record begins anew at r{highest + 1}" in notice
        assert await ids(track) == []
        done = await append(track, WHOLE, None)
        assert done.revision.id == f"r{highest + 1}"
        assert await track.before(done.revision.id) is None
        assert notice in track.notices
        assert open_track(world.access).notices == ()

    async def test_clusters_are_known_whatever_was_done_to_their_heads(self, world: World) -> None:
        found = await ConfigMapStore(world.access, NAMESPACE).clusters()
        assert [one.cluster_uuid for one in found] == [CLUSTER_UUID]
        was = part(world.access, HEAD_NAME)
        for how in (*EDITS, None):
            if how is None:
                world.delete(HEAD_NAME)
            else:
                world.access.put(msgspec.structs.replace(was, data={"head.json": how(was.data["head.json"])}))
            assert await ConfigMapStore(world.access, NAMESPACE).clusters() == found
        world.access.put(msgspec.structs.replace(was, labels={}))
        assert await ConfigMapStore(world.access, NAMESPACE).clusters() == found

    async def test_a_first_append_that_was_not_finished_is_no_cluster_and_no_loss(self) -> None:
        access = StandIn()
        faulty = Faulty(access, 2, error=KubernetesError("no answer"))
        with pytest.raises(StoreError):
            await append(open_track(faulty), ONE, None)
        assert await ConfigMapStore(access, NAMESPACE).clusters() == ()
        track = open_track(access)
        assert await track.tip() is None
        assert track.notices == ()
        assert (await append(track, THREE, None)).revision.id == "r1"


class TestNoLoss:
    @pytest.mark.parametrize("verb", ["get", "list"])
    async def test_a_request_that_fails_is_never_taken_for_a_loss(self, world: World, verb: str) -> None:
        counting = Faulty(world.access)
        await open_track(counting).tip()
        total = len(counting.log)

        class Failing(Faulty):
            def __init__(self, at: int) -> None:
                super().__init__(world.access)
                self.failing = at

            def _read(self, verb: str, name: str) -> None:
                super()._read(verb, name)
                if len(self.log) > self.failing:
                    raise KubernetesError("500", 500)

        for at in range(total):
            if counting.log[at][0] == verb:
                with pytest.raises(StoreError, match="500"):
                    await open_track(Failing(at)).tip()

    async def test_what_an_append_deletes_under_a_reader_is_no_loss(self, world: World) -> None:
        class Slow(Faulty):
            """After the reader has seen the head, two appends come and go, and much later a third."""

            done: Recorded | None = None

            async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
                if name != HEAD_NAME and self.done is None:
                    self.done = world.made[-1]
                    for minutes in (1, 2, 30):
                        self.done = await append(
                            world.knows, make_snapshot(*APPS[minutes:]), self.done, minutes
                        )
                return await super().get_config_map(namespace, name)

        reader = Slow(world.access)
        tip, said = of(await open_track(reader).tip())
        assert said == ""
        assert tip == reader.done

    async def test_two_appends_between_head_and_parts_are_no_restored_backup(self, world: World) -> None:
        class Slow(Faulty):
            done: Recorded | None = None

            async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
                if self.done is None:
                    self.done = await append(world.knows, make_snapshot(*APPS[1:]), world.made[-1])
                    self.done = await append(world.knows, make_snapshot(*APPS[2:]), self.done)
                return await super().list_config_map_metadata(namespace, label_selector)

        reader = Slow(world.access)
        tip, said = of(await open_track(reader).tip())
        assert said == ""
        assert tip == reader.done

    async def test_an_attempt_that_went_no_further_is_no_restored_backup(self, world: World) -> None:
        for n in (1, 2, 3):
            faulty = Faulty(world.access, 2, error=KubernetesError("no answer"))
            with pytest.raises(StoreError):
                await append(open_track(faulty), make_snapshot(*APPS[n:]), world.made[-1])
        for track in (open_track(world.access), world.knows):
            assert await track.tip() == world.made[-1]
        assert (await repaired(world.knows, world.made[-1], APPS[5:])).revision.id == "r25"


class TestSecondWriter:
    async def test_a_protest_is_seen_by_the_other_until_it_is_withdrawn(self, world: World) -> None:
        theirs = world.knows
        writer = world.made[-1].revision.message.trailer("Instance")
        before = world.head
        counting = Faulty(world.access)
        mine = open_track(counting)
        for _ in range(2):
            await mine.protest("the-stopped", writer)
        assert len(counting.made("replace")) == 1, "said once"
        assert await theirs.tip() == world.made[-1]
        (notice,) = theirs.notices
        assert "the-stopped" in notice
        assert writer in notice
        assert await mine.tip() == world.made[-1]
        assert not mine.notices
        done = await append(theirs, ONE, world.made[-1])
        assert notice in theirs.notices, "as long as the same Instance writes"
        await mine.withdraw()
        await mine.withdraw()
        assert await theirs.tip() == done
        assert not theirs.notices
        assert world.head.revision == before.revision + 1
        await open_track(world.access).withdraw()

    async def test_an_earlier_process_protest_is_taken_back_by_its_instance(self, world: World) -> None:
        await open_track(world.access).protest("earlier", "x")
        await open_track(world.access).withdraw("other")
        assert [one.instance for one in world.head.protests] == ["earlier"]
        await open_track(world.access).withdraw("earlier")
        assert not world.head.protests

    async def test_a_protest_against_who_writes_no_more_goes_with_the_next_append(self, world: World) -> None:
        await open_track(world.access).protest("the-stopped", "somebody")
        await append(world.knows, ONE, of(await world.knows.tip())[0])
        assert world.knows.notices == ()
        assert world.head.protests == ()

    async def test_protests_of_two_at_once_are_both_kept(self, world: World) -> None:
        class Slow(Faulty):
            async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
                if not self.writes:
                    await open_track(world.access).protest("two", "x")
                return await super().replace_config_map(wanted)

        await open_track(Slow(world.access)).protest("one", "x")
        assert {one.instance for one in world.head.protests} == {"one", "two"}
        assert await open_track(world.access).tip() == world.made[-1]

    async def test_a_protest_where_there_is_no_head_says_so(self, world: World) -> None:
        world.delete(HEAD_NAME)
        with pytest.raises(StoreError, match="nothing can be said in it"):
            await open_track(world.access).protest("one", "x")
        await open_track(world.access).withdraw("one")


async def test_damage_of_every_part_at_once_is_survived() -> None:
    world = await World().grown(3)
    names = list(world.head.names)
    for name in names:
        world.delete(name)
    track = open_track(world.access)
    tip, said = of(await track.tip())
    assert tip.snapshot.apps == {}
    assert said.count("was deleted") == len(names)
    done = await repaired(track, tip)
    assert done.snapshot == WHOLE
    await check_sound(world, done)


async def test_what_was_repaired_takes_no_more_room_than_before(world: World) -> None:
    for ref in world.head.shards:
        recreate(world.access, ref.name, labels={})
    tip, _ = of(await world.knows.tip())
    done = await repaired(world.knows, tip)
    await append(world.knows, make_snapshot(*APPS[1:]), done, minutes=30)
    head = world.head
    assert parts_of(world.access) == head.names | {item.name for item in head.garbage}
