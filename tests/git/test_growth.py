"""The clone is only a cache, and stays small; a disk that takes no more; a clock that was set back."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reconciler.errors import DiskFullError, StoreError
from reconciler.model import Snapshot
from reconciler.state.git import maintenance
from reconciler.state.git.maintenance import usage_of
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.store import Message, Recorded, Track
from tests.builders import CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.git.actions import HAPPENED, RECORDED, append, is_clean
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, commit_as_a_person, git, refs

OURS = f"clusters/{CLUSTER_UUID}"
OLD = 1_700_000_000
BLOCK = 4096


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache-1.git"


def reopened(remote: GitRemoteFactory, cache: Path) -> GitStore:
    return open_git_store(path=cache, url=f"file://{remote.repository}", branch=BRANCH)


def revision(number: int) -> Snapshot:
    return make_snapshot(make_app(revision=number), make_app("b", "two"))


async def append_many(track: Track, on: Recorded | None, numbers: range) -> Recorded:
    for number in numbers:
        on = await append(track, revision(number), on)
    assert on is not None
    return on


def delete_all_but(folder: Path, *kept: str) -> None:
    for each in folder.iterdir():
        if each.name not in kept:
            shutil.rmtree(each) if each.is_dir() else each.unlink()


class TestSize:
    async def test_what_piles_up_is_packed_and_packs_are_joined(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "_LOOSE", 20)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 2)
        track = (await remote.open()).track(CLUSTER_UUID)
        tip: Recorded | None = None
        for number in range(1, 41):
            tip = await append(track, revision(number), tip)
            usage = usage_of(cache / "objects")
            assert usage.loose <= 20 + 2 * 6
            assert usage.packs <= 7
        assert await track.tip() == tip
        assert is_clean(cache)

    async def test_packs_that_fetches_brought_are_joined(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "_PACKS", 5)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 1)
        track = (await remote.open()).track(CLUSTER_UUID)
        tip: Recorded | None = None
        for number in range(1, 20):
            tip = await append(track, revision(number), tip)
            git(cache, "repack", "-d", "-q")
            assert usage_of(cache / "objects").packs <= 6
        assert await track.tip() == tip

    async def test_a_cache_that_has_grown_too_large_is_made_again_and_nothing_is_lost(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit, between = 15 * 6 * BLOCK, 5
        monkeypatch.setattr(maintenance, "LARGEST", limit)
        monkeypatch.setattr(maintenance, "_SHORT", 10)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", between)
        store = await remote.open()
        track = store.track(CLUSTER_UUID)
        tip, largest, made_again = None, 0, 0
        for number in range(1, 61):
            before = usage_of(cache / "objects").bytes
            tip = await append(track, revision(number), tip)
            after = usage_of(cache / "objects").bytes
            made_again += after < before
            largest = max(largest, after)
        assert made_again >= 2
        assert largest <= limit + between * 8 * BLOCK
        assert int(git(remote.repository, "rev-list", "--count", BRANCH)) == 60
        assert await track.tip() == tip
        assert await reopened(remote, cache).track(CLUSTER_UUID).tip() == tip
        assert is_clean(cache)
        assert is_clean(remote.repository)

    async def test_a_cache_that_was_made_again_knows_the_branch_already(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        monkeypatch.setattr(maintenance, "LARGEST", 0)
        monkeypatch.setattr(maintenance, "_SHORT", 1)
        first = await append(track, revision(1), None)
        assert first.revision.id in refs(cache).values()

    async def test_one_that_has_a_long_history_and_is_small_is_left_alone(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "_SHORT", 1)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 1)
        track = (await remote.open()).track(CLUSTER_UUID)
        tip = await append(track, revision(1), None)
        (cache / "stays").touch()
        await append_many(track, tip, range(2, 4))
        assert (cache / "stays").exists()

    async def test_one_that_is_large_without_a_long_history_is_left_alone(
        self, remote: GitRemoteFactory, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "LARGEST", 0)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 1)
        track = (await remote.open()).track(CLUSTER_UUID)
        tip = await append(track, revision(1), None)
        (cache / "stays").touch()
        await append_many(track, tip, range(2, 5))
        assert (cache / "stays").exists()

    async def test_a_store_is_never_made_again(
        self, local: GitFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "LARGEST", 0)
        monkeypatch.setattr(maintenance, "_SHORT", 1)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 1)
        track = (await local.open()).track(CLUSTER_UUID)
        await append_many(track, None, range(1, 5))
        assert int(git(local.repository, "rev-list", "--count", BRANCH)) == 4

    async def test_what_a_failed_git_left_behind_is_removed_once_it_is_old(
        self, remote: GitRemoteFactory, cache: Path
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        await append(track, revision(1), None)
        left = [
            cache / "fast_import_crash_7",
            cache / "objects" / "pack" / "tmp_pack_a1b2c3",
            cache / "objects" / "pack" / ".tmp-7-pack-a1b2.pack",
            cache / "objects" / "tmp_objdir-incoming-a1" / "x",
            cache / "objects" / "0a" / "tmp_obj_a1b2c3",
        ]
        for each in left:
            each.parent.mkdir(exist_ok=True)
            each.touch()
            aged = each.parent if each.name == "x" else each
            os.utime(aged, (OLD, OLD))
        young = cache / "objects" / "pack" / "tmp_pack_young"
        young.touch()
        away = remote.repository.rename(remote.repository.with_name("away"))
        with pytest.raises(StoreError):
            await track.tip()
        away.rename(remote.repository)
        assert [each for each in left if each.exists()] == []
        assert young.exists()


class TestVersions:
    @pytest.mark.parametrize(
        "marker", ["", "A cache of somewhere; it may be deleted at any time.\n", "\xff", "Format: 99\n"]
    )
    async def test_a_cache_of_another_version_or_remote_is_made_again(
        self, remote: GitRemoteFactory, cache: Path, marker: str
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), revision(1), None)
        ours = (cache / "hossted-cache").read_bytes()
        (cache / "hossted-cache").write_text(marker, encoding="latin-1")
        (cache / "of an older program").touch()
        assert await reopened(remote, cache).track(CLUSTER_UUID).tip() == first
        assert not (cache / "of an older program").exists()
        assert (cache / "hossted-cache").read_bytes() == ours

    async def test_the_same_version_goes_on_with_it(self, remote: GitRemoteFactory, cache: Path) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), revision(1), None)
        (cache / "stays").touch()
        assert await reopened(remote, cache).track(CLUSTER_UUID).tip() == first
        assert (cache / "stays").exists()

    async def test_a_cache_of_another_remote_is_not_taken_for_this_ones(
        self, remote: GitRemoteFactory, cache: Path, tmp_path: Path
    ) -> None:
        await append((await remote.open()).track(CLUSTER_UUID), revision(1), None)
        git(tmp_path, "init", "--quiet", "--bare", "other.git")
        store = open_git_store(path=cache, url=f"file://{tmp_path / 'other.git'}", branch=BRANCH)
        assert await store.track(CLUSTER_UUID).tip() is None
        assert usage_of(cache / "objects").loose == 0

    @pytest.mark.parametrize("left", ["hossted-cache", "HEAD", "config", "objects", "refs", "packed-refs"])
    async def test_one_that_was_only_half_deleted_is_made_again(
        self, remote: GitRemoteFactory, cache: Path, left: str
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), revision(1), None)
        git(cache, "pack-refs", "--all")
        delete_all_but(cache, "hossted-cache", left)
        assert await reopened(remote, cache).track(CLUSTER_UUID).tip() == first
        assert is_clean(cache)


class Disk:
    """A disk that can be full: git finds no room for more than some blocks of a file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._limit = folder / "limit"
        program = shutil.which("git")
        folder.mkdir()
        (folder / "git").write_text(
            # Without the trap the system ends the program instead of refusing the write.
            f"#!/bin/sh\ntrap '' XFSZ\n[ -e {self._limit} ] && ulimit -f $(cat {self._limit})\n"
            f'exec {program} "$@"\n'
        )
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def fill(self, blocks: int = 0) -> None:
        """``blocks``, of 512 bytes, are what still fits."""
        self._limit.write_text(str(blocks))

    def make_room(self) -> None:
        self._limit.unlink()


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path / "bin", monkeypatch)


