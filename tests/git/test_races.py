"""Races on one branch, through a real server: nobody loses a change, and a lost race costs little."""

import asyncio
import math
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from reconciler.errors import LostRaceError
from reconciler.state.git import retry
from reconciler.state.git.plumbing import Repository
from reconciler.state.store import Track
from tests.builders import CLUSTER_UUID
from tests.git.actions import append, git_processes, is_clean
from tests.git.factory import BRANCH, GitFactory, commit_as_a_person, files, git, refs
from tests.git.fleet import Fleet, cluster_uuid, state_of
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Cut, Hosted, Request, Rules
from tests.git.servers.stores import GitNetworkFactory, https_factory

CLUSTERS = 40
CHANGES = 3
FOREIGN = {"README.md": "ours\n", "clusters/README.md": "theirs\n", "docs/a/b.md": "x\n"}


@pytest.fixture
def factory(tmp_path: Path, https_repository: Hosted, authority: Authority) -> GitNetworkFactory:
    return https_factory(tmp_path, https_repository, authority)


def commits(repository: Path, ref: str) -> Iterator[tuple[str, str, list[str]]]:
    """A branch's commits, oldest first: the hash, whose it says it is, and the paths that it touched."""
    form = "--format=%x01%H %(trailers:key=Cluster-UUID,valueonly,separator=)"
    for one in git(repository, "log", "--reverse", "--name-only", form, ref).split("\x01")[1:]:
        first, *paths = one.splitlines()
        commit, _, whose = first.partition(" ")
        yield commit, whose, [path for path in paths if path]


class TestFleet:
    async def test_every_change_lands_in_order_on_a_shared_branch(
        self, factory: GitNetworkFactory, https_repository: Hosted
    ) -> None:
        repository = https_repository.path
        theirs = commit_as_a_person(repository, FOREIGN)
        async with Fleet(factory, CLUSTERS) as fleet:
            recorded = await fleet.race(CHANGES)
        assert is_clean(repository)
        found: dict[str, list[str]] = {}
        for commit, whose, paths in list(commits(repository, BRANCH))[1:]:
            assert all(path.startswith(f"clusters/{whose}/") for path in paths)
            found.setdefault(whose, []).append(commit)
        assert found == {name: [one.revision.id for one in each] for name, each in recorded.items()}
        assert {len(each) for each in found.values()} == {CHANGES}
        # One line, without merges, on top of what was there, which is as it was.
        assert git(repository, "rev-list", "--min-parents=2", BRANCH) == ""
        assert git(repository, "rev-list", "--max-parents=0", BRANCH).split() == [theirs]
        there = files(repository)
        assert {path: there[path] for path in FOREIGN} == files(repository, theirs)
        assert set(refs(repository)) == {f"refs/heads/{BRANCH}"}

    async def test_a_branch_for_each_cluster_makes_no_race(
        self, tmp_path: Path, https_repository: Hosted, authority: Authority
    ) -> None:
        factory = https_factory(tmp_path, https_repository, authority, "state/{cluster_uuid}")
        async with Fleet(factory, CLUSTERS) as fleet:
            recorded = await fleet.race(CHANGES)
        assert is_clean(https_repository.path)
        assert refs(https_repository.path) == {
            f"refs/heads/state/{name}": each[-1].revision.id for name, each in recorded.items()
        }
        for name, each in recorded.items():
            found = list(commits(https_repository.path, f"state/{name}"))
            assert [commit for commit, _, _ in found] == [one.revision.id for one in each]
            assert all(path.startswith(f"clusters/{name}/") for _, _, paths in found for path in paths)
        assert len(https_repository.pushes) == CLUSTERS * CHANGES


class Race:
    """A cluster of so many apps, and another one that comes first a number of times, at the worst moment:
    when our pack is on its way."""

    def __init__(self, hosted: Hosted, track: Track, apps: int, processes: list[str]) -> None:
        self._hosted = hosted
        self._track = track
        self._apps = apps
        self._processes = processes

    async def lost(self, times: int) -> tuple[Sequence[str], Sequence[Request]]:
        """The git commands and the pushes of one append that loses so many races before it lands."""
        on = await append(self._track, state_of(CLUSTER_UUID, 1, self._apps), None)
        on = await append(self._track, state_of(CLUSTER_UUID, 2, self._apps), on)
        left = iter(range(times))

        def come_first() -> None:
            for number in left:
                others = {f"clusters/{cluster_uuid(1)}/default/test.yaml": f"{number}\n"}
                commit_as_a_person(self._hosted.path, others)
                return

        self._hosted.before_push = come_first
        self._hosted.requests.clear()
        self._processes.clear()
        await append(self._track, state_of(CLUSTER_UUID, 3, self._apps), on)
        self._hosted.before_push = None
        return tuple(self._processes), tuple(self._hosted.pushes)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The git commands that are run, in order."""
    commands: list[str] = []
    run = Repository.run

    def recording(self: Repository, *arguments: str, **options: object) -> bytes:
        commands.append(arguments[0])
        return run(self, *arguments, **options)  # type: ignore[arg-type] # what it was given

    monkeypatch.setattr(Repository, "run", recording)
    return commands


@pytest.fixture(autouse=True)
def endless_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy fails no test; how long is waited is tested on a clock of its own."""
    monkeypatch.setattr(retry, "PATIENCE", math.inf)


