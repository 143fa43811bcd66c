"""What people's git makes of the approved branch, and what is read from it."""

from collections.abc import AsyncIterator

import pytest

from reconciler.errors import StoreError
from reconciler.model import AppKey
from reconciler.policy.approval import Approval
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID
from tests.git.approvals import APPROVED, Approvals, app, path_of
from tests.git.factory import BRANCH, GitFactory, GitRemoteFactory, commit_as_a_person, git

A, B, C = AppKey("default", "a"), AppKey("default", "b"), AppKey("default", "c")


@pytest.fixture(params=["local", "remote"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Approvals]:
    factory: GitFactory = request.getfixturevalue(request.param)
    store = await factory.open()
    yield Approvals(factory, store)
    await store.close()


@pytest.fixture
async def since(place: Approvals) -> str:
    """The record has a, b and c; they are approved; that is where approval began to be required."""
    await place.record(a=1, b=1, c=1)
    place.approve_all()
    return await place.tip()


def revisions(approval: Approval) -> dict[str, int]:
    assert all(key == each.key for key, each in approval.apps.items())
    return {key.name: each.helm.revision for key, each in approval.apps.items()}


# Nothing there


async def test_without_a_branch_nothing_is_approved(place: Approvals) -> None:
    await place.record(a=1)
    assert await place.tip() == ""
    assert await place.read() == Approval()
    assert place.approved.name == APPROVED


async def test_where_it_stood_when_approval_began_nothing_is_approved(place: Approvals, since: str) -> None:
    assert since != ""
    assert await place.read(since) == Approval(tip=since)
    await place.record(a=2, b=1, c=1)
    assert await place.read(since) == Approval(tip=since)


async def test_without_the_clusters_directory_nothing_is_approved_and_nothing_removed(
    place: Approvals, since: str
) -> None:
    place.checkout()
    tip = place.edit({"clusters": None, f"clusters/{OTHER_CLUSTER_UUID}/default/a.yaml": "theirs"})
    assert await place.read(since) == Approval(tip=tip)


async def test_a_branch_that_is_made_after_approval_began_approves_all_that_it_has(place: Approvals) -> None:
    await place.record(a=1, b=1)
    tip = place.approve_all()
    assert await place.read("") == Approval(tip=tip, apps={A: app("a"), B: app("b")})


async def test_what_was_once_on_such_a_branch_is_removed(place: Approvals) -> None:
    await place.record(a=1, b=1)
    await place.record(a=1)
    place.approve_all()
    assert (await place.read("")).removed == {B}
    for revision in range(2, 15):
        await place.record(a=revision)
    place.approve_all()
    assert (await place.read("")).removed == {B}
    await place.restart()
    approval = await place.read("")
    assert revisions(approval) == {"a": 14}
    assert approval.removed == {B}


# The ways to approve


@pytest.mark.parametrize("fetched", ["at once", "after a restart"])
@pytest.mark.parametrize(
    "how", ["merge", "fast-forward", "squash", "pull request from a fork", "cherry-pick"]
)
async def test_each_way_to_approve_all_approves_what_changed_and_nothing_else(
    place: Approvals, since: str, how: str, fetched: str
) -> None:
    await place.record(a=2, b=1, c=1)
    await place.record(a=2, b=2, c=1)
    place.checkout()
    match how:
        case "merge":
            tip = place.person("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{BRANCH}")
        case "fast-forward":
            tip = place.person("merge", "--quiet", "--ff-only", f"origin/{BRANCH}")
        case "squash":
            git(place.copy, "merge", "--quiet", "--squash", f"origin/{BRANCH}")
            tip = place.person("commit", "--quiet", "-m", "Approve")
        case "cherry-pick":
            tip = place.person("cherry-pick", f"{since}..origin/{BRANCH}")
        case _:
            git(place.copy, "checkout", "--quiet", "-B", "side", f"origin/{BRANCH}")
            git(place.copy, "commit", "--quiet", "--allow-empty", "-m", "Look at it")
            git(place.copy, "checkout", "--quiet", "work")
            tip = place.person("merge", "--quiet", "--no-ff", "--no-edit", "side")
    if fetched == "after a restart":
        await place.restart()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2), B: app("b", 2)})


