"""Verifying records in real repositories: what is right is good, and each way to tamper with it is found."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import FormatError, StoreError, UsageError
from reconciler.model import FORMAT
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.git.store import open_git_store
from reconciler.state.verify.report import Report
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.factory import BRANCH, commit_as_a_person, git
from tests.git.history import (
    DIRECTORY,
    INSTANCE,
    KEY,
    OTHER_KEY,
    SIGNED,
    START,
    STORY,
    WEB,
    Change,
    History,
    raw,
    remake,
    reopened,
    replacing,
    rules,
    signed_by,
    signers_file,
    unsigned,
    verify,
    with_files,
    with_signature_of,
    write,
)

NOBODY = rules()
UNFIT = "has a signature that does not fit the text"
DIGEST = "says that its snapshot is "
APPROVED = "approved/{cluster_uuid}"


@pytest.fixture(scope="module")
def signed_once(tmp_path_factory: pytest.TempPathFactory) -> History:
    return asyncio.run(History(tmp_path_factory.mktemp("signed")).tell())


@pytest.fixture(scope="module")
def unsigned_once(tmp_path_factory: pytest.TempPathFactory) -> History:
    return asyncio.run(History(tmp_path_factory.mktemp("unsigned"), key=None).tell())


@pytest.fixture
def signed(signed_once: History, tmp_path: Path) -> History:
    return reopened(signed_once, tmp_path)


@pytest.fixture
def plain(unsigned_once: History, tmp_path: Path) -> History:
    return reopened(unsigned_once, tmp_path)


def first_bad(report: Report) -> tuple[str, str]:
    assert not report.is_good
    return report.bad[0].revision, report.bad[0].what


def text_of(history: History, path: str, commit: str = BRANCH) -> str:
    return git(history.path, "show", f"{commit}:{DIRECTORY}/{path}")


# What is right


async def test_a_signed_record_is_good_and_tells_its_time(signed: History) -> None:
    report = await verify(signed)
    assert report.is_good
    assert not report.warnings
    assert (report.revisions, report.checked, report.signed) == (6, 6, 6)
    assert (report.first, report.last) == (START, START + timedelta(hours=5))
    assert (report.covered, report.uncovered) == (timedelta(hours=5), timedelta())
    assert report.judged_by == "signers"


async def test_an_unsigned_record_is_good_when_nobody_says_who_may_sign(plain: History) -> None:
    report = await verify(plain, NOBODY)
    assert report.is_good
    assert (report.revisions, report.signed, report.judged_by) == (6, 0, "")


async def test_gaps_are_told_and_not_covered(signed: History) -> None:
    stopped, down = (
        "2026-11-01T10:30:00Z/2026-11-01T11:00:00Z stopped",
        "2026-11-01T13:30:00Z/2026-11-01T14:30:00Z down",
    )
    overlapping = "2026-11-01T14:00:00Z/2026-11-01T14:45:00Z unreadable"
    await signed.append(STORY[0], gaps=(down, stopped, overlapping))
    report = await verify(signed)
    assert report.is_good
    assert [gap.reason for gap in report.gaps] == ["stopped", "down", "unreadable"]
    assert (report.covered, report.uncovered) == (
        timedelta(hours=4, minutes=15),
        timedelta(hours=1, minutes=45),
    )


async def test_other_peoples_files_branches_and_merges_are_no_business_of_the_record(signed: History) -> None:
    commit_as_a_person(
        signed.path, {"README.md": "hello\n", f"clusters/{OTHER_CLUSTER_UUID}/cluster.yaml": "x: 1\n"}
    )
    git(signed.path, "update-ref", "refs/heads/side", signed.ids[2])
    commit_as_a_person(signed.path, {"notes.txt": "on the side\n"}, branch="side")
    merge_as_a_person(signed.path, ours="side", theirs=BRANCH)
    await signed.look()
    await signed.append(STORY[0])
    report = await verify(signed)
    assert report.is_good
    assert not report.warnings
    assert report.revisions == 7


def merge_as_a_person(repository: Path, *, ours: str, theirs: str, tree_of: str | None = None) -> str:
    """``git pull`` with the parents in this order; the files are those of ``tree_of``, by default theirs."""
    tree = git(repository, "rev-parse", f"{tree_of or theirs}^{{tree}}").strip()
    parents = [git(repository, "rev-parse", each).strip() for each in (ours, theirs)]
    merge = git(repository, "commit-tree", tree, "-p", parents[0], "-p", parents[1], "-m", "Merge").strip()
    git(repository, "update-ref", f"refs/heads/{BRANCH}", merge)
    return merge


async def test_where_nothing_is_recorded_there_is_nothing_to_verify(tmp_path: Path, signed: History) -> None:
    with pytest.raises(UsageError, match="has no branch main"):
        await verify(open_git_store(path=tmp_path / "empty.git", url=None, branch=BRANCH))
    git(
        signed.path,
        "update-ref",
        f"refs/heads/{BRANCH}",
        commit_as_a_person(signed.path, {"a": "b"}, branch="x"),
    )
    with pytest.raises(UsageError, match="has no record of cluster K-"):
        await verify(signed)


async def test_a_newer_format_is_for_a_newer_program(signed: History) -> None:
    newer = text_of(signed, "cluster.yaml").replace(f"format: {FORMAT}\n", f"format: {FORMAT + 1}\n")
    commit_as_a_person(signed.path, {f"{DIRECTORY}/cluster.yaml": newer})
    with pytest.raises(FormatError, match="upgrade the program"):
        await verify(signed)


# Tampering with signed commits, without the key: the number is that of the first bad commit

Tamper = Callable[[History], list[str]]


def changing(number: int, make: Callable[[History], Change]) -> Tamper:
    return lambda history: remake(history.path, history.ids, {history.ids[number]: make(history)})


def keeping(*numbers: int) -> Tamper:
    return lambda history: remake(history.path, [history.ids[number] for number in numbers])


def with_text(number: int, path: str, old: str, new: str) -> Tamper:
    def make(history: History) -> Change:
        text = text_of(history, path, history.ids[number])
        assert old in text
        return with_files(history.path, history.ids[number], {path: text.replace(old, new)})

    return changing(number, make)


def swapped(number: int, one: str, other: str) -> Tamper:
    def make(history: History) -> Change:
        commit = history.ids[number]
        texts = {one: text_of(history, other, commit), other: text_of(history, one, commit)}
        return with_files(history.path, commit, dict(texts))

    return changing(number, make)


DOWN = b"2026-11-01T09:30:00Z/2026-11-01T09:40:00Z down"

TAMPERING: dict[str, tuple[Tamper, int, str]] = {
    "an amended message": (changing(2, lambda _: replacing(b"Record\n", b"Rekord\n")), 2, UNFIT),
    "an edited file": (with_text(2, "default/test.yaml", "revision: 2", "revision: 7"), 2, DIGEST),
    "an edited policy": (with_text(4, "cluster.yaml", "interval: 10m", "interval: 90m"), 4, UNFIT),
    "a dropped commit": (keeping(0, 1, 3, 4, 5), 2, UNFIT),
    "the first commit dropped": (keeping(1, 2, 3, 4, 5), 0, UNFIT),
    "two commits reordered": (keeping(0, 1, 3, 2, 4, 5), 2, UNFIT),
    "a commit twice": (keeping(0, 1, 2, 3, 2, 3, 4, 5), 4, UNFIT),
    "signed with another key": (
        changing(3, lambda _: signed_by(OTHER_KEY)), 3, "a key that signers does not have",
    ),
    "the signature of another commit": (
        changing(3, lambda history: with_signature_of(history.path, history.ids[2])), 3, UNFIT,
    ),
    "no signature": (changing(5, lambda _: unsigned), 5, "is not signed"),
    "no signature in the middle": (changing(2, lambda _: unsigned), 2, "is not signed"),
    "a PGP signature": (
        changing(1, lambda _: replacing(b"SSH SIGNATURE", b"PGP SIGNATURE")), 1, "is made with PGP",
    ),
    "two files swapped": (
        swapped(3, "shop/db.yaml", "shop/web.yaml"),
        3, "holds files that are no snapshot: shop/db.yaml holds the app",
    ),
    "another date": (changing(2, lambda _: replacing(b" +0000\ngpgsig", b" +0100\ngpgsig")), 2, UNFIT),
    "another committer": (
        changing(2, lambda _: replacing(b"committer Records", b"committer Rekords")), 2, UNFIT,
    ),
    "another Instance": (changing(4, lambda _: replacing(b"Instance: 0d5a", b"Instance: 0d5b")), 4, UNFIT),
    "a Gap put in": (
        changing(4, lambda _: replacing(b"Instance:", b"Gap: " + DOWN + b"\nInstance:")), 4, UNFIT,
    ),
    "another header": (changing(1, lambda _: replacing(b"\ngpgsig", b"\nencoding UTF-8\ngpgsig")), 1, UNFIT),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERING)
async def test_tampering_is_found_and_the_first_bad_commit_named(signed: History, case: str) -> None:
    tamper, number, what = TAMPERING[case]
    made = tamper(signed)
    report = await verify(signed)
    revision, said = first_bad(report)
    assert revision == made[number]
    assert what in said
    assert report.bad[0].means


UNSIGNED_TAMPERING: dict[str, tuple[Tamper, int, str]] = {
    "an edited file": (with_text(2, "default/test.yaml", "revision: 2", "revision: 7"), 2, DIGEST),
    "a file that is no app": (
        with_text(2, "default/test.yaml", "app_info", "app-info"), 2, "is not a stored app",
    ),
    "a file that is not YAML": (with_text(2, "default/test.yaml", "app_info:", "\t{"), 2, "is not YAML"),
    "two files swapped": (
        swapped(3, "shop/db.yaml", "shop/web.yaml"), 3, "shop/db.yaml holds the app shop/web",
    ),
    "a file taken away": (
        changing(3, lambda history: with_files(history.path, history.ids[3], {"shop/web.yaml": None})),
        3, DIGEST,
    ),
    "a new file taken away, so that nothing is changed": (
        changing(3, lambda history: with_files(history.path, history.ids[3], {"shop/db.yaml": None})),
        3, DIGEST,
    ),
    "cluster.yaml taken away": (
        changing(3, lambda history: with_files(history.path, history.ids[3], {"cluster.yaml": None})),
        3, "cluster.yaml is missing",
    ),
    "another digest": (changing(1, lambda _: replacing(b"Snapshot: ", b"Snapshot: 0")), 1, "which is none"),
    "no digest": (
        changing(1, lambda _: replacing(b"Snapshot: ", b"Snapshop: ")), 1, "has no Snapshot trailers",
    ),
    "two digests": (
        changing(1, lambda _: replacing(b"Snapshot: ", b"Snapshot: " + b"0" * 64 + b"\nSnapshot: ")),
        1, "has 2 Snapshot trailers, and one is right",
    ),
    "another cluster": (
        changing(1, lambda _: replacing(b"Cluster-UUID: K-a0", b"Cluster-UUID: K-b0")),
        1, "says that it is of cluster K-b0",
    ),
    "no Instance": (
        changing(1, lambda _: replacing(b"Instance: ", b"Instance: ?")), 1, "has the Instance '?",
    ),
    "a Gap that is none": (
        changing(4, lambda _: replacing(b"Instance:", b"Gap: yesterday\nInstance:")),
        4, "has the Gap 'yesterday'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSIGNED_TAMPERING)
async def test_without_signatures_what_does_not_fit_together_is_found(plain: History, case: str) -> None:
    tamper, number, what = UNSIGNED_TAMPERING[case]
    made = tamper(plain)
    revision, said = first_bad(await verify(plain, NOBODY))
    assert revision == made[number]
    assert what in said


async def test_a_symbolic_link_is_not_taken_for_a_file(plain: History) -> None:
    blob = git(plain.path, "rev-parse", f"{BRANCH}:{DIRECTORY}/default/test.yaml").strip()
    stream = (
        f"commit refs/heads/{BRANCH}\ncommitter x <x> 1790000000 +0000\ndata 0\n"
        f"from refs/heads/{BRANCH}^0\nM 120000 {blob} {DIRECTORY}/default/test.yaml\n\n"
    )
    git(plain.path, "fast-import", "--quiet", stdin=stream)
    link = git(plain.path, "rev-parse", BRANCH).strip()
    assert first_bad(await verify(plain, NOBODY))[0] == link
    made = plain.append_by_hand(make_snapshot(make_app(revision=3), WEB), {"shop/web.yaml": dump_app(WEB)})
    revision, said = first_bad(await verify(plain, NOBODY))
    assert revision == made
    assert "default/test.yaml is not a plain file (mode 120000)" in said


async def test_a_history_that_was_cut_off_says_where(signed: History, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow.git"
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=3", f"file://{signed.path}", str(shallow))
    revision, said = first_bad(await verify(open_git_store(path=shallow, url=None, branch=BRANCH)))
    assert revision == signed.ids[3]
    assert said == f"is the oldest commit here, and was made on {signed.ids[2][:12]}, which is missing"


async def test_an_object_that_is_not_what_its_name_says_is_not_believed(plain: History) -> None:
    blob = git(plain.path, "rev-parse", f"{BRANCH}:{DIRECTORY}/default/test.yaml").strip()
    other = git(plain.path, "rev-parse", f"{plain.ids[0]}:{DIRECTORY}/default/test.yaml").strip()
    file, source = (plain.path / "objects" / oid[:2] / oid[2:] for oid in (blob, other))
    file.chmod(0o644)
    file.write_bytes(source.read_bytes())
    with pytest.raises(StoreError, match="is damaged"):
        await verify(plain, NOBODY)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_signed_commit_can_be_changed(signed_once: History, data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(signed_once.ids) - 1), label="commit")
    content = raw(signed_once.path, signed_once.ids[number])
    head = content.index(b"author ")  # what stands before is made anew by ``remake``
    position = data.draw(st.integers(head, len(content) - 1), label="byte")
    other = data.draw(st.sampled_from(b"aZ0 \n-"), label="instead")
    changed = content[:position] + bytes([other]) + content[position + 1 :]
    if changed == content or _only_the_armor(content, changed):
        return
    with TemporaryDirectory() as name:
        history = reopened(signed_once, Path(name))
        made = _remade(history, number, changed)
        if made is None:
            return  # git itself takes it for no commit
        try:
            report = asyncio.run(verify(history))
        except StoreError:
            return  # no commit at all
        assert made[number] in [finding.revision for finding in report.bad]


def _only_the_armor(content: bytes, changed: bytes) -> bool:
    """Where a line of the base64 ends is no matter of what it says; nor are its last, unused bits."""
    before, after = (b"".join(each.split()) for each in (content, changed))
    return before == after


def _remade(history: History, number: int, changed: bytes) -> list[str] | None:
    try:
        return remake(history.path, history.ids, {history.ids[number]: lambda _: changed})
    except (AssertionError, UnicodeDecodeError):
        return None


# Keys and dates


async def test_a_key_counts_only_while_it_is_allowed(signed: History) -> None:
    until = rules(KEY, options=',valid-before="202611011130Z"')
    revision, said = first_bad(await verify(signed, until))
    assert revision == signed.ids[3]
    assert "allows until 2026-11-01T11:30:00Z, and this is of 2026-11-01T12:00:00Z" in said
    since = rules(KEY, options=',valid-after="202611011130Z"')
    revision, said = first_bad(await verify(signed, since))
    assert revision == signed.ids[0]
    assert "allows from 2026-11-01T11:30:00Z on" in said


async def test_a_key_that_is_replaced_in_time_is_good(signed: History, tmp_path: Path) -> None:
    later = History(tmp_path, OTHER_KEY)
    later.tip, later.time = signed.tip, signed.time
    await later.append(STORY[0])
    assert first_bad(await verify(signed))[0] == later.ids[0]
    assert (await verify(signed, rules(KEY, OTHER_KEY))).is_good


async def test_signing_may_have_begun_later_when_that_is_said(plain: History, tmp_path: Path) -> None:
    now_signed = History(tmp_path, KEY)
    now_signed.tip, now_signed.time = plain.tip, plain.time
    await now_signed.append(STORY[0])
    revision, said = first_bad(await verify(plain))
    assert (revision, said) == (plain.ids[0], "is not signed")
    since = START + timedelta(hours=5, minutes=30)
    assert (await verify(plain, rules(KEY, since=since))).is_good
    assert first_bad(await verify(plain, rules(KEY, since=START + timedelta(hours=3))))[0] == plain.ids[3]
    remake(plain.path, plain.ids)
    revision, said = first_bad(await verify(plain, rules(KEY, since=since)))
    assert said == "is not signed, and no commit before it is"
    assert revision == plain.ids[5]


async def test_an_unsigned_commit_after_a_signed_one_is_bad_whatever_its_date(signed: History) -> None:
    made = remake(signed.path, signed.ids, {signed.ids[5]: unsigned})
    report = await verify(signed, rules(KEY, since=START + timedelta(days=1)))
    assert first_bad(report) == (made[5], "is not signed")


async def test_a_date_that_goes_back_is_told(signed: History) -> None:
    await signed.append(STORY[0], after=timedelta(hours=-2))
    await signed.append(STORY[1])
    report = await verify(signed)
    assert report.is_good
    (warning,) = report.warnings
    assert warning.revision == signed.ids[-1]
    assert warning.what == "is dated 2026-11-01T13:00:00Z, and the one before it 2026-11-01T15:00:00Z"


# Two writers


async def test_an_instance_that_comes_back_is_a_second_writer(signed: History) -> None:
    await signed.append(STORY[0], instance="another")
    assert (await verify(signed)).is_good
    made = await signed.append(STORY[1])
    revision, said = first_bad(await verify(signed))
    assert revision == made
    assert said == f"is by Instance {INSTANCE}, which comes back after another had taken over"


async def test_commits_on_an_older_state_are_no_line(signed: History, tmp_path: Path) -> None:
    other = History(tmp_path)
    git(signed.path, "update-ref", f"refs/heads/{BRANCH}", signed.ids[2])
    await other.look()
    other.time = signed.time
    fork = await other.append(STORY[0])
    git(signed.path, "update-ref", "refs/heads/theirs", signed.ids[-1])
    merge_as_a_person(signed.path, ours="theirs", theirs=fork, tree_of="theirs")
    revision, said = first_bad(await verify(signed))
    assert revision in (fork, signed.ids[3]), "of two lines each may be looked at first"
    assert said.startswith("is not built on ")


# People


def edit_as_a_person(
    history: History, path: str = "default/test.yaml", old: str = "revision: 3", new: str = "revision: 8"
) -> str:
    text = text_of(history, path)
    assert old in text
    return commit_as_a_person(history.path, {f"{DIRECTORY}/{path}": text.replace(old, new)})


async def test_a_persons_edit_that_was_put_right_is_a_warning(signed: History) -> None:
    edit = edit_as_a_person(signed)
    await signed.look()
    restored = await signed.append(
        make_snapshot(make_app(revision=4), make_app("shop", "db", chart="postgresql"))
    )
    report = await verify(signed)
    assert report.is_good
    (warning,) = report.warnings
    assert warning.revision == edit
    assert warning.what == f"by A Person changed default/test.yaml; {restored[:12]} put that right"


async def test_a_persons_edit_that_was_not_put_right_is_bad(signed: History) -> None:
    edit = edit_as_a_person(signed)
    commit_as_a_person(signed.path, {"README.md": "hello\n"})
    revision, said = first_bad(await verify(signed))
    assert revision == edit
    assert said == "by A Person changed default/test.yaml, and no commit of the reconciler has put that right"


async def test_an_edit_that_a_commit_of_the_reconciler_leaves_is_bad(signed: History) -> None:
    commit_as_a_person(
        signed.path, {f"{DIRECTORY}/shop/evil.yaml": dump_app(make_app("shop", "evil")).decode()}
    )
    made = signed.append_by_hand(STORY[4], {"shop/web.yaml": dump_app(WEB)})
    revision, said = first_bad(await verify(signed))
    assert revision == made
    assert said.startswith(DIGEST)


async def test_a_policy_that_is_left_as_a_person_made_it_is_bad(signed: History) -> None:
    edit = edit_as_a_person(signed, "cluster.yaml", "interval: 10m", "interval: 90m")
    db = make_app("shop", "db", chart="postgresql")
    made = signed.append_by_hand(
        make_snapshot(make_app(revision=3), WEB, db), {"shop/web.yaml": dump_app(WEB)}
    )
    assert first_bad(await verify(signed)) == (
        made,
        f"leaves cluster.yaml as A Person made it in {edit[:12]}",
    )
    signed.append_by_hand(STORY[4], {"cluster.yaml": dump_cluster(STORY[0].cluster)})


async def test_an_edit_that_people_undid_is_a_warning(signed: History) -> None:
    edit = edit_as_a_person(signed)
    undo = edit_as_a_person(signed, old="revision: 8", new="revision: 3")
    report = await verify(signed)
    assert report.is_good
    assert [(one.revision, one.what) for one in report.warnings] == [
        (commit, "by A Person changed default/test.yaml; that was undone since") for commit in (edit, undo)
    ]


async def test_a_deleted_directory_is_bad_until_it_is_back(signed: History) -> None:
    paths = git(signed.path, "ls-tree", "-r", "--name-only", BRANCH).split()
    deleted = commit_as_a_person(signed.path, dict.fromkeys(paths))
    revision, said = first_bad(await verify(signed))
    assert revision == deleted
    assert said.startswith("by A Person changed cluster.yaml, default/test.yaml, shop/db.yaml, and no commit")


async def test_what_people_put_beside_the_record_is_told_and_not_judged(signed: History) -> None:
    commit_as_a_person(signed.path, {f"{DIRECTORY}/README.md": "About this cluster\n"})
    report = await verify(signed)
    assert report.is_good
    assert [one.what for one in report.warnings] == ["by A Person put README.md beside the record"]


async def test_a_merge_that_takes_an_older_state_is_an_edit(signed: History) -> None:
    git(signed.path, "update-ref", "refs/heads/side", signed.ids[2])
    commit_as_a_person(signed.path, {"notes.txt": "on the side\n"}, branch="side")
    merge = merge_as_a_person(signed.path, ours=BRANCH, theirs="side")
    revision, said = first_bad(await verify(signed))
    assert revision == merge
    assert said.startswith("by A Person changed ")


async def test_an_edit_that_comes_in_by_a_merge_is_told_once(signed: History) -> None:
    git(signed.path, "update-ref", "refs/heads/side", signed.ids[-1])
    text = text_of(signed, "default/test.yaml").replace("revision: 3", "revision: 8")
    edit = commit_as_a_person(signed.path, {f"{DIRECTORY}/default/test.yaml": text}, branch="side")
    commit_as_a_person(signed.path, {"README.md": "hello\n"})
    merge_as_a_person(signed.path, ours=BRANCH, theirs="side")
    assert [one.revision for one in (await verify(signed)).bad] == [edit]


async def test_what_people_anticipated_and_the_reconciler_recorded_was_observed(
    signed: History, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    edit_as_a_person(signed)
    anticipated = text_of(signed, "default/test.yaml")
    # It changes nothing any more, and is a commit all the same.
    await signed.look()
    await signed.append(make_snapshot(make_app(revision=8), make_app("shop", "db", chart="postgresql")))
    commit_as_a_person(signed.path, {"README.md": "hello\n"})
    report = await verify(signed)
    assert report.is_good
    assert report.revisions == 7
    assert (await verify(signed, memory=memory, approved_branch=APPROVED)).is_good
    approve(signed, {"default/test.yaml": anticipated}, number=5)
    for again in (False, True):
        assert (await verify(signed, memory=memory, approved_branch=APPROVED, again=again)).is_good


async def test_rescued_branches_are_named(signed: History) -> None:
    name = f"hossted/rescued/{DIRECTORY.removeprefix('clusters/')}/{signed.ids[-1]}"
    git(signed.path, "update-ref", f"refs/heads/{name}", signed.ids[-1])
    assert (await verify(signed)).rescued == (name,)


# From where the last run ended


async def test_only_what_is_new_is_judged_again(signed: History, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    edit_as_a_person(signed)
    edit_as_a_person(signed, old="revision: 8", new="revision: 3")
    assert (await verify(signed, memory=memory)).checked == 6
    assert (await verify(signed, memory=memory)).checked == 0
    await signed.look()
    await signed.append(STORY[0], gaps=["2026-11-01T14:10:00Z/2026-11-01T14:20:00Z down"])
    report = await verify(signed, memory=memory)
    whole = await verify(signed, memory=memory, again=True)
    assert (report.checked, whole.checked) == (1, 7)
    assert report.revisions == whole.revisions == 7
    assert (report.gaps, report.warnings, report.covered) == (whole.gaps, whole.warnings, whole.covered)
    # Another question, another answer.
    assert (await verify(signed, NOBODY, memory=memory)).checked == 7


@pytest.mark.parametrize("number", range(1, 6))
async def test_tampering_is_found_from_wherever_the_last_run_ended(
    signed: History, tmp_path: Path, number: int
) -> None:
    memory, newest = tmp_path / "memory", signed.ids[-1]
    git(signed.path, "update-ref", f"refs/heads/{BRANCH}", signed.ids[number - 1])
    assert (await verify(signed, memory=memory)).is_good
    git(signed.path, "update-ref", f"refs/heads/{BRANCH}", newest)
    made = remake(signed.path, signed.ids, {signed.ids[number]: replacing(b"Record\n", b"Rekord\n")})
    report = await verify(signed, memory=memory)
    assert first_bad(report)[0] == made[number]
    assert report.checked == 6 - number


async def test_what_was_bad_is_bad_the_next_time(signed: History, tmp_path: Path) -> None:
    remake(signed.path, signed.ids, {signed.ids[3]: unsigned})
    reports = [await verify(signed, memory=tmp_path / "memory") for _ in range(2)]
    assert reports[0] == reports[1]
    assert not reports[0].is_good


async def test_a_verified_commit_that_has_vanished_is_bad_until_it_is_accepted(
    signed: History, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    assert (await verify(signed, memory=memory)).is_good
    git(signed.path, "update-ref", f"refs/heads/{BRANCH}", signed.ids[3])
    report = await verify(signed, memory=memory)
    assert first_bad(report) == (
        "",
        f"the commit {signed.ids[5][:12]}, verified at 2026-11-01T09:00:00Z, has vanished from the track",
    )
    assert report.checked == 4
    assert (await verify(signed, memory=memory, again=True)).is_good
    assert (await verify(signed, memory=memory)).is_good


async def test_a_track_without_the_revision_that_the_status_names_is_bad(signed: History) -> None:
    assert (await verify(signed, expected=signed.ids[5])).is_good
    git(signed.path, "update-ref", f"refs/heads/{BRANCH}", signed.ids[3])
    assert first_bad(await verify(signed, expected=signed.ids[5]))[1] == (
        f"the status names {signed.ids[5][:12]} as the newest revision, and the track does not have it"
    )


@pytest.mark.parametrize("spoil", ["content", "mode", "folder"])
async def test_a_memory_that_others_may_write_or_that_is_damaged_is_left_aside(
    signed: History, tmp_path: Path, spoil: str
) -> None:
    memory = tmp_path / "memory"
    await verify(signed, memory=memory)
    (file,) = memory.iterdir()
    match spoil:
        case "content":
            file.write_bytes(file.read_bytes()[:-20])
        case "mode":
            file.chmod(0o666)
        case _:
            memory.chmod(0o777)
    assert (await verify(signed, memory=memory)).checked == 6


async def test_an_old_side_branch_that_is_merged_later_is_judged_with_its_own_past(
    signed: History, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    assert (await verify(signed, memory=memory)).is_good
    git(signed.path, "update-ref", "refs/heads/side", signed.ids[2])
    side = commit_as_a_person(signed.path, {f"{DIRECTORY}/cluster.yaml": "format: 1\n"}, branch="side")
    merge_as_a_person(signed.path, ours=BRANCH, theirs="side", tree_of=BRANCH)
    report = await verify(signed, memory=memory)
    assert report.is_good
    assert [one.revision for one in report.warnings] == [side]
    assert report.warnings == (await verify(signed, again=True)).warnings


# The approved track


def approve(history: History, files: dict[str, str | None], number: int = 1) -> str:
    """A person's commit on the approved branch, which begins at one of the observed commits."""
    branch = f"approved/{DIRECTORY.removeprefix('clusters/')}"
    if f"refs/heads/{branch}" not in git(history.path, "for-each-ref"):
        git(history.path, "update-ref", f"refs/heads/{branch}", history.ids[number])
    changes = {f"{DIRECTORY}/{path}": text for path, text in files.items()}
    return commit_as_a_person(history.path, changes, "Approve", branch=branch)


