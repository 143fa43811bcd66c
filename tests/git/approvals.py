"""A record, a branch on which people approve it, and what they do there with their own git."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reconciler.model import App
from reconciler.policy.approval import Approval
from reconciler.state.git.approved import GitApproved
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore
from reconciler.state.git.track import GitTrack
from reconciler.state.store import Recorded
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import append
from tests.git.factory import BRANCH, GitFactory, git
from tests.git.people import REF, clone, commit

APPROVED = f"approved/{CLUSTER_UUID}"


def path_of(name: str) -> str:
    """The file of an app in the namespace ``default``."""
    return f"clusters/{CLUSTER_UUID}/default/{name}.yaml"


def app(name: str, revision: int = 1) -> App:
    return make_app(name=name, revision=revision)


class Approvals:
    """``newest``: of the record, None while it is empty. ``copy``: a person's clone."""

    def __init__(self, factory: GitFactory, store: GitStore) -> None:
        self.factory = factory
        self._store = store
        self.newest: Recorded | None = None
        self._copy: Path | None = None

    @property
    def track(self) -> GitTrack:
        return self._store.track(CLUSTER_UUID)

    @property
    def approved(self) -> GitApproved:
        return self._store.approved(CLUSTER_UUID)

    async def restart(self) -> None:
        """The program ends and begins again; of a remote, another clone is made."""
        await self._store.close()
        self._store = await self.factory.open()
        self.newest = await self.track.tip()

    async def record(self, **revisions: int) -> Recorded:
        """The cluster has these apps, each at a revision."""
        snapshot = make_snapshot(*(app(name, revision) for name, revision in revisions.items()))
        self.newest = await append(self.track, snapshot, self.newest)
        return self.newest

    async def read(self, since: str = "") -> Approval:
        return await self.approved.read(since, self.newest)

    async def tip(self) -> str:
        return await self.approved.tip()

    # What people do

    @property
    def copy(self) -> Path:
        if self._copy is None:
            self._copy = clone(self.factory.repository)
        git(self._copy, "fetch", "--quiet", "origin", f"+{REF}:refs/remotes/origin/{BRANCH}")
        return self._copy

    def approve_all(self) -> str:
        """Make the branch, or move it, to where the record is."""
        return self.push(git(self.copy, "rev-parse", f"origin/{BRANCH}").strip())

    def person(self, *arguments: str) -> str:
        """git, in a working copy of the approved branch; its newest commit after that."""
        git(self.copy, *arguments)
        return self.push("HEAD")

    def checkout(self) -> None:
        git(self.copy, "fetch", "--quiet", "origin", f"+refs/heads/{APPROVED}:refs/remotes/origin/{APPROVED}")
        git(self.copy, "checkout", "--quiet", "-B", "work", f"origin/{APPROVED}")

    def edit(self, files: dict[str, str | None]) -> str:
        commit(self.copy, files)
        return self.push("HEAD")

    def take(self, name: str, commit_: str = f"origin/{BRANCH}") -> str:
        """Approve one app as it is in a commit of the record."""
        git(self.copy, "checkout", "--quiet", commit_, "--", path_of(name))
        git(self.copy, "commit", "--quiet", "-m", f"Approve {name}")
        return self.push("HEAD")

    def push(self, commit_: str) -> str:
        git(self.copy, "push", "--quiet", "--force", "origin", f"{commit_}:refs/heads/{APPROVED}")
        return git(self.copy, "rev-parse", commit_).strip()

    def delete(self) -> None:
        git(self.copy, "push", "--quiet", "origin", f":refs/heads/{APPROVED}")


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The git processes that are started meanwhile: what each was to do."""
    started: list[str] = []
    start = Repository._start

    def noted(self: Repository, arguments: tuple[str, ...], *more: object, **named: object) -> object:
        started.append(next(word for word in arguments if not word.startswith("-") and "=" not in word))
        return start(self, arguments, *more, **named)  # type: ignore[arg-type]  # passed on as it came

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "_start", noted)
        yield started