async def test_one_app_is_approved_and_the_other_is_not(place: Approvals, since: str) -> None:
    await place.record(a=2, b=2, c=1)
    place.checkout()
    tip = place.take("a")
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)})


async def test_an_older_state_is_approved_as_such(place: Approvals, since: str) -> None:
    second = await place.record(a=2, b=1, c=1)
    await place.record(a=3, b=1, c=1)
    place.checkout()
    place.take("a")
    assert revisions(await place.read(since)) == {"a": 3}
    tip = place.take("a", second.revision.id)
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)})
    await place.restart()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)})


async def test_going_back_to_what_was_there_when_approval_began_is_approving_that(
    place: Approvals, since: str
) -> None:
    await place.record(a=2, b=1, c=1)
    place.checkout()
    place.take("a")
    tip = place.person("revert", "--no-edit", "HEAD")
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 1)})
    await place.restart()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 1)})


async def test_a_merge_into_the_record_that_becomes_the_branch_is_an_approval_too(
    place: Approvals, since: str
) -> None:
    """Its first parent is the record; the branch as it was is the second."""
    await place.record(a=2, b=2, c=1)
    place.checkout()
    place.take("b")
    git(place.copy, "checkout", "--quiet", "-B", "other-way", f"origin/{BRANCH}")
    place.person("merge", "--quiet", "--no-ff", "--no-edit", "work")
    assert revisions(await place.read(since)) == {"a": 2, "b": 2}
    place.take("b", since)
    for _ in range(2):
        assert revisions(await place.read(since)) == {"a": 2, "b": 1}
        await place.restart()


async def test_an_app_that_left_the_record_is_removed_by_merging_that(place: Approvals, since: str) -> None:
    await place.record(a=2, b=1)
    place.checkout()
    tip = place.person("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{BRANCH}")
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)}, removed=frozenset({C}))


async def test_taking_the_whole_directory_of_the_record_approves_and_removes(
    place: Approvals, since: str
) -> None:
    """What the manual says of a merge that has conflicts, since files were approved one by one before."""
    await place.record(a=2, b=1, c=1)
    place.checkout()
    place.take("a")
    await place.record(a=3, b=1)
    directory = f"clusters/{CLUSTER_UUID}"
    git(place.copy, "restore", f"--source=origin/{BRANCH}", "--staged", "--worktree", directory)
    tip = place.person("commit", "--quiet", "-m", "Approve all")
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 3)}, removed=frozenset({C}))


async def test_what_came_and_went_on_the_branch_since_is_removed(place: Approvals, since: str) -> None:
    await place.record(a=1, b=1, c=1, d=1)
    place.checkout()
    place.take("d")
    tip = place.person("revert", "--no-edit", "HEAD")
    assert await place.read(since) == Approval(tip=tip, removed=frozenset({AppKey("default", "d")}))


async def test_the_record_may_go_on_while_nothing_is_approved(place: Approvals, since: str) -> None:
    await place.record(a=2, b=1, c=1)
    place.checkout()
    tip = place.take("a")
    expected = Approval(tip=tip, apps={A: app("a", 2)})
    assert await place.read(since) == expected
    for revision in range(3, 16):
        await place.record(a=revision, b=1, c=1)
        assert await place.read(since) == expected
    await place.restart()
    assert await place.read(since) == expected


# What changes nothing


async def test_a_merge_that_keeps_the_branchs_own_files_approves_nothing(
    place: Approvals, since: str
) -> None:
    await place.record(a=2, b=1, c=1)
    place.checkout()
    tip = place.person("merge", "--quiet", "-s", "ours", "--no-edit", f"origin/{BRANCH}")
    assert await place.read(since) == Approval(tip=tip)
    await place.restart()
    assert await place.read(since) == Approval(tip=tip)


async def test_a_merge_that_leaves_a_file_alone_does_not_approve_it(place: Approvals, since: str) -> None:
    """The merged side changed it and took that back."""
    await place.record(a=2, b=2, c=1)
    await place.record(a=1, b=2, c=1)
    place.checkout()
    tip = place.person("merge", "--quiet", "--no-ff", "--no-edit", f"origin/{BRANCH}")
    assert await place.read(since) == Approval(tip=tip, apps={B: app("b", 2)})


