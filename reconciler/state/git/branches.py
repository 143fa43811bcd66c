"""Where the branches are: in the local repository itself, or in a remote that it is a cache of.

Both tell a branch's newest commit, with its objects at hand, and move a branch by compare-and-swap. How
a remote is reached is decided here and nowhere else. Of a remote's history only the newest part is fetched;
who needs more of it says so.
"""

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from urllib.parse import quote

from reconciler.state.git import objects
from reconciler.state.git.network.remote import Remote
from reconciler.state.git.plumbing import GitError, Repository
from reconciler.state.git.shallow import is_shallow

_logger = logging.getLogger(__name__)

DEPTH = 10
"""Commits of a branch that is fetched for the first time. Each deepening makes it ten times as many."""

_DEEPENINGS = 3  # to 10,000 commits; then to the beginning

_ASIDE = "hossted-aside"  # in the cache's folder, where git leaves alone what it does not know

# What a remote says of a commit that it does not have, or gives to nobody who only knows its hash.
_NOT_GIVEN = re.compile(r"not our ref|unadvertised object")


class Branches(Protocol):
    """``ref`` is a full name, ``refs/heads/…``; commits are hashes.

    Raise StoreError when the branches cannot be reached, GitError (one as well) when git fails.
    """

    def tip(self, ref: str) -> str | None:
        """The branch's newest commit, or None when there is no such branch."""
        ...

    def look(self, ref: str, *beside: str) -> tuple[str | None, Mapping[str, str]]:
        """The same, and the branches that match one of the globs, whose commits may not be at hand."""
        ...

    def newest(self, ref: str) -> str | None:
        """The branch's newest commit, or None; it may not be at hand. Nothing is cheaper."""
        ...

    def bring(self, ref: str, newest: str) -> str:
        """Have at hand the commit at which the branch was just seen; the one at which it then is."""
        ...

    def last_seen(self, ref: str) -> str | None:
        """The branch's newest commit when it was last looked at, if that is known."""
        ...

    def whole(self, ref: str) -> AbstractContextManager[Repository]:
        """A repository that has, for as long as the context lasts, all of the branch's history: its commits
        and trees; files may be missing. What is at hand otherwise stays as it is.
        """
        ...

    def alone(self, commit: str, ref: str) -> AbstractContextManager[Repository | None]:
        """Likewise a repository that has a commit with all of its files; None when it cannot be had.

        ``ref``: the branch on which it was, for remotes that give nothing to who only knows a hash.
        """
        ...

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The refs that match a glob."""
        ...

    def advance(self, ref: str, *, old: str | None, new: str, notes: Mapping[str, str] | None = None) -> bool:
        """Move the branch from ``old`` (None: it must not exist) to its child ``new``; durable on return.

        False when the branch is not at ``old`` any more: nothing was moved. StoreError for all else.
        ``notes``: local refs, outside of ``refs/heads/``, that are set when it was.
        """
        ...

    def create(self, ref: str, commit: str) -> None:
        """Make a branch that must not exist, unless it is already at this commit."""
        ...

    def delete(self, ref: str, commit: str) -> None:
        """Delete a branch that must be at this commit, unless it is gone already."""
        ...

    def deepen(self, ref: str, *, whole: bool = False) -> bool:
        """Have more of the branch's history at hand, or all; False when there is no more to be had."""
        ...