def approve_signed(history: History, by: Change) -> str:
    branch = f"approved/{DIRECTORY.removeprefix('clusters/')}"
    commit = write(history.path, by(raw(history.path, branch)))
    git(history.path, "update-ref", f"refs/heads/{branch}", commit)
    return commit


async def test_what_was_once_observed_may_be_approved(signed: History) -> None:
    approve(signed, {"default/test.yaml": text_of(signed, "default/test.yaml", signed.ids[2])})
    approve(signed, {"shop/web.yaml": None})
    assert (await verify(signed, approved_branch=APPROVED)).is_good


async def test_what_was_never_observed_must_not_be_approved(signed: History) -> None:
    text = text_of(signed, "default/test.yaml").replace("revision: 3", "revision: 8")
    made = approve(signed, {"default/test.yaml": text})
    approve(signed, {"shop/db.yaml": text_of(signed, "shop/db.yaml")})
    report = await verify(signed, approved_branch=APPROVED)
    assert [(one.revision, one.what) for one in report.bad] == [
        (made, "approves a default/test.yaml that was never observed")
    ]
    approve(signed, {"default/test.yaml": text_of(signed, "default/test.yaml")})
    assert first_bad(await verify(signed, approved_branch=APPROVED))[0] == made, "it had been approved"


async def test_a_persons_edit_was_never_observed(signed: History, tmp_path: Path) -> None:
    edit_as_a_person(signed)
    edited = text_of(signed, "default/test.yaml")
    edit_as_a_person(signed, old="revision: 8", new="revision: 3")
    memory = tmp_path / "memory"
    assert (await verify(signed, memory=memory, approved_branch=APPROVED)).is_good
    made = approve(signed, {"default/test.yaml": edited}, number=5)
    for again in (False, True):
        report = await verify(signed, memory=memory, approved_branch=APPROVED, again=again)
        assert first_bad(report) == (made, "approves a default/test.yaml that was never observed")


