"""A cluster's directory as it is at one commit, with the digest of its snapshot. Pure.

From commit to commit only what changed is looked at: a document is read once, and remembered by the hash
of its blob; the lines that the digest is over are kept in order.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping

import msgspec

from reconciler.errors import FormatError
from reconciler.model import AppKey, digest_of
from reconciler.state.documents import load_app, load_cluster
from reconciler.state.git import layout

PLAIN_FILE = "100644"
GONE = "000000"


class FileChange(msgspec.Struct, frozen=True):
    """What a commit made of one path of the directory. ``mode``: git's; ``GONE`` for a deleted one."""

    path: str
    mode: str
    oid: str

    @property
    def entry(self) -> str:
        """As in ``Directory.files``; "" for a deleted one."""
        if self.mode == GONE:
            return ""
        return self.oid if self.mode == PLAIN_FILE else f"{self.mode} {self.oid}"


class Document(msgspec.Struct, frozen=True):
    """What a blob holds: an app's key and digest, or ``problem``, the sentence that says why neither."""

    key: AppKey | None = None
    digest: str = ""
    problem: str = ""


def is_of_record(path: str) -> bool:
    """Whether a path of the directory is the record's, and not something that people put beside it."""
    return path == layout.CLUSTER_FILE or layout.key_of(path) is not None


def read_document(path: str, content: bytes) -> Document:
    """What a file of the record holds. FormatError when a newer program wrote it."""
    if path == layout.CLUSTER_FILE:
        try:
            load_cluster(content, path)
        except FormatError as error:
            if "upgrade the program" in str(error):
                raise
            return Document(problem=str(error))
        return Document()
    try:
        app = load_app(content, path)
    except FormatError as error:
        return Document(problem=str(error))
    return Document(key=app.key, digest=app.digest)


class Directory:
    """The files of the record, changed in place. ``files``: their blobs by path.

    What is not a plain file has its mode before the hash, so that it is never taken for one.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self._lines: list[bytes] = []
        self._line_of: dict[str, bytes] = {}
        self._problems: dict[str, str] = {}

    def copy(self) -> "Directory":
        other = Directory()
        other.files = dict(self.files)
        other._lines = list(self._lines)
        other._line_of = dict(self._line_of)
        other._problems = dict(self._problems)
        return other

    def apply(self, changes: Iterable[FileChange], documents: Mapping[str, Document]) -> dict[str, str]:
        """Take over what a commit changed; ``documents`` by blob, of all plain files of the record.

        What was at each path of the record that is different now; "" where nothing was.
        """
        before = {}
        for change in changes:
            if not is_of_record(change.path):
                continue
            was = self._forget(change.path)
            if was != change.entry:
                before[change.path] = was
            if change.mode == GONE:
                continue
            self.files[change.path] = change.entry
            if change.mode != PLAIN_FILE:
                self._problems[change.path] = f"{change.path} is not a plain file (mode {change.mode})"
                continue
            document = documents[change.oid]
            key = layout.key_of(change.path)
            if document.problem:
                self._problems[change.path] = document.problem
            elif document.key != key:
                self._problems[change.path] = f"{change.path} holds the app {document.key}"
            elif key is not None:
                line = f"{key} {document.digest}\n".encode()
                insort(self._lines, line)
                self._line_of[change.path] = line
        return before

    def problem(self) -> str:
        """Why these files are no snapshot, "" if they are one."""
        if layout.CLUSTER_FILE not in self.files:
            return f"{layout.CLUSTER_FILE} is missing"
        return next(iter(self._problems.values()), "")

    def digest(self, cluster_uuid: str) -> str:
        """The digest of the snapshot, by the rules of format 1, which is the only one there is."""
        return digest_of(f"{cluster_uuid}\n".encode() + b"".join(self._lines))

    def _forget(self, path: str) -> str:
        was = self.files.pop(path, "")
        self._problems.pop(path, None)
        line = self._line_of.pop(path, None)
        if line is not None:
            del self._lines[bisect_left(self._lines, line)]
        return was
