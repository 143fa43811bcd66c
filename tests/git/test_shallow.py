"""How much of a long history is fetched, and that nothing is believed of what was not."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.errors import UsageError
from reconciler.model import AppKey, Snapshot
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.git.store import open_git_store
from reconciler.state.git.track import GitTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_cluster, make_snapshot
from tests.git.actions import HAPPENED, RECORDED, append, is_clean, trailers_of
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, branches, commit_as_a_person, git
from tests.git.people import OURS, REF, clone, commit, push
from tests.git.servers.stores import https_factory, ssh_factory

ONE = make_snapshot(make_app(), make_app("b", "two"))
NEXT = make_snapshot(make_app(revision=2), make_app("b", "two"))
YEARS_AGO = 1_700_000_000
MIRROR = f"refs/hossted/tips/{BRANCH}"


def at_hand(cache: Path) -> int:
    """Commits of the branch that were fetched."""
    return int(git(cache, "rev-list", "--count", MIRROR))


def objects_in(cache: Path) -> int:
    counted = dict(line.split(": ") for line in git(cache, "count-objects", "-v").splitlines())
    return int(counted["count"]) + int(counted["in-pack"])


def foreign(repository: Path, number: int, since: int = YEARS_AGO) -> None:
    """So many commits of other people's, by default of somebody whose clock is wrong by years."""
    git(repository, "fast-import", "--quiet", stdin=_foreign(number, f"from {REF}^0\n", since))


def _foreign(number: int, start: str, since: int = YEARS_AGO) -> str:
    return "".join(
        f"commit {REF}\ncommitter A <a@b> {since + each} +0000\ndata 1\nx\n"
        f"{start if each == 0 else ''}M 100644 inline f{each % 50}\ndata {len(str(each))}\n{each}\n\n"
        for each in range(number)
    )


def _ours(snapshot: Snapshot) -> str:
    """A commit of ours in a stream; it needs no parent's files."""
    text = Message("Record", "", trailers_of(snapshot)).render()
    documents = {f"{OURS}/cluster.yaml": dump_cluster(snapshot.cluster)} | {
        f"{OURS}/{key}.yaml": dump_app(app) for key, app in snapshot.apps.items()
    }
    written = "".join(
        f"M 100644 inline {path}\ndata {len(document)}\n{document.decode()}\n"
        for path, document in documents.items()
    )
    who = "committer hossted-reconciler <x@y.invalid> 1700000000 +0000"
    return f"commit {REF}\n{who}\ndata {len(text.encode())}\n{text}\n{written}\n"


@pytest.fixture(scope="module")
def long_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100,000 commits of other people's, one of ours 5,000 commits back, and the branch ``before`` at it."""
    repository = tmp_path_factory.mktemp("long") / "long.git"
    git(repository.parent, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(repository))
    stream = (
        _foreign(95_000, "") + _ours(ONE) + f"reset refs/heads/near\nfrom {REF}\n\n" + _foreign(5_000, "")
    )
    git(repository, "fast-import", "--quiet", stdin=stream)
    return repository


@pytest.fixture
def place(remote: GitRemoteFactory, long_history: Path) -> GitRemoteFactory:
    """A remote with that history, which a test may write to."""
    pack = "objects/info/alternates"
    (remote.repository / pack).write_text(f"{long_history / 'objects'}\n")
    git(remote.repository, "update-ref", REF, git(long_history, "rev-parse", BRANCH).strip())
    git(remote.repository, "update-ref", "refs/heads/near", git(long_history, "rev-parse", "near").strip())
    git(remote.repository, "config", "receive.denyNonFastForwards", "true")
    return remote


def opened(place: GitFactory, tmp_path: Path, branch: str = BRANCH, cluster: str = CLUSTER_UUID) -> GitTrack:
    url = f"file://{place.repository}"
    return open_git_store(path=tmp_path / "cache.git", url=url, branch=branch).track(cluster)


async def read(track: GitTrack) -> Recorded:
    tip = await track.tip()
    assert tip is not None
    return tip


