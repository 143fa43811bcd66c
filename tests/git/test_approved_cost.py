"""What reading the approved branch costs, what is fetched for it, and what is remembered of it."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import StoreError
from reconciler.model import AppKey
from reconciler.policy.approval import Approval
from reconciler.state.git.branches import RemoteBranches
from reconciler.state.git.network.remote import Remote
from reconciler.state.git.observed_cache import FOLDER
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, git_processes, is_clean
from tests.git.approvals import Approvals, app, counting, path_of
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, git
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted
from tests.git.servers.ssh import SshServer
from tests.git.servers.stores import GitNetworkFactory, https_factory, ssh_factory

A, B = AppKey("default", "a"), AppKey("default", "b")
ASIDE = "hossted-aside"


class SameCache(GitRemoteFactory):
    """As after a restart of a container: the cache is still there."""

    async def open(self) -> GitStore:
        self._opened = 0
        return await super().open()

    @property
    def cache(self) -> Path:
        return self._folder / "cache-1.git"


@pytest.fixture
async def place(tmp_path: Path) -> Approvals:
    factory = SameCache(tmp_path)
    git(factory.repository, "config", "uploadpack.allowFilter", "true")
    return Approvals(factory, await factory.open())


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each history that was fetched aside, how many files came with it."""
    found: list[int] = []
    fetch = Remote.fetch

    def noted(self: Remote, *refspecs: str, into: Repository | None = None, **more: tuple[str, ...]) -> None:
        fetch(self, *refspecs, into=into, options=more.get("options", ()))
        if into is not None:
            listed = git(into.path, "cat-file", "--batch-all-objects", "--batch-check")
            found.append(sum(" blob " in line for line in listed.splitlines()))

    monkeypatch.setattr(Remote, "fetch", noted)
    return found


def cache_of(place: Approvals) -> Path:
    assert isinstance(place.factory, SameCache)
    return place.factory.cache


async def lose_the_clone(place: Approvals) -> None:
    """All but what is kept beside it."""
    cache = cache_of(place)
    for there in cache.iterdir():
        if there.name != FOLDER:
            shutil.rmtree(there) if there.is_dir() else there.unlink()
    await place.restart()


async def long_record(place: Approvals, revisions: int = 25) -> str:
    """Of a, once approved, and of b; the cache has only the newest part of it. Where approval began."""
    await place.record(a=1, b=1)
    place.approve_all()
    since = await place.tip()
    for revision in range(2, revisions + 1):
        await place.record(a=revision, b=1)
    await lose_the_clone(place)
    return since


def of_revision(place: Approvals, revision: int) -> str:
    """The commit of the record in which a had this revision."""
    return git(place.copy, "rev-list", "--reverse", f"origin/{BRANCH}").split()[revision - 1]


# How many processes and requests


async def test_with_5000_apps_a_look_costs_no_more_than_with_5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for apps in (5, 5_000):
        folder = tmp_path / str(apps)
        folder.mkdir()
        factory = GitRemoteFactory(folder)
        place = Approvals(factory, await factory.open())
        others = [make_app("other", f"app-{number}") for number in range(apps - 1)]
        place.newest = await append(place.track, make_snapshot(app("a"), *others), None)
        place.approve_all()
        since = await place.tip()
        place.newest = await append(place.track, make_snapshot(app("a", 2), *others), place.newest)
        with counting(monkeypatch) as unchanged:
            assert await place.read(since) == Approval(tip=since)
        place.checkout()
        tip = place.person("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{BRANCH}")
        expected = Approval(tip=tip, apps={A: app("a", 2)})
        with counting(monkeypatch) as merged:
            assert await place.read(since) == expected
        place.newest = await append(place.track, make_snapshot(app("a", 3), *others), place.newest)
        with counting(monkeypatch) as again:
            assert await place.read(since) == expected
        costs.append((unchanged, merged, again))
    assert costs[0] == costs[1]
    unchanged, merged, again = costs[1]
    assert unchanged == again == ["ls-remote"]
    assert (merged.count("ls-remote"), merged.count("fetch")) == (1, 1)
    assert len(merged) <= 20


