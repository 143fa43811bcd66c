"""How a person names a revision: by the beginning of its id, as the newest one, or by a date."""

import re

from reconciler.cli.times import Times
from reconciler.errors import UsageError
from reconciler.state.store import Recorded, Revision, Track

OBSERVED = "observed"
"""The track's name stands for its newest revision."""

SHORT = 12
"""Characters of an id for people."""

_ID = re.compile(r"r[1-9][0-9]*|[0-9a-f]{4,64}")


def is_revision(text: str) -> bool:
    """Whether a text may be a revision's id, or the beginning of one."""
    return _ID.fullmatch(text) is not None


async def find(track: Track, text: str, times: Times) -> Recorded:
    """The revision that a text names, of a date the newest one at or before it; UsageError if none."""
    if text == OBSERVED:
        tip = await track.tip()
        if tip is None:
            raise UsageError("nothing has been recorded of this cluster yet")
        return tip
    moment = times.parse(text)
    if moment is None:
        return await track.at(text)
    oldest: Revision | None = None
    async for revision in track.history():
        if revision.recorded <= moment:
            return await track.at(revision.id)
        oldest = revision
    first = f": the first was recorded at {times.text(oldest.recorded)}" if oldest is not None else " yet"
    raise UsageError(f"nothing had been recorded by {text}{first}")
