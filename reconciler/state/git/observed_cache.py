"""Which file the record had when: an index by path and blob, and its file beside the clone.

It takes all of the record's history to make, so it is kept. It is a memory of where to look, and proves
nothing: who finds something in it looks at the commit that it names.
"""

import gzip
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from zlib import error as ZlibError  # noqa: N812 - an exception's name

import msgspec

from reconciler.settings import program_version

_logger = logging.getLogger(__name__)

FOLDER = "hossted-observed"
"""Where the files are, in the repository's folder, where git leaves alone what it does not know."""

_FORMAT = 1
_LARGEST = 64 << 20  # bytes of one file

Pair = tuple[str, str]
"""A path below the cluster's directory, and a blob."""


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``commits``: of the reconciler's own, oldest first. ``files``: by path and blob, the place among them
    of the newest that brought it there. ``whole``: there are no older ones.
    """

    commits: tuple[str, ...] = ()
    files: Mapping[str, Mapping[str, int]] = {}
    whole: bool = False

    def place(self, pair: Pair) -> int | None:
        """The place of the newest commit that brought this file, None if none is known."""
        found = self.files.get(pair[0], {}).get(pair[1])
        return found if found is not None and 0 <= found < len(self.commits) else None

    def followed(self, commits: Iterable[str], brought: Iterable[tuple[str, Pair]]) -> "Index":
        """With newer commits, oldest first, and what each of them brought."""
        together = (*self.commits, *commits)
        places = {commit: place for place, commit in enumerate(together)}
        files = {path: dict(blobs) for path, blobs in self.files.items()}
        for commit, (path, blob) in brought:
            known = files.setdefault(path, {})
            known[blob] = max(places[commit], known.get(blob, 0))
        return Index(together, files, self.whole)


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What else there is tells whose it is."""

    program: str
    format: int
    branch: str
    index: Index


_decoder = msgspec.json.Decoder(_Content)


class IndexFile:
    """The file of one cluster. Nothing here raises: a file that cannot be used is none. Blocks."""

    def __init__(self, folder: Path, cluster_uuid: str, branch: str) -> None:
        self._file = folder / FOLDER / cluster_uuid
        self._branch = branch

    def load(self) -> Index | None:
        """The index as this program kept it; None when there is none."""
        try:
            if self._file.stat().st_size > _LARGEST:
                self.drop("it is too large")
                return None
            content = _decoder.decode(gzip.decompress(self._file.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ZlibError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.drop(f"it cannot be read: {error}")
            return None
        if (content.program, content.format, content.branch) != (program_version(), _FORMAT, self._branch):
            self.drop("it is another version's, or about another branch")
            return None
        return content.index

    def drop(self, why: str) -> None:
        """Forget it."""
        _logger.warning("what %s knows of the record's history is looked up again: %s", self._file, why)
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def keep(self, index: Index) -> None:
        """Write it down, if it can be."""
        content = _Content(program_version(), _FORMAT, self._branch, index)
        data = gzip.compress(msgspec.json.encode(content), compresslevel=1, mtime=0)
        beside = self._file.with_name(f".{self._file.name}.new")
        try:
            self._file.parent.mkdir(exist_ok=True)
            beside.write_bytes(data)
            beside.replace(self._file)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            _logger.warning("%s cannot be written: %s", self._file, error.strerror)
