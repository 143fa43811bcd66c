"""The git store in a remote, with a local repository that is only a cache of it."""

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.errors import LostRaceError, SpecError, StoreError
from reconciler.model import Snapshot
from reconciler.state.git.branches import RemoteBranches
from reconciler.state.git.network.remote import Remote
from reconciler.state.git.objects import make_commit
from reconciler.state.git.plumbing import GitError, Repository
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import (
    HAPPENED,
    RECORDED,
    append,
    is_clean,
    remove_document,
    spoil_objects,
    trailers_of,
)
from tests.git.factory import BRANCH, GitRemoteFactory, commit_as_a_person, files, git, refs

OURS = f"clusters/{CLUSTER_UUID}"
REF = f"refs/heads/{BRANCH}"
REF_OF_MIRROR = f"refs/hossted/tips/{BRANCH}"


def snapshot_of_cluster(cluster_uuid: str, revision: int) -> Snapshot:
    return make_snapshot(make_app(revision=revision, cluster_uuid=cluster_uuid), cluster_uuid=cluster_uuid)


def branches_of(cache: Path, remote: GitRemoteFactory) -> RemoteBranches:
    repository = Repository(cache)
    return RemoteBranches(repository, Remote(repository, f"file://{remote.repository}"))


def make_child(cache: Path, parent: str) -> str:
    """A commit of ours that is made in the cache and goes no further."""
    return make_commit(
        Repository(cache),
        parent=parent,
        files={f"{OURS}/default/test.yaml": None},
        message=Message(subject="Uninstall default/test", trailers=trailers_of(make_snapshot())),
        author="A <a@b>",
        happened=HAPPENED,
        recorded=RECORDED,
    ).oid


