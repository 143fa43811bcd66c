"""The apps that are kept for the next start: a quick one when they can be used, a right one always."""

import gzip
import json
import logging
import resource
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.model import App, Snapshot
from reconciler.state.documents import load_app
from reconciler.state.git import cache as cache_module
from reconciler.state.git import snapshots
from reconciler.state.git.cache import FOLDER, AppCache
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.snapshots import Snapshots
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.store import Message, Recorded, Track
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, spoil_objects
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, commit_as_a_person, git

APPS = 25
OURS = f"clusters/{CLUSTER_UUID}"


def snapshot(apps: int = APPS, upgraded: int = 0) -> Snapshot:
    return make_snapshot(*(make_app("a", f"app-{n}", 2 if n < upgraded else 1) for n in range(apps)))


async def record(track: Track, after: Snapshot, on: Recorded | None = None) -> Recorded:
    return await append(track, after, on, Message("Record", trailers=(("Snapshot", after.digest),)))


def file_of(repository: Path) -> Path:
    return repository / FOLDER / CLUSTER_UUID


@pytest.fixture
def documents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents of apps that were read as YAML."""
    read: list[str] = []

    def noted(data: bytes, where: str) -> App:
        read.append(where)
        return load_app(data, where)

    monkeypatch.setattr(snapshots, "load_app", noted)
    return read


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As on a full disk: no file of this process can be longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestStart:
    async def test_a_start_reads_no_document_that_the_last_run_knew(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        assert await (await local.open()).track(CLUSTER_UUID).tip() == first
        assert documents == []

    async def test_only_what_changed_meanwhile_is_read(self, local: GitFactory, documents: list[str]) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        crashed = await local.open()  # never closed
        second = await record(crashed.track(CLUSTER_UUID), snapshot(upgraded=24), first)
        third = await record(crashed.track(CLUSTER_UUID), snapshot(upgraded=1), second)
        assert await (await local.open()).track(CLUSTER_UUID).tip() == third
        assert documents == [f"{OURS}/a/app-0.yaml"]

    async def test_a_start_without_a_close_before_it_is_right_too(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        first = await record((await local.open()).track(CLUSTER_UUID), snapshot())
        assert not file_of(local.repository).exists()
        assert await (await local.open()).track(CLUSTER_UUID).tip() == first
        assert len(documents) == APPS

    async def test_the_first_start_on_an_old_repository_keeps_what_it_read(
        self, remote: GitRemoteFactory, tmp_path: Path, documents: list[str]
    ) -> None:
        store = await remote.open()
        first = await record(store.track(CLUSTER_UUID), snapshot(250))
        await store.close()
        fresh = await remote.open()  # has a clone of its own
        assert await fresh.track(CLUSTER_UUID).tip() == first
        assert len(documents) == 250
        assert file_of(tmp_path / "cache-2.git").exists()

    async def test_many_changes_are_kept_without_a_close(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await record(track, snapshot(199))
        assert not file_of(local.repository).exists()
        await record(track, snapshot(199, upgraded=1), first)
        assert file_of(local.repository).exists()

    async def test_few_apps_are_read_from_their_documents(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot(5))
        await store.close()
        assert not (local.repository / FOLDER).exists()
        assert await (await local.open()).track(CLUSTER_UUID).tip() == first
        assert len(documents) == 5

    async def test_an_old_revision_is_read_with_what_is_kept_and_does_not_replace_it(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        second = await record(store.track(CLUSTER_UUID), snapshot(upgraded=2), first)
        await store.close()
        kept = file_of(local.repository).read_bytes()
        again = await local.open()
        assert await again.track(CLUSTER_UUID).at(first.revision.id) == first
        await again.close()
        assert documents == [f"{OURS}/a/app-0.yaml", f"{OURS}/a/app-1.yaml"]
        assert file_of(local.repository).read_bytes() == kept
        assert await (await local.open()).track(CLUSTER_UUID).tip() == second

    async def test_only_what_the_tip_holds_is_kept(self, local: GitFactory) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await record(store.track(CLUSTER_UUID), snapshot(upgraded=1), first)
        assert await store.track(CLUSTER_UUID).at(first.revision.id) == first
        await store.close()
        assert not file_of(local.repository).exists()

    async def test_a_clone_that_is_made_again_keeps_them(
        self, remote: GitRemoteFactory, tmp_path: Path, documents: list[str]
    ) -> None:
        store = await remote.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        spoil_objects(tmp_path / "cache-1.git", b"")
        assert await reopened(remote, tmp_path).track(CLUSTER_UUID).tip() == first
        assert documents == []

    async def test_a_clone_that_was_deleted_with_them_is_made_again(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        store = await remote.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        shutil.rmtree(tmp_path / "cache-1.git")
        assert await reopened(remote, tmp_path).track(CLUSTER_UUID).tip() == first


def change_an_app(content: dict[str, object]) -> None:
    """Another status than was recorded, in a file that is whole."""
    apps = content["apps"]
    assert isinstance(apps, dict)
    next(iter(apps.values()))["app_info"]["helm_info"]["status"] = "failed"


def swap_two_apps(content: dict[str, object]) -> None:
    apps = content["apps"]
    assert isinstance(apps, dict)
    one, other = list(apps)[:2]
    apps[one], apps[other] = apps[other], apps[one]


def rewrite(file: Path, edit: Callable[[dict[str, object]], object]) -> None:
    content = json.loads(gzip.decompress(file.read_bytes()))
    edit(content)
    file.write_bytes(gzip.compress(json.dumps(content).encode()))


class TestDistrust:
    @pytest.mark.parametrize(
        "spoil",
        [
            lambda file: file.write_bytes(b""),
            lambda file: file.write_bytes(file.read_bytes()[:-1]),
            lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
            lambda file: file.write_bytes(file.read_bytes()[:-8] + b"\0" * 8),
            lambda file: file.write_bytes(b"rubbish"),
            lambda file: file.write_bytes(gzip.compress(b"rubbish")),
            lambda file: file.write_bytes(gzip.compress(b"\xff")),
            lambda file: file.write_bytes(gzip.compress(b"{}")),
            lambda file: rewrite(file, lambda content: content.update(surprise=1)),
            lambda file: rewrite(file, lambda content: content.update(program="0.0.0")),
            lambda file: rewrite(file, lambda content: content.update(format=0)),
            lambda file: rewrite(file, change_an_app),
        ],
        ids=[
            "empty", "cut", "half", "checksum", "rubbish", "rubbish in gzip", "no text", "of another kind",
            "a field too many", "another program", "another format", "another content",
        ],
    )  # fmt: skip
    async def test_what_cannot_be_trusted_is_dropped_with_a_word_and_the_documents_are_read(
        self,
        local: GitFactory,
        documents: list[str],
        caplog: pytest.LogCaptureFixture,
        spoil: Callable[[Path], object],
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        spoil(file_of(local.repository))
        caplog.set_level(logging.WARNING)
        again = await local.open()
        assert await again.track(CLUSTER_UUID).tip() == first
        assert len(documents) == APPS
        assert [line for line in caplog.messages if "are read again from the repository" in line]
        await again.close()
        documents.clear()
        assert await (await local.open()).track(CLUSTER_UUID).tip() == first
        assert documents == []

    async def test_apps_under_each_others_names_are_read_again(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        rewrite(file_of(local.repository), swap_two_apps)
        assert await (await local.open()).track(CLUSTER_UUID).tip() == first
        assert len(documents) == 2

    async def test_without_a_digest_to_compare_the_documents_are_read(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        first = await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        assert file_of(local.repository).exists()
        tree = git(local.repository, "rev-parse", f"{BRANCH}:{OURS}").strip()
        snapshots = Snapshots(Repository(local.repository), CLUSTER_UUID, BRANCH)
        assert snapshots.read(tree) == first.snapshot
        assert len(documents) == APPS


def kept(cache: AppCache) -> Mapping[str, App]:
    """Keep some apps; what was kept."""
    apps = {f"{n:040x}": make_app("a", f"app-{n}") for n in range(APPS)}
    cache.learned(APPS)
    cache.keep(lambda: apps, at_end=True)
    return apps


class TestDisk:
    def test_what_is_kept_comes_back(self, tmp_path: Path) -> None:
        assert kept(AppCache(tmp_path, CLUSTER_UUID)) == AppCache(tmp_path, CLUSTER_UUID).load()

    def test_a_full_disk_is_a_warning_once_and_nothing_is_left_of_the_attempt(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = AppCache(tmp_path, CLUSTER_UUID)
        with no_file_beyond(100):
            kept(cache)
            kept(cache)
        assert [line for line in caplog.messages if "starts take longer" in line] == [
            f"{file_of(tmp_path)} cannot be written (File too large): starts take longer"
        ]
        assert list((tmp_path / FOLDER).iterdir()) == []
        assert kept(cache) == cache.load()

    def test_a_full_disk_leaves_what_was_kept_before(self, tmp_path: Path) -> None:
        cache = AppCache(tmp_path, CLUSTER_UUID)
        apps = kept(cache)
        with no_file_beyond(100):
            kept(cache)
        assert cache.load() == apps

    def test_a_read_only_volume_is_a_warning(
        self, read_only_folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cache = AppCache(read_only_folder, CLUSTER_UUID)
        kept(cache)
        cache.drop("for a test")
        assert cache.load() == {}
        assert "cannot be written (Permission denied): starts take longer" in caplog.text

    def test_what_a_crash_left_of_a_file_is_written_over(self, tmp_path: Path) -> None:
        cache = AppCache(tmp_path, CLUSTER_UUID)
        kept(cache)
        names = [each.name for each in (tmp_path / FOLDER).iterdir()]
        (tmp_path / FOLDER / f".{CLUSTER_UUID}.new").write_bytes(b"half")
        assert cache.load() == kept(cache)
        assert [each.name for each in (tmp_path / FOLDER).iterdir()] == names

    def test_there_are_files_of_few_clusters_only(self, tmp_path: Path) -> None:
        for number in range(20):
            kept(AppCache(tmp_path, f"K-{number}"))
        assert len(list((tmp_path / FOLDER).iterdir())) == 16
        assert kept(AppCache(tmp_path, "K-19")) == AppCache(tmp_path, "K-19").load()

    def test_a_file_that_would_be_too_large_is_neither_written_nor_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cache = AppCache(tmp_path, CLUSTER_UUID)
        kept(cache)
        monkeypatch.setattr(cache_module, "_LARGEST", 10)
        assert cache.load() == {}
        kept(cache)
        assert not file_of(tmp_path).exists()


class TestPeople:
    async def test_what_people_do_elsewhere_does_not_spoil_a_start(
        self, local: GitFactory, documents: list[str]
    ) -> None:
        store = await local.open()
        await record(store.track(CLUSTER_UUID), snapshot())
        await store.close()
        commit_as_a_person(local.repository, {"README.md": "hello"})
        assert (await (await local.open()).track(CLUSTER_UUID).tip()) is not None
        assert documents == []


def reopened(remote: GitRemoteFactory, tmp_path: Path) -> GitStore:
    """A store on the first cache, as after a restart."""
    return open_git_store(path=tmp_path / "cache-1.git", url=f"file://{remote.repository}", branch=BRANCH)
