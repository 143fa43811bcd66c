"""``spec.state`` changes: the new store begins with what there is and says where the older history is, and
nothing is told twice, since the ledger is apart from both."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from reconciler.project import ConfigMapState, Duration, GitState, HelmStatus, Status
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.git.store import open_git_store
from reconciler.state.ledger.configmaps import ConfigMapLedger
from reconciler.state.ledger.contract import Ledger
from reconciler.state.store import Recorded, Store, Trailer
from tests.chain.faults import Faults, FaultyAccess, When
from tests.chain.world import NAMESPACE, World
from tests.git.actions import is_clean
from tests.git.factory import git
from tests.unit.state.configmap_standin import StandIn
from tests.web.world import RecordingReceiver

State = GitState | ConfigMapState


class Disks:
    """Several stores, the project's ``spec.state`` says which; the ledger in ConfigMaps."""

    def __init__(self, folder: Path) -> None:
        self.faults = Faults()
        self.items = StandIn()
        self.access = FaultyAccess(self.items, self.faults)
        self.folder = folder
        self.state: State = self.git("one")

    def git(self, name: str, branch: str = "main") -> GitState:
        """A repository of that name, made when it is not there."""
        path = self.folder / f"{name}.git"
        if not path.exists():
            git(self.folder, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
        return GitState(url=f"file://{path}", branch=branch)

    def store(self) -> Store:
        return self.store_of(self.state)

    def store_of(self, state: State) -> Store:
        if isinstance(state, ConfigMapState):
            return ConfigMapStore(self.access, NAMESPACE, state.name, state.history)
        clone = self.folder / f"clone-{Path(state.url).stem}-{state.branch.replace('/', '-')}.git"
        return open_git_store(path=clone, url=state.url, branch=state.branch)

    def ledger(self) -> Ledger:
        return ConfigMapLedger(self.access, NAMESPACE)

    def lose_ledger(self) -> None:
        raise NotImplementedError

    lose_store = save = lose_ledger

    def restore(self, saved: Any) -> None:
        raise NotImplementedError

    def check(self) -> None:
        assert all(is_clean(path) for path in self.folder.glob("*.git") if "clone" not in path.name)


class Movable(World):
    """A world whose record can be moved."""

    disks: Disks

    def move(self, state: State) -> None:
        self.disks.state = state
        self.spec(state=state)

    async def subjects_in(self, state: State) -> list[str]:
        store = self.disks.store_of(state)
        found = [each async for each in store.track(self.cluster_uuid).history()]
        await store.close()
        return [each.message.subject for each in found[::-1]]


@pytest.fixture
async def world(served: tuple[RecordingReceiver, str], tmp_path: Path) -> Any:
    disks = Disks(tmp_path)
    world = Movable(disks, *served)
    world.disks = disks
    yield world
    await world.stop()


def installed(world: World, number: int = 20) -> None:
    world.cluster.install(*(f"team-{n % 3}/app-{n:02}" for n in range(number)))


def previous(tip: Recorded) -> str:
    return tip.revision.message.trailer(Trailer.PREVIOUS)


@pytest.mark.parametrize("restarted", [False, True], ids=["in one process", "restarted"])
async def test_from_git_to_configmaps_to_another_git_and_back_nothing_is_told_twice(
    world: Movable, *, restarted: bool
) -> None:
    one, maps, two = world.disks.git("one"), ConfigMapState(), world.disks.git("two")
    installed(world)
    await world.converge()
    assert len(world.told) == 20
    places = {
        one.url: f"branch main of {one.url}",
        two.url: f"branch main of {two.url}",
        "": f"ConfigMaps hossted-state-* in namespace {NAMESPACE}",
    }
    left = one.url
    last = await world.tip()
    uuid = world.cluster_uuid
    stops: tuple[State, ...] = (maps, two, one)
    for turn, state in enumerate(stops, start=2):
        if restarted:
            await world.stop()
        world.move(state)
        await world.converge()
        if state is one:
            again = "record team-0/app-00 again: web 1.2.0, revision 3"
            assert await world.subjects_in(one) == ["record 20 apps of the cluster", again]
        world.cluster.upgrade("team-0/app-00")
        await world.converge()
        assert len(world.told) == 20 + turn - 1
        tip = await world.tip()
        first = await first_there(world, state)
        assert previous(first) == f"{places[left]} {last.revision.id}"
        assert f"up to revision {last.revision.id[:12]}, is in {places[left]}." in first.revision.message.body
        assert not previous(tip) or tip.revision.id == first.revision.id, "said once"
        left, last = state.url if isinstance(state, GitState) else "", tip
    assert world.cluster_uuid == uuid
    assert (await world.subjects_in(one))[0] == (await world.subjects_in(two))[0]
    assert (await world.subjects_in(two))[0] == "record 20 apps of the cluster"
    assert world.repeated() == set()
    await world.check()


async def first_there(world: Movable, state: State) -> Recorded:
    """The first revision that was made in a store after the record had been elsewhere."""
    store = world.disks.store_of(state)
    track = store.track(world.cluster_uuid)
    found = [each async for each in track.history()]
    moved = next(each for each in found if each.message.trailer(Trailer.PREVIOUS))
    recorded = await track.at(moved.id)
    await store.close()
    return recorded


async def test_what_happened_elsewhere_is_recorded_again_in_words_where_the_record_was_before(
    world: Movable,
) -> None:
    one, maps = world.disks.git("one"), ConfigMapState()
    installed(world, 3)
    await world.converge()
    world.clock.advance(60)
    world.move(maps)
    world.cluster.upgrade("team-0/app-00")
    world.cluster.uninstall("team-1/app-01")
    world.cluster.install("team-1/new")
    await world.converge()
    told = len(world.told)
    world.move(one)
    await world.converge()
    assert (await world.subjects_in(one))[-1] == "3 apps recorded again"
    assert len(world.told) == told
    world.cluster.upgrade("team-2/app-02")
    await world.converge()
    assert (await world.subjects_in(one))[-1].startswith("upgrade team-2/app-02")
    await world.check()


async def test_back_where_nothing_has_changed_since_the_next_commit_says_it(world: Movable) -> None:
    one, two = world.disks.git("one"), world.disks.git("two")
    installed(world, 2)
    await world.converge()
    world.move(two)
    await world.converge()
    last = await world.tip()
    world.move(one)
    await world.converge()
    assert len(await world.subjects_in(one)) == 1
    await world.start()
    world.cluster.upgrade("team-0/app-00")
    await world.converge()
    assert previous(await world.tip()) == f"branch main of {two.url} {last.revision.id}"
    world.cluster.upgrade("team-0/app-00")
    await world.converge()
    assert previous(await world.tip()) == ""
    assert len(world.told) == 4


async def test_what_settles_while_the_record_moves_back_is_not_told_as_it_was(world: Movable) -> None:
    one, maps = world.disks.git("one"), ConfigMapState()
    installed(world, 3)
    await world.converge()
    world.clock.advance(60)
    world.move(maps)
    world.cluster.upgrade("team-0/app-00")
    await world.converge()
    told = len(world.told)
    world.move(one)
    world.spec(settle=Duration(seconds=30))
    world.cluster.change("team-0/app-00", image="web:by-hand", phase="Pending")
    for _ in range(4):
        await world.step()
        world.clock.advance(1)
    assert len(world.told) == told
    assert (await world.subjects_in(one))[-1] == "record team-0/app-00 again: web 1.1.0, revision 2"


async def test_a_new_store_waits_for_what_settles_and_takes_what_is_on_its_way_as_it_was_told(
    world: Movable,
) -> None:
    installed(world, 3)
    await world.converge()
    world.spec(settle=Duration(seconds=30))
    two = world.disks.git("two")
    world.move(two)
    world.cluster.install("team-1/new", phase="Pending")
    world.cluster.upgrade("team-0/app-00", status="pending-upgrade")
    await world.step()
    assert git(Path(two.url.removeprefix("file://")), "for-each-ref") == "", "no commit without the new app"
    assert len(world.told) == 3
    world.cluster.change("team-1/new", phase="Running")
    await world.step()
    world.clock.advance(31)
    await world.step()
    tip = await world.tip()
    assert {str(key): app.helm.revision for key, app in tip.snapshot.apps.items()}["team-0/app-00"] == 1
    assert len(tip.snapshot.apps) == 4
    assert world.told[3:] == ["team-1/new 1 deployed"]


async def test_another_branch_is_another_store_and_a_copy_of_the_repository_is_not(world: Movable) -> None:
    installed(world, 2)
    await world.converge()
    one = world.disks.git("one")
    world.move(world.disks.git("one", "other"))
    await world.converge()
    assert previous(await world.tip()).startswith(f"branch main of {one.url} ")
    shutil.copytree(world.disks.folder / "one.git", world.disks.folder / "copy.git")
    world.move(world.disks.git("copy", "other"))
    world.cluster.upgrade("team-0/app-00")
    await world.converge()
    assert previous(await world.tip()) == "", "the older history is here"
    assert len(world.told) == 3
    await world.check()


async def test_a_crash_after_the_first_commit_elsewhere_says_it_once(world: Movable) -> None:
    installed(world, 2)
    await world.converge()
    two = world.disks.git("two")
    world.move(two)
    world.faults.errors["append"] = (When.AFTER, RuntimeError("killed"))
    with pytest.raises(RuntimeError):
        await world.look()
    world.faults.errors.clear()
    await world.start()
    await world.converge()
    assert previous(await world.tip())
    world.cluster.upgrade("team-0/app-00")
    await world.converge()
    assert previous(await world.tip()) == ""
    assert len(world.told) == 3


async def test_a_stopped_project_moves_when_it_goes_on(world: Movable) -> None:
    installed(world, 2)
    await world.converge()
    world.spec(stop=True)
    await world.step()
    two = world.disks.git("two")
    world.move(two)
    await world.step()
    assert git(Path(two.url.removeprefix("file://")), "for-each-ref") == ""
    world.spec(stop=False)
    await world.converge()
    assert previous(await world.tip())
    assert len(world.told) == 2
    await world.check()


async def test_identity_and_adopted_uuids_go_along(world: Movable) -> None:
    upstream = "K-8d2c8b8e-7f0e-4f7e-9d55-0f9d0c3a1b11"
    world.cluster.install("shop/web")
    status = Status(
        clusterUUID=upstream, helmStatus=(HelmStatus(name="web", namespace="shop", appUUID="A-up"),)
    )
    world.project = msgspec.structs.replace(world.project, status=status)
    await world.converge()
    world.move(ConfigMapState())
    world.project = msgspec.structs.replace(world.project, status=Status())
    await world.start()
    await world.converge()
    tip = await world.tip()
    assert tip.snapshot.cluster_uuid == upstream
    assert [app.app_uuid for app in tip.snapshot.apps.values()] == ["A-up"]
    assert len(world.told) == 1


async def test_a_ledger_from_before_remembers_from_now_on(world: Movable) -> None:
    installed(world, 2)
    await world.converge()
    ledger = world.disks.ledger()
    view = await ledger.load()
    assert view.facts.location == f"branch main of {world.disks.git('one').url}"
    await ledger.write({}, msgspec.structs.replace(view.facts, location="", revision=""))
    await world.start()
    await world.converge()
    facts = (await world.disks.ledger().load()).facts
    assert (facts.location, facts.revision) == (view.facts.location, (await world.tip()).revision.id)
    assert len(await world.revisions()) == 1