async def test_other_peoples_files_are_nobodys_business(place: Approvals, since: str) -> None:
    place.checkout()
    tip = place.edit(
        {
            "README.md": "hello",
            f"clusters/{CLUSTER_UUID}/README.md": "hello",
            f"clusters/{CLUSTER_UUID}/cluster.yaml": "whatever",
            f"clusters/{CLUSTER_UUID}/default/a.yaml.orig": "x",
            f"clusters/{CLUSTER_UUID}/Default/a.yaml": "x",
            f"clusters/{OTHER_CLUSTER_UUID}/default/a.yaml": "x",
        }
    )
    assert await place.read(since) == Approval(tip=tip)


async def test_a_stale_branch_from_an_earlier_time_approves_nothing(place: Approvals, since: str) -> None:
    """Approval was required, then it was not, and now it is again; the branch stayed where it was."""
    await place.record(a=9, b=9, c=9)
    assert await place.read(await place.tip()) == Approval(tip=since)


async def test_deleting_the_branch_after_a_merge_approves_and_removes_nothing(
    place: Approvals, since: str
) -> None:
    await place.record(a=2, b=1, c=1)
    place.approve_all()
    assert revisions(await place.read(since)) == {"a": 2}
    place.delete()
    assert await place.tip() == ""
    assert await place.read(since) == Approval()
    tip = place.approve_all()
    assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)})


# A history that was rewritten


async def test_on_a_rewritten_branch_only_what_differs_counts(place: Approvals, since: str) -> None:
    """Every commit was made anew; that says nothing of the files."""
    await place.record(a=2, b=1, c=1)
    git(place.copy, "checkout", "--quiet", "--orphan", "new", f"origin/{BRANCH}")
    git(place.copy, "commit", "--quiet", "-m", "As it is")
    tip = place.push("HEAD")
    for _ in range(2):
        assert await place.read(since) == Approval(tip=tip, apps={A: app("a", 2)})
        await place.restart()


async def test_a_branch_that_is_put_back_to_an_older_commit_approves_what_differs(place: Approvals) -> None:
    first = await place.record(a=1, b=1)
    await place.record(a=2, b=1)
    place.approve_all()
    since = await place.tip()
    place.push(first.revision.id)
    expected = Approval(tip=first.revision.id, apps={A: app("a", 1)})
    assert await place.read(since) == expected
    await place.restart()
    assert await place.read(since) == expected


async def test_a_branch_of_an_unrelated_history_approves_only_what_was_recorded(
    place: Approvals, since: str
) -> None:
    git(place.copy, "checkout", "--quiet", "--orphan", "unrelated")
    git(place.copy, "rm", "-r", "--quiet", "--force", ".")
    tip = place.edit({path_of("a"): "by hand\n", "README.md": "x"})
    approval = await place.read(since)
    assert (approval.tip, approval.apps, set(approval.refused)) == (tip, {}, {A})
    assert approval.removed == {B, C}


async def test_where_approval_began_and_nobody_has_it_any_more_says_what_to_do(place: Approvals) -> None:
    await place.record(a=1)
    tip = place.approve_all()
    vanished = "0123456789" * 4
    with pytest.raises(StoreError, match=f"the commit {vanished}, where the branch {APPROVED} stood") as told:
        await place.read(vanished)
    assert "push it there again" in str(told.value)
    assert (await place.read(tip)).tip == tip


# What is refused


async def test_a_file_by_hand_is_refused_and_costs_no_other_app(place: Approvals, since: str) -> None:
    await place.record(a=2, b=2, c=1)
    place.checkout()
    place.take("a")
    text = (place.copy / path_of("b")).read_text()
    tip = place.edit({path_of("b"): text.replace("revision: 1", "revision: 7")})
    approval = await place.read(since)
    assert approval == Approval(
        tip=tip,
        apps={A: app("a", 2)},
        refused={
            B: f"{path_of('b')} on the branch {APPROVED} (A Person in {tip[:8]}) was never in the record:"
            f" approve a state that was recorded: revert it, or merge the branch {BRANCH}"
        },
    )
    place.person("revert", "--no-edit", "HEAD")
    assert revisions(await place.read(since)) == {"a": 2, "b": 1}


