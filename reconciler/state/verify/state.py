"""What is known of a track at one commit: the directory, and what people did to it since our last. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from reconciler.state.verify.directory import Directory


class Edit(msgspec.Struct, frozen=True):
    """A commit that is not the reconciler's. ``after``: what it made of each path of the record ("": gone).

    ``str()`` is a clause that follows the commit.
    """

    commit: str
    author: str
    after: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        paths = [path for path, _ in self.after]
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        return f"by {self.author} changed {', '.join(paths[:3])}{more}"


class State(msgspec.Struct):
    """``own``: the number of the newest own commit that this one is built on, 0 before the first.

    ``edits``: what people did since; ``base``: the files as that own commit left them, while there are edits.
    """

    directory: Directory
    own: int = 0
    edits: tuple[Edit, ...] = ()
    base: Mapping[str, str] = {}

    def edit(self, commit: str, author: str, before: Mapping[str, str]) -> Edit:
        """Take note of an edit; ``before``: what was at the paths that it changed."""
        now = self.directory.files
        if not self.edits:
            base = {**now, **before}
            self.base = {path: entry for path, entry in base.items() if entry}
        edit = Edit(commit, author, tuple((path, now.get(path, "")) for path in sorted(before)))
        self.edits = (*self.edits, edit)
        return edit

    def recorded(self, number: int) -> None:
        """The commit is the reconciler's: what was edited before is settled."""
        self.own, self.edits, self.base = number, (), {}

    def differing(self) -> set[str]:
        """The paths that are not as the reconciler left them."""
        now = self.directory.files
        return {path for path in now.keys() | self.base.keys() if now.get(path) != self.base.get(path)}

    def left_of(self, path: str) -> Edit | None:
        """The edit by which a path is still as a person left it."""
        now = self.directory.files.get(path, "")
        last = next((edit for edit in reversed(self.edits) if path in dict(edit.after)), None)
        was_edited = last is not None and dict(last.after)[path] == now != self.base.get(path, "")
        return last if was_edited else None


def merged(parents: Sequence[State]) -> tuple[State, Sequence[State]]:
    """The state that a commit is built on, from those of its parents; and of a merge, the parents'.

    The directory is the first parent's: what a commit changed is told from there.
    """
    if not parents:
        return State(Directory()), ()
    if len(parents) == 1:
        return parents[0], ()
    own = max(parent.own for parent in parents)
    edits = tuple(dict.fromkeys(edit for parent in parents for edit in parent.edits))
    newest = next(parent for parent in parents if parent.own == own)
    base = newest.base if newest.edits else dict(newest.directory.files)
    return State(parents[0].directory, own, edits, base if edits else {}), parents


def edited(state: State, before: Mapping[str, str], newest: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    """What was at the paths of the record that a commit changed, by people's doing.

    ``before``: what was at the paths that differ from its first parent. ``newest``: of a merge, the files
    of the parents that have the reconciler's newest commit: to be as one of those is no change.
    """
    now = state.directory.files
    if not newest:
        return before
    if any(now == files for files in newest):
        return {}
    was = newest[0]
    return {
        path: was.get(path, "") for path in now.keys() | was.keys() if now.get(path, "") != was.get(path, "")
    }
