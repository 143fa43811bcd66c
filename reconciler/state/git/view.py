"""What a branch is to one cluster: our newest revision, and what others have done since.

Nothing is written here but the cache's copy of the branch. Most looks find nothing new and cost one
request; of a long history only what is new is searched.
"""

from collections.abc import Mapping

import msgspec

from reconciler.errors import StoreError
from reconciler.state.git import edits as git_edits
from reconciler.state.git import layout, objects
from reconciler.state.git import search as git_search
from reconciler.state.git.branches import Branches
from reconciler.state.git.history import directory_at
from reconciler.state.git.keeping import Keeping
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import reaches_boundary
from reconciler.state.git.snapshots import Snapshots
from reconciler.state.store import Repair, Revision, Trailer

_FOR_A_MISSING_DIRECTORY = 2  # deepenings, to 1,000 commits: for longer nobody misses it


class View(msgspec.Struct, frozen=True):
    """The branch as it was looked at.

    ``tip``: its newest commit, None when there is no such branch; ``base``: what the next commit is built
    on, which is the last known one of a branch that was deleted; ``tree``: of our directory in it.
    ``revision``: our newest (``is_own``), or what others imported; ``left``: the tree of our directory in
    it. ``vanished``: our newest commit, when the branch has lost it. ``beside``: branches for people.
    """

    tip: str | None
    base: str | None = None
    tree: str | None = None
    revision: Revision | None = None
    left: str | None = None
    is_own: bool = False
    edits: tuple[git_edits.Edit, ...] = ()
    repairs: tuple[Repair, ...] = ()
    vanished: str | None = None
    beside: Mapping[str, str] = {}

    @property
    def is_deleted(self) -> bool:
        """Whether the branch was there once, with a commit of ours."""
        return self.tip is None and self.revision is not None


class Looking:
    """Looks at one branch for one cluster. Its methods block; one at a time."""

    def __init__(
        self,
        repository: Repository,
        branches: Branches,
        snapshots: Snapshots,
        keeping: Keeping,
        *,
        cluster_uuid: str,
        ref: str,
    ) -> None:
        self._repository = repository
        self._branches = branches
        self._snapshots = snapshots
        self._keeping = keeping
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref

    def look(self, previous: View | None) -> View:
        """The branch as it is now. ``previous``: what this gave last, if all of that is still at hand.

        Raises StoreError when the branch cannot be reached, FormatError when a newer program wrote our
        directory, or something else is in its place.
        """
        tip, beside = self._branches.look(self._ref, *self._keeping.patterns)
        if previous is None:
            self._keeping.reload()
        if previous is None or previous.tip != tip:
            previous = self._view_of(tip, previous)
        return msgspec.structs.replace(previous, beside=beside)

    def _view_of(self, tip: str | None, previous: View | None) -> View:
        known = self._known(previous)
        if tip is None:
            return View(None) if known is None else self._deleted(known)
        if previous is not None and self._is_followed(previous, tip):
            own = self._newest_own(tip, str(previous.tip))
            return self._at(tip, own or known, since=previous)
        if known is None:
            return self._at(tip, self._newest_own(tip))
        if git_search.contains(self._repository, self._branches, self._ref, tip, known.id):
            return self._at(tip, self._newest_own(tip, known.id) or known)
        # Somebody who rebased the branch has made our commits anew: the newest of these stands for ours.
        own = self._newest_own(tip, known.id)
        return self._at(tip, own or known, vanished=known.id)

    def _is_followed(self, previous: View, tip: str) -> bool:
        """Whether the branch only got longer."""
        seen = previous.tip
        return (
            seen is not None
            and previous.vanished is None
            and objects.is_ancestor(self._repository, seen, of=tip)
        )

    def _known(self, previous: View | None) -> Revision | None:
        if previous is not None:
            return previous.revision if previous.is_own else None
        own = self._keeping.own()
        return None if own is None else objects.revision_of(self._repository, own)

    def _newest_own(self, tip: str, *without: str) -> Revision | None:
        deepened = 0
        while True:
            own = git_search.newest_own(
                self._repository, tip, *without, cluster_uuid=self._cluster_uuid, is_ours=self._is_ours
            )
            # What descends from ours may hide behind the end of the history, too.
            if not reaches_boundary(self._repository, tip, *without, *([own.id] if own else [])):
                return own
            if own is None and deepened == _FOR_A_MISSING_DIRECTORY and self._entry(tip) is None:
                return None
            if not self._branches.deepen(self._ref):
                return own
            deepened += 1

    def _is_ours(self, revision: Revision) -> bool:
        entry = objects.entry_at(self._repository, revision.id, self._directory)
        digest = revision.message.trailer(Trailer.SNAPSHOT)
        return entry is not None and entry.kind == "tree" and self._snapshots.has_digest(entry.oid, digest)

    def _entry(self, commit: str) -> objects.Entry | None:
        return directory_at(self._repository, commit, self._directory, self._ref)

    def _at(
        self, tip: str, own: Revision | None, *, since: View | None = None, vanished: str | None = None
    ) -> View:
        entry = self._entry(tip)
        tree = None if entry is None else entry.oid
        if own is None:
            return self._imported(tip, tree, since)
        return self._edited(View(tip, tip, tree, own, is_own=True, vanished=vanished), since)

    def _deleted(self, own: Revision) -> View:
        seen = self._branches.last_seen(self._ref)
        if seen is None or not objects.is_ancestor(self._repository, own.id, of=seen):
            seen = own.id
        entry = self._entry(seen)
        return self._edited(View(None, seen, None if entry is None else entry.oid, own, is_own=True), None)

    def _imported(self, tip: str, tree: str | None, since: View | None) -> View:
        """No commit of ours is in the branch: a directory that somebody else brought is the beginning."""
        if tree is None:
            return View(tip, tip)
        newer = (
            since.tip if since is not None and since.tip is not None and since.revision is not None else ""
        )
        revision = objects.last_revision(self._repository, tip, self._directory, since=newer)
        if revision is None and since is not None:
            revision = since.revision
        if revision is None:
            raise StoreError(f"no commit of {self._ref} says when {self._directory} was made")
        return View(tip, tip, tree, revision, tree)

    def _edited(self, view: View, since: View | None) -> View:
        """The same with what is not as our revision left it."""
        own = view.revision
        assert own is not None and view.base is not None  # noqa: S101, PT018 - called with both
        if since is not None and since.revision is not None and since.revision.id == own.id:
            left = since.left
        else:
            entry = self._entry(own.id)
            left = None if entry is None else entry.oid
        if left is None:
            raise StoreError(f"{self._directory} is not in the commit {own.id}, which recorded it")
        edited = git_edits.edits(self._repository, left, view.tree)
        if not edited:
            return msgspec.structs.replace(view, left=left)
        who = git_edits.authors(
            self._repository, edited, own=own.id, tip=view.base, directory=self._directory
        )
        name = self._ref.removeprefix("refs/heads/")
        otherwise = f"when the branch {name} was rewritten" if view.vanished else ""
        repairs = git_edits.repairs(edited, who, otherwise=otherwise)
        return msgspec.structs.replace(view, left=left, edits=edited, repairs=repairs)
