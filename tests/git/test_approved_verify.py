"""What ``verify`` calls never observed, and what is refused of the approved branch, are the same files."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st

from reconciler.state.documents import dump_app
from reconciler.state.git import objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from reconciler.state.verify.git_track import Wanted, verify_track
from reconciler.state.verify.report import Report
from tests.builders import CLUSTER_UUID
from tests.git.approvals import APPROVED, Approvals, app, path_of
from tests.git.factory import BRANCH, GitFactory, commit_as_a_person, git

NAMED = re.compile(r"(?:approves|has) a (?P<file>\S+) that was never observed")

# What happens, to which app: at the record, and on the branch that people approve it with.
ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "upgrade",
                "edit the record",
                "approve",
                "approve the first",
                "approve the edited",
                "write",
                "link",
                "rename",
                "merge",
            ]
        ),
        st.sampled_from(["a", "b"]),
    ),
    min_size=2,
    max_size=6,
)


@example([("edit the record", "a"), ("approve the edited", "a"), ("upgrade", "b"), ("approve", "b")])
@example([("write", "a"), ("upgrade", "a"), ("link", "b"), ("approve the first", "b"), ("rename", "b")])
@settings(max_examples=8)
@given(actions=ACTIONS)
def test_both_name_the_same_files(actions: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as name:
        asyncio.run(_agree(Path(name), actions))


async def _agree(folder: Path, actions: list[tuple[str, str]]) -> None:
    factory = GitFactory(folder)
    store = await factory.open()
    place = Approvals(factory, store)
    apps = {"a": 1, "b": 1}
    first = await place.record(**apps)
    place.approve_all()
    edited = first.revision.id
    for number, (action, name) in enumerate(actions):
        if action == "upgrade":
            apps[name] += 1
            await place.record(**apps)
        elif action == "edit the record":
            # What was done there is undone by the next revision, and may be approved all the same.
            edited = commit_as_a_person(factory.repository, {path_of(name): _document(name, 100 + number)})
            place.newest = await place.track.tip()
            apps["c"] = number + 1
            await place.record(**apps)
        else:
            _on_the_branch(place, action, name, number, {"first": first.revision.id, "edited": edited})
    approval = await place.read("")
    report = await store.examine(_verify)
    named = await store.perform(lambda: _still_there(store, report))
    assert {path_of(key.name) for key in approval.refused} == named
    await store.close()


def _document(name: str, revision: int) -> str:
    """As the reconciler would write it, of a revision that the cluster never had."""
    return dump_app(app(name, revision)).decode()


def _on_the_branch(place: Approvals, action: str, name: str, number: int, commits: dict[str, str]) -> None:
    place.checkout()
    copy = place.copy
    match action:
        case "approve" | "approve the first" | "approve the edited":
            commit = commits.get(action.removeprefix("approve the "), f"origin/{BRANCH}")
            git(copy, "checkout", "--quiet", commit, "--", path_of(name))
        case "write":
            (copy / path_of(name)).write_text(_document(name, 200 + number))
        case "link":
            (copy / path_of(name)).unlink(missing_ok=True)
            (copy / path_of(name)).symlink_to(f"nothing-{number}")
        case "rename":
            if (copy / path_of(name)).exists():
                (copy / path_of(name)).rename(copy / path_of(f"{name}-{number}"))
        case _:
            git(copy, "merge", "--quiet", "--no-ff", "--no-edit", "-X", "ours", f"origin/{BRANCH}")
    git(copy, "add", "--all")
    git(copy, "commit", "--quiet", "--allow-empty", "-m", action)
    place.push("HEAD")


def _verify(repository: Repository, branches: Branches) -> Report:
    wanted = Wanted(
        cluster_uuid=CLUSTER_UUID,
        location="the test",
        branch=BRANCH,
        approved_branch=APPROVED,
        now=datetime(2026, 11, 22, tzinfo=UTC),
    )
    return verify_track(repository, branches, wanted)


def _still_there(store: GitStore, report: Report) -> set[str]:
    """The apps' files that were named and are on the branch as they were in the commit that was named."""
    repository = store._repository
    named = set()
    for finding in report.bad:
        if match := NAMED.search(finding.what):
            path = f"clusters/{CLUSTER_UUID}/{match['file']}"
            then = objects.entry_at(repository, finding.revision, path)
            if then is not None and then == objects.entry_at(repository, f"refs/heads/{APPROVED}", path):
                named.add(path)
    return named
