"""Keeps the folder of a git repository fit for use: made, made again when it is damaged, kept small.

A cache of a remote holds nothing that cannot be fetched again, so whatever is wrong with it ends with
making it again, and so does having grown too large. A repository that is the store itself is packed now
and then, and else left alone.
"""

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from reconciler.errors import StoreError
from reconciler.state.git.cache import FOLDER as _APPS
from reconciler.state.git.observed_cache import FOLDER as _OBSERVED
from reconciler.state.git.plumbing import GitError, Repository

_logger = logging.getLogger(__name__)
_Result = TypeVar("_Result")

LARGEST = 512 << 20
"""Bytes of objects in a cache, on the disk. History beyond that is fetched when somebody asks for it."""

_FORMAT = 2
"""Of a cache. Change it when what an earlier program left there would be in the way."""

# Tells our cache, which may be deleted and made again, from a repository that somebody put there.
_MARKER = "hossted-cache"

_KEPT = frozenset({_MARKER, _APPS, _OBSERVED})  # when a cache is made again

_MADE_BY_INIT = frozenset({"HEAD", "config", "description", "hooks", "info", "branches", "objects", "refs"})

_AGE = 60.0  # seconds; git holds the lock of a ref for milliseconds, and writes one file within seconds

_SHARED_AGE = 360.0  # seconds; likewise, and no machine's clock is that wrong

_APPENDS_BETWEEN = 100  # about 600 objects
_LOOSE = 1_000  # objects
_PACKS = 20  # fetches bring them
_BLOCK = 512  # bytes: the unit of a file's blocks, whatever the disk's is

_SHORT = 1_000  # commits: with fewer, it is not its history that makes a cache large

# What a git that failed or was killed leaves behind, below the repository's folder. On a full disk every
# attempt would add to it.
_LEFTOVERS = (
    "fast_import_crash_*",
    "objects/tmp_*",
    "objects/??/tmp_*",
    "objects/pack/tmp_*",
    "objects/pack/.tmp-*",
)


