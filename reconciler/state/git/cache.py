"""A cluster's apps as they were last read or written, in a file beside the clone: a quick start.

By the hash of each app's document, so whatever the branch has become meanwhile, what is still in it need
not be read as YAML. The file holds nothing that the record does not hold, and nothing rests on it: whoever
takes a snapshot from it compares its digest with the commit's, and drops it if they differ. It is written
now and then only, so at most some hundred documents are missing from it after a crash.
"""

import gzip
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zlib import error as ZlibError  # noqa: N812 - an exception's name

import msgspec

from reconciler.model import FORMAT, App

_logger = logging.getLogger(__name__)

FOLDER = "hossted-apps"
"""Where the files are, in the repository's folder, where git leaves alone what it does not know."""

WORTH = 20
"""Documents: for fewer it is quicker to read them."""

_EVERY = 200  # documents between two writings, which cost as much as reading these (at 5,000 apps)

_LARGEST = 64 << 20  # bytes of one file: 100,000 apps and more
_FILES = 16  # clusters

try:
    _PROGRAM = version("hossted-reconciler")
except PackageNotFoundError:  # run from a folder that was never installed
    _PROGRAM = ""


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``apps``: by the hash of their documents. What else there is tells whose reading it is."""

    program: str
    format: int
    apps: dict[str, App]


_decoder = msgspec.json.Decoder(_Content)


class AppCache:
    """The file of one cluster. Nothing here raises: a cache that cannot be used is an empty one.

    ``folder`` is the repository's. Its methods block.
    """

    def __init__(self, folder: Path, cluster_uuid: str) -> None:
        self._file = folder / FOLDER / cluster_uuid
        self._unwritten = 0
        self._warned = False

    def load(self) -> Mapping[str, App]:
        """The apps by the hash of their documents; none when there is no file that this program wrote."""
        try:
            if self._file.stat().st_size > _LARGEST:
                self.drop("it is too large")
                return {}
            content = _decoder.decode(gzip.decompress(self._file.read_bytes()))
        except FileNotFoundError:
            return {}
        except (OSError, EOFError, ZlibError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.drop(f"it cannot be read: {error}")
            return {}
        if (content.program, content.format) != (_PROGRAM, FORMAT):
            self.drop("another version of the program wrote it")
            return {}
        return content.apps

    def drop(self, why: str) -> None:
        """Forget all of it."""
        _logger.warning("the apps kept in %s are read again from the repository: %s", self._file, why)
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def learned(self, documents: int) -> None:
        """So many documents were read or written that the file may not have."""
        self._unwritten += documents

    def keep(self, apps: Callable[[], Mapping[str, App]], *, at_end: bool = False) -> None:
        """Write the file when it is worth it; only then ``apps`` (by their documents' hashes) is asked."""
        if self._unwritten < (WORTH if at_end else _EVERY):
            return
        self._unwritten = 0
        content = _Content(_PROGRAM, FORMAT, dict(apps()))
        data = gzip.compress(msgspec.json.encode(content), compresslevel=1, mtime=0)
        if not content.apps or len(data) > _LARGEST:
            return
        # One name, so that what a crash leaves behind is written over. Two processes that write it at
        # once may spoil it, which its checksum tells.
        beside = self._file.with_name(f".{self._file.name}.new")
        try:
            self._file.parent.mkdir(exist_ok=True)
            beside.write_bytes(data)
            beside.replace(self._file)
            self._make_room()
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            if not self._warned:
                _logger.warning("%s cannot be written (%s): starts take longer", self._file, error.strerror)
            self._warned = True

    def _make_room(self) -> None:
        with os.scandir(self._file.parent) as entries:
            files = sorted(entries, key=lambda each: each.stat().st_mtime, reverse=True)
        for entry in files[_FILES:]:
            Path(entry.path).unlink(missing_ok=True)
