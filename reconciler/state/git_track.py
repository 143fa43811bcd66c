"""One cluster's line of revisions in the git store.

Everything outside of the cluster's directory is other people's. Their commits, and those of other clusters
on the same branch, may come in between at any time: only a commit that touched our directory is a revision
of ours, and only such a one makes an append lose its race. On top of all others it is built again.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from reconciler.changes.change import Changeset
from reconciler.errors import LostRaceError, StoreError
from reconciler.model import App, AppKey, Snapshot
from reconciler.state import git_layout as layout
from reconciler.state import git_objects as objects
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.git_branches import Branches
from reconciler.state.git_history import GitHistory, directory_at
from reconciler.state.git_plumbing import Repository
from reconciler.state.git_retry import until_landed
from reconciler.state.git_snapshots import Snapshots
from reconciler.state.signing import Signing
from reconciler.state.store import Message, Recorded, Revision

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class _Performer(Protocol):
    """What a track needs of its store."""

    def perform(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...

    def stream(self, commit: str, path: str) -> AsyncGenerator[Revision, None]: ...

    def appended(self) -> bool: ...


class _View(msgspec.Struct, frozen=True):
    """What the branch was when it was last looked at: its tip, and our newest revision in it.

    ``tree``: of our directory; the same tree is the same snapshot.
    """

    commit: str
    tree: str
    revision: Revision


class GitTrack:
    """The observed track of one cluster. Its state is touched by one operation of the store at a time."""

    def __init__(
        self,
        store: _Performer,
        repository: Repository,
        branches: Branches,
        *,
        cluster_uuid: str,
        ref: str,
        author: str,
        signing: Signing | None = None,
        subject_suffix: str = "",
    ) -> None:
        self._store = store
        self._repository = repository
        self._branches = branches
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref
        self._author = author
        self._signing = signing
        self._subject_suffix = subject_suffix
        self._view: _View | None = None
        self._snapshots = Snapshots(repository, cluster_uuid, ref)
        self._history = GitHistory(repository, branches, self._snapshots, cluster_uuid=cluster_uuid, ref=ref)

    async def tip(self) -> Recorded | None:
        return await self._store.perform(self._tip)

    async def append(
        self,
        snapshot: Snapshot,
        changes: Changeset,
        message: Message,
        *,
        on: Recorded | None,
        happened: datetime,
        recorded: datetime,
    ) -> Recorded:
        """As the protocol says; ValueError for changes that do not lead from ``on`` to ``snapshot``."""
        tidied = layout.tidy(message, self._subject_suffix)
        if self._signing is not None:
            await self._signing.prepare()

        files: dict[str, bytes | None] = {}

        def work() -> Recorded | None:
            files.update(files or self._files(snapshot, changes, on))

            def make(parent: str | None) -> str:
                return objects.make_commit(
                    self._repository,
                    parent=parent,
                    files=files,
                    message=tidied,
                    author=self._author,
                    happened=happened,
                    recorded=recorded,
                    sign=None if self._signing is None else self._signing.sign,
                )

            appended = self._append(make, None if on is None else on.revision.id)
            if appended is None:
                return None
            commit, tree = appended
            revision = Revision(
                id=commit,
                message=layout.parse_message(tidied.render()),
                happened=layout.moment(int(happened.timestamp())),
                recorded=layout.moment(int(recorded.timestamp())),
            )
            self._view = _View(commit, tree, revision)
            self._snapshots.remember(tree, snapshot, written=len(changes.apps))
            if self._store.appended():
                self._fetch_again()
            return Recorded(revision, snapshot)

        return await until_landed(lambda: self._store.perform(work), what=self._ref)

    @property
    def notices(self) -> tuple[str, ...]:
        return ()

    async def protest(self, instance: str, against: str) -> None:
        pass

    async def withdraw(self) -> None:
        pass

    async def history(self, app: AppKey | None = None) -> AsyncGenerator[Revision, None]:
        path = self._directory if app is None else f"{self._directory}/{layout.app_file(app)}"
        tip = await self._store.perform(lambda: self._branches.tip(self._ref))
        if tip is None:
            return
        async with aclosing(self._store.stream(tip, path)) as found:
            async for revision in found:
                yield revision

    async def at(self, revision: str) -> Recorded:
        return await self._store.perform(lambda: self._history.at(revision))

    async def departed(self, since: datetime) -> tuple[App, ...]:
        return await self._store.perform(lambda: self._history.departed(int(since.timestamp())))

    async def before(self, revision: str) -> Recorded | None:
        return await self._store.perform(lambda: self._history.before(revision))

    def keep(self) -> None:
        """Before the end: write down what makes the next start a quick one. Blocks."""
        self._snapshots.keep(at_end=True)

    def _look(self) -> tuple[str | None, _View | None]:
        """The branch's newest commit, and what it is to us: None when our directory is not in it."""
        view, self._view = self._view, None
        tip = self._branches.tip(self._ref)
        if tip is None:
            return None, None
        if view is None or view.commit != tip:
            entry = self._entry(tip)
            if entry is None:
                return tip, None
            # Of a long history only what is new is searched, as long as it has not been rewritten.
            known = view if view and objects.is_ancestor(self._repository, view.commit, of=tip) else None
            since = known.commit if known else ""
            revision = objects.last_revision(self._repository, tip, self._directory, since=since)
            if revision is None and known is not None:
                revision = known.revision
            if revision is None:
                raise StoreError(f"no commit of {self._ref} says when {self._directory} was made")
            view = _View(tip, entry.oid, revision)
        self._view = view
        return tip, view

    def _entry(self, commit: str) -> objects.Entry | None:
        return directory_at(self._repository, commit, self._directory, self._ref)

    def _tip(self) -> Recorded | None:
        _, view = self._look()
        return None if view is None else self._recorded(view)

    def _recorded(self, view: _View) -> Recorded:
        digest = view.revision.message.trailer("Snapshot")
        return Recorded(view.revision, self._snapshots.read(view.tree, digest, is_tip=True))

    def _fetch_again(self) -> None:
        """At once, so that what is known of the branch is not lost with the cache that was made again."""
        try:
            self._branches.tip(self._ref)
        except StoreError as error:
            _logger.warning("the cache is empty until the next look: %s", error)

    def _append(self, make: Callable[[str | None], str], expected: str | None) -> tuple[str, str] | None:
        """The commit that was appended, and the tree of our directory in it; None when others came first."""
        tip, view = self._look()
        if (None if view is None else view.revision.id) != expected:
            if view is not None:
                self._snapshots.check_format(view.tree)  # a newer format says so
            raise LostRaceError(f"{self._directory} in {self._ref} is not at the commit that was built on")
        commit = make(tip)
        entry = self._entry(commit)
        if entry is None or (view is not None and entry.oid == view.tree):
            raise ValueError("the changes change nothing")
        return (commit, entry.oid) if self._branches.advance(self._ref, old=tip, new=commit) else None

    def _files(self, snapshot: Snapshot, changes: Changeset, on: Recorded | None) -> dict[str, bytes | None]:
        """What the changes write, and delete (None), by path in the repository."""
        apps = dict(on.snapshot.apps) if on is not None else {}
        files: dict[str, bytes | None] = {}
        for change in changes:
            path = f"{self._directory}/{layout.app_file(change.key)}"
            if change.after is None:
                apps.pop(change.key, None)
                files[path] = None
            else:
                apps[change.key] = change.after
                files[path] = dump_app(change.after)
        if on is None or on.snapshot.cluster != snapshot.cluster:
            files[f"{self._directory}/{layout.CLUSTER_FILE}"] = dump_cluster(snapshot.cluster)
        # What the next tip would read must be what the caller is told that it recorded.
        if snapshot.cluster_uuid != self._cluster_uuid or apps != dict(snapshot.apps):
            raise ValueError("the changes do not lead from the snapshot that was built on to the new one")
        if not files:
            raise ValueError("the changes change nothing")
        return files
