"""The ledger's contract: what is kept of each app's deliveries, and how it is changed.

What an entry means, and the steps from one to the next, are in ``reconciler.policy``. Here it is kept:
``FileLedger`` where there is no cluster, ``ConfigMapLedger`` where there is one. Only the holder of the
lease writes; a write is fenced all the same, by compare-and-swap.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import msgspec

from reconciler.differing import Derived
from reconciler.model import FORMAT, AppKey
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView

INSTANCES_KEPT: Final = 50
"""Instances that the ledger remembers. Only the tip of a track is judged by its Instance, and at each start
that one is remembered anew, so that ours never looks like a stranger's, however long nothing is recorded."""


class Ledger(Protocol):
    """Where entries are kept.

    All methods raise LedgerError when the ledger cannot be read or written, or somebody else wrote it in
    between: load again, and plan again. FormatError: it is a newer program's, or not ours.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    @property
    def known(self) -> LedgerView | None:
        """The ledger as we read or wrote it last; None where that is not known. It asks for nothing."""
        ...

    async def load(self) -> LedgerView:
        """The ledger as it is kept now."""
        ...

    async def write(
        self, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        """Set entries (None: drop it) and facts (None: as they are); durable when it returns.

        Nothing to write is no request where the ledger is ``known``, and reads it where it is not. Facts
        first; then entries, all or nothing for those of one ``shard_of``. After an error some
        shards may be written and others not. TooLargeError names an app whose entry fits nowhere.
        """
        ...

    async def settle_suspicion(self) -> LedgerView:
        """From now on the ledger is what we wrote: ``suspect`` is False until something new happens.

        Until then suspicion is kept, over any write and any crash. To be called once every entry that
        was in doubt has been written as such.
        """
        ...

    def shard_of(self, key: AppKey) -> str:
        """Entries with the same answer are written in one request. It changes as the ledger grows."""
        ...

    async def close(self) -> None:
        """Let go of what is held."""
        ...


def bounded(facts: LedgerFacts) -> LedgerFacts:
    """The facts with no more Instances than are kept: the newest."""
    return msgspec.structs.replace(facts, instances=facts.instances[-INSTANCES_KEPT:])


def updated(
    entries: Mapping[AppKey, Entry], changes: Iterable[tuple[AppKey, Entry | None]]
) -> dict[AppKey, Entry]:
    """Entries after a write."""
    return Derived(entries, dict(changes))


class Preface(msgspec.Struct, frozen=True):
    """What every format of the ledger has."""

    format: int

    @property
    def is_newer(self) -> bool:
        return self.format > FORMAT