async def test_a_local_store_is_asked_once(local: GitFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Approvals(local, await local.open())
    await place.record(a=1)
    place.approve_all()
    approval = await place.read("")
    with counting(monkeypatch) as processes:
        assert await place.read("") is approval
    assert processes == ["for-each-ref"]


# History that is not at hand


async def test_an_older_state_costs_one_fetch_of_history_without_files_and_one_of_its_commit(
    place: Approvals, fetched: list[int]
) -> None:
    since = await long_record(place)
    place.checkout()
    tip = place.take("a", of_revision(place, 3))
    expected = Approval(tip=tip, apps={A: app("a", 3)})
    assert await place.read(since) == expected
    assert fetched == [0, 3]  # of the commit: a, b, cluster.yaml
    assert await place.read(since) == expected
    await place.record(a=26, b=1)
    assert await place.read(since) == expected
    assert len(fetched) == 2
    assert int(git(cache_of(place), "rev-list", "--count", f"refs/hossted/tips/{BRANCH}")) == 11
    assert not (cache_of(place) / ASIDE).exists()
    assert is_clean(cache_of(place))


async def test_where_approval_began_is_fetched_once_when_the_clone_has_lost_it(
    place: Approvals, fetched: list[int]
) -> None:
    since = await long_record(place)
    tip = place.approve_all()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 25)})
    assert sorted(fetched) == [0, 3]
    for revision in range(26, 29):
        await place.record(a=revision, b=1)
        tip = place.approve_all()
        assert await place.read(since) == Approval(tip=tip, apps={A: app("a", revision)})
    assert len(fetched) == 2


async def test_without_filters_at_the_remote_it_is_the_same(place: Approvals, fetched: list[int]) -> None:
    git(place.factory.repository, "config", "uploadpack.allowFilter", "false")
    since = await long_record(place)
    place.checkout()
    tip = place.take("a", of_revision(place, 3))
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 3)})
    assert max(fetched) > 20


async def test_what_is_refused_costs_one_search_and_no_more_after_a_restart(
    place: Approvals, fetched: list[int]
) -> None:
    since = await long_record(place)
    place.checkout()
    place.edit({path_of("b"): "by hand\n"})
    assert set((await place.read(since)).refused) == {B}
    first = len(fetched)
    for revision in range(26, 30):
        await place.record(a=revision, b=1)
        assert set((await place.read(since)).refused) == {B}
    assert len(fetched) == first
    await place.restart()
    fetched.clear()
    assert set((await place.read(since)).refused) == {B}
    assert 0 not in fetched[1:]  # the record's history was not fetched again


async def test_many_states_of_one_older_commit_are_proven_by_that_one(
    place: Approvals, fetched: list[int]
) -> None:
    apps = {f"app-{number}": 1 for number in range(8)}
    await place.record(**apps)
    place.approve_all()
    since = await place.tip()
    for name in apps:
        apps[name] = 2
        await place.record(**apps)
    older = place.newest
    assert older is not None
    for revision in range(3, 15):
        await place.record(**dict.fromkeys(apps, revision))
    await lose_the_clone(place)
    place.checkout()
    place.person("merge", "--quiet", "--no-ff", "--no-edit", older.revision.id)
    approval = await place.read(since)
    assert {each.helm.revision for each in approval.apps.values()} == {2}
    assert len(approval.apps) == 8
    assert len(fetched) <= 4


async def test_what_a_crash_left_aside_is_in_nobodys_way(place: Approvals) -> None:
    since = await long_record(place)
    left = cache_of(place) / ASIDE
    left.mkdir()
    (left / "HEAD").write_text("half a")
    place.checkout()
    tip = place.take("a", of_revision(place, 3))
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 3)})
    assert not left.exists()


