"""Writers that die, slow readers, and whoever meddles, request by request in any order.

Each request of each of them waits until the machine lets it be made. So an append, a look, a death between
two requests and a deletion by hand meet in every order that Hypothesis finds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from reconciler.errors import LostRaceError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import Snapshot
from reconciler.state.configmap import history as packs
from reconciler.state.configmap import shards
from reconciler.state.configmap.access import pack
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.store import Recorded
from tests.builders import make_app, make_snapshot
from tests.unit.state.configmap_standin import Faulty, StandIn
from tests.unit.state.configmap_world import (
    HEAD,
    HEAD_NAME,
    append,
    edit,
    head_of,
    noisy,
    open_track,
    part,
    parts_of,
    recreate,
)

T = TypeVar("T")

APPS = {app.key.name: app for app in noisy(12, 100)}
MOST_TURNS = 40
"""Turns of the loop after which nothing goes on by itself any more: the work of one request."""


class Gated(Faulty):
    """Requests wait until they are let through, one at a time."""

    def __init__(self, access: StandIn) -> None:
        super().__init__(access)
        self.waiting: list[asyncio.Future[None]] = []

    async def _gate(self) -> None:
        gate = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        await self._gate()
        return await super().get_config_map(namespace, name)

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        await self._gate()
        return await super().list_config_map_metadata(namespace, label_selector)

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        await self._gate()
        return await super().create_config_map(wanted)

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        await self._gate()
        return await super().replace_config_map(wanted)

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        await self._gate()
        await super().delete_config_map(namespace, name, uid)


class Process:
    """A program: what it knows, and what it is doing."""

    def __init__(self, access: StandIn) -> None:
        self.access = Gated(access)
        self.track = open_track(self.access)
        self.task: asyncio.Task[None] | None = None


class Interleavings(RuleBasedStateMachine):
    """Nobody meddles: what a reader sees is one whole snapshot, and what was acknowledged stays."""

    meddles = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(shards, "SPLIT_AT", 600)
        self.patch.setattr(shards, "JOIN_AT", 300)
        self.patch.setattr(packs, "PACK_ENTRIES", 3)
        self.access = StandIn()
        self.minutes = 0.0
        self.acknowledged: dict[str, Recorded] = {}
        self.attempted: list[Snapshot] = []

    def teardown(self) -> None:
        for one in self.processes:
            self.die(one)
        self.run(self.settled())
        self.loop.close()
        self.patch.undo()

    @initialize()
    def start(self) -> None:
        self.processes = [Process(self.access) for _ in range(3)]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    async def settled(self) -> None:
        for _ in range(MOST_TURNS):
            await asyncio.sleep(0)

    def begin(self, process: Process, work: Callable[[ConfigMapTrack], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await work(process.track)
            except LostRaceError:
                return

        async def begun() -> None:
            process.task = asyncio.create_task(guarded())
            await self.settled()

        self.run(begun())

    def die(self, process: Process) -> None:
        if process.task is not None:
            process.task.cancel()
            for gate in process.access.waiting:
                gate.cancel()
            self.run(self.settled())
        process.task = None

    def idle(self) -> list[Process]:
        return [one for one in self.processes if one.task is None]

    def busy(self) -> list[Process]:
        return [one for one in self.processes if one.task is not None]

    # What they do

    @precondition(lambda self: self.idle())
    @rule(data=st.data(), content=st.dictionaries(st.sampled_from(sorted(APPS)), st.integers(1, 3)))
    def an_append_begins(self, data: st.DataObject, content: dict[str, int]) -> None:
        snapshot = make_snapshot(
            *(make_app(name=name, revision=n, image=APPS[name].helm.name) for name, n in content.items())
        )

        async def work(track: ConfigMapTrack) -> None:
            tip = await track.tip()
            if tip is None or tip.snapshot != snapshot or tip.repairs:
                self.attempted.append(snapshot)
                done = await append(track, snapshot, tip, self.minutes)
                assert self.meddles or done.revision.id not in self.acknowledged
                assert done.snapshot == snapshot
                self.acknowledged[done.revision.id] = done

        self.begin(data.draw(st.sampled_from(self.idle())), work)

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def a_look_begins(self, data: st.DataObject) -> None:
        newest = max((int(one[1:]) for one in self.acknowledged), default=0)

        async def work(track: ConfigMapTrack) -> None:
            tip = await track.tip()
            if self.meddles:
                return
            assert track.notices == ()
            if tip is None:
                assert newest == 0
                return
            assert not tip.repairs
            assert int(tip.revision.id[1:]) >= newest, "what was acknowledged before is seen"
            assert tip.snapshot in self.attempted
            assert tip == self.acknowledged.get(tip.revision.id, tip)

        self.begin(data.draw(st.sampled_from(self.idle())), work)

    @precondition(lambda self: self.idle())
    @rule(data=st.data())
    def a_history_begins(self, data: st.DataObject) -> None:
        there = dict(self.acknowledged)

        async def work(track: ConfigMapTrack) -> None:
            seen = [revision async for revision in track.history()]
            numbers = [int(revision.id[1:]) for revision in seen]
            assert numbers == sorted(set(numbers), reverse=True)
            if not self.meddles:
                assert {one.revision for one in there.values()} <= set(seen)

        self.begin(data.draw(st.sampled_from(self.idle())), work)

    @precondition(lambda self: self.busy())
    @rule(data=st.data(), count=st.integers(1, 12))
    def requests_are_made(self, data: st.DataObject, count: int) -> None:
        process = data.draw(st.sampled_from(self.busy()))
        for _ in range(count):
            if process.task is not None:
                self.one_request(process)

    def one_request(self, process: Process) -> None:
        while process.access.waiting and process.access.waiting[0].done():
            process.access.waiting.pop(0)
        if process.access.waiting:
            process.access.waiting.pop(0).set_result(None)
        self.run(self.settled())
        if process.task is not None and process.task.done():
            task, process.task = process.task, None
            task.result()

    @precondition(lambda self: self.busy())
    @rule(data=st.data())
    def a_process_dies_and_starts_again(self, data: st.DataObject) -> None:
        process = data.draw(st.sampled_from(self.busy()))
        self.die(process)
        self.processes[self.processes.index(process)] = Process(self.access)

    @rule(minutes=st.sampled_from([1.0, 11.0]))
    def time_goes_by(self, minutes: float) -> None:
        self.minutes += minutes

    def finish_all(self) -> None:
        for process in self.busy():
            while process.task is not None:
                self.one_request(process)

    # What holds

    @invariant()
    def a_head_names_only_what_is_there(self) -> None:
        if not self.meddles and HEAD in self.access.items:
            assert head_of(self.access).names <= parts_of(self.access)

    @rule()
    def everything_that_was_acknowledged_can_be_read(self) -> None:
        if self.meddles:
            return
        reader = open_track(self.access)
        for revision, recorded in self.acknowledged.items():
            assert self.run(reader.at(revision)) == recorded

    @rule()
    def nothing_is_kept_for_ever(self) -> None:
        self.finish_all()
        for _ in range(3):
            self.minutes += 11
            tip = self.run(open_track(self.access).tip())
            content = make_snapshot(make_app(revision=int(self.minutes) + 100))
            self.attempted.append(content)
            done = self.run(append(open_track(self.access), content, tip, self.minutes))
            self.acknowledged[done.revision.id] = done
        head = head_of(self.access)
        # What has lost its labels, when the head that named it was lost as well, is nobody's any more.
        ours = {name for name in parts_of(self.access) if part(self.access, name).labels}
        assert ours == head.names | {item.name for item in head.garbage}
        assert len(head.garbage) < 10
        again = self.run(open_track(self.access).tip())
        assert again == done
        assert not again.repairs


class Meddling(Interleavings):
    """Somebody meddles: nothing fails for good, and a repair makes the record whole."""

    meddles = True

    @rule(data=st.data(), how=st.sampled_from(["delete", "replace", "labels", "mutable", "restore"]))
    def a_part_is_meddled_with(self, data: st.DataObject, how: str) -> None:
        names = sorted(parts_of(self.access))
        if not names:
            return
        name = data.draw(st.sampled_from(names))
        if how == "delete":
            del self.access.items[HEAD[0], name]
        elif how == "labels":
            edit(self.access, name, labels={})
        elif how == "mutable":
            recreate(self.access, name, immutable=False)
        elif how == "restore":
            recreate(self.access, name)
        else:
            recreate(self.access, name, binary_data={"apps.json.gz": pack(b"[]")})

    @precondition(lambda self: HEAD in self.access.items)
    @rule(how=st.sampled_from(["delete", "break", "labels", "restore"]))
    def the_head_is_meddled_with(self, how: str) -> None:
        if how == "delete":
            del self.access.items[HEAD]
        elif how == "break":
            edit(self.access, HEAD_NAME, data={"head.json": "{}"})
        elif how == "labels":
            edit(self.access, HEAD_NAME, labels={})
        else:
            recreate(self.access, HEAD_NAME)

    @precondition(lambda self: HEAD in self.access.items)
    @rule(data=st.data())
    def the_head_is_set_back(self, data: st.DataObject) -> None:
        old = getattr(self, "old_heads", [])
        old.append(self.access.items[HEAD].data)
        self.old_heads = old
        edit(self.access, HEAD_NAME, data=data.draw(st.sampled_from(old)))


FEW = settings(
    max_examples=20,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = FEW
TestMeddling = Meddling.TestCase
TestMeddling.settings = FEW
