"""A branch that belongs to people as well: what they do to it, to our files, and to our commits."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.errors import FormatError, LostRaceError, StoreError
from reconciler.model import AppKey, Snapshot
from reconciler.state.git import objects
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.git.track import GitTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append, is_clean, trailers_of
from tests.git.factory import BRANCH, GitFactory, branches, commit_as_a_person, files, git, refs
from tests.git.people import OURS, REF, changed_paths, clone, commit, our_commits, push

TEST = AppKey("default", "test")
DOCUMENT = f"{OURS}/default/test.yaml"
RESCUED = f"refs/heads/hossted/rescued/{CLUSTER_UUID}"

ONE_AND_TWO = make_snapshot(make_app(), make_app("b", "two"))
UPGRADED = make_snapshot(make_app(revision=2), make_app("b", "two"))


@pytest.fixture(params=["the store", "a remote"])
def place(request: pytest.FixtureRequest) -> GitFactory:
    """The repository, which is the store itself, or the remote of a cache."""
    found: GitFactory = request.getfixturevalue("local" if request.param == "the store" else "remote")
    return found


@pytest.fixture(autouse=True)
def checks(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: nothing is damaged, and no commit of ours touched what is not ours."""
    names = {"place", "local", "remote"} & set(request.fixturenames)
    repositories = {request.getfixturevalue(name).repository for name in names}
    yield
    for repository in repositories:
        if repository.exists():
            assert is_clean(repository)
            for ours in our_commits(repository, "--all"):
                touched = changed_paths(repository, ours)
                assert [path for path in touched if not path.startswith("clusters/K-")] == []


async def begun(place: GitFactory, *snapshots: Snapshot) -> tuple[GitTrack, Recorded]:
    """A track with these snapshots, by default one of two apps, and a README of somebody's."""
    track = (await place.open()).track(CLUSTER_UUID)
    tip = None
    for snapshot in snapshots or (ONE_AND_TWO,):
        tip = await append(track, snapshot, tip)
    assert tip is not None
    forbid_force(place.repository)
    return track, tip


def forbid_force(repository: Path) -> None:
    git(repository, "config", "receive.denyNonFastForwards", "true")
    git(repository, "config", "receive.denyDeletes", "true")


async def read(track: GitTrack) -> Recorded:
    tip = await track.tip()
    assert tip is not None
    return tip


def words(recorded: Recorded) -> list[str]:
    return [repair.what for repair in recorded.repairs]


def said(track: GitTrack) -> list[str]:
    """The track's notices, as of now."""
    return list(track.notices)


