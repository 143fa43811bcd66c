"""Times in which nobody looked: each is told by a ``Gap: <from>/<to> <why>`` trailer of the next commit.

``stopped``: the project said so; ``down``: no reconciler ran; ``unreadable``: looks failed, or were not
complete, for longer than an ``interval``. Moments are RFC 3339 in UTC.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from reconciler.model import Snapshot, rfc3339
from reconciler.state.store import Recorded, Trailer


class Gaps:
    """The silences of one leadership that no commit tells of yet.

    ``down``: those from before it began; they are kept with the ledger's facts until a commit tells them.
    """

    def __init__(self, down: Iterable[str] = ()) -> None:
        self.down = tuple(down)
        self._unreadable: list[str] = []
        self._last_complete: datetime | None = None
        self._broken = False

    @classmethod
    def after(cls, last_renewed: datetime | None, now: datetime, tolerated: timedelta) -> "Gaps":
        """Those of a leadership that begins ``now``, when the last one's Lease was renewed last."""
        if last_renewed is None or now - last_renewed <= tolerated:
            return cls()
        return cls([text(last_renewed, now, "down")])

    def looked(self, at: datetime, *, complete: bool, interval: timedelta) -> None:
        """A look was tried."""
        if not complete:
            self._broken = True
            return
        last = self._last_complete
        if self._broken and last is not None and at - last > interval:
            self._unreadable.append(text(last, at, "unreadable"))
        self._last_complete, self._broken = at, False

    def trailers(
        self, tip: Recorded | None, snapshot: Snapshot, kept: Iterable[str], now: datetime
    ) -> tuple[str, ...]:
        """The gaps that a commit of ``snapshot`` on top of ``tip`` should tell, in order of time.

        ``kept``: those that the ledger has; one that the tip tells already is left out.
        """
        found = [*kept, *self.down, *self._unreadable]
        if tip is not None and tip.snapshot.cluster.policy.stop and not snapshot.cluster.policy.stop:
            found.append(text(tip.revision.recorded, now, "stopped"))
        told = (
            {value for name, value in tip.revision.message.trailers if name == Trailer.GAP}
            if tip is not None
            else set()
        )
        return tuple(sorted(set(found) - told))

    def told(self) -> None:
        """A commit tells all of them."""
        self.down = ()
        self._unreadable.clear()


def text(since: datetime, until: datetime, why: str) -> str:
    """The text of the trailer."""
    return f"{rfc3339(since)}/{rfc3339(until)} {why}"
