"""Reading and writing a repository's objects: trees, blobs, commits, and new commits by fast-import.

Nothing here moves a ref: a commit that is made is only an object until somebody points at it.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
from itertools import pairwise

import msgspec

from reconciler.state.git import layout
from reconciler.state.git.layout import moment, parse_message
from reconciler.state.git.plumbing import GitError, Repository
from reconciler.state.store import Message, Revision

# Hash, author date, committer date, message: each ends with NUL, which no commit can hold.
_LOG_FORMAT = "--format=tformat:%H%x00%at%x00%ct%x00%B"
_LOG_FIELDS = 4

# fast-import wants a ref for its commit; this one is deleted by the same stream, so it never exists.
_NOWHERE = "refs/hossted/pending"


class Entry(msgspec.Struct, frozen=True):
    """One entry of a tree. ``kind``: blob, tree or commit (a submodule)."""

    mode: str
    kind: str
    oid: str


def entry_at(repository: Repository, commit: str, path: str) -> Entry | None:
    """What is at a path of a commit, or None. A tree that cannot be read is a GitError, never None."""
    return entries_at(repository, commit, [path]).get(path)


def entries_at(repository: Repository, commit: str, paths: Iterable[str]) -> Mapping[str, Entry]:
    """The same for many paths at once."""
    return _entries(repository.run("ls-tree", "-z", "--full-tree", commit, "--", *paths))


def entries_of(repository: Repository, tree: str, *, recursive: bool = False) -> Mapping[str, Entry]:
    """A tree's entries by path; recursive: all files below it."""
    options = ("-r",) if recursive else ()
    return _entries(repository.run("ls-tree", "-z", "--full-tree", *options, tree))


def files_below(repository: Repository, commit: str, directory: str) -> Mapping[str, Entry] | None:
    """All files below a directory of a commit, by their path in it; None when there is no such directory."""
    root = entry_at(repository, commit, directory)
    return entries_of(repository, root.oid, recursive=True) if root and root.kind == "tree" else None


def _entries(listing: bytes) -> dict[str, Entry]:
    entries = {}
    for line in listing.decode(errors="surrogateescape").split("\0")[:-1]:
        described, _, path = line.partition("\t")
        mode, kind, oid = described.split(" ")
        entries[path] = Entry(mode, kind, oid)
    return entries


def read_blobs(repository: Repository, oids: Iterable[str]) -> Mapping[str, bytes]:
    """The contents of many blobs, by one process; GitError if one of them is not there."""
    return read_objects(repository, oids, "blob")