class TestFullDisk:
    async def test_an_append_is_one_sentence_and_works_when_there_is_room(
        self, remote: GitRemoteFactory, cache: Path, disk: Disk
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, revision(1), None)
        disk.fill()
        with pytest.raises(
            DiskFullError, match=f"there is no room left for {cache}: make some, or give it a"
        ):
            await append(track, revision(2), first)
        disk.make_room()
        assert refs(remote.repository)[f"refs/heads/{BRANCH}"] == first.revision.id
        assert await track.tip() == first
        second = await append(track, revision(2), first)
        assert await track.tip() == second
        assert is_clean(cache)

    async def test_a_store_on_this_disk_is_one_sentence_too(self, local: GitFactory, disk: Disk) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, revision(1), None)
        disk.fill()
        with pytest.raises(DiskFullError, match=f"there is no room left for {local.repository}"):
            await append(track, revision(2), first)
        assert await track.tip() == first
        disk.make_room()
        assert await append(track, revision(2), first)
        assert is_clean(local.repository)

    async def test_a_fetch_that_is_cut_off_is_made_good(
        self, remote: GitRemoteFactory, cache: Path, disk: Disk
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, revision(1), None)
        noise = os.urandom(100_000).hex()
        commit_as_a_person(remote.repository, {"large": noise})
        disk.fill(blocks=100)
        with pytest.raises(DiskFullError, match=f"there is no room left for {cache}"):
            await track.tip()
        disk.make_room()
        assert await track.tip() == first
        assert is_clean(cache)

    async def test_a_first_fetch_that_is_cut_off_is_made_good(
        self, remote: GitRemoteFactory, tmp_path: Path, disk: Disk
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), revision(1), None)
        commit_as_a_person(remote.repository, {"large": os.urandom(100_000).hex()})
        fresh = (await remote.open()).track(CLUSTER_UUID)
        for blocks in (0, 1, 100):
            disk.fill(blocks)
            with pytest.raises(DiskFullError, match="there is no room left for "):
                await fresh.tip()
        disk.make_room()
        assert await fresh.tip() == first
        assert is_clean(tmp_path / "cache-2.git")

    async def test_packing_that_is_cut_off_fails_nothing(
        self,
        remote: GitRemoteFactory,
        cache: Path,
        disk: Disk,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        tip = await append_many(track, None, range(1, 4))
        monkeypatch.setattr(maintenance, "_LOOSE", 0)
        monkeypatch.setattr(maintenance, "_APPENDS_BETWEEN", 1)
        track = reopened(remote, cache).track(CLUSTER_UUID)
        run = Repository.run

        def full_when_packing(self: Repository, *arguments: str, **options: object) -> bytes:
            if arguments[0] == "repack":
                disk.fill()
            try:
                return run(self, *arguments, **options)  # type: ignore[arg-type]  # handed on as they are
            finally:
                if arguments[0] == "repack":
                    disk.make_room()

        monkeypatch.setattr(Repository, "run", full_when_packing)
        tip = await append(track, revision(4), tip)
        assert "was not packed" in caplog.text
        monkeypatch.setattr(Repository, "run", run)
        tip = await append(track, revision(5), tip)
        assert await track.tip() == tip
        assert is_clean(cache)
        assert usage_of(cache / "objects").packs == 1


class TestReadOnly:
    async def test_a_cache_on_a_read_only_volume_is_one_sentence(
        self, remote: GitRemoteFactory, read_only_folder: Path
    ) -> None:
        store = open_git_store(
            path=read_only_folder / "cache.git", url=f"file://{remote.repository}", branch=BRANCH
        )
        with pytest.raises(StoreError, match="cannot be made: Permission denied"):
            await store.track(CLUSTER_UUID).tip()


class TestClock:
    async def test_what_left_is_found_although_a_clock_was_set_back_since(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        both, one = make_snapshot(make_app(), make_app("b", "two")), make_snapshot(make_app())
        days = [10, 12, 1, 2]  # each commit's; the clock is set back after the second
        tip: Recorded | None = None
        for day, after in zip(days, (both, one, both, one), strict=True):
            moment = datetime(2026, 11, day, tzinfo=UTC)
            changes = changes_between(tip.snapshot if tip else None, after)
            tip = await track.append(after, changes, Message("x"), on=tip, happened=moment, recorded=moment)
        assert await track.departed(datetime(2026, 11, 11, tzinfo=UTC)) == (make_app("b", "two"),)
        assert await track.departed(datetime(2026, 11, 13, tzinfo=UTC)) == ()

    async def test_a_clock_that_was_set_back_hinders_no_append(self, remote: GitRemoteFactory) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        tip: Recorded | None = None
        for number, back in enumerate((0, 400, 20_000), 1):
            moment = RECORDED - timedelta(days=back)
            changes = changes_between(tip.snapshot if tip else None, revision(number))
            tip = await track.append(
                revision(number), changes, Message("x"), on=tip, happened=HAPPENED, recorded=moment
            )
        fresh = (await remote.open()).track(CLUSTER_UUID)
        assert await fresh.tip() == tip
        assert [each.recorded for each in [one async for one in fresh.history()]] == [
            RECORDED - timedelta(days=back) for back in (20_000, 400, 0)
        ]
        assert is_clean(remote.repository)

    async def test_a_lock_from_the_future_is_removed_too(self, remote: GitRemoteFactory, cache: Path) -> None:
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, revision(1), None)
        commit_as_a_person(remote.repository, {"README.md": "hello"})
        lock = cache / "refs" / "hossted" / "tips" / f"{BRANCH}.lock"
        lock.touch()
        os.utime(lock, (4e9, 4e9))
        assert await track.tip() == first
        assert not lock.exists()