async def test_an_approved_branch_that_begins_on_an_edit_was_never_observed(signed: History) -> None:
    edit = edit_as_a_person(signed)
    edit_as_a_person(signed, old="revision: 8", new="revision: 3")
    git(signed.path, "update-ref", f"refs/heads/approved/{CLUSTER_UUID}", edit)
    report = await verify(signed, approved_branch=APPROVED)
    assert first_bad(report) == (edit, "has a default/test.yaml that was never observed")


async def test_an_approval_is_judged_from_where_the_last_run_ended(signed: History, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    approve(signed, {"default/test.yaml": text_of(signed, "default/test.yaml", signed.ids[2])})
    assert (await verify(signed, memory=memory, approved_branch=APPROVED)).is_good
    approve(signed, {"default/test.yaml": text_of(signed, "default/test.yaml", signed.ids[4])})
    report = await verify(signed, memory=memory, approved_branch=APPROVED)
    assert report.is_good
    assert report.checked == 0


APPROVERS = signers_file(OTHER_KEY, email="person@example.org")


async def test_an_approving_commit_must_be_signed_by_an_approver_when_they_are_named(signed: History) -> None:
    text = text_of(signed, "default/test.yaml", signed.ids[2])
    made = approve(signed, {"default/test.yaml": text})
    report = await verify(signed, approved_branch=APPROVED, approvers=APPROVERS)
    assert first_bad(report) == (made, "approves, by A Person, and is not signed")
    made = approve_signed(signed, signed_by(KEY))
    revision, said = first_bad(await verify(signed, approved_branch=APPROVED, approvers=APPROVERS))
    assert revision == made
    assert said.startswith("approves, by A Person, and has a signature that is made with ssh-ed25519 SHA256:")
    approve_signed(signed, signed_by(OTHER_KEY))
    assert (await verify(signed, approved_branch=APPROVED, approvers=APPROVERS)).is_good


async def test_an_approval_without_a_commit_of_its_own_is_by_nobody(signed: History) -> None:
    branch = f"approved/{DIRECTORY.removeprefix('clusters/')}"
    git(signed.path, "update-ref", f"refs/heads/{branch}", signed.ids[3])
    assert (await verify(signed, approved_branch=APPROVED)).is_good
    report = await verify(signed, approved_branch=APPROVED, approvers=APPROVERS)
    assert first_bad(report)[0] == signed.ids[3]
    assert "merge with --no-ff" in report.bad[0].means


async def test_the_remote_is_what_is_verified(signed: History, tmp_path: Path) -> None:
    await signed.tell(STORY)
    store = open_git_store(path=tmp_path / "cache.git", url=f"file://{signed.path}", branch=BRANCH)
    report = await verify(store, SIGNED)
    assert report.is_good
    assert report.revisions == 12, "also what came before the newest commits, which are all that tip needs"
    made = remake(signed.path, signed.ids, {signed.ids[2]: unsigned})
    assert first_bad(await verify(store))[0] == made[2]
    await store.close()