def read_objects(repository: Repository, oids: Iterable[str], kind: str) -> Mapping[str, bytes]:
    """The same for objects of any kind: blob, commit."""
    wanted = list(dict.fromkeys(oids))
    if not wanted:
        return {}
    answer = repository.run("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in wanted).encode())
    contents = {}
    position = 0
    for oid in wanted:
        end = answer.find(b"\n", position)
        header = answer[position:end].decode(errors="replace").split(" ")
        if header[:2] != [oid, kind] or len(header) != 3:
            detail = f"the object {oid} is missing"
            raise GitError(f"git cat-file in {repository.path} failed: {detail}", detail)
        size = int(header[2])
        contents[oid] = answer[end + 1 : end + 1 + size]
        position = end + 1 + size + 1
    return contents


def last_revision(repository: Repository, commit: str, path: str, *, since: str = "") -> Revision | None:
    """The newest commit at or before ``commit`` (and not before ``since``) that touched ``path``."""
    found = revisions(repository, commit, path, limit=1, since=since)
    return found[0] if found else None


def revisions(
    repository: Repository, commit: str, path: str, *, limit: int, since: str = ""
) -> tuple[Revision, ...]:
    """The newest commits that touched ``path``, newest first."""
    newer = (f"^{since}",) if since else ()
    log = repository.run("log", "-z", f"--max-count={limit}", _LOG_FORMAT, commit, *newer, "--", path)
    return tuple(_Records().feed(log))


def revisions_saying(
    repository: Repository, commit: str, *without: str, words: Iterable[str], skip: int, limit: int
) -> tuple[Revision, ...]:
    """The newest commits, whatever they touched, whose message has all of these words, children first."""
    searched = [f"--grep={each}" for each in words]
    newer = [f"^{each}" for each in without]
    log = repository.run(
        "log", "-z", "--date-order", "--fixed-strings", "--all-match", *searched,
        f"--skip={skip}", f"--max-count={limit}", _LOG_FORMAT, commit, *newer,
    )  # fmt: skip
    return tuple(_Records().feed(log))


def revision_of(repository: Repository, commit: str) -> Revision:
    """What a commit says."""
    log = repository.run("log", "-z", "--no-walk", _LOG_FORMAT, commit)
    return _Records().feed(log)[0]


async def stream_revisions(repository: Repository, commit: str, path: str) -> AsyncGenerator[Revision, None]:
    """All commits that touched ``path``, newest first, as git finds them."""
    records = _Records()
    async with aclosing(repository.stream("log", "-z", _LOG_FORMAT, commit, "--", path)) as pieces:
        async for piece in pieces:
            for revision in records.feed(piece):
                yield revision


class _Records:
    """Puts the log's pieces together."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[Revision]:
        fields = (self._rest + piece).split(b"\0")
        whole = (len(fields) - 1) // _LOG_FIELDS * _LOG_FIELDS
        self._rest = b"\0".join(fields[whole:])
        return [_revision(fields[start : start + _LOG_FIELDS]) for start in range(0, whole, _LOG_FIELDS)]


def _revision(fields: list[bytes]) -> Revision:
    oid, happened, recorded, message = (field.decode(errors="replace") for field in fields)
    return Revision(
        id=oid,
        message=parse_message(message),
        happened=moment(int(happened)),
        recorded=moment(int(recorded)),
    )


def is_ancestor(repository: Repository, commit: str, of: str) -> bool:
    """Whether everything of ``commit`` is also in ``of``, whatever the dates of the commits say."""
    # Not rev-list, which stops early where a commit is newer than its child.
    return commit == of or commit not in repository.text("merge-base", "--independent", commit, of).split()


def commits_beginning(repository: Repository, prefix: str) -> list[str]:
    """All commits whose hash begins so."""
    oids = repository.text("rev-parse", f"--disambiguate={prefix}")
    if not oids:
        return []
    kinds = repository.run("cat-file", "--batch-check", stdin=f"{oids}\n".encode()).decode()
    return [oid for oid, kind, *_ in (line.split(" ") for line in kinds.splitlines()) if kind == "commit"]


def has_commit(repository: Repository, commit: str) -> bool:
    """Whether a commit, of which the whole hash is known, is at hand."""
    return commit in commits_beginning(repository, commit)


def first_added(repository: Repository, commit: str, pattern: str) -> Mapping[str, int]:
    """When each path that matches (a glob) was first added, by commits up to this one: seconds, UTC."""
    shown = ("-z", "--diff-filter=A", "--no-renames", "--name-only", "--format=tformat:%x01%ct")
    log = repository.run("log", *shown, commit, "--", f":(glob){pattern}")
    added: dict[str, int] = {}
    seconds = 0
    for word in log.decode(errors="surrogateescape").split("\0"):
        text = word.strip("\n")
        if text.startswith("\x01"):
            seconds = int(text[1:])
        elif text:
            added[text] = seconds  # newest first: the last one that is seen is the first that was made
    return added


def deleted(repository: Repository, commit: str, path: str, *, since: int) -> Mapping[str, str]:
    """The blob of each file below ``path`` that commits deleted since ``since`` (seconds, UTC).

    Of a file that was deleted more than once, the blob that was deleted last. By the order of the commits:
    what comes after one of that time is newer, even if a clock was set back and it says otherwise.
    """
    # git's own --since stops at the first commit that says that it is older.
    listed = repository.text("rev-list", "--timestamp", "--topo-order", commit).splitlines()
    commits = [(int(seconds), oid) for seconds, _, oid in (line.partition(" ") for line in listed)]
    newer = max((place for place, (seconds, _) in enumerate(commits, 1) if seconds >= since), default=0)
    shown = ("-z", "-r", "--diff-filter=D", "--no-renames", "--raw", "--no-abbrev", "--no-commit-id")
    oids = "".join(f"{oid}\n" for _, oid in commits[:newer])
    log = repository.run("diff-tree", "--stdin", *shown, "--", path, stdin=oids.encode())
    found: dict[str, str] = {}
    words = [word.strip("\n") for word in log.decode(errors="surrogateescape").split("\0")]
    for header, name in pairwise(words):
        if header.startswith(":"):  # :<mode> <mode> <blob before> <blob after> D
            found.setdefault(name, header.split(" ")[2])
    return found


class FileChange(msgspec.Struct, frozen=True):
    """One file that a commit changed. ``after``: its blob, or "" when the commit deleted it."""

    commit: str
    author: str
    is_merge: bool
    path: str
    after: str


def changes_below(repository: Repository, commit: str, path: str, *, without: str) -> Iterator[FileChange]:
    """What each commit changed below ``path``, newest first, in ``commit`` and its ancestors without those
    of another. Of a merge: what differs from any of its parents."""
    # Without history simplification: a merge that took one side's files hides what the other side did.
    shown = ("-z", "--full-history", "--parents", "-m", "--no-renames", "--raw", "--no-abbrev")
    form = "--format=tformat:%x01%H %P%x02%an"
    log = repository.run("log", *shown, form, commit, f"^{without}", "--", path)
    oid, author, is_merge = "", "", False
    words = [word.lstrip("\n") for word in log.decode(errors="surrogateescape").split("\0")]
    after = ""
    for word in words:
        if word.startswith("\x01"):
            hashes, _, author = word[1:].partition("\x02")
            oid, *parents = hashes.split(" ")
            is_merge = len(parents) > 1
        elif word.startswith(":"):  # :<mode> <mode> <blob before> <blob after> <status>
            after = word.split(" ")[3]
        elif word:
            yield FileChange(oid, author, is_merge, word, "" if set(after) == {"0"} else after)


class Made(msgspec.Struct, frozen=True):
    """A commit that was made, and what it has at the path that was asked for."""

    oid: str
    entry: Entry | None


def make_commit(
    repository: Repository,
    *,
    parent: str | None,
    files: Mapping[str, bytes | None],
    message: Message,
    author: str,
    happened: datetime,
    recorded: datetime,
    sign: Callable[[bytes], str] | None = None,
    asked: str = layout.ROOT,
) -> Made:
    """Make a commit that differs from its parent in these files (None: deleted) alone.

    ``author`` is ``Name <email>``. ``asked``: a path to tell of. ``sign``: from a commit's bytes to an
    armored signature. Small imports stay loose objects (git's ``fastimport.unpackLimit``, 100), which
    housekeeping packs.
    """
    text = message.render().encode(errors="replace")
    lines = [
        b"feature done\n",
        f"commit {_NOWHERE}\nmark :1\n".encode(),
        f"author {author} {int(happened.timestamp())} +0000\n".encode(),
        f"committer {author} {int(recorded.timestamp())} +0000\n".encode(),
        b"data %d\n%b\n" % (len(text), text),
    ]
    if parent is not None:
        lines.append(f"from {parent}\n".encode())
    for path, content in sorted(files.items()):
        if content is None:
            lines.append(f"D {path}\n".encode())
        else:
            lines.append(b"M 100644 inline %b\ndata %d\n%b\n" % (path.encode(), len(content), content))
    zeros = "0" * (len(parent) if parent is not None else _hash_length(repository))
    lines.append(f"\nget-mark :1\nls :1 {asked}\nreset {_NOWHERE}\nfrom {zeros}\n\ndone\n".encode())
    said = repository.run("fast-import", "--quiet", "--done", "--date-format=raw", stdin=b"".join(lines))
    commit, listed = said.decode().splitlines()
    entry = None if listed.startswith("missing ") else Entry(*listed.partition("\t")[0].split(" "))
    return Made(commit if sign is None else _signed(repository, commit, sign), entry)


def _signed(repository: Repository, commit: str, sign: Callable[[bytes], str]) -> str:
    """The same commit with a signature; fast-import cannot make one (git before 2.50)."""
    header = b"gpgsig-sha256" if len(commit) == 64 else b"gpgsig"
    unsigned = repository.run("cat-file", "commit", commit)
    headers, _, text = unsigned.partition(b"\n\n")
    signature = sign(unsigned).rstrip("\n").replace("\n", "\n ").encode()
    signed = headers + b"\n" + header + b" " + signature + b"\n\n" + text
    return repository.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=signed).decode().strip()


def _hash_length(repository: Repository) -> int:
    return 64 if repository.text("rev-parse", "--show-object-format") == "sha256" else 40