class TestDurability:
    async def test_a_revision_is_at_the_remote_when_append_returns(self, remote: GitRemoteFactory) -> None:
        store = await remote.open()
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        assert refs(remote.repository) == {REF: recorded.revision.id}
        assert is_clean(remote.repository)
        assert store.location == f"file://{remote.repository}"

    async def test_a_plain_path_is_a_remote_too(self, remote: GitRemoteFactory, tmp_path: Path) -> None:
        store = open_git_store(path=tmp_path / "cache.git", url=str(remote.repository), branch=BRANCH)
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        assert refs(remote.repository) == {REF: recorded.revision.id}

    async def test_what_the_remote_refuses_is_not_recorded_and_the_reason_is_told(
        self, remote: GitRemoteFactory
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        hook = remote.repository / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho 'error: the branch is protected' >&2\nexit 1\n")
        hook.chmod(0o755)
        with pytest.raises(
            StoreError, match=r"the branch main of .*remote.git is protected \(the branch is protected\): let"
        ) as no:
            await append(track, make_snapshot(make_app(revision=2)), first)
        assert not isinstance(no.value, LostRaceError)
        assert await track.tip() == first
        hook.unlink()
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert refs(remote.repository) == {REF: second.revision.id}

    async def test_a_remote_that_is_away_is_named_and_comes_back(self, remote: GitRemoteFactory) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        away = remote.repository.rename(remote.repository.with_name("away"))
        for attempt in (track.tip(), append(track, make_snapshot(make_app(revision=2)), first)):
            with pytest.raises(
                StoreError, match=r"the state repository file://.*/remote.git cannot be found: make it"
            ):
                await attempt
        away.rename(remote.repository)
        assert await track.tip() == first

    async def test_only_the_branch_is_fetched(self, remote: GitRemoteFactory, tmp_path: Path) -> None:
        await append((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        other = commit_as_a_person(remote.repository, {"big": "x"}, branch="other")
        git(remote.repository, "tag", "v1", other)
        store = open_git_store(path=tmp_path / "cache.git", url=f"file://{remote.repository}", branch=BRANCH)
        tip = await store.track(CLUSTER_UUID).tip()
        assert tip is not None
        assert list(refs(tmp_path / "cache.git").values()) == [tip.revision.id]
        with pytest.raises(GitError):
            Repository(tmp_path / "cache.git").run("cat-file", "-e", other)


class TestCrash:
    async def test_a_commit_that_was_not_pushed_is_as_if_it_had_not_been_made(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        make_child(tmp_path / "cache-1.git", first.revision.id)
        again = reopened(remote, tmp_path)
        assert await again.track(CLUSTER_UUID).tip() == first
        assert await append(again.track(CLUSTER_UUID), make_snapshot(), first)

    async def test_a_commit_that_was_pushed_is_the_tip_whatever_the_cache_missed(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        child = make_child(tmp_path / "cache-1.git", first.revision.id)
        git(tmp_path / "cache-1.git", "push", "--quiet", str(remote.repository), f"{child}:{REF}")
        tip = await reopened(remote, tmp_path).track(CLUSTER_UUID).tip()
        assert tip is not None
        assert tip.revision.id == child
        assert tip.snapshot == make_snapshot()

    async def test_a_push_that_landed_without_an_answer_is_known_to_have_landed(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        cache = tmp_path / "cache-1.git"
        child = make_child(cache, first.revision.id)
        git(cache, "push", "--quiet", str(remote.repository), f"{child}:{REF}")
        branches = branches_of(cache, remote)
        assert branches.advance(REF, old=first.revision.id, new=child)

    async def test_the_branch_is_moved_by_compare_and_swap_and_never_back(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        child = make_child(tmp_path / "cache-1.git", first.revision.id)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        branches = branches_of(tmp_path / "cache-1.git", remote)
        assert not branches.advance(REF, old=first.revision.id, new=child)
        assert not branches.advance(REF, old=None, new=child)
        # People took the branch back: what follows on the commit that they removed must not bring it back.
        git(remote.repository, "update-ref", REF, first.revision.id)
        grandchild = make_child(tmp_path / "cache-1.git", second.revision.id)
        assert not branches.advance(REF, old=second.revision.id, new=grandchild)
        assert refs(remote.repository) == {REF: first.revision.id}


class TestSharing:
    async def test_clusters_that_append_to_one_branch_at_once_all_land(
        self, remote: GitRemoteFactory
    ) -> None:
        uuids = [CLUSTER_UUID, OTHER_CLUSTER_UUID, "K-3"]
        tracks = [(await remote.open()).track(uuid) for uuid in uuids]
        tips: list[Recorded | None] = [None] * len(uuids)
        for revision in range(1, 4):
            tips = list(
                await asyncio.gather(
                    *(
                        append(track, snapshot_of_cluster(uuid, revision), tip)
                        for track, uuid, tip in zip(tracks, uuids, tips, strict=True)
                    )
                )
            )
        assert int(git(remote.repository, "rev-list", "--count", BRANCH)) == 9
        assert int(git(remote.repository, "rev-list", "--count", "--merges", BRANCH)) == 0
        fresh = await remote.open()
        for uuid, tip in zip(uuids, tips, strict=True):
            assert await fresh.track(uuid).tip() == tip
            assert len([revision async for revision in fresh.track(uuid).history()]) == 3

    async def test_an_append_that_is_built_again_keeps_what_came_in_between(
        self, remote: GitRemoteFactory
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        commit_as_a_person(remote.repository, {"README.md": "hello"})
        await append(track, make_snapshot(), first)
        assert set(files(remote.repository)) == {"README.md", f"{OURS}/cluster.yaml"}

    async def test_each_cluster_can_have_a_branch_of_its_own(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        store = open_with(remote, tmp_path, branch="state/{cluster_uuid}")
        for uuid in (OTHER_CLUSTER_UUID, CLUSTER_UUID):
            await append(store.track(uuid), snapshot_of_cluster(uuid, 1), None)
        # A copy of another cluster's directory on somebody's branch is not that cluster.
        git(remote.repository, "update-ref", "refs/heads/state/K-copy", f"refs/heads/state/{CLUSTER_UUID}")
        assert set(refs(remote.repository)) == {
            f"refs/heads/state/{name}" for name in (CLUSTER_UUID, OTHER_CLUSTER_UUID, "K-copy")
        }
        fresh = open_with(remote, tmp_path / "fresh", branch="state/{cluster_uuid}")
        listed = {each.cluster_uuid for each in await fresh.clusters()}
        assert listed == {CLUSTER_UUID, OTHER_CLUSTER_UUID}

    async def test_a_cache_serves_another_branch_whose_name_begins_with_the_first(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        await append(
            open_with(remote, tmp_path, branch="state").track(CLUSTER_UUID), make_snapshot(make_app()), None
        )
        git(remote.repository, "branch", "--move", "state", "state/prod")
        assert await open_with(remote, tmp_path, branch="state/prod").track(CLUSTER_UUID).tip() is not None


class TestCache:
    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda path: spoil_objects(path, b""), id="truncated objects"),
            pytest.param(lambda path: spoil_objects(path, None), id="missing objects"),
            pytest.param(lambda path: remove_document(path, REF_OF_MIRROR), id="one missing document"),
            pytest.param(lambda path: shutil.rmtree(path / "objects"), id="no objects"),
            pytest.param(lambda path: (path / "HEAD").write_text("rubbish"), id="HEAD"),
            pytest.param(lambda path: (path / "HEAD").unlink(), id="no HEAD"),
            pytest.param(lambda path: (path / "config").write_text("["), id="config"),
            pytest.param(lambda path: mirror(path).write_text("rubbish\n"), id="the mirror"),
            pytest.param(lambda path: mirror(path).write_text("1" * 40 + "\n"), id="no commit"),
            pytest.param(shutil.rmtree, id="everything"),
        ],
    )
    @pytest.mark.parametrize("is_open", [False, True], ids=["closed", "open"])
    async def test_a_damaged_cache_is_made_again(
        self, remote: GitRemoteFactory, tmp_path: Path, spoil: Callable[[Path], object], is_open: bool
    ) -> None:
        store = await remote.open()
        first = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        await append(store.track(OTHER_CLUSTER_UUID), snapshot_of_cluster(OTHER_CLUSTER_UUID, 1), None)
        spoil(tmp_path / "cache-1.git")
        track = (store if is_open else reopened(remote, tmp_path)).track(CLUSTER_UUID)
        if not is_open:
            assert await track.tip() == first
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.tip() == second
        assert await track.at(first.revision.id) == first
        assert refs(remote.repository) == {REF: second.revision.id}
        assert is_clean(remote.repository)

    async def test_a_damaged_repository_that_somebody_put_there_is_not_deleted(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        await append((await remote.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        git(tmp_path, "clone", "--quiet", "--bare", str(remote.repository), "cache-1.git.own")
        own = tmp_path / "cache-1.git.own"
        store = open_git_store(path=own, url=f"file://{remote.repository}", branch=BRANCH)
        assert await store.track(CLUSTER_UUID).tip() is not None
        (own / "packed-refs").write_text("rubbish")
        with pytest.raises(StoreError, match="is damaged"):
            await store.track(CLUSTER_UUID).tip()
        assert (own / "packed-refs").read_text() == "rubbish"

    async def test_a_folder_with_other_things_does_not_become_a_cache(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        (tmp_path / "thesis.txt").write_text("precious")
        store = open_git_store(path=tmp_path, url=f"file://{remote.repository}", branch=BRANCH)
        with pytest.raises(StoreError, match="is neither empty nor a bare git repository"):
            await store.track(CLUSTER_UUID).tip()
        assert (tmp_path / "thesis.txt").read_text() == "precious"

    async def test_a_lock_left_in_the_cache_does_not_lose_the_revision(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        lock = mirror(tmp_path / "cache-1.git").with_suffix(".lock")
        lock.touch()
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert refs(remote.repository) == {REF: second.revision.id}
        lock.unlink()
        assert await track.tip() == second

    async def test_a_lock_that_a_killed_push_left_in_a_folder_is_removed_when_nobody_can_hold_it(
        self, remote: GitRemoteFactory
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        lock = remote.repository / "refs" / "heads" / f"{BRANCH}.lock"
        lock.touch()
        minutes_ago = time.time() - 300  # less than what another machine's clock may be wrong
        for moment in (minutes_ago, time.time() + 86400):
            os.utime(lock, (moment, moment))
            with pytest.raises(StoreError, match="lock"):
                await append(track, make_snapshot(make_app(revision=2)), first)
            assert lock.exists()
        os.utime(lock, (0, 0))
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert refs(remote.repository) == {REF: second.revision.id}


@pytest.mark.parametrize("url", ["ext::sh -c id", "https://user:hunter2@git.example/state.git", "state.git"])
def test_a_url_that_cannot_be_used_is_refused_and_nothing_is_made(tmp_path: Path, url: str) -> None:
    with pytest.raises(SpecError, match="the state's git URL") as refusal:
        open_git_store(path=tmp_path / "cache.git", url=url, branch=BRANCH)
    assert "hunter2" not in str(refusal.value)
    assert not (tmp_path / "cache.git").exists()


def reopened(remote: GitRemoteFactory, tmp_path: Path) -> GitStore:
    """A store on the first cache, as after a restart."""
    return open_git_store(path=tmp_path / "cache-1.git", url=f"file://{remote.repository}", branch=BRANCH)


def open_with(remote: GitRemoteFactory, tmp_path: Path, branch: str) -> GitStore:
    return open_git_store(path=tmp_path / "cache.git", url=f"file://{remote.repository}", branch=branch)


def mirror(cache: Path) -> Path:
    return cache / "refs" / "hossted" / "tips" / BRANCH
