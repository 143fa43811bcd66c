"""What others have done to our files since our newest commit: which file, how, who, in which commit.

Ours are ``cluster.yaml`` and the apps' files. Whatever else lies in our directory is somebody's and stays.
"""

from collections.abc import Iterable, Mapping

import msgspec

from reconciler.model import AppKey
from reconciler.state.git import layout, objects
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.shallow import boundary
from reconciler.state.store import Repair

SHORT = 8
"""Digits of a hash for people."""

_LONGEST_NAME = 60


class Edit(msgspec.Struct, frozen=True):
    """One file below our directory. ``was``: as we left it; ``now``: as it is; None: not there."""

    file: str
    was: objects.Entry | None
    now: objects.Entry | None

    @property
    def key(self) -> AppKey | None:
        return layout.key_of(self.file)

    @property
    def how(self) -> str:
        return "added" if self.was is None else "deleted" if self.now is None else "edited"


class Author(msgspec.Struct, frozen=True):
    """Who made a commit (a name, without an address), and its hash."""

    name: str
    commit: str


def edits(repository: Repository, was: str, now: str | None) -> tuple[Edit, ...]:
    """How our files in a tree of our directory differ from those in another (None: there is none)."""
    if was == now:
        return ()
    left = objects.entries_of(repository, was, recursive=True)
    found = objects.entries_of(repository, now, recursive=True) if now is not None else {}
    return tuple(
        Edit(file, left.get(file), found.get(file))
        for file in sorted(left.keys() | found.keys())
        if left.get(file) != found.get(file)
        and (file == layout.CLUSTER_FILE or layout.key_of(file) is not None)
    )


def authors(
    repository: Repository, edited: Iterable[Edit], *, own: str, tip: str, directory: str
) -> Mapping[str, Author]:
    """By file, whoever made it what it is, in commits of ``tip`` that are not in ``own``.

    Files of which no such commit tells are left out.
    """
    wanted = {f"{directory}/{edit.file}": (edit.now.oid if edit.now else "") for edit in edited}
    # A commit whose parents are not at hand looks as if it had made everything.
    unknown = boundary(repository)
    found: dict[str, Author] = {}
    by_merge: dict[str, Author] = {}
    for change in objects.changes_below(repository, tip, directory, without=own):
        is_it = change.path in wanted and change.after == wanted[change.path]
        if is_it and change.commit not in unknown:
            # A merge only brought what another commit made, unless no other did.
            (by_merge if change.is_merge else found).setdefault(
                change.path, Author(layout.one_line(change.author)[:_LONGEST_NAME], change.commit)
            )
    merged = by_merge | found
    return {
        path.removeprefix(f"{directory}/"): author for path, author in merged.items() if author.name.strip()
    }


def repairs(edited: Iterable[Edit], who: Mapping[str, Author], *, otherwise: str) -> tuple[Repair, ...]:
    """The same for people. ``otherwise``: what to say of an edit that no commit tells of, or ""."""
    return tuple(Repair(_words(edit, who.get(edit.file), otherwise), edit.key) for edit in edited)


def _words(edit: Edit, who: Author | None, otherwise: str) -> str:
    what = f"{edit.key or edit.file} was {edit.how}"
    if who is not None:
        return f"{what} by {who.name} in {who.commit[:SHORT]}"
    return f"{what} {otherwise}" if otherwise else what
