"""One cluster's line of revisions in the git store.

Everything outside of the cluster's directory is other people's. Their commits, and those of other clusters
on the same branch, may come in between at any time: only a commit that touched our directory is a revision
of ours, and only such a one makes an append lose its race. On top of all others it is built again.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from reconciler.changes.change import Changeset
from reconciler.errors import LostRaceError, StoreError
from reconciler.model import App, AppKey, Snapshot
from reconciler.state.git import layout, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.edits import SHORT, edits
from reconciler.state.git.history import GitHistory
from reconciler.state.git.keeping import Keeping, is_open_ended
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.retry import until_landed
from reconciler.state.git.snapshots import Snapshots
from reconciler.state.git.view import Looking, View
from reconciler.state.git.writing import restored, written
from reconciler.state.signing.key import Signing
from reconciler.state.store import Message, Recorded, Revision, Trailer

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")


class _Performer(Protocol):
    """What a track needs of its store."""

    def perform(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...

    def stream(self, commit: str, path: str) -> AsyncGenerator[Revision, None]: ...

    def appended(self) -> bool: ...


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
        self._name = ref.removeprefix("refs/heads/")
        self._author = author
        self._signing = signing
        self._subject_suffix = subject_suffix
        self._view: View | None = None
        self._notices: tuple[str, ...] = ()
        self._noted: str | None = None  # our newest commit, as the local repository knows it
        self._handled: str | None = None  # the newest that the branch has lost
        self._snapshots = Snapshots(repository, cluster_uuid, ref)
        self._history = GitHistory(repository, branches, self._snapshots, cluster_uuid=cluster_uuid, ref=ref)
        self._keeping = Keeping(repository, branches, cluster_uuid=cluster_uuid, ref=ref)
        self._looking = Looking(
            repository, branches, self._snapshots, self._keeping, cluster_uuid=cluster_uuid, ref=ref
        )

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
        files: dict[str, bytes | None] = {}
        has_lost = False
        if self._signing is not None:
            await self._signing.prepare()

        def make(parent: str | None, undone: Mapping[str, bytes | None]) -> objects.Made:
            return objects.make_commit(
                self._repository,
                parent=parent,
                files={**undone, **files},
                message=tidied,
                author=self._author,
                happened=happened,
                recorded=recorded,
                sign=None if self._signing is None else self._signing.sign,
                asked=self._directory,
            )

        def attempt() -> Recorded | None:
            nonlocal has_lost
            files.update(files or written(self._directory, snapshot, changes, on))
            made = self._attempt(make, on, look=has_lost)
            if made is None:
                has_lost = True
                return None
            commit, tree = made
            revision = Revision(
                id=commit,
                message=layout.parse_message(tidied.render()),
                happened=layout.moment(int(happened.timestamp())),
                recorded=layout.moment(int(recorded.timestamp())),
            )
            self._view = View(commit, commit, tree, revision, tree, is_own=True)
            self._snapshots.remember(tree, snapshot, written=len(changes.apps))
            if self._store.appended():
                self._fetch_again(commit)
            return Recorded(revision, snapshot)

        return await until_landed(lambda: self._store.perform(attempt), what=self._ref)

    @property
    def notices(self) -> tuple[str, ...]:
        return self._notices

    async def rescue(self) -> None:
        """As the protocol says: a commit of ours that the branch lost, a branch that was deleted."""
        if self._view is None or self._is_amiss(self._view):
            await self._store.perform(lambda: self._rescue(self._view or self._look()))

    async def protest(self, instance: str, against: str) -> None:
        def work() -> None:
            view = self._look()
            if view.revision is not None:
                beside = self._keeping.protest(instance, view.revision.id, view.beside)
                self._saw(msgspec.structs.replace(view, beside=beside))

        await self._store.perform(work)

    async def withdraw(self, instance: str = "") -> None:
        def work() -> None:
            if self._keeping.has_protested():
                view = self._look()
                self._saw(msgspec.structs.replace(view, beside=self._keeping.withdraw(view.beside)))

        await self._store.perform(work)

    async def history(self, app: AppKey | None = None) -> AsyncGenerator[Revision, None]:
        path = self._directory if app is None else f"{self._directory}/{layout.app_file(app)}"
        tip = await self._store.perform(self._history.whole)
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

    def _look(self) -> View:
        previous, self._view = self._view, None
        if previous is None:  # or the repository was made again
            self._noted = self._handled = None
        view = self._looking.look(previous)
        self._saw(view)
        return view

    def _saw(self, view: View) -> None:
        deleted: tuple[str, ...] = ()
        if view.is_deleted and view.base is not None:
            at = view.base[:SHORT]
            deleted = (
                f"the branch {self._name} was deleted; it is made again as it was last known, at {at}",
            )
        self._notices = (*deleted, *self._keeping.notices(view.beside))
        self._view = view

    def _tip(self) -> Recorded | None:
        return self._recorded(self._look())

    def _recorded(self, view: View) -> Recorded | None:
        if view.revision is None or view.left is None:
            return None
        digest = view.revision.message.trailer(Trailer.SNAPSHOT)
        return Recorded(view.revision, self._snapshots.read(view.left, digest, is_tip=True), view.repairs)

    def _is_amiss(self, view: View) -> bool:
        return (
            view.is_deleted
            or view.vanished != self._handled
            or self._noted != _own_of(view)
            or self._keeping.has_protested()
        )

    def _rescue(self, view: View) -> View:
        """Keep what would be lost, as far as the remote lets us; the view as it is then."""
        if not self._is_amiss(view):
            return view
        if view.vanished is not None:
            self._keeping.note_vanished(view.vanished)
        own = _own_of(view)
        if own is not None:
            self._keeping.note_own(own)
            self._noted = own
        beside = self._keeping.rescue(self._keeping.withdraw(view.beside))
        view = msgspec.structs.replace(view, beside=beside)
        self._handled = view.vanished
        self._saw(view)
        return self._made_again(view) if view.is_deleted else view

    def _made_again(self, view: View) -> View:
        """The view of a branch that was deleted, and now is there again unless it cannot be."""
        own, base, left = _own_of(view), view.base, view.left
        assert own and base and left  # noqa: S101, PT018 - else it was never there
        try:
            self._keeping.create(self._ref, base)
        except StoreError as error:
            if is_open_ended(error):
                # The older commits are nowhere any more, and nobody takes newer ones without them.
                self._keeping.note_vanished(own)
                anew = edits(self._repository, left, None)
                view = msgspec.structs.replace(view, base=None, tree=None, edits=anew)
            self._notices = (*self._notices, f"the branch {self._name} cannot be made again: {error}")
            return view
        self._view = msgspec.structs.replace(view, tip=base)
        return self._view

    def _attempt(
        self,
        make: Callable[[str | None, Mapping[str, bytes | None]], objects.Made],
        on: Recorded | None,
        *,
        look: bool,
    ) -> tuple[str, str] | None:
        """The commit that was appended, and the tree of our directory in it; None when a race was lost.

        Without ``look`` it is built on the branch as it was seen last, if that is all as we left it: the push
        tells whether it still is.
        """
        view = self._view
        if look or view is None or self._is_amiss(view) or not _is_same(view, on):
            view = self._look()
        if not _is_same(view, on):
            if view.left is not None:
                self._snapshots.check_format(view.left)  # a newer format says so
            raise LostRaceError(f"{self._directory} in {self._ref} is not at the commit that was built on")
        view = self._rescue(view)
        self._view = None  # what fails may be the cache
        undone = restored(self._repository, self._directory, view.edits)
        made = make(view.base, undone)
        if made.entry is None or (not undone and made.entry.oid == view.tree):
            raise ValueError("the changes change nothing")
        if not self._branches.advance(
            self._ref, old=view.tip, new=made.oid, notes=self._keeping.as_own(made.oid)
        ):
            self._view = view
            return None
        self._noted = made.oid
        return made.oid, made.entry.oid

    def _fetch_again(self, own: str) -> None:
        """At once, so that what is known of the branch is not lost with the cache that was made again."""
        try:
            self._branches.tip(self._ref)
            self._keeping.reload()
            self._keeping.note_own(own)
        except StoreError as error:
            _logger.warning("the cache is empty until the next look: %s", error)


def _own_of(view: View) -> str | None:
    return view.revision.id if view.revision is not None and view.is_own else None


def _is_same(view: View, on: Recorded | None) -> bool:
    """Whether the track is as it was when ``on`` was read."""
    if on is None or view.revision is None:
        return on is None and view.revision is None
    return view.revision.id == on.revision.id and view.repairs == on.repairs
