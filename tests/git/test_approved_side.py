"""``diff`` with what people approved as one of its sides."""

import asyncio
from pathlib import Path

import pytest

from reconciler.state.git.store import open_git_store
from reconciler.state.store import Recorded
from tests.builders import CLUSTER_UUID, make_snapshot
from tests.git.actions import append
from tests.git.commands import V1, V2, WEB, Hossted
from tests.git.factory import commit_as_a_person, git, refs

APPROVED = f"approved/{CLUSTER_UUID}"
TEST_FILE, WEB_FILE = (f"clusters/{CLUSTER_UUID}/{app}.yaml" for app in ("default/test", "shop/web"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An app, upgraded, and another one, as the reconciler records them."""
    path = tmp_path / "record.git"

    async def write() -> None:
        store = open_git_store(path=path, url=None, branch="main")
        tip: Recorded | None = None
        for apps in ((V1,), (V2,), (V2, WEB)):
            tip = await append(store.track(CLUSTER_UUID), make_snapshot(*apps), tip)
        await store.close()

    asyncio.run(write())
    return path


def text(repository: Path, path: str) -> str:
    return git(repository, "show", f"main:{path}")


def test_what_is_recorded_and_not_approved_yet_is_what_differs(hossted: Hossted, repository: Path) -> None:
    git(repository, "update-ref", f"refs/heads/{APPROVED}", "main~1")
    done = hossted("diff", "approved", "observed")
    head, tail = done.out.split("\n\n", 1)
    tip = refs(repository)[f"refs/heads/{APPROVED}"]
    assert head.startswith(f"--- branch {APPROVED}, at {tip[:12]}\n+++ revision ")
    assert tail.startswith("install shop/web: web 2.0.0\n")
    assert (done.status, done.err) == (1, "")
    commit_as_a_person(repository, {WEB_FILE: text(repository, WEB_FILE)}, branch=APPROVED)
    assert hossted("diff", "approved", "observed").status == 0


def test_a_file_that_was_never_recorded_is_left_out_and_named(hossted: Hossted, repository: Path) -> None:
    made_up = text(repository, TEST_FILE).replace("1.1.0", "6.6.6")
    files = {TEST_FILE: made_up, WEB_FILE: text(repository, WEB_FILE)}
    commit_as_a_person(repository, files, branch=APPROVED)
    done = hossted("diff", "approved", "observed")
    assert done.status == 1
    assert "install default/test" in done.out
    assert "6.6.6" not in done.out
    assert done.err.startswith(f"note: left out: {TEST_FILE} on the branch {APPROVED}")


def test_without_the_branch_there_is_nothing_to_compare(hossted: Hossted) -> None:
    done = hossted("diff", "approved", "observed")
    assert (done.status, done.out) == (2, "")
    assert done.err == (f"hossted-reconciler: there is no branch {APPROVED}: nothing has been approved yet\n")


def test_a_state_that_was_recorded_before_is_one_too(hossted: Hossted, repository: Path) -> None:
    older = git(repository, "show", f"main~2:{TEST_FILE}")
    commit_as_a_person(repository, {TEST_FILE: older, WEB_FILE: text(repository, WEB_FILE)}, branch=APPROVED)
    done = hossted("diff", "approved", "observed")
    assert "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2" in done.out
    assert (done.status, done.err) == (1, "")
