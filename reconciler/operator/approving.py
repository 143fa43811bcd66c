"""What people approved, through the reconciles of one leadership: from where on it counts, and as last read.

Where the approved branch stood when approval began to be required is in the ledger before anything is
planned by it. A branch that cannot be read holds up nothing but what it would let through: what was read
of it before still counts, since people did approve that, and until it was read once nothing counts.
"""

import msgspec

from reconciler.errors import FormatError, StoreError
from reconciler.operator.result import Approving
from reconciler.operator.step import Ground, Round
from reconciler.policy.approval import REQUIRED, Approval
from reconciler.policy.entry import LedgerView
from reconciler.state.ledger.contract import Ledger
from reconciler.state.store import ApprovedTrack, Recorded

RETRY = 60.0
"""Seconds until a branch that could not be read is read again."""

_NO_TRACK = "the state is in no git repository, so nothing in it can be approved"


class Approvals:
    """``approval``: what is approved, as far as it is known; ``approving``: how that stands, None while
    people need not approve anything."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._read: tuple[ApprovedTrack, str, Approval] | None = None
        self._trouble = ""
        self.approval: Approval | None = None
        self.approving: Approving | None = None

    @property
    def is_troubled(self) -> bool:
        """Whether what is approved could not be learned, and should be soon."""
        return self.approving is not None and bool(self.approving.trouble)

    async def begin(self, this: Round, on: Ground) -> Ground:
        """Keep in the ledger where the branch stands when approval begins to be required, and that it is not
        required any more. In another store, or one that was set back, it begins anew. Raises LedgerError."""
        self._trouble, known = "", on.view.facts.required
        since: str | None = None
        if this.policy.push.approval == REQUIRED:
            if known is not None and not on.course.is_broken:
                return on
            try:
                since = await _track_of(this).tip()
            except (StoreError, FormatError) as error:
                self._trouble = str(error)
                return on
        if since == known:
            return on
        wanted = msgspec.structs.replace(on.view.facts, required=since)
        return msgspec.structs.replace(on, view=await self._ledger.write({}, wanted))

    async def read(self, this: Round, view: LedgerView, tip: Recorded | None) -> None:
        """Learn what is approved by now. ``tip``: the newest revision of the record."""
        if this.policy.push.approval != REQUIRED:
            self.forget()
            return
        since, track = view.facts.required, this.store.approved(this.whose.cluster_uuid)
        self.approval = None
        if not self._trouble and since is not None:
            try:
                track = _track_of(this)
                self._read = (track, since, await track.read(since, tip))
            except (StoreError, FormatError) as error:
                self._trouble = str(error)
            if self._read is not None and self._read[:2] == (track, since):
                self.approval = self._read[2]
        self.approving = Approving(
            branch=track.name if track is not None else "",
            refused=self.approval.refused if self.approval is not None else {},
            trouble=self._trouble,
        )

    def forget(self) -> None:
        """Nothing need be approved, or nothing is told at all."""
        self._read = self.approval = self.approving = None


async def foreseen(this: Round, on: Ground) -> Approval | None:
    """What a reconcile would find approved; None where nothing need be. Raises StoreError, FormatError."""
    if this.policy.push.approval != REQUIRED:
        return None
    known = None if on.course.is_broken else on.view.facts.required
    return Approval() if known is None else await _track_of(this).read(known, on.tip)


def _track_of(this: Round) -> ApprovedTrack:
    track = this.store.approved(this.whose.cluster_uuid)
    if track is None:
        raise StoreError(_NO_TRACK)
    return track
