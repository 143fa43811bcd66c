"""Commits as git stores them, and the line of those that touched a directory, read for verifying.

Nothing is taken on git's word that can be checked here: each object's hash is computed again, and what a
commit says is read from its own bytes.
"""

import hashlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from reconciler.errors import StoreError
from reconciler.state.git import objects
from reconciler.state.git.layout import moment, parse_message
from reconciler.state.git.plumbing import GitError, Repository
from reconciler.state.store import Message
from reconciler.state.verify.directory import FileChange

AT_ONCE: Final = 2_000
"""Objects that are asked of one process."""

_IDENTITY = re.compile(r"(?P<name>.*?) ?<(?P<email>[^<>]*)> (?P<seconds>-?[0-9]+) [+-][0-9]{4}")


class Commit(msgspec.Struct, frozen=True):
    """A commit. ``signatures``: armored; ``signed``: the bytes that they are about."""

    id: str
    parents: tuple[str, ...]
    author: str
    committer_email: str
    happened: datetime
    recorded: datetime
    message: Message
    signatures: tuple[str, ...]
    signed: bytes


class Step(msgspec.Struct, frozen=True):
    """A commit's place in the history of a directory.

    ``parents``: the nearest commits before it that have a step of their own, or were left out as known.
    ``changes``: what differs from the first of them, by path below the directory.
    """

    id: str
    parents: tuple[str, ...]
    changes: tuple[FileChange, ...]


def steps(
    repository: Repository,
    tip: str,
    directory: str,
    *,
    known: Sequence[str] = (),
    also: Collection[str] = (),
) -> list[Step]:
    """All commits up to ``tip`` that touched the directory, and all merges, each after its parents.

    ``known``: commits that are left out, with all that came before them. ``also``: commits that are wanted
    although they may not have touched it.
    """
    log = repository.run(
        # Neither a commit-graph nor a rewritten parent may decide what is looked at.
        *("-c", "core.commitGraph=false", "log", "-z", "--topo-order", "--reverse", "--full-history"),
        *(("--sparse",) if also else ()),
        *("--parents", "--root", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent"),
        *("--format=tformat:%x01%H %P", tip, *(f"^{commit}" for commit in known), "--", directory),
    )
    words = log.decode(errors="surrogateescape").split("\0")
    found: list[Step] = []
    position = 0
    while position < len(words):
        word = words[position].removeprefix("\n")
        if word.startswith("\x01"):
            id_, *parents = word[1:].split()
            found.append(Step(id_, tuple(parents), ()))
        elif word.startswith(":"):
            _, mode, _, oid, _ = word.split(" ")
            position += 1
            change = FileChange(words[position].removeprefix(f"{directory}/"), mode, oid)
            found[-1] = msgspec.structs.replace(found[-1], changes=(*found[-1].changes, change))
        position += 1
    return _without_others(found, also) if also else found


def _without_others(found: Iterable[Step], also: Collection[str]) -> list[Step]:
    """Without commits that did nothing here: what was built on one is built on what that was built on."""
    kept = []
    instead: dict[str, str | None] = {}
    for step in found:
        nearest = (instead.get(parent, parent) for parent in step.parents)
        parents = tuple(dict.fromkeys(parent for parent in nearest if parent is not None))
        if step.changes or len(step.parents) > 1 or step.id in also:
            kept.append(Step(step.id, parents, step.changes))
        else:
            instead[step.id] = parents[0] if parents else None
    return kept


def saying(repository: Repository, tip: str, *words: str, known: Sequence[str] = ()) -> list[str]:
    """The commits up to ``tip`` whose message has all of these words, whatever they touched."""
    searched = [f"--grep={each}" for each in words]
    found = repository.text(
        *("-c", "core.commitGraph=false", "log", "--format=%H", "--fixed-strings", "--all-match", *searched),
        *(tip, *(f"^{commit}" for commit in known)),
    )
    return found.split()


def read_commits(repository: Repository, ids: Iterable[str]) -> Iterator[Commit]:
    """These commits, in this order. StoreError for one that is not what its name says."""
    wanted = tuple(ids)
    for start in range(0, len(wanted), AT_ONCE):
        some = wanted[start : start + AT_ONCE]
        contents = objects.read_objects(repository, some, "commit")
        for oid in some:
            yield parse_commit(oid, contents[oid])


def read_checked_blobs(repository: Repository, oids: Iterable[str]) -> Mapping[str, bytes]:
    """The contents of blobs. StoreError for one that is not what its name says."""
    contents = objects.read_blobs(repository, oids)
    for oid, content in contents.items():
        _check(oid, "blob", content)
    return contents


def cut_off(repository: Repository, tip: str) -> tuple[str, str] | None:
    """The oldest commit, and its parent, where a history does not go back to its beginning, else None."""
    if repository.text("rev-parse", "--is-shallow-repository") == "false":
        return None
    roots = repository.text("rev-list", "--max-parents=0", "--reverse", tip).splitlines()
    return next(((one.id, one.parents[0]) for one in read_commits(repository, roots) if one.parents), None)


def parse_commit(oid: str, content: bytes) -> Commit:
    """A commit from its bytes. StoreError when they are not that commit's, or not a commit's at all."""
    _check(oid, "commit", content)
    head, _, text = content.partition(b"\n\n")
    parents: list[str] = []
    people: dict[bytes, tuple[str, str, datetime]] = {}
    signatures: list[bytes] = []
    kept: list[bytes] = []
    for line in _unfolded(head):
        name, _, value = line.partition(b" ")
        if name in (b"gpgsig", b"gpgsig-sha256"):
            signatures.append(value.replace(b"\n ", b"\n"))
            continue
        kept.append(line)
        if name == b"parent":
            parents.append(value.decode(errors="replace"))
        elif name in (b"author", b"committer"):
            people[name] = _identity(oid, value)
    if len(people) < 2:
        raise StoreError(f"the commit {oid} does not say who made it, or when: it is damaged")
    author, _, happened = people[b"author"]
    _, email, recorded = people[b"committer"]
    return Commit(
        id=oid,
        parents=tuple(parents),
        author=author,
        committer_email=email,
        happened=happened,
        recorded=recorded,
        message=parse_message(text.decode(errors="replace")),
        signatures=tuple(one.decode(errors="replace") for one in signatures),
        signed=b"\n".join(kept) + b"\n\n" + text,
    )


def _unfolded(head: bytes) -> list[bytes]:
    """The header's lines, each with those that continue it."""
    lines: list[bytes] = []
    for line in head.split(b"\n"):
        if line.startswith(b" ") and lines:
            lines[-1] += b"\n" + line
        else:
            lines.append(line)
    return lines


def _identity(oid: str, value: bytes) -> tuple[str, str, datetime]:
    found = _IDENTITY.fullmatch(value.decode(errors="replace"))
    try:
        if found is not None:
            return found["name"], found["email"], moment(int(found["seconds"]))
    except (ValueError, OverflowError, OSError):
        pass
    raise StoreError(f"the commit {oid} does not say who made it, or when: it is damaged")


def _check(oid: str, kind: str, content: bytes) -> None:
    named = hashlib.new("sha256" if len(oid) == 64 else "sha1", usedforsecurity=False)
    named.update(f"{kind} {len(content)}\0".encode() + content)
    if named.hexdigest() != oid:
        raise GitError(f"the {kind} {oid} is not what its name says", f"the {kind} {oid} was altered")