async def test_a_history_that_cannot_be_fetched_is_an_error_and_leaves_nothing(
    place: Approvals, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = await long_record(place)
    place.checkout()
    tip = place.take("a", of_revision(place, 3))
    assert await place.tip() == tip
    with monkeypatch.context() as patch, place.factory.away():
        # The branch was seen and fetched; then the remote went away.
        patch.setattr(RemoteBranches, "newest", lambda *_: tip)
        with pytest.raises(StoreError, match="git fetch"):
            await place.read(since)
    assert not (cache_of(place) / ASIDE).exists()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 3)})


# What is kept beside the clone

Content = dict[str, Any]
BY_HAND = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"  # the empty file


def deleted(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def of_another_version(file: Path) -> None:
    _rewrite(file, lambda content: content | {"program": "0.0.1"})


def of_another_branch(file: Path) -> None:
    _rewrite(file, lambda content: content | {"branch": "refs/heads/other"})


def naming_others_commits(file: Path) -> None:
    """A file that somebody meddled with: everything was brought by the first commit."""

    def lie(content: Content) -> Content:
        files = content["index"]["files"]
        moved = {path: dict.fromkeys(blobs, 0) for path, blobs in files.items()}
        return content | {"index": content["index"] | {"files": moved}}

    _rewrite(file, lie)


def with_a_file_that_never_was(file: Path) -> None:
    def lie(content: Content) -> Content:
        content["index"]["files"]["default/b.yaml"][BY_HAND] = 1
        return content

    _rewrite(file, lie)


def _rewrite(file: Path, change: Callable[[Content], Content]) -> None:
    content = json.loads(gzip.decompress(file.read_bytes()))
    file.write_bytes(gzip.compress(json.dumps(change(content)).encode()))


@pytest.mark.parametrize(
    "harm",
    [deleted, cut, of_another_version, of_another_branch, naming_others_commits, with_a_file_that_never_was],
)
async def test_whatever_becomes_of_the_file_the_answer_is_the_same(
    place: Approvals, harm: Callable[[Path], None]
) -> None:
    since = await long_record(place)
    place.checkout()
    place.take("a", of_revision(place, 3))
    place.edit({path_of("b"): ""})
    expected = await place.read(since)
    assert set(expected.refused) == {B}
    assert expected.apps == {A: app("a", 3)}
    harm(cache_of(place) / FOLDER / CLUSTER_UUID)
    await place.restart()
    assert await place.read(since) == expected


async def test_a_clone_that_is_made_again_keeps_the_file(place: Approvals, fetched: list[int]) -> None:
    since = await long_record(place)
    place.checkout()
    place.edit({path_of("b"): "by hand\n"})
    expected = await place.read(since)
    assert set(expected.refused) == {B}
    cache = cache_of(place)
    (cache / "hossted-cache").write_text("A cache of something else")
    await place.restart()
    assert (cache / FOLDER / CLUSTER_UUID).exists()
    assert await place.read(since) == expected


# Over a network


@pytest.fixture(params=["https", "ssh"])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitNetworkFactory]:
    given = request.getfixturevalue
    if request.param == "https":
        authority: Authority = given("authority")
        yield https_factory(tmp_path, given("https_repository"), authority)
    else:
        server: SshServer = given("ssh_server")
        yield ssh_factory(tmp_path, given("ssh_repository"), server)


async def test_over_a_network_it_is_the_same(network: GitNetworkFactory) -> None:
    hosted: Hosted = network.hosted
    place = Approvals(network, await network.open())
    await place.record(a=1, b=1)
    place.approve_all()
    since = await place.tip()
    for revision in range(2, 16):
        await place.record(a=revision, b=1)
    place.checkout()
    place.take("a", of_revision(place, 3))
    tip = place.edit({path_of("b"): "by hand\n"})
    for _ in range(2):
        approval = await place.read(since)
        assert (approval.tip, approval.apps, set(approval.refused)) == (tip, {A: app("a", 3)}, {B})
        before = len(hosted.requests)
        assert await place.read(since) is approval
        # Over HTTPS to ask which branches there are takes two: what the server speaks, and then the question.
        assert len(hosted.requests) - before == (2 if hosted.url.startswith("https") else 1)
        await place.restart()
    assert git_processes(network.repository.parent) == []