class TestHuge:
    async def test_with_our_commit_at_the_tip_next_to_nothing_is_fetched(
        self, place: GitRemoteFactory, tmp_path: Path
    ) -> None:
        track = opened(place, tmp_path, "near")
        tip = await read(track)
        assert (tip.snapshot, tip.repairs) == (ONE, ())
        second = await append(track, NEXT, tip)
        assert await read(track) == second
        assert int(git(tmp_path / "cache.git", "rev-list", "--count", "refs/hossted/tips/near")) == 11
        assert objects_in(tmp_path / "cache.git") < 100
        assert branches(place.repository)["refs/heads/near"] == second.revision.id
        assert int(git(place.repository, "rev-list", "--count", "near")) == 95_002
        assert is_clean(place.repository)

    async def test_our_commit_is_found_5000_commits_back_without_fetching_all(
        self, place: GitRemoteFactory, tmp_path: Path
    ) -> None:
        track = opened(place, tmp_path)
        tip = await read(track)
        assert (tip.snapshot, tip.repairs) == (ONE, ())
        assert at_hand(tmp_path / "cache.git") == 10_000
        edited = commit_as_a_person(place.repository, {f"{OURS}/b/two.yaml": None})
        tip = await read(track)
        assert [repair.what for repair in tip.repairs] == [f"b/two was deleted by A Person in {edited[:8]}"]
        second = await append(track, NEXT, tip)
        assert await read(track) == second
        assert at_hand(tmp_path / "cache.git") == 10_002
        assert is_clean(tmp_path / "cache.git")

    async def test_for_a_cluster_that_is_not_there_only_a_thousand_commits_are_searched(
        self, place: GitRemoteFactory, tmp_path: Path
    ) -> None:
        track = opened(place, tmp_path, cluster=OTHER_CLUSTER_UUID)
        assert await track.tip() is None
        assert at_hand(tmp_path / "cache.git") == 1_000
        theirs = make_snapshot(make_app(cluster_uuid=OTHER_CLUSTER_UUID), cluster_uuid=OTHER_CLUSTER_UUID)
        first = await append(track, theirs, None)
        assert await read(track) == first
        assert at_hand(tmp_path / "cache.git") == 1_001