class TestEdits:
    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({DOCUMENT: "app_info: ["}, ["default/test was edited by A Person in {}"]),
            ({DOCUMENT: "a: 1"}, ["default/test was edited by A Person in {}"]),
            ({DOCUMENT: None}, ["default/test was deleted by A Person in {}"]),
            (
                {f"{OURS}/c/three.yaml": "x"},
                ["c/three was added by A Person in {}"],
            ),
            ({f"{OURS}/cluster.yaml": "["}, ["cluster.yaml was edited by A Person in {}"]),
            ({f"{OURS}/cluster.yaml": "format: 2\n"}, ["cluster.yaml was edited by A Person in {}"]),
            ({f"{OURS}/cluster.yaml": None}, ["cluster.yaml was deleted by A Person in {}"]),
            (
                {OURS: None, "README.md": "x"},
                [
                    "b/two was deleted by A Person in {}",
                    "cluster.yaml was deleted by A Person in {}",
                    "default/test was deleted by A Person in {}",
                ],
            ),
            (
                {DOCUMENT: None, f"{DOCUMENT}/x": "a folder in its place"},
                ["default/test was deleted by A Person in {}"],
            ),
            (
                {f"{OURS}/default": "a file in its place"},
                ["default/test was deleted by A Person in {}"],
            ),
        ],
        ids=[
            "not YAML", "not an app", "deleted", "added", "cluster.yaml", "newer", "no cluster.yaml",
            "everything", "folder for file", "file for folder",
        ],
    )  # fmt: skip
    async def test_an_edit_is_named_and_the_next_append_puts_it_back(
        self, place: GitFactory, changes: dict[str, str | None], says: list[str]
    ) -> None:
        track, first = await begun(place)
        ours = files(place.repository)
        edited = commit_as_a_person(place.repository, changes)
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            tip = await read(reader)
            assert (tip.revision, tip.snapshot) == (first.revision, first.snapshot)
            assert words(tip) == [each.format(edited[:8]) for each in says]
            with pytest.raises(LostRaceError):
                await append(reader, UPGRADED, first)
        second = await append(track, first.snapshot, tip)
        assert second.repairs == ()
        assert await read((await place.open()).track(CLUSTER_UUID)) == second
        kept = {path: oid for path, oid in files(place.repository).items() if path in ours}
        assert kept == ours
        assert not [path for path in changed_paths(place.repository, second.revision.id) if "README" in path]

    async def test_what_is_put_back_comes_with_what_is_recorded_in_one_commit(
        self, place: GitFactory
    ) -> None:
        track, _ = await begun(place)
        commit_as_a_person(place.repository, {f"{OURS}/b/two.yaml": None, f"{OURS}/notes/why.md": "since"})
        second = await append(track, UPGRADED, await read(track))
        assert set(changed_paths(place.repository, BRANCH)) == {DOCUMENT, f"{OURS}/b/two.yaml"}
        assert await read((await place.open()).track(CLUSTER_UUID)) == second
        assert f"{OURS}/notes/why.md" in files(place.repository)

    async def test_the_repair_of_an_app_names_it(self, place: GitFactory) -> None:
        track, _ = await begun(place)
        commit_as_a_person(place.repository, {DOCUMENT: "x", f"{OURS}/cluster.yaml": "x"})
        assert [repair.key for repair in (await read(track)).repairs] == [None, TEST]

    async def test_what_a_person_wrote_before_us_is_recorded_all_the_same(self, place: GitFactory) -> None:
        other = await begun(place, ONE_AND_TWO, UPGRADED)
        text = git(place.repository, "show", f"{BRANCH}:{DOCUMENT}")
        await append(other[0], ONE_AND_TWO, other[1])
        commit_as_a_person(place.repository, {DOCUMENT: text})
        track = (await place.open()).track(CLUSTER_UUID)
        recorded = await append(track, UPGRADED, await read(track))
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            assert await read(reader) == recorded

    async def test_an_edit_that_is_taken_back_is_nothing(self, place: GitFactory) -> None:
        track, first = await begun(place)
        text = git(place.repository, "show", f"{BRANCH}:{DOCUMENT}")
        commit_as_a_person(place.repository, {DOCUMENT: "x"})
        assert words(await read(track)) != []
        commit_as_a_person(place.repository, {DOCUMENT: text})
        assert await read(track) == first
        assert await append(track, UPGRADED, first)

    async def test_files_that_are_nobodys_app_are_left_alone(self, place: GitFactory) -> None:
        track, first = await begun(place)
        notes = {
            f"{OURS}/README.md": "why",
            f"{OURS}/default/notes.txt": "x",
            f"{OURS}/x.yaml": "y",
            f"{OURS}/A/b.yaml": "z",
            "clusters/README.md": "x",
        }
        commit_as_a_person(place.repository, dict(notes))
        assert await read(track) == first
        await append(track, UPGRADED, first)
        assert set(notes) <= set(files(place.repository))

    async def test_an_edit_after_the_look_costs_the_race_and_is_put_back_with_the_next(
        self, place: GitFactory
    ) -> None:
        track, _ = await begun(place)
        commit_as_a_person(place.repository, {DOCUMENT: "x"})
        tip = await read(track)
        commit_as_a_person(place.repository, {DOCUMENT: "y"})
        with pytest.raises(LostRaceError):
            await append(track, UPGRADED, tip)
        assert await append(track, UPGRADED, await read(track))

    async def test_a_link_or_a_program_or_a_submodule_in_the_place_of_a_document_is_an_edit(
        self, place: GitFactory
    ) -> None:
        track, first = await begun(place)
        oid = files(place.repository)[DOCUMENT]
        for mode, what in (("120000", oid), ("100755", oid), ("160000", first.revision.id)):
            stream = (
                f"commit {REF}\ncommitter Jo <jo@example.org> 1790000000 +0000\ndata 1\nx\n"
                f"from {REF}^0\nM {mode} {what} {DOCUMENT}\n\n"
            )
            git(place.repository, "fast-import", "--quiet", stdin=stream)
            tip = await read(track)
            assert words(tip)[0].startswith("default/test was edited by Jo in ")
            await append(track, tip.snapshot, tip)
            assert files(place.repository)[DOCUMENT] == oid

    @pytest.mark.parametrize("name", ["", "\x1b[31mEvil\x07", "x" * 200, "Ünï Cödé"])
    async def test_a_name_is_one_short_line_without_an_address(self, local: GitFactory, name: str) -> None:
        track, _ = await begun(local)
        stream = (
            f"commit {REF}\ncommitter {name} <jo@example.org> 1790000000 +0000\ndata 1\nx\n"
            f"from {REF}^0\nD {DOCUMENT}\n\n"
        )
        git(local.repository, "fast-import", "--quiet", stdin=stream)
        (what,) = words(await read(track))
        assert what.isprintable()
        assert len(what) < 120
        assert "example" not in what

    @pytest.mark.parametrize("place_of", ["clusters", OURS])
    async def test_a_file_in_the_place_of_our_directory_is_one_sentence(
        self, place: GitFactory, place_of: str
    ) -> None:
        track, first = await begun(place)
        good = refs(place.repository)[REF]
        commit_as_a_person(place.repository, {place_of: "a file"})
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            with pytest.raises(FormatError, match=f"^{place_of} in refs/heads/main is not a folder: remove"):
                await reader.tip()
            with pytest.raises(FormatError, match="is not a folder"):
                await append(reader, UPGRADED, first)
        git(place.repository, "update-ref", REF, good)
        assert await read(track) == first


