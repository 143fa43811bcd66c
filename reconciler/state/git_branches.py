"""Where the branches are: in the local repository itself, or in a remote that it is a cache of.

Both tell a branch's newest commit, with its objects at hand, and move a branch by compare-and-swap. How
a remote is reached is decided here and nowhere else.
"""

import logging
from collections.abc import Mapping
from typing import Protocol
from urllib.parse import quote

from reconciler.state.git_plumbing import GitError, Repository
from reconciler.state.git_remote import Remote

_logger = logging.getLogger(__name__)


class Branches(Protocol):
    """``ref`` is a full name, ``refs/heads/…``; commits are hashes."""

    def tip(self, ref: str) -> str | None:
        """The branch's newest commit, or None when there is no such branch. StoreError when unknown."""
        ...

    def matching(self, pattern: str) -> tuple[str, ...]:
        """The refs that match a glob."""
        ...

    def advance(self, ref: str, *, old: str | None, new: str) -> bool:
        """Move the branch from ``old`` (None: it must not exist) to its child ``new``; durable on return.

        False when the branch is not at ``old`` any more: nothing was moved. StoreError for all else.
        """
        ...


class LocalBranches:
    """The repository is the store."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    def tip(self, ref: str) -> str | None:
        return _refs(self._repository, ref).get(ref)

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(_refs(self._repository, pattern))

    def advance(self, ref: str, *, old: str | None, new: str) -> bool:
        try:
            self._repository.run("update-ref", ref, new, old or "")
        except GitError:
            if self.tip(ref) != old:
                return False
            raise
        return True


class RemoteBranches:
    """The remote is the store; the local repository mirrors its branches below ``refs/hossted/tips/``.

    A mirror's name is the branch's with its slashes quoted: ``a`` and ``a/b`` may follow one another.
    """

    def __init__(self, repository: Repository, remote: Remote) -> None:
        self._repository = repository
        self._remote = remote

    def tip(self, ref: str) -> str | None:
        there = self._remote.branches(ref).get(ref)
        mirror = _mirror(ref)
        here = _refs(self._repository, mirror).get(mirror)
        if there == here:
            return here
        if there is None:
            self._repository.run("update-ref", "-d", mirror)
            return None
        # With "+" since the remote is what counts, even if people have rewritten its history.
        self._remote.fetch(f"+{ref}:{mirror}")
        return _refs(self._repository, mirror).get(mirror)

    def matching(self, pattern: str) -> tuple[str, ...]:
        return tuple(self._remote.branches(pattern))

    def advance(self, ref: str, *, old: str | None, new: str) -> bool:
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
            self._repository.run("update-ref", _mirror(ref), new)
        except GitError as error:
            # The revision exists; the next look fetches it.
            _logger.warning("the cache of %s missed its own commit: %s", self._remote.location, error)
        return True


def _mirror(ref: str) -> str:
    return f"refs/hossted/tips/{quote(ref.removeprefix('refs/heads/'), safe='')}"


def _refs(repository: Repository, pattern: str) -> Mapping[str, str]:
    # Strictly: git only warns of a ref that it cannot read and goes on, and "unreadable" is not "absent".
    answer = repository.text("for-each-ref", "--format=%(objectname) %(refname)", pattern, strict=True)
    return {ref: commit for commit, _, ref in (line.partition(" ") for line in answer.splitlines())}