class TestEndOfHistory:
    @pytest.mark.parametrize("distance", [7, 8, 9, 10, 11, 98, 99, 100])
    async def test_an_edit_at_the_end_of_what_was_fetched_is_of_whoever_made_it(
        self, remote: GitRemoteFactory, tmp_path: Path, distance: int
    ) -> None:
        """The commit at the end looks as if it had made every file that there is."""
        first = await append((await remote.open()).track(CLUSTER_UUID), ONE, None)
        edited = commit_as_a_person(remote.repository, {f"{OURS}/b/two.yaml": "x"})
        foreign(remote.repository, distance)
        tip = await read(opened(remote, tmp_path))
        assert (tip.revision, tip.snapshot) == (first.revision, ONE)
        assert [repair.what for repair in tip.repairs] == [f"b/two was edited by A Person in {edited[:8]}"]

    async def test_where_no_more_history_is_to_be_had_its_end_made_nothing(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, ONE, None)
        copy = clone(local.repository)
        commit(copy, {f"{OURS}/b/two.yaml": "x"})
        end = commit(copy, {"README.md": "x"})
        await append(track, NEXT, first)
        git(copy, "pull", "--quiet", "--no-rebase", "--no-edit")
        push(copy)
        (local.repository / "shallow").write_text(f"{end}\n")
        (repair,) = (await read((await local.open()).track(CLUSTER_UUID))).repairs
        merge = branches(local.repository)[REF]
        assert repair.what == f"b/two was edited by A Person in {merge[:8]}"

    @pytest.mark.parametrize("distance", [8, 9, 10, 11])
    async def test_what_was_imported_further_back_was_not_imported_where_the_history_ends(
        self, remote: GitRemoteFactory, tmp_path: Path, distance: int
    ) -> None:
        documents = {f"{OURS}/cluster.yaml": dump_cluster(make_cluster()).decode()}
        commit_as_a_person(remote.repository, {"README.md": "x"})
        imported = commit_as_a_person(remote.repository, dict(documents))
        foreign(remote.repository, distance)
        tip = await read(opened(remote, tmp_path))
        assert tip.revision.id == imported

    async def test_a_short_way_to_an_older_commit_of_ours_does_not_hide_the_newest(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        """Somebody merged a branch of theirs: by it, the older one is nearer than the newest."""
        track = (await remote.open()).track(CLUSTER_UUID)
        first = await append(track, ONE, None)
        copy = clone(remote.repository)
        commit(copy, {"README.md": "hello"})
        second = await append(track, NEXT, first)
        foreign(remote.repository, 30)
        git(copy, "pull", "--quiet", "--no-rebase", "--no-edit")
        push(copy)
        tip = await read(opened(remote, tmp_path))
        assert tip == second

    async def test_a_commit_beyond_the_end_of_what_is_at_hand_has_not_vanished(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        """The copy of the branch was lost, not what is known of our own commit."""
        track = opened(remote, tmp_path)
        first = await append(track, ONE, None)
        foreign(remote.repository, 300)
        git(tmp_path / "cache.git", "update-ref", "-d", MIRROR)
        again = opened(remote, tmp_path)
        assert await read(again) == first
        await again.rescue()
        assert list(again.notices) == []
        assert list(branches(remote.repository)) == [REF]


class TestThePast:
    @pytest.fixture
    async def revisions(self, remote: GitRemoteFactory) -> list[Recorded]:
        """Five of ours, nine commits of others' between them and five after; the newest first."""
        track = (await remote.open()).track(CLUSTER_UUID)
        made: list[Recorded] = []
        for number in range(1, 6):
            gone = make_app("b", f"gone-{number}")
            on = made[-1] if made else None
            made.append(await append(track, make_snapshot(make_app(revision=number), gone), on))
            foreign(remote.repository, 5 if number == 5 else 9, int(RECORDED.timestamp()))
        return made[::-1]

    async def test_history_is_all_of_it(
        self, remote: GitRemoteFactory, tmp_path: Path, revisions: list[Recorded]
    ) -> None:
        track = opened(remote, tmp_path)
        assert await read(track) == revisions[0]
        assert at_hand(tmp_path / "cache.git") == 10
        assert [each async for each in track.history()] == [each.revision for each in revisions]
        assert at_hand(tmp_path / "cache.git") == 46

    @pytest.mark.parametrize("digits", [12, 40])
    async def test_each_revision_is_found_with_the_one_before(
        self, remote: GitRemoteFactory, tmp_path: Path, revisions: list[Recorded], digits: int
    ) -> None:
        for number, recorded in enumerate(revisions):
            before = revisions[number + 1] if number + 1 < len(revisions) else None
            name = recorded.revision.id[:digits]
            at, earlier = tmp_path / f"at-{number}", tmp_path / f"before-{number}"
            at.mkdir()
            earlier.mkdir()
            assert await opened(remote, at).at(name) == recorded
            assert await opened(remote, earlier).before(name) == before

    async def test_the_newest_revision_is_found_without_fetching_all(
        self, remote: GitRemoteFactory, tmp_path: Path, revisions: list[Recorded]
    ) -> None:
        track = opened(remote, tmp_path)
        await read(track)
        held = at_hand(tmp_path / "cache.git")
        assert await track.at(revisions[0].revision.id) == revisions[0]
        assert at_hand(tmp_path / "cache.git") == held

    async def test_a_commit_at_the_end_of_the_history_that_is_nobodys_revision_is_none(
        self, remote: GitRemoteFactory, tmp_path: Path, revisions: list[Recorded]
    ) -> None:
        track = opened(remote, tmp_path)
        assert await read(track) == revisions[0]
        (end,) = (tmp_path / "cache.git" / "shallow").read_text().split()
        with pytest.raises(UsageError, match="has no revision"):
            await track.at(end)

    async def test_what_left_is_known_from_its_date_on(
        self, remote: GitRemoteFactory, tmp_path: Path, revisions: list[Recorded]
    ) -> None:
        track = opened(remote, tmp_path)
        assert await track.departed(RECORDED + timedelta(days=1)) == ()
        assert at_hand(tmp_path / "cache.git") == 10
        gone = await track.departed(HAPPENED - timedelta(days=1))
        assert {app.key for app in gone} == {AppKey("b", f"gone-{number}") for number in range(1, 5)}
        assert revisions

    async def test_clusters_of_one_uid_are_listed_oldest_first(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        for number, name in enumerate(["K-2", "K-1", "K-3"]):
            commit_as_a_person(
                remote.repository, {f"clusters/{name}/cluster.yaml": "kube_system_uid: same\n"}
            )
            foreign(remote.repository, 20 + number)
        url = f"file://{remote.repository}"
        store = open_git_store(path=tmp_path / "cache.git", url=url, branch=BRANCH)
        assert len(await store.clusters()) == 3
        assert at_hand(tmp_path / "cache.git") == 66

    async def test_clusters_that_cannot_be_one_are_listed_without_fetching_all(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        for name in ("K-2", "K-1", "K-3"):
            commit_as_a_person(
                remote.repository, {f"clusters/{name}/cluster.yaml": f"kube_system_uid: {name}\n"}
            )
            foreign(remote.repository, 20)
        url = f"file://{remote.repository}"
        store = open_git_store(path=tmp_path / "cache.git", url=url, branch=BRANCH)
        assert {each.cluster_uuid for each in await store.clusters()} == {"K-1", "K-2", "K-3"}
        assert at_hand(tmp_path / "cache.git") == 10


class TestRemotes:
    async def test_a_remote_that_is_shallow_itself_is_as_good(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), ONE, None)
        foreign(remote.repository, 30)
        shallow = GitFactory(tmp_path)
        git(
            tmp_path, "clone", "--quiet", "--bare", "--depth=15", f"file://{remote.repository}",
            str(shallow.repository),
        )  # fmt: skip
        track = opened(shallow, tmp_path)
        tip = await read(track)  # our commit is not there: what is, counts as imported
        assert tip.snapshot == ONE
        second = await append(track, NEXT, tip)
        assert await read(track) == second
        assert await anext(track.history()) == second.revision
        assert await track.departed(HAPPENED) == ()
        git(shallow.repository, "fetch", "--quiet", "--unshallow", f"file://{remote.repository}", BRANCH)
        assert is_clean(shallow.repository)
        assert first.revision != second.revision

    @pytest.fixture(params=["file", "https", "ssh"])
    def served(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[GitFactory]:
        given = request.getfixturevalue
        if request.param == "https":
            yield https_factory(tmp_path, given("https_repository"), given("authority"))
        elif request.param == "ssh":
            yield ssh_factory(tmp_path, given("ssh_repository"), given("ssh_server"))
        else:
            yield given("remote")

    async def test_a_short_history_can_be_pushed_from_and_what_is_lost_of_it_is_kept(
        self, served: GitFactory, tmp_path: Path
    ) -> None:
        first = await append((await served.open()).track(CLUSTER_UUID), ONE, None)
        foreign(served.repository, 30)
        await append((await served.open()).track(CLUSTER_UUID), NEXT, first)
        foreign(served.repository, 5)
        track = (await served.open()).track(CLUSTER_UUID)
        tip = await read(track)
        assert at_hand(third_cache(tmp_path)) == 10
        third = await append(track, ONE, tip)
        assert branches(served.repository) == {REF: third.revision.id}
        # An orphan: no branch leads to what our history stands on.
        tree = git(served.repository, "rev-parse", f"{BRANCH}~20^{{tree}}").strip()
        orphan = git(served.repository, "commit-tree", "-m", "Rewrite", tree).strip()
        git(served.repository, "update-ref", REF, orphan)
        tip = await read(track)
        assert (tip.revision, tip.snapshot) == (third.revision, ONE)
        fourth = await append(track, NEXT, tip)
        kept = f"refs/heads/hossted/rescued/{CLUSTER_UUID}/{third.revision.id}"
        assert branches(served.repository) == {REF: fourth.revision.id, kept: third.revision.id}
        assert int(git(served.repository, "rev-list", "--count", kept)) == 38
        assert is_clean(served.repository)

    async def test_a_lost_commit_whose_history_is_nowhere_any_more_is_said(
        self, remote: GitRemoteFactory, tmp_path: Path
    ) -> None:
        first = await append((await remote.open()).track(CLUSTER_UUID), ONE, None)
        foreign(remote.repository, 30)
        await append((await remote.open()).track(CLUSTER_UUID), NEXT, first)
        track = opened(remote, tmp_path)
        await read(track)
        await track.rescue()
        assert at_hand(tmp_path / "cache.git") == 10
        tree = git(remote.repository, "rev-parse", f"{BRANCH}^{{tree}}").strip()
        orphan = git(remote.repository, "commit-tree", "-m", "Rewrite", tree).strip()
        git(remote.repository, "update-ref", REF, orphan)
        forget_unreachable(remote.repository)
        tip = await read(track)
        await track.rescue()
        (notice,) = track.notices
        assert "was taken out of the branch main and cannot be kept as a branch: " in notice
        assert await append(track, ONE, tip)
        assert is_clean(remote.repository)

    @pytest.mark.parametrize("elsewhere", [True, False], ids=["still reachable", "gone"])
    async def test_a_branch_that_was_deleted_comes_back_from_a_short_history(
        self, remote: GitRemoteFactory, tmp_path: Path, elsewhere: bool
    ) -> None:
        """A forge deletes the branch of a merged pull request."""
        first = await append((await remote.open()).track(CLUSTER_UUID), ONE, None)
        foreign(remote.repository, 30)
        second = await append((await remote.open()).track(CLUSTER_UUID), NEXT, first)
        track = opened(remote, tmp_path)
        assert await read(track) == second
        await track.rescue()
        assert at_hand(tmp_path / "cache.git") == 10
        if elsewhere:
            git(remote.repository, "branch", "approved", BRANCH)
        git(remote.repository, "update-ref", "-d", REF)
        tip = await read(track)
        assert tip == second
        await track.rescue()
        third = await append(track, ONE, await read(track))
        assert branches(remote.repository)[REF] == third.revision.id
        assert int(git(remote.repository, "rev-list", "--count", BRANCH)) == (33 if elsewhere else 1)
        assert await read((await remote.open()).track(CLUSTER_UUID)) == third
        assert is_clean(remote.repository)


def third_cache(folder: Path) -> Path:
    (found,) = folder.glob("*cache-3.git")
    return found


def forget_unreachable(repository: Path) -> None:
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--quiet", "--prune=now")
