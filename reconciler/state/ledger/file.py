"""The ledger in one JSON file: for a recorded cluster, or a machine without one.

Written to a file beside it, flushed, and renamed over it: a reader finds the old one or the new one,
whatever crashes. A lock file keeps two processes from writing at once, and what is on disk is compared
with what was loaded before it is replaced. Not for network file systems, whose locks and renames differ.
"""

import asyncio
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from reconciler.errors import FormatError, LedgerError
from reconciler.model import FORMAT, AppKey, digest_of, encode
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.state.ledger.contract import Preface, bounded, updated


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds; entries by ``namespace/name``."""

    format: int
    suspect: bool
    facts: LedgerFacts
    entries: dict[str, Entry]


_DOCUMENT = msgspec.json.Decoder(_Document)
_PREFACE = msgspec.json.Decoder(Preface)


class FileLedger:
    """A Ledger in the file ``path``, whose folder is made when it is missing. It is one shard.

    A missing file makes it suspect; a file from a backup cannot be told from one that is not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._view: LedgerView | None = None
        self._digest = ""
        self._lock = asyncio.Lock()

    @property
    def location(self) -> str:
        return f"file {self._path}"

    @property
    def known(self) -> LedgerView | None:
        return self._view

    async def load(self) -> LedgerView:
        async with self._lock:
            return await self._load()

    async def write(
        self, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        """As ``Ledger.write``; all of it or nothing."""
        async with self._lock:
            view = self._view or await self._load()
            after = LedgerView(
                facts=bounded(facts) if facts is not None else view.facts,
                entries=updated(view.entries, entries.items()),
                suspect=view.suspect,
            )
            return view if after == view else await self._save(after)

    async def settle_suspicion(self) -> LedgerView:
        async with self._lock:
            view = self._view or await self._load()
            if not view.suspect:
                return view
            return await self._save(msgspec.structs.replace(view, suspect=False))

    def shard_of(self, key: AppKey) -> str:
        return ""

    async def close(self) -> None:
        """Nothing is held between writes."""

    async def _load(self) -> LedgerView:
        data = await asyncio.to_thread(self._read)
        view = self._decode(data) if data else LedgerView(LedgerFacts(), {}, suspect=True)
        self._view, self._digest = view, digest_of(data)
        return view

    async def _save(self, view: LedgerView) -> LedgerView:
        entries = {str(key): entry for key, entry in sorted(view.entries.items())}
        document = _Document(FORMAT, view.suspect, view.facts, entries)
        data = msgspec.json.format(encode(document), indent=2) + b"\n"
        self._view = None  # when this fails, or is cancelled, nothing is known
        await asyncio.to_thread(self._swap, self._digest, data)
        self._view, self._digest = view, digest_of(data)
        return view

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise LedgerError(f"the ledger {self._path} cannot be read: {error.strerror}") from error

    def _decode(self, data: bytes) -> LedgerView:
        try:
            if _PREFACE.decode(data).is_newer:
                raise FormatError(f"the ledger {self._path} was written by a newer program: upgrade this one")
            document = _DOCUMENT.decode(data)
            entries = {AppKey.parse(key): entry for key, entry in document.entries.items()}
        except ValueError as error:  # msgspec's are ValueErrors too
            raise FormatError(
                f"{self._path} is not a ledger that we wrote: restore it from a backup, or delete it"
            ) from error
        return LedgerView(document.facts, entries, document.suspect)

    def _swap(self, expected: str, data: bytes) -> None:
        """Replace what has the digest ``expected``."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if digest_of(self._read()) != expected:
                    raise LedgerError(f"the ledger {self._path} was written by somebody else in between")
                self._replace(data)
        except OSError as error:
            raise LedgerError(f"the ledger {self._path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The lock belongs to a file of its own: the ledger's is another one after each write."""
        with self._path.with_name(f"{self._path.name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LedgerError(f"another process is writing the ledger {self._path}") from error
            try:
                yield
            finally:
                # Closing is not enough: a program that is just being started still has a copy of it.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _replace(self, data: bytes) -> None:
        temporary = self._path.with_name(f"{self._path.name}.new")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
