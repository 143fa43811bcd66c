"""One cluster's line of revisions in the git store.

Everything outside of the cluster's directory is other people's. Their commits, and those of other clusters
on the same branch, may come in between at any time: only a commit that touched our directory is a revision
of ours, and only such a one makes an append lose its race. On top of all others it is built again.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from reconciler.changes.change import Changeset
from reconciler.errors import FormatError, LostRaceError, StoreError, UsageError
from reconciler.model import App, AppKey, Cluster, Snapshot, snapshot_of
from reconciler.state import git_layout as layout
from reconciler.state import git_objects as objects
from reconciler.state.documents import dump_app, dump_cluster, load_app, load_cluster
from reconciler.state.git_branches import Branches
from reconciler.state.git_plumbing import Repository
from reconciler.state.signing import Signing
from reconciler.state.store import Message, Recorded, Revision

_Result = TypeVar("_Result")

# How often one append is built again on top of other clusters' commits. Each attempt that fails means
# that another one's succeeded.
_ATTEMPTS = 10

_LEAST = 4  # digits that git takes for an abbreviated hash
_HASH_PREFIX = re.compile(rf"[0-9a-f]{{{_LEAST},64}}")


class _Performer(Protocol):
    """What a track needs of its store."""

    def perform(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...

    def stream(self, commit: str, path: str) -> AsyncGenerator[Revision, None]: ...

    def appended(self) -> None: ...


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
    ) -> None:
        self._store = store
        self._repository = repository
        self._branches = branches
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref
        self._author = author
        self._signing = signing
        self._view: _View | None = None
        self._read: tuple[str, Snapshot] | None = None  # the tree that was read or written last

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
        tidied = layout.tidy(message)
        if self._signing is not None:
            await self._signing.prepare()

        def work() -> Recorded:
            files = self._files(snapshot, changes, on)

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

            commit, tree = self._append(make, None if on is None else on.revision.id)
            revision = Revision(
                id=commit,
                message=layout.parse_message(tidied.render()),
                happened=layout.moment(int(happened.timestamp())),
                recorded=layout.moment(int(recorded.timestamp())),
            )
            self._view = _View(commit, tree, revision)
            self._read = (tree, snapshot)
            self._store.appended()
            return Recorded(revision, snapshot)

        return await self._store.perform(work)

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
        return await self._store.perform(lambda: self._at(revision))

    async def departed(self, since: datetime) -> tuple[App, ...]:
        return await self._store.perform(lambda: self._departed(int(since.timestamp())))

    async def before(self, revision: str) -> Recorded | None:
        return await self._store.perform(lambda: self._before(revision))

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
        entry = objects.entry_at(self._repository, commit, self._directory)
        if entry is not None and entry.kind != "tree":
            raise FormatError(f"{self._directory} in {self._ref} is not a folder: remove it from the branch")
        return entry

    def _tip(self) -> Recorded | None:
        _, view = self._look()
        return None if view is None else Recorded(view.revision, self._snapshot(view.tree))

    def _append(self, make: Callable[[str | None], str], expected: str | None) -> tuple[str, str]:
        """The commit that was appended, and the tree of our directory in it."""
        for _ in range(_ATTEMPTS):
            tip, view = self._look()
            if (None if view is None else view.revision.id) != expected:
                if view is not None:
                    self._cluster(objects.entries_of(self._repository, view.tree))  # a newer format says so
                raise LostRaceError(
                    f"{self._directory} in {self._ref} is not at the commit that was built on"
                )
            commit = make(tip)
            entry = self._entry(commit)
            if entry is None or (view is not None and entry.oid == view.tree):
                raise ValueError("the changes change nothing")
            if self._branches.advance(self._ref, old=tip, new=commit):
                return commit, entry.oid
        raise LostRaceError(f"{self._ref} was moved by others {_ATTEMPTS} times in a row")

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

    def _snapshot(self, tree: str) -> Snapshot:
        """The snapshot of a tree of our directory; only files that differ from the last read are read."""
        if self._read is not None and self._read[0] == tree:
            return self._read[1]
        entries = objects.entries_of(self._repository, tree, recursive=True)
        cluster = self._cluster(entries)
        wanted = {
            key: (path, entry.oid)
            for path, entry in entries.items()
            if entry.kind == "blob" and (key := layout.key_of(path)) is not None
        }
        known = self._known({oid for _, oid in wanted.values()})
        contents = objects.read_blobs(
            self._repository, [oid for _, oid in wanted.values() if oid not in known]
        )
        apps = []
        for key, (path, oid) in wanted.items():
            app = known[oid] if oid in known else load_app(contents[oid], f"{self._directory}/{path}")
            if app.key != key:
                raise FormatError(
                    f"{self._directory}/{path} holds the app {app.key}: restore it from the history"
                )
            apps.append(app)
        snapshot = snapshot_of(self._cluster_uuid, cluster, apps)
        self._read = (tree, snapshot)
        return snapshot

    def _known(self, oids: set[str]) -> dict[str, App]:
        """Of these blobs, those that the last read had as well."""
        if self._read is None:
            return {}
        tree, snapshot = self._read
        return {
            entry.oid: snapshot.apps[key]
            for path, entry in objects.entries_of(self._repository, tree, recursive=True).items()
            if entry.oid in oids and (key := layout.key_of(path)) is not None
        }

    def _cluster(self, entries: Mapping[str, objects.Entry]) -> Cluster:
        """What ``cluster.yaml`` says; FormatError when it is a newer program's, or not there."""
        where = f"{self._directory}/{layout.CLUSTER_FILE}"
        entry = entries.get(layout.CLUSTER_FILE)
        if entry is None or entry.kind != "blob":
            raise FormatError(f"{where} is missing in {self._ref}: restore it from the history")
        return load_cluster(objects.read_blobs(self._repository, [entry.oid])[entry.oid], where)

    def _at(self, prefix: str) -> Recorded:
        revision = self._find(prefix)
        recorded = self._recorded(revision)
        if recorded is None:
            raise UsageError(f"the revision {prefix} removed the state of cluster {self._cluster_uuid}")
        return recorded

    def _before(self, prefix: str) -> Recorded | None:
        found = objects.revisions(self._repository, self._find(prefix).id, self._directory, limit=2)
        return self._recorded(found[1]) if len(found) > 1 else None

    def _departed(self, since: int) -> tuple[App, ...]:
        tip = self._branches.tip(self._ref)
        if tip is None:
            return ()
        blobs = {
            path: oid
            for path, oid in objects.deleted(self._repository, tip, self._directory, since=since).items()
            if layout.key_of(path.removeprefix(f"{self._directory}/")) is not None
        }
        contents = objects.read_blobs(self._repository, blobs.values())
        return tuple(load_app(contents[oid], path) for path, oid in sorted(blobs.items()))

    def _recorded(self, revision: Revision) -> Recorded | None:
        entry = self._entry(revision.id)
        return None if entry is None else Recorded(revision, self._snapshot(entry.oid))

    def _find(self, prefix: str) -> Revision:
        """The revision of that id, or of that beginning of one."""
        if not _HASH_PREFIX.fullmatch(prefix):
            raise UsageError(
                f"{prefix!r} is not a revision: give at least {_LEAST} digits of a commit's hash"
            )
        tip = self._branches.tip(self._ref)
        found = [] if tip is None else self._matching(prefix, tip)
        if not found:
            raise UsageError(f"cluster {self._cluster_uuid} has no revision {prefix} in {self._ref}")
        if len(found) > 1:
            raise UsageError(f"{prefix} is the beginning of {len(found)} revisions: give more digits")
        return found[0]

    def _matching(self, prefix: str, tip: str) -> list[Revision]:
        found = []
        for commit in objects.commits_beginning(self._repository, prefix):
            if objects.is_ancestor(self._repository, commit, of=tip):
                revision = objects.last_revision(self._repository, commit, self._directory)
                if revision is not None and revision.id == commit:
                    found.append(revision)
        return found