class TestCost:
    LOST = 3

    async def lose(
        self, factory: GitNetworkFactory, hosted: Hosted, apps: int, processes: list[str]
    ) -> tuple[Sequence[str], Sequence[Request]]:
        store = await factory.open()
        try:
            return await Race(hosted, store.track(CLUSTER_UUID), apps, processes).lost(self.LOST)
        finally:
            await store.close()

    @pytest.fixture(autouse=True)
    def short_pauses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(retry, "LONGEST", 0.01)

    async def test_a_lost_race_costs_the_same_with_one_app_and_with_a_thousand(
        self,
        tmp_path: Path,
        https_repository: Hosted,
        authority: Authority,
        factory: GitNetworkFactory,
        processes: list[str],
    ) -> None:
        few, few_pushes = await self.lose(factory, https_repository, 1, processes)
        git(https_repository.path, "update-ref", "-d", f"refs/heads/{BRANCH}")
        many, many_pushes = await self.lose(factory, https_repository, 1000, processes)
        assert many == few
        assert few.count("push") == len(few_pushes) == len(many_pushes) == self.LOST + 1
        assert (len(few) - 8) // self.LOST <= 11  # git processes for one race that is lost
        # The commit, the four folders that lead to the document, and the document.
        assert {push.objects for push in (*few_pushes, *many_pushes)} == {6}
        assert max(push.size for push in many_pushes) < 1.2 * max(push.size for push in few_pushes)


@pytest.fixture
async def track(factory: GitNetworkFactory) -> AsyncIterator[Track]:
    """Of one cluster, through a store with a cache of its own."""
    store = await factory.open()
    yield store.track(CLUSTER_UUID)
    await store.close()


class TestTrouble:
    async def test_a_commit_whose_answer_was_lost_is_not_made_twice(
        self, track: Track, https_repository: Hosted
    ) -> None:
        on = await append(track, state_of(CLUSTER_UUID, 1), None)
        https_repository.rules = structs.replace(https_repository.rules, cut=Cut.AFTER)
        again = await append(track, state_of(CLUSTER_UUID, 2), on)
        assert await track.tip() == again
        assert [revision async for revision in track.history()] == [again.revision, on.revision]

    async def test_a_commit_whose_answer_was_lost_with_another_on_top_is_found(
        self, track: Track, https_repository: Hosted
    ) -> None:
        on = await append(track, state_of(CLUSTER_UUID, 1), None)
        https_repository.rules = structs.replace(https_repository.rules, cut=Cut.AFTER)
        hook = https_repository.path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        others = 'tree="$(git rev-parse refs/heads/main^{tree})"; parent="$(git rev-parse refs/heads/main)"'
        hook.write_text(
            f"#!/bin/sh\n{others}\n"
            'made="$(git -c user.name=A -c user.email=a@example.org commit-tree -m other -p $parent $tree)"\n'
            "git update-ref refs/heads/main $made\n"
        )
        hook.chmod(0o755)
        with pytest.raises(LostRaceError):
            await append(track, state_of(CLUSTER_UUID, 2), on)
        tip = await track.tip()
        assert tip is not None
        assert tip.snapshot == state_of(CLUSTER_UUID, 2)
        assert [revision async for revision in track.history()] == [tip.revision, on.revision]

    async def test_a_commit_that_landed_is_told_though_others_files_come_and_go(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where several write, a file that was listed may be gone when it is looked at."""
        local = GitFactory(tmp_path)
        store = await local.open()
        temporary = local.repository / "objects" / "tmp_obj_x"
        walk = os.walk

        def listing(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
            temporary.touch()
            found = list(walk(folder))
            temporary.unlink()
            return iter(found)

        monkeypatch.setattr(os, "walk", listing)
        track = store.track(CLUSTER_UUID)
        assert await track.tip() is None
        assert await append(track, state_of(CLUSTER_UUID, 1), None) == await track.tip()
        await store.close()

    async def test_a_push_that_is_cancelled_leaves_no_process_and_keeps_the_cache(
        self, tmp_path: Path, track: Track, https_repository: Hosted
    ) -> None:
        on = await append(track, state_of(CLUSTER_UUID, 1), None)
        cache = tmp_path / f"{https_repository.name}-cache-1.git"
        before = refs(cache)
        with_login = https_repository.rules
        https_repository.rules = Rules(hangs=True)
        task = asyncio.create_task(append(track, state_of(CLUSTER_UUID, 2), on))
        await asyncio.to_thread(https_repository.arrived.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert git_processes(cache) == []
        assert refs(cache) == before  # it was not made again
        https_repository.rules = with_login
        assert (await append(track, state_of(CLUSTER_UUID, 2), on)).snapshot == state_of(CLUSTER_UUID, 2)

    async def test_a_cluster_that_waits_after_a_lost_race_can_be_stopped(
        self, track: Track, https_repository: Hosted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retry, "longest_pause", lambda lost, lasted: 1e6)
        on = await append(track, state_of(CLUSTER_UUID, 1), None)
        lost = asyncio.Event()
        loop = asyncio.get_running_loop()

        def come_first() -> None:
            commit_as_a_person(https_repository.path, {"README.md": "first\n"})
            loop.call_soon_threadsafe(lost.set)

        https_repository.before_push = come_first
        task = asyncio.create_task(append(track, state_of(CLUSTER_UUID, 2), on))
        await lost.wait()
        # The store is free while the append waits.
        assert await track.tip() == on
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert is_clean(https_repository.path)