class LocalBranches:
    """The repository is the store."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def tip(self, ref: str) -> str | None:
        return refs_matching(self._repository, ref).get(ref)

    def look(self, ref: str, *beside: str) -> tuple[str | None, Mapping[str, str]]:
        found = dict(refs_matching(self._repository, ref, *beside))
        return found.pop(ref, None), found

    def newest(self, ref: str) -> str | None:
        return self.tip(ref)

    def bring(self, ref: str, newest: str) -> str:
        return newest

    def last_seen(self, ref: str) -> str | None:
        return None

    def whole(self, ref: str) -> AbstractContextManager[Repository]:
        return nullcontext(self._repository)

    def alone(self, commit: str, ref: str) -> AbstractContextManager[Repository | None]:
        return nullcontext(self._repository if objects.has_commit(self._repository, commit) else None)

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(refs_matching(self._repository, pattern))

    def advance(self, ref: str, *, old: str | None, new: str, notes: Mapping[str, str] | None = None) -> bool:
        try:
            # Together: the commit is in the branch and known as ours, or neither.
            _update(self._repository, [f"update {ref} {new} {old or '0' * len(new)}", *_noted(notes)])
        except GitError:
            if self.tip(ref) != old:
                return False
            raise
        return True

    def create(self, ref: str, commit: str) -> None:
        if self.tip(ref) != commit:
            _update(self._repository, [f"create {ref} {commit}"])

    def delete(self, ref: str, commit: str) -> None:
        if self.tip(ref) is not None:
            _update(self._repository, [f"delete {ref} {commit}"])

    def deepen(self, ref: str, *, whole: bool = False) -> bool:
        return False


class RemoteBranches:
    """The remote is the store; the local repository mirrors its branches below ``refs/hossted/tips/``.

    A mirror's name is the branch's with its slashes quoted: ``a`` and ``a/b`` may follow one another. It
    stays when the branch is deleted.
    """

    def __init__(self, repository: Repository, remote: Remote) -> None:
        self._repository = repository
        self._remote = remote
        self._deepened: dict[str, int] = {}

    def tip(self, ref: str) -> str | None:
        return self.look(ref)[0]

    def look(self, ref: str, *beside: str) -> tuple[str | None, Mapping[str, str]]:
        found = dict(self._remote.branches(ref, *beside))
        there, here = found.pop(ref, None), self.last_seen(ref)
        if there is None or there == here:
            return there, found
        return self._fetched(ref, here), found

    def newest(self, ref: str) -> str | None:
        return self._remote.branches(ref).get(ref)

    def bring(self, ref: str, newest: str) -> str:
        here = self.last_seen(ref)
        return newest if here == newest else self._fetched(ref, here)

    def _fetched(self, ref: str, here: str | None) -> str:
        """Where the branch, last seen at ``here``, is after it was fetched."""
        # With "+" since the remote is what counts, even if people have rewritten its history.
        if here is None:
            self._deepened.pop(ref, None)
            self._fetch(ref, f"--depth={DEPTH}")
        else:
            self._fetch(ref)
        seen = self.last_seen(ref)
        if seen is None:
            raise GitError(f"the branch {ref} was fetched and is not there")
        return seen

    def last_seen(self, ref: str) -> str | None:
        mirror = _mirror(ref)
        return refs_matching(self._repository, mirror).get(mirror)

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(self._remote.branches(pattern))

    def advance(self, ref: str, *, old: str | None, new: str, notes: Mapping[str, str] | None = None) -> bool:
        # The lease is the compare-and-swap. It forces nothing: ``new`` is a child of ``old``, so when the
        # lease holds this is a fast-forward.
        try:
            self._remote.push(f"{new}:{ref}", lease=f"{ref}:{old or ''}")
        except GitError:
            # What git says about a lost race differs by version and server; the tips do not.
            there = self._remote.branches(ref).get(ref)
            if there == old:
                raise
            if there != new:
                return False
        try:
            _update(self._repository, [f"update {_mirror(ref)} {new}", *_noted(notes)])
        except GitError as error:
            # The revision exists; the next look fetches it.
            _logger.warning("the cache of %s missed its own commit: %s", self._remote.location, error)
        return True

    def create(self, ref: str, commit: str) -> None:
        try:
            self._remote.push(f"{commit}:{ref}", lease=f"{ref}:")
        except GitError:
            if self._remote.branches(ref).get(ref) != commit:
                raise

    def delete(self, ref: str, commit: str) -> None:
        try:
            self._remote.push(f":{ref}", lease=f"{ref}:{commit}")
        except GitError:
            if ref in self._remote.branches(ref):
                raise

    def deepen(self, ref: str, *, whole: bool = False) -> bool:
        done = self._deepened.get(ref, 0)
        if done > _DEEPENINGS or not is_shallow(self._repository):
            return False
        if whole or done == _DEEPENINGS:
            self._deepened[ref] = _DEEPENINGS + 1
            self._fetch(ref, "--unshallow")
        else:
            self._deepened[ref] = done + 1
            # Counted from where the history ends now, so that it never gets shorter.
            self._fetch(ref, f"--deepen={DEPTH * 9 * 10**done}")
        return True

    @contextmanager
    def whole(self, ref: str) -> Iterator[Repository]:
        # In a repository of its own: in the cache, missing files would look like damage. Nothing there
        # fetches them later on either, since git may speak to nobody but within a session of the remote's.
        with self._aside() as repository:
            self._remote.fetch(f"+{ref}:{ref}", options=("--filter=blob:none",), into=repository)
            yield repository

    @contextmanager
    def alone(self, commit: str, ref: str) -> Iterator[Repository | None]:
        with self._aside() as repository:
            try:
                self._remote.fetch(commit, options=("--depth=1",), into=repository)
            except GitError as error:
                if not _NOT_GIVEN.search(error.said):
                    raise
                self._remote.fetch(f"+{ref}:{ref}", into=repository)
            yield repository if objects.has_commit(repository, commit) else None

    @contextmanager
    def _aside(self) -> Iterator[Repository]:
        folder = self._repository.path / _ASIDE
        shutil.rmtree(folder, ignore_errors=True)  # what a crash left behind
        try:
            aside = self._repository.beside(folder)
            aside.run("init", "--quiet", "--bare", "--template=", str(folder))
            yield aside
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, ref: str, *options: str) -> None:
        # A remote whose own history is shallow is as good as any other.
        self._remote.fetch(f"+{ref}:{_mirror(ref)}", options=("--update-shallow", *options))


def refs_matching(repository: Repository, *patterns: str) -> Mapping[str, str]:
    """The local refs that match one of the globs, each with its commit."""
    # Strictly: git only warns of a ref that it cannot read and goes on, and "unreadable" is not "absent".
    answer = repository.text("for-each-ref", "--format=%(objectname) %(refname)", *patterns, strict=True)
    return {ref: commit for commit, _, ref in (line.partition(" ") for line in answer.splitlines())}


def _mirror(ref: str) -> str:
    return f"refs/hossted/tips/{quote(ref.removeprefix('refs/heads/'), safe='')}"


def _noted(notes: Mapping[str, str] | None) -> list[str]:
    return [f"update {ref} {commit}" for ref, commit in (notes or {}).items()]


def _update(repository: Repository, commands: list[str]) -> None:
    """All of them, or none."""
    repository.run("update-ref", "--stdin", stdin="".join(f"{each}\n" for each in commands).encode())
