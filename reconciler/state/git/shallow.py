"""The end of a shallow history: commits whose parents were not fetched.

git shows such a commit as if it had no parents, hence as if it had added every file that it has. Whoever
asks what a commit changed, or what is an ancestor of what, must know whether the answer rests on that.
"""

from reconciler.state.git.plumbing import Repository


def is_shallow(repository: Repository) -> bool:
    """Whether some history is not at hand."""
    return bool(boundary(repository))


def boundary(repository: Repository) -> frozenset[str]:
    """The commits whose parents are not at hand."""
    try:
        return frozenset((repository.path / "shallow").read_text().split())
    except FileNotFoundError:
        return frozenset()


def reaches_boundary(repository: Repository, tip: str, *without: str, since: int = 0) -> bool:
    """Whether ``tip`` and its ancestors, without those of others, have one whose parents are not at hand.

    ``since``: seconds, UTC; only commits made after that count.
    """
    ends = boundary(repository)
    if not ends:
        return False
    newer = (f"--since-as-filter={since}",) if since else ()
    excluded = [f"^{commit}" for commit in without]
    first = repository.text("rev-list", "--max-parents=0", *newer, tip, *excluded)
    return not ends.isdisjoint(first.split())
