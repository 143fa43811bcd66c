"""Reading one cluster's past in the git store: what a revision held, what came before it, what left."""

import re
from collections.abc import Sequence

from reconciler.errors import FormatError, UsageError
from reconciler.model import App
from reconciler.state.documents import load_app
from reconciler.state.git import layout, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import boundary, is_shallow, reaches_boundary
from reconciler.state.git.snapshots import Snapshots
from reconciler.state.store import Recorded, Revision, Trailer

_LEAST = 4  # digits that git takes for an abbreviated hash
_HASH_PREFIX = re.compile(rf"[0-9a-f]{{{_LEAST},64}}")


class GitHistory:
    """The past of one cluster's directory in one branch. Its methods block; one at a time."""

    def __init__(
        self,
        repository: Repository,
        branches: Branches,
        snapshots: Snapshots,
        *,
        cluster_uuid: str,
        ref: str,
    ) -> None:
        self._repository = repository
        self._branches = branches
        self._snapshots = snapshots
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = ref

    def at(self, prefix: str) -> Recorded:
        """The revision whose hash begins so; UsageError if there is none, or more than one."""
        revision = self._find(prefix)
        recorded = self._recorded(revision)
        if recorded is None:
            raise UsageError(f"the revision {prefix} removed the state of cluster {self._cluster_uuid}")
        return recorded

    def before(self, prefix: str) -> Recorded | None:
        """The revision that came before it, or None."""
        revision = self._find(prefix)
        found = self._two(revision.id)
        if not self._are_sure(found, 2):
            self.whole()
            found = self._two(revision.id)
        return self._recorded(found[1]) if len(found) > 1 else None

    def whole(self) -> str | None:
        """The branch's newest commit, or None, with all of its history at hand."""
        tip = self._branches.tip(self._ref)
        if tip is not None and reaches_boundary(self._repository, tip):
            self._branches.deepen(self._ref, whole=True)
        return tip

    def departed(self, since: int) -> tuple[App, ...]:
        """The apps whose files were deleted after ``since`` (seconds, UTC), each as it was last."""
        tip = self._branches.tip(self._ref)
        if tip is None:
            return ()
        # A commit whose parents are not at hand tells nothing of what it deleted. How far back is far
        # enough is told by its date.
        while reaches_boundary(self._repository, tip, since=since) and self._branches.deepen(self._ref):
            pass
        blobs = {
            path: oid
            for path, oid in objects.deleted(self._repository, tip, self._directory, since=since).items()
            if layout.key_of(path.removeprefix(f"{self._directory}/")) is not None
        }
        contents = objects.read_blobs(self._repository, blobs.values())
        return tuple(load_app(contents[oid], path) for path, oid in sorted(blobs.items()))

    def _two(self, commit: str) -> tuple[Revision, ...]:
        return objects.revisions(self._repository, commit, self._directory, limit=2)

    def _are_sure(self, found: Sequence[Revision], wanted: int) -> bool:
        """Whether so many were found, none of which only seems to be one as its parents are not at hand."""
        ends = boundary(self._repository)
        return not ends or (len(found) == wanted and ends.isdisjoint(each.id for each in found))

    def _recorded(self, revision: Revision) -> Recorded | None:
        entry = directory_at(self._repository, revision.id, self._directory, self._ref)
        if entry is None:
            return None
        return Recorded(revision, self._snapshots.read(entry.oid, revision.message.trailer(Trailer.SNAPSHOT)))

    def _find(self, prefix: str) -> Revision:
        """The revision of that id, or of that beginning of one."""
        if not _HASH_PREFIX.fullmatch(prefix):
            raise UsageError(
                f"{prefix!r} is not a revision: give at least {_LEAST} digits of a commit's hash"
            )
        tip = self._branches.tip(self._ref)
        found = [] if tip is None else self._matching(prefix, tip)
        # Of the beginning of a hash, there may be another one further back.
        sure = tip is not None and len(prefix) == len(tip) and self._are_sure(found, 1)
        if tip is not None and is_shallow(self._repository) and not sure:
            self.whole()
            found = self._matching(prefix, tip)
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


def directory_at(repository: Repository, commit: str, directory: str, branch: str) -> objects.Entry | None:
    """A cluster's directory in a commit, or None; FormatError when something else is in its place."""
    entry = objects.entry_at(repository, commit, directory)
    above = entry if entry is not None else objects.entry_at(repository, commit, layout.ROOT)
    if above is not None and above.kind != "tree":
        name = directory if entry is not None else layout.ROOT
        raise FormatError(f"{name} in {branch} is not a folder: remove it from the branch")
    return entry