class Housekeeping:
    """Looks after the folder of one repository. Blocks; one call at a time."""

    def __init__(
        self, repository: Repository, *, cache_of: str | None, branch: str, remote: Path | None = None
    ) -> None:
        """``cache_of``: the remote's location, None for a store itself; ``remote``: its folder, if it is on
        this machine. ``branch``: which one people get who clone it.
        """
        self._repository = repository
        self._objects = repository.path / "objects"
        self._remote = remote
        self._cache_of = cache_of
        self._branch = branch
        self._prepared = False
        self._appends = 0

    def perform(self, work: Callable[[], _Result]) -> _Result:
        """Run work on the repository, which is made if it is not there.

        A damaged cache is made again and the work repeated; a damaged store is a StoreError that says so.
        """
        self._prepare()
        try:
            return work()
        except StoreError as error:
            unlocked = self._clear()
            if not isinstance(error, GitError) or error.timed_out or error.disk:
                raise
            if not unlocked:
                if not self._is_damaged():
                    raise
                if not self._is_our_cache():
                    raise StoreError(
                        f"the state repository {self._repository.path} is damaged"
                        f" ({error.detail or error}): restore it from a copy"
                    ) from error
                _logger.warning("the cache %s is damaged and made again: %s", self._repository.path, error)
                self._discard()
                self._prepare()
        return work()

    def appended(self) -> bool:
        """Called after each append: now and then, pack what has piled up.

        Whether the cache had grown too large and was made again: then it is empty.
        """
        due = self._appends % _APPENDS_BETWEEN == 0
        self._appends += 1
        if not due:
            return False
        try:
            self._pack(usage_of(self._objects))
            if self._is_too_large():
                _logger.info("the cache %s has grown too large and is made again", self._repository.path)
                self._discard()
                self._prepare()
                return True
        except (StoreError, OSError) as error:
            # The revision exists; nothing may fail on account of this.
            _logger.warning("the state repository was not packed: %s", error)
            self._clear()
        return False

    def _pack(self, usage: "Usage") -> None:
        """Pack what has piled up, if enough has."""
        if usage.loose > _LOOSE or usage.packs > _PACKS:
            # Joins only packs of about the same size, so an object is packed anew a few times in its life.
            # What nothing points at (lost races leave some) goes in as well, without a search for it.
            self._repository.run("repack", "-d", "-n", "-q", "--geometric=2")

    def _is_too_large(self) -> bool:
        if self._cache_of is None or usage_of(self._objects).bytes <= LARGEST:
            return False
        return int(self._repository.text("rev-list", "--count", f"--max-count={_SHORT}", "--all")) >= _SHORT

    def _clear(self) -> bool:
        """Remove what a killed git left behind; whether locks were among it."""
        path = self._repository.path
        found = _unlock(path, _remove_old)
        if self._remote is not None:
            # A push to a folder runs the other end as well, which dies with it.
            found |= _unlock(self._remote, _remove_older)
        for pattern in _LEFTOVERS:
            for leftover in path.glob(pattern):
                _remove_old(leftover)
        return found

    def _prepare(self) -> None:
        if self._prepared:
            return
        path = self._repository.path
        try:
            path.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                there = {entry.name for entry in path.iterdir()}
                if self._is_our_cache() and not ("HEAD" in there and self._is_current()):
                    if "HEAD" in there:
                        _logger.info("the cache %s is of another version or remote and is made again", path)
                    self._discard()
                    there &= _KEPT
                if "HEAD" not in there and there <= _MADE_BY_INIT | _KEPT:
                    self._initialise()
                elif not ({"HEAD", "objects", "refs"} <= there or self._is_our_cache()):
                    raise StoreError(
                        f"{path} is neither empty nor a bare git repository: name another folder"
                    )
        except OSError as error:
            raise StoreError(f"the state repository {path} cannot be made: {error.strerror}") from error
        self._prepared = True

    def _initialise(self) -> None:
        path = self._repository.path
        if self._cache_of is not None:
            (path / _MARKER).write_text(self._marker())
        # An earlier attempt may have been cut short: init goes on from whatever is there.
        self._repository.run(
            "init", "--quiet", "--bare", "--template=", f"--initial-branch={self._branch}", str(path)
        )

    def _marker(self) -> str:
        return f"A cache of {self._cache_of}; it may be deleted at any time.\nFormat: {_FORMAT}\n"

    def _is_our_cache(self) -> bool:
        """Whether nothing is lost with it: it is marked as ours, or not there at all."""
        path = self._repository.path
        return self._cache_of is not None and ((path / _MARKER).is_file() or not path.exists())

    def _is_current(self) -> bool:
        return (self._repository.path / _MARKER).read_bytes() == self._marker().encode()

    def _is_damaged(self) -> bool:
        try:
            self._repository.run("fsck", "--full", "--no-dangling", "--no-progress")
        except GitError as error:
            _logger.info("git fsck: %s", error)
            return not error.timed_out
        return False

    def _discard(self) -> None:
        self._prepared = False
        try:
            # The folder itself stays: it may be where a volume is mounted.
            path = self._repository.path
            for entry in path.iterdir() if path.exists() else ():
                if entry.name in _KEPT:
                    continue
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        except OSError as error:
            raise StoreError(
                f"the cache {self._repository.path} cannot be deleted: {error.strerror}"
            ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other programs that begin at the same time from making the same repository."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Some network file systems cannot; beginning twice at once is rare, and the loser tries again.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unlock(folder: Path, remove: Callable[[Path], bool]) -> bool:
    """Remove the locks of HEAD and of refs that are nobody's any more; whether there were any."""
    found = False
    for lock in [*folder.glob("*.lock"), *(folder / "refs").rglob("*.lock")]:
        if remove(lock):
            found = True
            _logger.warning("removed %s, which a git that was killed left behind", lock)
    return found


def _remove_older(lock: Path) -> bool:
    """Remove a lock that no program on any machine can still hold; whether it is gone."""
    with suppress(OSError):
        if time.time() - lock.lstat().st_mtime > _SHARED_AGE:
            lock.unlink()
            return True
    return False


def _remove_old(path: Path) -> bool:
    """Remove a file or folder that nobody writes any more; whether it is gone."""
    with suppress(OSError):
        # Either way: a clock that was set back must not keep a lock for years.
        if abs(time.time() - path.lstat().st_mtime) > _AGE:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            return True
    return False


class Usage(msgspec.Struct, frozen=True):
    """What objects take on the disk: ``loose``: those in files of their own; ``packs``: how many."""

    bytes: int
    loose: int
    packs: int


def usage_of(objects: Path) -> Usage:
    """Of a repository's folder ``objects``."""
    files = [Path(above) / name for above, _, names in os.walk(objects) for name in names]
    size = 0
    for file in files:
        with suppress(FileNotFoundError):  # another program's temporary file
            size += file.lstat().st_blocks * _BLOCK
    return Usage(
        bytes=size,
        loose=sum(len(file.parent.name) == 2 for file in files),
        packs=sum(file.suffix == ".pack" for file in files),
    )