async def test_a_refused_file_is_approved_once_the_record_has_it(place: Approvals, since: str) -> None:
    await place.record(a=2, b=1, c=1)
    text = git(place.copy, "show", f"origin/{BRANCH}:{path_of('a')}")
    place.checkout()
    place.edit({path_of("a"): text.replace("revision: 2", "revision: 3")})
    assert set((await place.read(since)).refused) == {A}
    await place.record(a=3, b=1, c=1)
    approval = await place.read(since)
    assert (revisions(approval), approval.refused) == ({"a": 3}, {})


async def test_what_people_did_to_the_records_branch_was_never_in_the_record(
    place: Approvals, since: str
) -> None:
    """Neither what the reconciler undid, nor a commit that only says it is the reconciler's."""
    text = git(place.copy, "show", f"origin/{BRANCH}:{path_of('a')}")
    said = git(place.copy, "show", "-s", "--format=%B", f"origin/{BRANCH}")
    edited = text.replace("revision: 1", "revision: 5")
    commit_as_a_person(place.factory.repository, {path_of("a"): edited}, message=said)
    commit_as_a_person(place.factory.repository, {path_of("b"): "x\n"})
    place.newest = await place.track.tip()
    await place.record(a=2, b=2, c=1)
    place.checkout()
    place.edit({path_of("a"): edited, path_of("b"): "x\n"})
    for _ in range(2):
        assert set((await place.read(since)).refused) == {A, B}
        await place.restart()


async def test_a_renamed_file_is_removed_where_it_was_and_refused_where_it_is(
    place: Approvals, since: str
) -> None:
    place.checkout()
    git(place.copy, "mv", path_of("a"), path_of("z"))
    tip = place.person("commit", "--quiet", "-m", "Rename")
    approval = await place.read(since)
    assert (approval.tip, approval.apps) == (tip, {})
    assert approval.removed == {A}
    assert set(approval.refused) == {AppKey("default", "z")}


@pytest.mark.parametrize("what", ["a link", "a submodule", "a folder", "executable"])
async def test_what_is_no_plain_file_is_refused(place: Approvals, since: str, what: str) -> None:
    await place.record(a=2, b=2, c=1)
    place.checkout()
    path = place.copy / path_of("a")
    match what:
        case "a link":
            path.unlink()
            path.symlink_to("b.yaml")
            git(place.copy, "add", path_of("a"))
        case "a submodule":
            git(place.copy, "rm", "--quiet", path_of("a"))
            git(place.copy, "update-index", "--add", "--cacheinfo", f"160000,{since},{path_of('a')}")
        case "a folder":
            path.unlink()
            path.mkdir()
            (path / "a.yaml").write_text("x")
            git(place.copy, "add", path_of("a"))
        case _:
            git(place.copy, "update-index", "--chmod=+x", path_of("a"))
    git(place.copy, "commit", "--quiet", "-m", what)
    git(place.copy, "checkout", "--quiet", f"origin/{BRANCH}", "--", path_of("b"))
    place.person("commit", "--quiet", "-m", "Approve b")
    approval = await place.read(since)
    assert revisions(approval) == {"b": 2}
    assert set(approval.refused) == {A}
    assert "is not a plain file" in approval.refused[A]
    assert approval.removed == frozenset()


async def test_with_no_record_everything_is_refused(place: Approvals, since: str) -> None:
    assert set((await place.approved.read("", None)).refused) == {A, B, C}


async def test_a_store_that_is_away_is_an_error(remote: GitRemoteFactory) -> None:
    place = Approvals(remote, await remote.open())
    await place.record(a=1)
    place.approve_all()
    with remote.away(), pytest.raises(StoreError):
        await place.read("")
    with remote.away(), pytest.raises(StoreError):
        await place.tip()
    assert revisions(await place.read("")) == {"a": 1}
