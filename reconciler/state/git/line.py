"""What a branch that people move has changed since it was at one of its commits.

A branch moves along a line: from its newest commit back over first parents, as forges and ``git merge`` leave
it. What the line's own commits did to a file is what was done on the branch; what merged sides did to it
counts only in so far as it came in by the merge. So ``merge -s ours`` changes nothing, whatever the other
side has, and a squash, a cherry-pick, a fast-forward and an edit in a web form all do.
"""

import msgspec

from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import boundary, reaches_boundary

_Line = list[tuple[str, str]]  # each commit with the one that it followed, "" for the first of all


class Touched(msgspec.Struct, frozen=True):
    """``paths``: what the line touched. ``leads``: whether it leads back to where it was asked from; if not,
    people have rewritten it, that a commit was made anew says nothing, and there are no paths. ``known``:
    whether enough of the history is at hand to say so.
    """

    paths: frozenset[str] = frozenset()
    leads: bool = True
    known: bool = True


def touched(repository: Repository, tip: str, since: str, directory: str) -> Touched:
    """The paths below a directory that commits of the line after ``since`` ("": from the beginning) up to
    ``tip`` touched. Both are at hand.
    """
    line = _by_first_parents(repository, tip, since)
    if line is None and since and reaches_boundary(repository, tip, since):
        return Touched(leads=False, known=False)
    if line is None:
        line = _by_any_parents(repository, tip, since)
    if line is None:
        return Touched(leads=False)
    # A line without a beginning: of its first commit at hand nobody knows what it changed.
    known = bool(since) or not boundary(repository).intersection(commit for commit, _ in line)
    return Touched(_paths(repository, line, directory), known=known)


def touched_directly(repository: Repository, tip: str, since: str, directory: str) -> frozenset[str] | None:
    """The same where ``since`` is on the line by first parents alone; else None."""
    line = _by_first_parents(repository, tip, since)
    return None if line is None else _paths(repository, line, directory)


def _paths(repository: Repository, line: _Line, directory: str) -> frozenset[str]:
    if not line:
        return frozenset()
    pairs = "".join(f"{commit} {before}".rstrip() + "\n" for commit, before in line).encode()
    shown = ("-z", "-r", "--root", "--no-renames", "--name-only", "--no-commit-id")
    listed = repository.run("diff-tree", "--stdin", *shown, "--", directory, stdin=pairs)
    names = listed.decode(errors="surrogateescape").split("\0")[:-1]
    return frozenset(name.removeprefix(f"{directory}/") for name in names)


def _by_first_parents(repository: Repository, tip: str, since: str) -> _Line | None:
    if tip == since:
        return []
    listed = _listed(repository, "--first-parent", tip, *([f"^{since}"] if since else []))
    line = [(commit, parents[0] if parents else "") for commit, parents in listed.items()]
    return line if not since or (line and line[-1][1] == since) else None


def _by_any_parents(repository: Repository, tip: str, since: str) -> _Line | None:
    """By the first of each commit's parents that leads back: somebody merged the branch into another one,
    and moved it there."""
    after = _listed(repository, "--ancestry-path", tip, f"^{since}")
    line, at = [], tip
    while at != since:
        before = next((each for each in after.get(at, []) if each == since or each in after), None)
        if before is None:
            return None
        line.append((at, before))
        at = before
    return line


def _listed(repository: Repository, *arguments: str) -> dict[str, list[str]]:
    """Commits with their parents, children first."""
    lines = repository.text("rev-list", "--topo-order", "--parents", *arguments).splitlines()
    return {commit: parents for commit, *parents in (line.split(" ") for line in lines)}
