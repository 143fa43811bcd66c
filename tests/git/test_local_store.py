"""The git store in a local bare repository: its layout, and the people who share it."""

import os
import resource
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from reconciler.errors import FormatError, StoreError, UsageError
from reconciler.model import Snapshot
from reconciler.state.git import maintenance
from reconciler.state.git.objects import make_commit
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Message, Revision
from tests.builders import (
    CLUSTER_UUID,
    KUBE_SYSTEM_UID,
    OTHER_CLUSTER_UUID,
    changes_between,
    make_app,
    make_snapshot,
)
from tests.git.actions import (
    HAPPENED,
    RECORDED,
    append,
    git_processes,
    is_clean,
    remove_document,
    spoil_objects,
)
from tests.git.factory import BRANCH, GitFactory, branches, commit_as_a_person, files, git, refs

OURS = f"clusters/{CLUSTER_UUID}"


async def history(factory: GitFactory) -> list[Revision]:
    return [revision async for revision in (await factory.open()).track(CLUSTER_UUID).history()]


class TestLayout:
    async def test_a_cluster_is_a_folder_with_cluster_yaml_and_a_file_per_app(
        self, local: GitFactory
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        await append(track, make_snapshot(make_app(), make_app("b", "two.part")), None)
        assert set(files(local.repository)) == {
            f"{OURS}/cluster.yaml",
            f"{OURS}/default/test.yaml",
            f"{OURS}/b/two.part.yaml",
        }
        assert git(local.repository, "show", f"{BRANCH}:{OURS}/cluster.yaml").startswith("format: 1\n")

    async def test_one_changed_app_is_one_changed_file(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app(), make_app("b", "two")), None)
        await append(track, make_snapshot(make_app(revision=2), make_app("b", "two")), first)
        changed = git(local.repository, "diff-tree", "-r", "--name-status", f"{BRANCH}~", BRANCH)
        assert changed == f"M\t{OURS}/default/test.yaml\n"

    async def test_the_last_app_of_a_namespace_takes_its_folder_with_it(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app(), make_app("b", "two")), None)
        await append(track, make_snapshot(make_app()), first)
        assert (
            git(local.repository, "ls-tree", "--name-only", f"{BRANCH}:{OURS}") == "cluster.yaml\ndefault\n"
        )

    async def test_a_commit_has_the_message_the_author_and_both_dates(self, local: GitFactory) -> None:
        store = open_git_store(
            path=local.repository, url=None, branch=BRANCH, author="Jo Doe <jo@example.org>"
        )
        message = Message(subject="install é", body="a line", trailers=(("Instance", "i"),))
        await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None, message)
        shown = git(local.repository, "log", "--format=%an <%ae>|%cn <%ce>|%at|%ct|%B", BRANCH)
        dates = f"{HAPPENED.timestamp():.0f}|{RECORDED.timestamp():.0f}"
        who = "Jo Doe <jo@example.org>"
        assert shown == f"{who}|{who}|{dates}|install é\n\na line\n\nInstance: i\n\n"
        trailers = git(local.repository, "log", "--format=%(trailers:key=Instance,valueonly)", BRANCH)
        assert trailers.strip() == "i"

    async def test_the_branch_can_be_the_clusters_own(self, local: GitFactory) -> None:
        store = open_git_store(path=local.repository, url=None, branch="state/{cluster_uuid}/x")
        for uuid in (OTHER_CLUSTER_UUID, CLUSTER_UUID):
            app = make_app(cluster_uuid=uuid)
            await append(store.track(uuid), make_snapshot(app, cluster_uuid=uuid), None)
        assert set(branches(local.repository)) == {
            f"refs/heads/state/{CLUSTER_UUID}/x",
            f"refs/heads/state/{OTHER_CLUSTER_UUID}/x",
        }
        assert {each.cluster_uuid for each in await store.clusters()} == {CLUSTER_UUID, OTHER_CLUSTER_UUID}

    async def test_a_person_who_clones_gets_the_branch(self, local: GitFactory, tmp_path: Path) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        await append(track, make_snapshot(make_app()), None)
        git(tmp_path, "clone", "--quiet", str(local.repository), "clone")
        assert (tmp_path / "clone" / OURS / "default" / "test.yaml").is_file()

    async def test_everything_passes_a_strict_fsck(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        hostile = Message(subject="a\x00b\nc", body="\x00\x1b[31m\r\n\n" * 3, trailers=(("A", "x\ny\x00"),))
        first = await append(track, make_snapshot(make_app(chart="\x00")), None, hostile)
        second = await append(track, make_snapshot(make_app(revision=2), make_app("b", "two")), first)
        await append(track, make_snapshot(), second)
        commit_as_a_person(local.repository, {"README.md": "hello"})
        assert await track.tip()
        assert is_clean(local.repository)

    async def test_nothing_that_people_clone_is_made_but_the_branch(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        recorded = await append(track, make_snapshot(make_app()), None)
        own = f"refs/hossted/own/{CLUSTER_UUID}/{BRANCH}"
        assert refs(local.repository) == {
            f"refs/heads/{BRANCH}": recorded.revision.id,
            own: recorded.revision.id,
        }


class TestMessages:
    async def test_text_from_a_chart_cannot_forge_a_trailer(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        forged = Message(
            subject="install x\n\nInstance: forged",
            body="a line\n\nInstance: forged",
            trailers=(("Gap", "x\nInstance: forged"), ("Instance", "ours")),
        )
        recorded = await append(track, make_snapshot(make_app()), None, forged)
        (revision,) = await history(local)
        assert revision == recorded.revision
        assert [value for name, value in revision.message.trailers if name == "Instance"] == ["ours"]
        assert "\n" not in revision.message.subject

    async def test_a_persons_commit_without_trailers_has_none(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        recorded = await append(track, make_snapshot(make_app()), None)
        assert recorded
        commit_as_a_person(
            local.repository,
            {f"{OURS}/default/test.yaml": None},
            message="Remove it: it is gone\n\nreally: yes\nno\n",
        )
        newest = (await history(local))[0]
        assert newest.message == Message(subject="Remove it: it is gone", body="really: yes\nno")


class TestOtherPeople:
    async def test_foreign_files_and_other_clusters_are_kept(self, local: GitFactory) -> None:
        await append((await local.open()).track(OTHER_CLUSTER_UUID), theirs(1), None)
        commit_as_a_person(
            local.repository,
            {
                "README.md": "ours",
                "clusters/README": "theirs",
                ".gitignore": "*",
                f"{OURS}/notes/why.md": "because",
            },
        )
        kept = files(local.repository)
        track = (await local.open()).track(CLUSTER_UUID)
        with pytest.raises(FormatError, match=r"cluster.yaml is missing"):
            await track.tip()
        commit_as_a_person(local.repository, {f"{OURS}/notes/why.md": None})
        first = await append(track, make_snapshot(make_app()), None)
        commit_as_a_person(local.repository, {f"{OURS}/notes/why.md": "because", f"{OURS}/x.txt": "y"})
        base = await track.tip()
        assert base is not None
        assert base.snapshot == first.snapshot
        await append(track, make_snapshot(), base)
        now = files(local.repository)
        assert {path: now.get(path) for path in kept} == kept
        assert f"{OURS}/x.txt" in now
        assert f"{OURS}/default/test.yaml" not in now

    async def test_commits_elsewhere_do_not_move_our_tip_and_do_not_cost_the_race(
        self, local: GitFactory
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        commit_as_a_person(local.repository, {"README.md": "hello"})
        await append((await local.open()).track(OTHER_CLUSTER_UUID), theirs(1), None)
        assert await track.tip() == first
        foreign = refs(local.repository)[f"refs/heads/{BRANCH}"]
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert git(local.repository, "rev-parse", f"{second.revision.id}^").strip() == foreign
        assert await (await local.open()).track(CLUSTER_UUID).tip() == second
        assert [revision.id for revision in await history(local)] == [second.revision.id, first.revision.id]

    async def test_a_person_who_pulls_and_pushes_hides_none_of_our_revisions(
        self, local: GitFactory, tmp_path: Path
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        git(tmp_path, "clone", "--quiet", str(local.repository), "clone")
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        clone = tmp_path / "clone"
        (clone / "README.md").write_text("hello")
        git(clone, "add", "README.md")
        git(clone, "commit", "--quiet", "-m", "Say hello")
        git(clone, "pull", "--quiet", "--no-rebase", "--no-edit")
        git(clone, "push", "--quiet")
        assert refs(local.repository)[f"refs/heads/{BRANCH}"] != second.revision.id
        assert await track.tip() == second
        assert await (await local.open()).track(CLUSTER_UUID).tip() == second
        third = await append(track, make_snapshot(make_app(revision=3)), second)
        ids = [revision.id for revision in await history(local)]
        assert ids == [third.revision.id, second.revision.id, first.revision.id]

    async def test_a_file_in_the_place_of_our_directory_is_named(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        assert await track.tip() is None
        commit_as_a_person(local.repository, {OURS: "a file"})
        with pytest.raises(FormatError, match=f"{OURS} in refs/heads/main is not a folder"):
            await track.tip()
        assert await (await local.open()).clusters() == ()

    async def test_a_repository_of_other_things_has_no_clusters(self, local: GitFactory) -> None:
        store = await local.open()
        assert await store.clusters() == ()
        commit_as_a_person(local.repository, {"README.md": "hello"})
        assert await store.clusters() == ()
        assert await store.track(CLUSTER_UUID).tip() is None
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        assert "README.md" in files(local.repository, recorded.revision.id)

    async def test_a_cluster_whose_cluster_yaml_cannot_be_read_is_left_out_of_the_list(
        self, local: GitFactory, caplog: pytest.LogCaptureFixture
    ) -> None:
        store = await local.open()
        await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        commit_as_a_person(
            local.repository,
            {"clusters/K-9/cluster.yaml": "[", "clusters/K 8/cluster.yaml": "x", "clusters/a": "b"},
        )
        assert [(each.cluster_uuid, each.kube_system_uid) for each in await store.clusters()] == [
            (CLUSTER_UUID, KUBE_SYSTEM_UID)
        ]
        assert "clusters/K-9/cluster.yaml is not YAML" in caplog.text

    async def test_clusters_are_as_old_as_their_first_commit_however_often_they_were_written(
        self, local: GitFactory
    ) -> None:
        for second, uuid in [(30, "K-3"), (10, "K-1"), (20, "K-2"), (40, "K-1"), (50, "K-3")]:
            git(local.repository.parent, "init", "--quiet", "--bare", str(local.repository))
            make_at(
                local.repository, second, f"clusters/{uuid}/cluster.yaml", f"kube_system_uid: u{second}\n"
            )
        listed = await (await local.open()).clusters()
        assert [(each.cluster_uuid, each.kube_system_uid) for each in listed] == [
            ("K-1", "u40"),
            ("K-2", "u20"),
            ("K-3", "u50"),
        ]


class TestChanges:
    async def test_changes_that_lead_elsewhere_than_to_the_snapshot_are_refused(
        self, local: GitFactory
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        before = await local.contents()
        new = make_snapshot(make_app(revision=2), make_app("b", "two"))
        partly = changes_between(first.snapshot, make_snapshot(make_app(revision=2)))
        with pytest.raises(ValueError, match="do not lead from"):
            await track.append(
                new, partly, Message(subject="x"), on=first, happened=HAPPENED, recorded=RECORDED
            )
        with pytest.raises(ValueError, match="do not lead from"):
            await append(track, theirs(1), None)
        assert await local.contents() == before


class TestNames:
    @pytest.mark.parametrize(
        ("namespace", "name"),
        [
            ("..", "x"),
            (".", "x"),
            ("default", ".."),
            ("default", "../../x"),
            ("../K-other", "x"),
            ("a/b", "x"),
            ("default", "a/b"),
            (".git", "hooks"),
            ("cluster.yaml", "x"),
            ("default", ""),
            ("", "x"),
            ("default", "A"),
            ("default", "x\n"),
            ("default", 'x"'),
            ("default", "x\nM 100644 inline evil"),
            ("default", "-x"),
            ("default", "a..b"),
            ("default", "x" * 201),
            ("n" * 64, "x"),
            ("default", "\u0131"),
        ],
    )
    async def test_a_name_that_kubernetes_does_not_allow_is_refused_with_nothing_written(
        self, local: GitFactory, namespace: str, name: str
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        before = await local.contents()
        with pytest.raises(StoreError) as refusal:
            await append(track, make_snapshot(make_app(), make_app(namespace, name)), first)
        assert repr(f"{namespace}/{name}") in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert await local.contents() == before

    @pytest.mark.parametrize("uuid", ["..", "", "a/b", ".git", "K 1", "-x", "K-1\n", "x" * 129])
    async def test_a_cluster_uuid_that_is_no_name_is_refused(self, local: GitFactory, uuid: str) -> None:
        store = await local.open()
        with pytest.raises(StoreError, match="cannot be the name of a directory"):
            store.track(uuid)


class TestRevisions:
    async def test_a_beginning_of_a_hash_is_enough_when_only_one_revision_has_it(
        self, local: GitFactory
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.at(first.revision.id[:12]) == first

    async def test_a_beginning_that_several_revisions_have_is_refused(self, local: GitFactory) -> None:
        git(local.repository.parent, "init", "--quiet", "--bare", str(local.repository))
        stream = "".join(
            f"commit refs/heads/{BRANCH}\ncommitter A <a@b> {number} +0000\ndata 0\n"
            f"M 100644 inline {OURS}/cluster.yaml\ndata {len(str(number))}\n{number}\n"
            for number in range(1, 1500)
        )
        git(local.repository, "fast-import", "--quiet", stdin=stream)
        commits = git(local.repository, "rev-list", BRANCH).split()
        beginnings = [commit[:4] for commit in commits]
        shared = next(each for each in beginnings if beginnings.count(each) > 1)
        track = (await local.open()).track(CLUSTER_UUID)
        with pytest.raises(UsageError, match=f"{shared} is the beginning of [23] revisions"):
            await track.at(shared)

    async def test_a_commit_that_did_not_touch_our_directory_is_no_revision(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        foreign = commit_as_a_person(local.repository, {"README.md": "x"})
        with pytest.raises(UsageError):
            await track.at(foreign)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.before(second.revision.id) == first

    async def test_an_abandoned_commit_is_no_revision(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        git(local.repository, "update-ref", f"refs/heads/{BRANCH}", first.revision.id)
        with pytest.raises(UsageError):
            await track.at(second.revision.id)

    async def test_a_history_left_early_leaves_no_process(self, local: GitFactory) -> None:
        git(local.repository.parent, "init", "--quiet", "--bare", str(local.repository))
        text = "x" * 10_000  # more than a pipe holds, so that git has to wait for us
        stream = "".join(
            f"commit refs/heads/{BRANCH}\ncommitter A <a@b> {number} +0000\ndata {len(text)}\n{text}\n"
            f"M 100644 inline {OURS}/n\ndata {len(str(number))}\n{number}\n"
            for number in range(1, 100)
        )
        git(local.repository, "fast-import", "--quiet", stdin=stream)
        track = (await local.open()).track(CLUSTER_UUID)
        async with aclosing(track.history()) as revisions:
            async for revision in revisions:
                assert revision.message.subject == text
                assert len(git_processes(local.repository)) == 1
                break
        assert git_processes(local.repository) == []
        assert len([revision async for revision in track.history()]) == 99


class TestTrouble:
    async def test_a_crash_before_the_branch_moves_leaves_the_old_tip(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        before = await local.contents()
        make_commit(
            Repository(local.repository),
            parent=first.revision.id,
            files={f"{OURS}/default/test.yaml": None},
            message=Message(subject="never finished"),
            author="A <a@b>",
            happened=HAPPENED,
            recorded=RECORDED,
        )
        assert await local.contents() == before
        again = (await local.open()).track(CLUSTER_UUID)
        assert await again.tip() == first
        assert await append(again, make_snapshot(make_app(revision=2)), first)
        assert is_clean(local.repository)

    async def test_an_init_that_was_cut_short_is_finished(self, local: GitFactory) -> None:
        (local.repository / "objects").mkdir(parents=True)
        (local.repository / "config").write_text("")
        track = (await local.open()).track(CLUSTER_UUID)
        assert await append(track, make_snapshot(make_app()), None)

    async def test_a_folder_with_other_things_is_refused_and_left_as_it_is(self, local: GitFactory) -> None:
        local.repository.mkdir()
        (local.repository / "thesis.txt").write_text("precious")
        with pytest.raises(StoreError, match=r"state.git is neither empty nor a bare git repository"):
            await (await local.open()).track(CLUSTER_UUID).tip()
        assert [entry.name for entry in local.repository.iterdir()] == ["thesis.txt"]

    @pytest.mark.parametrize(
        "spoil",
        [
            pytest.param(lambda path: spoil_objects(path, b""), id="truncated objects"),
            pytest.param(lambda path: spoil_objects(path, None), id="missing objects"),
            pytest.param(lambda path: remove_document(path, BRANCH), id="one missing document"),
            pytest.param(lambda path: (path / "HEAD").write_text("rubbish"), id="HEAD"),
            pytest.param(
                lambda path: (path / "refs/heads" / BRANCH).write_text("rubbish\n"), id="the branch"
            ),
            pytest.param(
                lambda path: (path / "refs/heads" / BRANCH).write_text("1" * 40 + "\n"), id="no commit"
            ),
        ],
    )
    async def test_a_damaged_store_is_named_and_not_begun_again(
        self, local: GitFactory, spoil: Callable[[Path], object]
    ) -> None:
        await append((await local.open()).track(CLUSTER_UUID), make_snapshot(make_app()), None)
        spoil(local.repository)
        entries = sorted(local.repository.rglob("*"))
        track = (await local.open()).track(CLUSTER_UUID)
        with pytest.raises(StoreError, match=r"state.git is damaged .*restore it from a copy") as trouble:
            await track.tip()
        assert "\n" not in str(trouble.value)
        assert sorted(local.repository.rglob("*")) == entries

    async def test_a_lock_that_a_killed_git_left_behind_is_removed_when_it_is_old(
        self, local: GitFactory
    ) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        lock = local.repository / "refs" / "heads" / f"{BRANCH}.lock"
        lock.touch()
        with pytest.raises(StoreError, match="lock"):
            await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.tip() == first
        os.utime(lock, (0, 0))
        second = await append(track, make_snapshot(make_app(revision=2)), first)
        assert await track.tip() == second

    async def test_packing_that_fails_costs_nothing_but_a_warning(
        self, local: GitFactory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(maintenance, "_LOOSE", 0)
        assert await (await local.open()).track(CLUSTER_UUID).tip() is None
        git(local.repository, "config", "pack.windowMemory", "nonsense")
        track = (await local.open()).track(CLUSTER_UUID)
        recorded = await append(track, make_snapshot(make_app()), None)
        assert await track.tip() == recorded
        assert "the state repository was not packed" in caplog.text

    async def test_a_folder_that_cannot_be_made_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        store = open_git_store(path=tmp_path / "file" / "state.git", url=None, branch=BRANCH)
        with pytest.raises(StoreError, match=r"file/state.git cannot be made: Not a directory"):
            await store.track(CLUSTER_UUID).tip()

    async def test_a_folder_that_may_not_be_written_is_named(self, read_only_folder: Path) -> None:
        store = open_git_store(path=read_only_folder / "state.git", url=None, branch=BRANCH)
        with pytest.raises(StoreError, match=r"read-only/state.git cannot be made: Permission denied"):
            await store.track(CLUSTER_UUID).tip()

    async def test_a_full_disk_is_one_sentence_and_nothing_is_lost(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        first = await append(track, make_snapshot(make_app()), None)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        # The kernel refuses to let any file grow, as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            with pytest.raises(StoreError, match=r"git fast-import in .*state.git failed: ") as trouble:
                await append(track, make_snapshot(make_app(revision=2)), first)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "\n" not in str(trouble.value)
        assert await track.tip() == first
        assert await append(track, make_snapshot(make_app(revision=2)), first)

    async def test_growth_is_bounded_by_packing(self, local: GitFactory) -> None:
        track = (await local.open()).track(CLUSTER_UUID)
        tip = await append(track, make_snapshot(make_app()), None)
        # More loose objects than the threshold, as a few hundred commits would leave them.
        bulk = "".join(f"blob\ndata {len(str(number))}\n{number}\n" for number in range(1600))
        git(local.repository, "-c", "fastimport.unpackLimit=100000", "fast-import", "--quiet", stdin=bulk)
        assert packs(local.repository) == 0
        packed = (await local.open()).track(CLUSTER_UUID)
        tip = await append(packed, make_snapshot(make_app(revision=2)), tip)
        assert packs(local.repository) == 1
        assert await (await local.open()).track(CLUSTER_UUID).tip() == tip


class TestSurroundings:
    async def test_the_configuration_and_hooks_around_us_have_no_say(
        self, local: GitFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = tmp_path / "home"
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[commit]\n\tgpgsign = true\n[log]\n\tshowSignature = true\n[core]\n\tbare = x\n"
        )
        store = await local.open()
        assert await store.track(CLUSTER_UUID).tip() is None
        hook = local.repository / "hooks" / "reference-transaction"
        hook.parent.mkdir()
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
        monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
        monkeypatch.setenv("GIT_AUTHOR_DATE", "1 +0000")
        monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
        monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
        monkeypatch.setenv("GIT_CONFIG_VALUE_0", "x")
        monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
        recorded = await append(store.track(CLUSTER_UUID), make_snapshot(make_app()), None)
        assert await (await local.open()).track(CLUSTER_UUID).tip() == recorded
        assert recorded.revision.happened == HAPPENED


def theirs(revision: int) -> Snapshot:
    return make_snapshot(
        make_app(revision=revision, cluster_uuid=OTHER_CLUSTER_UUID), cluster_uuid=OTHER_CLUSTER_UUID
    )


def packs(repository: Path) -> int:
    return len(list((repository / "objects" / "pack").glob("*.pack")))


def make_at(repository: Path, second: int, path: str, text: str) -> None:
    """A commit at that second of the epoch."""
    there = f"from refs/heads/{BRANCH}^0\n" if refs(repository) else ""
    stream = (
        f"commit refs/heads/{BRANCH}\ncommitter A <a@b> {second} +0000\ndata 0\n{there}"
        f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
    )
    git(repository, "fast-import", "--quiet", stdin=stream)