class TestWhose:
    async def test_a_message_that_was_copied_makes_no_commit_ours(self, place: GitFactory) -> None:
        track, first = await begun(place)
        copy = clone(place.repository)
        text = git(place.repository, "log", "-1", "--format=%B", BRANCH)
        commit(copy, {DOCUMENT: "x"}, text)
        push(copy)
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            tip = await read(reader)
            assert tip.revision == first.revision
            assert len(tip.repairs) == 1

    @pytest.mark.parametrize("missing", ["Cluster-UUID", "Snapshot", "Instance"])
    async def test_a_commit_without_one_of_the_trailers_is_not_ours(
        self, place: GitFactory, missing: str
    ) -> None:
        _, first = await begun(place)
        trailers = tuple(each for each in trailers_of(UPGRADED) if each[0] != missing)
        (said_elsewhere,) = [": ".join(each) for each in trailers_of(UPGRADED) if each[0] == missing]
        other = (await place.open()).track(CLUSTER_UUID)
        await append(other, UPGRADED, first, Message("not ours", said_elsewhere, trailers))
        # Whoever wrote it knows; nobody else does.
        tip = await read(open_git_store(
            path=place.repository.parent / "fresh.git", url=f"file://{place.repository}", branch=BRANCH
        ).track(CLUSTER_UUID))  # fmt: skip
        assert tip.revision == first.revision
        assert len(tip.repairs) == 1

    async def test_a_commit_by_another_instance_is_a_revision(self, place: GitFactory) -> None:
        track, first = await begun(place)
        other = (await place.open()).track(CLUSTER_UUID)
        theirs = await append(
            other, UPGRADED, await read(other), Message("x", "", trailers_of(UPGRADED, "instance-2"))
        )
        assert await read(track) == theirs
        with pytest.raises(LostRaceError):
            await append(track, make_snapshot(), first)

    async def test_a_revert_of_our_commit_is_an_edit(self, place: GitFactory) -> None:
        track, second = await begun(place, ONE_AND_TWO, UPGRADED)
        copy = clone(place.repository)
        git(copy, "revert", "--no-edit", "HEAD")
        push(copy)
        reverted = refs(place.repository)[REF]
        tip = await read(track)
        assert (tip.revision, tip.snapshot) == (second.revision, second.snapshot)
        assert words(tip) == [f"default/test was edited by A Person in {reverted[:8]}"]

    @pytest.mark.parametrize("strategy", [("-X", "theirs"), ("-s", "ours")], ids=["theirs", "ours"])
    async def test_a_merge_that_takes_our_commit_back_hides_it_from_nobody(
        self, place: GitFactory, strategy: tuple[str, str]
    ) -> None:
        track, first = await begun(place)
        copy = clone(place.repository)
        commit(copy, {"README.md": "hello"})
        second = await append(track, UPGRADED, first)
        commit_as_a_person(place.repository, {"LICENSE": "x"})
        git(copy, "fetch", "--quiet")
        git(copy, "merge", "--quiet", "--no-edit", "-s", "ours", "origin/main")
        if strategy[1] == "theirs":  # the same content, but with the main line as the first parent
            tree = git(copy, "rev-parse", "HEAD^{tree}").strip()
            merged = git(copy, "commit-tree", "-p", "HEAD^2", "-p", "HEAD^1", "-m", "Merge", tree).strip()
            git(copy, "reset", "--quiet", "--hard", merged)
        push(copy)
        merge = refs(place.repository)[REF]
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            tip = await read(reader)
            assert tip.revision == second.revision
            assert words(tip) == [f"default/test was edited by A Person in {merge[:8]}"]
        await append(track, tip.snapshot, tip)
        assert (await read(track)).repairs == ()

    async def test_an_edit_that_a_merge_brings_is_of_whoever_made_it(self, place: GitFactory) -> None:
        track, first = await begun(place)
        copy = clone(place.repository)
        edit = commit(copy, {f"{OURS}/b/two.yaml": "x"})
        second = await append(track, UPGRADED, first)
        git(copy, "pull", "--quiet", "--no-rebase", "--no-edit")
        push(copy)
        tip = await read(track)
        assert tip.revision == second.revision
        assert words(tip) == [f"b/two was edited by A Person in {edit[:8]}"]

    async def test_of_lines_that_were_merged_the_newest_of_ours_counts_whatever_the_clock_said(
        self, local: GitFactory
    ) -> None:
        track, first = await begun(local)
        copy = clone(local.repository)
        commit(copy, {"README.md": "hello"})  # dated as now, and ours further back
        second = await append(track, UPGRADED, first)
        git(copy, "pull", "--quiet", "--no-rebase", "--no-edit")
        push(copy)
        git(local.repository, "update-ref", "-d", f"refs/hossted/own/{CLUSTER_UUID}/{BRANCH}")
        assert await read((await local.open()).track(CLUSTER_UUID)) == second

    async def test_a_newer_programs_commit_is_refused_even_below_a_persons(self, place: GitFactory) -> None:
        track, first = await begun(place)
        await place.make_newer(CLUSTER_UUID)
        commit_as_a_person(place.repository, {DOCUMENT: "x"})
        before = await place.contents()
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            with pytest.raises(FormatError, match="upgrade the program"):
                await reader.tip()
            with pytest.raises(FormatError, match="upgrade the program"):
                await append(reader, UPGRADED, first)
        assert await place.contents() == before

    async def test_a_directory_that_was_imported_is_the_beginning(
        self, place: GitFactory, tmp_path: Path
    ) -> None:
        """Somebody moved it here from another repository, in a commit of their own."""
        origin = GitFactory(tmp_path / "origin")
        origin.repository.parent.mkdir()
        await begun(origin)
        documents = {
            path: git(origin.repository, "show", f"{BRANCH}:{path}") for path in files(origin.repository)
        }
        store = await place.open()
        assert await store.track(CLUSTER_UUID).tip() is None
        imported = commit_as_a_person(place.repository, dict(documents), "Import")
        for reader in (store.track(CLUSTER_UUID), (await place.open()).track(CLUSTER_UUID)):
            tip = await read(reader)
            assert (tip.revision.id, tip.snapshot, tip.repairs) == (imported, ONE_AND_TWO, ())
        edited = commit_as_a_person(place.repository, {f"{OURS}/b/two.yaml": None})
        tip = await read(store.track(CLUSTER_UUID))
        assert (tip.revision.id, list(tip.snapshot.apps), tip.repairs) == (edited, [TEST], ())
        second = await append(store.track(CLUSTER_UUID), UPGRADED, tip)
        assert await read((await place.open()).track(CLUSTER_UUID)) == second

    async def test_a_document_that_was_imported_spoilt_is_named(self, local: GitFactory) -> None:
        await begun(local)
        stream = git(local.repository, "fast-export", BRANCH)
        squashed = local.repository.parent / "squashed.git"
        git(local.repository.parent, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(squashed))
        git(squashed, "fast-import", "--quiet", stdin=stream)
        tree = git(squashed, "rev-parse", f"{BRANCH}^{{tree}}").strip()
        git(squashed, "update-ref", REF, git(squashed, "commit-tree", "-m", "Squash", tree).strip())
        commit_as_a_person(squashed, {DOCUMENT: "app_info: ["})
        with pytest.raises(FormatError, match=r"default/test.yaml is not YAML"):
            await open_git_store(path=squashed, url=None, branch=BRANCH).track(CLUSTER_UUID).tip()

    async def test_commits_of_others_are_searched_once(
        self, local: GitFactory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        searched: list[tuple[str, ...]] = []
        real = objects.revisions_saying

        def spy(repository: object, tip: str, *without: str, **options: object) -> object:
            searched.append(without)
            return real(repository, tip, *without, **options)  # type: ignore[arg-type]  # passed on

        monkeypatch.setattr(objects, "revisions_saying", spy)
        git(local.repository.parent, "init", "--quiet", "--bare", str(local.repository))
        track = (await local.open()).track(CLUSTER_UUID)
        tips = []
        for number in range(3):
            tips.append(commit_as_a_person(local.repository, {"README.md": str(number)}))
            assert await track.tip() is None
            assert await track.tip() is None
        assert searched == [(), (tips[0],), (tips[1],)]


class TestRewritten:
    async def test_a_commit_of_ours_that_was_taken_out_is_kept_and_the_record_goes_on_from_it(
        self, place: GitFactory
    ) -> None:
        track, second = await begun(place, ONE_AND_TWO, UPGRADED)
        first = git(place.repository, "rev-parse", f"{BRANCH}^").strip()
        git(place.repository, "update-ref", REF, first)
        tip = await read(track)
        assert (tip.revision, tip.snapshot) == (second.revision, UPGRADED)
        assert words(tip) == ["default/test was edited when the branch main was rewritten"]
        assert branches(place.repository) == {REF: first}
        await track.rescue()
        kept = f"{RESCUED}/{second.revision.id}"
        assert branches(place.repository) == {REF: first, kept: second.revision.id}
        (notice,) = track.notices
        name = kept.removeprefix("refs/heads/")
        assert notice == (
            f"the commit {second.revision.id[:8]}, which recorded this cluster, was taken out of the branch"
            f" main; it is kept as the branch {name}: delete that when nobody needs it"
        )
        third = await append(track, UPGRADED, tip)
        assert git(place.repository, "rev-parse", f"{BRANCH}^").strip() == first
        assert await read(track) == third
        assert said(track) == [notice]
        fresh = (await place.open()).track(CLUSTER_UUID)
        assert await read(fresh) == third
        assert said(fresh) == [notice]
        git(place.repository, "update-ref", "-d", kept)
        assert await read(track) == third
        await track.rescue()
        assert said(track) == []
        assert branches(place.repository) == {REF: third.revision.id}

    async def test_an_append_keeps_it_too_and_looking_writes_nothing(self, place: GitFactory) -> None:
        track, second = await begun(place, ONE_AND_TWO, UPGRADED)
        git(place.repository, "update-ref", REF, f"{BRANCH}^")
        before = branches(place.repository)
        tip = await read(track)
        assert branches(place.repository) == before
        await append(track, UPGRADED, tip)
        assert f"{RESCUED}/{second.revision.id}" in branches(place.repository)

    async def test_a_branch_that_is_deleted_after_it_was_kept_is_not_made_again(
        self, place: GitFactory, tmp_path: Path
    ) -> None:
        """Somebody squashed all: nothing is to be restored, so no append comes soon."""
        track, _ = await begun(place, ONE_AND_TWO, UPGRADED)
        tree = git(place.repository, "rev-parse", f"{BRANCH}^{{tree}}").strip()
        squashed = git(place.repository, "commit-tree", "-m", "Squash", tree).strip()
        git(place.repository, "update-ref", REF, squashed)
        assert (await read(track)).repairs == ()
        await track.rescue()
        (kept,) = [ref for ref in branches(place.repository) if ref.startswith(RESCUED)]
        git(place.repository, "update-ref", "-d", kept)
        for number in range(3):
            commit_as_a_person(place.repository, {"README.md": str(number)})
            track = track if number < 2 else restarted(place, tmp_path).track(CLUSTER_UUID)
            assert (await read(track)).repairs == ()
            await track.rescue()
            assert list(branches(place.repository)) == [REF]
            assert said(track) == []
        again = await append(track, ONE_AND_TWO, await read(track))
        assert await read(track) == again

    async def test_it_is_known_after_a_restart(self, place: GitFactory, tmp_path: Path) -> None:
        _, second = await begun(place, ONE_AND_TWO, UPGRADED)
        git(place.repository, "update-ref", REF, f"{BRANCH}^")
        again = restarted(place, tmp_path).track(CLUSTER_UUID)
        assert (await read(again)).revision == second.revision
        await again.rescue()
        assert f"{RESCUED}/{second.revision.id}" in branches(place.repository)

    async def test_our_commits_made_anew_by_a_rebase_stand_for_ours(self, place: GitFactory) -> None:
        track, second = await begun(place, ONE_AND_TWO, UPGRADED)
        copy = clone(place.repository)
        git(copy, "-c", "rebase.instructionFormat=%s", "rebase", "--quiet", "--root", "--force-rebase")
        commit(copy, {f"{OURS}/b/two.yaml": "x"})
        git(place.repository, "config", "receive.denyNonFastForwards", "false")
        push(copy, "--force")
        rebased = git(place.repository, "rev-parse", f"{BRANCH}^").strip()
        assert rebased != second.revision.id
        for reader in (track, (await place.open()).track(CLUSTER_UUID)):
            tip = await read(reader)
            assert (tip.revision.id, tip.snapshot) == (rebased, UPGRADED)
            assert [what.partition(" by ")[0] for what in words(tip)] == ["b/two was edited"]
        await track.rescue()
        assert f"{RESCUED}/{second.revision.id}" in branches(place.repository)
        third = await append(track, UPGRADED, tip)
        assert await read(track) == third
        assert len(track.notices) == 1

    async def test_a_branch_that_has_it_again_is_as_before(self, place: GitFactory) -> None:
        track, second = await begun(place, ONE_AND_TWO, UPGRADED)
        git(place.repository, "update-ref", REF, f"{BRANCH}^")
        assert len((await read(track)).repairs) == 1
        git(place.repository, "update-ref", REF, second.revision.id)
        assert await read(track) == second
        await track.rescue()
        assert branches(place.repository) == {REF: second.revision.id}
        assert said(track) == []

    async def test_a_remote_that_does_not_let_us_is_said_and_the_record_goes_on(
        self, remote: GitFactory, tmp_path: Path
    ) -> None:
        track, second = await begun(remote, ONE_AND_TWO, UPGRADED)
        git(remote.repository, "update-ref", REF, f"{BRANCH}^")
        hook = remote.repository / "hooks" / "update"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text('#!/bin/sh\ncase "$1" in */rescued/*) echo "error: only main" >&2; exit 1;; esac\n')
        hook.chmod(0o755)
        tip = await read(track)
        await track.rescue()
        (notice,) = track.notices
        assert notice.startswith(
            f"the commit {second.revision.id[:8]}, which recorded this cluster, was taken out of the branch"
            " main and cannot be kept as a branch: "
        )
        assert "only main" in notice
        third = await append(track, UPGRADED, tip)
        assert await read(track) == third
        assert said(track) == [notice]
        hook.unlink()
        again = restarted(remote, tmp_path).track(CLUSTER_UUID)
        assert await read(again) == third
        await again.rescue()
        assert f"{RESCUED}/{second.revision.id}" in branches(remote.repository)
        assert "is kept as the branch" in again.notices[0]


class TestDeleted:
    async def test_a_deleted_branch_is_made_again_as_it_was(self, place: GitFactory) -> None:
        track, first = await begun(place)
        git(place.repository, "update-ref", "-d", REF)
        assert await read(track) == first
        assert said(track) == [
            f"the branch main was deleted; it is made again as it was last known, at {first.revision.id[:8]}"
        ]
        assert branches(place.repository) == {}
        await track.rescue()
        assert branches(place.repository) == {REF: first.revision.id}
        assert await read(track) == first
        assert said(track) == []
        second = await append(track, UPGRADED, first)
        assert await read(track) == second

    async def test_what_people_had_on_it_is_not_lost_with_it(self, remote: GitFactory) -> None:
        track, first = await begun(remote)
        theirs = commit_as_a_person(remote.repository, {"README.md": "x"})
        assert await read(track) == first
        git(remote.repository, "update-ref", "-d", REF)
        second = await append(track, UPGRADED, await read(track))
        assert git(remote.repository, "rev-parse", f"{BRANCH}^").strip() == theirs
        assert await read(track) == second

    async def test_it_is_known_after_a_restart(self, place: GitFactory, tmp_path: Path) -> None:
        _, first = await begun(place)
        git(place.repository, "update-ref", "-d", REF)
        again = restarted(place, tmp_path).track(CLUSTER_UUID)
        assert await read(again) == first
        await again.rescue()
        assert branches(place.repository) == {REF: first.revision.id}

    async def test_without_the_cache_the_record_begins_anew(self, remote: GitFactory) -> None:
        await begun(remote)
        git(remote.repository, "update-ref", "-d", REF)
        track = (await remote.open()).track(CLUSTER_UUID)
        assert await track.tip() is None
        assert said(track) == []
        first = await append(track, UPGRADED, None)
        assert branches(remote.repository) == {REF: first.revision.id}

    async def test_a_branch_that_others_made_again_first_is_theirs(self, remote: GitFactory) -> None:
        track, first = await begun(remote)
        git(remote.repository, "update-ref", "-d", REF)
        assert await read(track) == first
        theirs = commit_as_a_person(remote.repository, {"README.md": "a new beginning"})
        await track.rescue()
        assert branches(remote.repository)[REF] == theirs
        tip = await read(track)
        assert (tip.revision, len(tip.repairs)) == (first.revision, 3)
        second = await append(track, UPGRADED, tip)
        assert git(remote.repository, "rev-parse", f"{BRANCH}^").strip() == theirs
        assert await read(track) == second
        assert f"{RESCUED}/{first.revision.id}" in branches(remote.repository)


class TestNames:
    async def test_a_branch_below_another_one_is_refused_in_one_sentence(
        self, remote: GitFactory, tmp_path: Path
    ) -> None:
        await begun(remote)
        below = open_git_store(
            path=tmp_path / "below.git", url=f"file://{remote.repository}", branch=f"{BRANCH}/x"
        ).track(CLUSTER_UUID)
        assert await below.tip() is None
        with pytest.raises(StoreError, match="has the branch main, beside which") as no:
            await append(below, UPGRADED, None)
        assert "\n" not in str(no.value)
        assert list(branches(remote.repository)) == [REF]

    async def test_a_branch_in_the_way_of_what_is_kept_is_said(self, remote: GitFactory) -> None:
        track, _ = await begun(remote, ONE_AND_TWO, UPGRADED)
        git(remote.repository, "branch", "hossted", BRANCH)
        git(remote.repository, "update-ref", REF, f"{BRANCH}^")
        tip = await read(track)
        await track.rescue()
        assert "cannot be kept as a branch: " in track.notices[0]
        assert await append(track, UPGRADED, tip)

    async def test_where_head_points_is_nobodys_business(self, place: GitFactory) -> None:
        track, first = await begun(place)
        git(place.repository, "symbolic-ref", "HEAD", "refs/heads/elsewhere")
        assert await read(track) == first
        assert await append(track, UPGRADED, first)

    async def test_each_branch_has_a_memory_of_its_own(self, remote: GitFactory, tmp_path: Path) -> None:
        """The branch of a project was changed, and the cache is still that of the first."""
        await begun(remote)
        other = open_git_store(
            path=tmp_path / "cache-1.git", url=f"file://{remote.repository}", branch="other"
        ).track(CLUSTER_UUID)
        assert await other.tip() is None
        first = await append(other, UPGRADED, None)
        await other.rescue()
        assert said(other) == []
        assert branches(remote.repository)["refs/heads/other"] == first.revision.id
        assert len(branches(remote.repository)) == 2

    async def test_other_clusters_do_not_mind(self, place: GitFactory) -> None:
        track, _ = await begun(place)
        theirs = make_snapshot(make_app(cluster_uuid=OTHER_CLUSTER_UUID), cluster_uuid=OTHER_CLUSTER_UUID)
        other = (await place.open()).track(OTHER_CLUSTER_UUID)
        first = await append(other, theirs, None)
        commit_as_a_person(place.repository, {OURS: None})
        await append(track, ONE_AND_TWO, await read(track))
        assert await read(other) == first
        await other.rescue()
        assert said(other) == []


def restarted(place: GitFactory, tmp_path: Path) -> GitStore:
    """A store on the same local repository, as after a restart."""
    if place.repository.name == "state.git":
        return open_git_store(path=place.repository, url=None, branch=BRANCH)
    return open_git_store(path=tmp_path / "cache-1.git", url=f"file://{place.repository}", branch=BRANCH)
