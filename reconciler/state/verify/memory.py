"""What was verified before, in a small file: the next run begins where the last one ended.

It is believed as the program itself is: only where nobody else may write. It holds a track's files by
their hashes, and nothing of what is in them.
"""

import contextlib
import logging
import os
import tempfile
from datetime import datetime
from pathlib import Path

import msgspec

from reconciler.model import digest_of
from reconciler.state.git import layout
from reconciler.state.verify.chain import Progress
from reconciler.state.verify.directory import PLAIN_FILE, Directory, Document, FileChange
from reconciler.state.verify.report import Finding
from reconciler.state.verify.state import State

_logger = logging.getLogger(__name__)


class Verified(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """``rules``: a digest of what was asked, the program's version included. ``commit``: all up to it was
    good. ``approved``: the newest commit of the approved track that was, or "". ``files``: by path the blob
    and the app's digest.
    """

    rules: str
    commit: str
    at: datetime
    approved: str = ""
    progress: Progress
    warnings: list[Finding] = []
    files: dict[str, tuple[str, str]] = {}

    def state(self) -> State:
        """What is known at that commit."""
        directory = Directory()
        directory.apply(
            [FileChange(path, PLAIN_FILE, blob) for path, (blob, _) in self.files.items()],
            {
                blob: Document(key=layout.key_of(path), digest=digest)
                for path, (blob, digest) in self.files.items()
            },
        )
        return State(directory, self.progress.own)


class MemoryFile:
    """The file for one track. ``what``: whose it is: the repository, the branch, the cluster."""

    def __init__(self, folder: Path, *what: str) -> None:
        self._path = folder / f"{digest_of(msgspec.json.encode(what))[:20]}.json"

    def load(self, rules: str) -> Verified | None:
        """What was found good by the same rules; None where there is nothing, or nothing to be believed."""
        try:
            if not self._is_ours():
                _logger.warning("%s is left aside: others may write there", self._path)
                return None
            found = msgspec.json.decode(self._path.read_bytes(), type=Verified)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _logger.warning("%s is left aside: %s", self._path, error)
            return None
        return found if found.rules == rules else None

    def save(self, verified: Verified) -> None:
        """Keep it. Where that is not possible the next run takes longer, and that is all."""
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=folder)  # for its owner alone
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(msgspec.json.encode(verified))
                Path(name).replace(self._path)
            except OSError:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            _logger.warning("%s was not written: %s", self._path, error)

    def _is_ours(self) -> bool:
        """Whether nobody but us can have written the file or put it there."""
        return all(
            found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o022
            for found in (self._path.stat(), self._path.parent.stat())
        )
