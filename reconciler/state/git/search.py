"""Finding the newest commit of our own among everybody's.

A commit is ours when it says so and proves it: it has the trailers ``Cluster-UUID`` (of this cluster),
``Instance`` and ``Snapshot``, and what our directory holds in it has that digest. Whoever edits a commit's
files, or copies its message, does not make it ours.
"""

from collections.abc import Callable

from reconciler.state.git import objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import reaches_boundary
from reconciler.state.store import Message, Revision, Trailer

_AT_ONCE = 20
_CANDIDATES = 200  # that say that they are ours; so many in a row that are not are no accident


def says_ours(message: Message, cluster_uuid: str) -> bool:
    """Whether the trailers are those of a commit of the reconciler's for this cluster."""
    return (
        message.trailer(Trailer.CLUSTER_UUID) == cluster_uuid
        and message.trailer(Trailer.INSTANCE) != ""
        and message.trailer(Trailer.SNAPSHOT) != ""
    )


def newest_own(
    repository: Repository,
    tip: str,
    *without: str,
    cluster_uuid: str,
    is_ours: Callable[[Revision], bool],
) -> Revision | None:
    """The newest commit of ours in ``tip`` and its ancestors, without those of others; None if there is none.

    ``is_ours`` looks at the digest. No commit comes before one that it descends from, whatever their dates
    say; of two lines that were merged, the one that was recorded later counts. Only what is at hand is
    searched.
    """
    words = (f"{Trailer.CLUSTER_UUID}: {cluster_uuid}", f"{Trailer.INSTANCE}: ", f"{Trailer.SNAPSHOT}: ")
    seen = 0
    while seen < _CANDIDATES:
        # One at first: it nearly always is ours.
        limit = 1 if seen == 0 else _AT_ONCE
        found = objects.revisions_saying(repository, tip, *without, words=words, skip=seen, limit=limit)
        for revision in found:
            if says_ours(revision.message, cluster_uuid) and is_ours(revision):
                # Where a clock was wrong, git does not leave out all that it should.
                older = any(objects.is_ancestor(repository, revision.id, of=each) for each in without)
                return None if older else revision
        if len(found) < limit:
            return None
        seen += len(found)
    return None


def contains(repository: Repository, branches: Branches, ref: str, tip: str, commit: str) -> bool:
    """Whether the branch that is at ``tip`` has the commit, which is at hand, in its history.

    As much of the history is fetched as it takes to know.
    """
    while not objects.is_ancestor(repository, commit, of=tip):
        if not reaches_boundary(repository, tip, commit) or not branches.deepen(ref):
            return False
    return True
