"""Verifies a track by what every store offers: each revision, rebuilt, is what its digest says.

For ConfigMaps, which have no signatures: whoever may write them may write them all.
"""

from typing import Final

from reconciler.errors import FormatError, StoreError, UsageError
from reconciler.state.store import Revision, Track
from reconciler.state.verify_report import Findings, Report, parse_gap

_DAMAGED: Final = "the ConfigMaps were edited, or some of an older copy were restored"


async def verify_revisions(track: Track, location: str) -> Report:
    """Every revision that is kept, oldest first. StoreError when the newest cannot be read at all."""
    if await track.tip() is None:
        raise UsageError(f"nothing has been recorded in {location} yet")
    revisions = [revision async for revision in track.history()][::-1]
    bad, warnings = Findings(), Findings()
    gaps = []
    before: Revision | None = None
    for revision in revisions:
        await _judge(track, revision, bad, warnings)
        if before is not None and revision.recorded < before.recorded:
            warnings.add(revision.id, "is dated before the one that it follows", "a clock was set back")
        for name, value in revision.message.trailers:
            if name == "Gap":
                try:
                    gaps.append(parse_gap(value))
                except ValueError:
                    bad.add(revision.id, f"has the Gap {value[:80]!r}, which is none", _DAMAGED)
        before = revision
    return Report(
        track=location,
        revisions=len(revisions),
        checked=len(revisions),
        first=revisions[0].recorded,
        last=revisions[-1].recorded,
        gaps=tuple(sorted(gaps, key=lambda gap: gap.start)),
        bad=tuple(bad.found),
        bad_count=bad.count,
        warnings=tuple(warnings.found),
    )


async def _judge(track: Track, revision: Revision, bad: Findings, warnings: Findings) -> None:
    try:
        recorded = await track.at(revision.id)
    except UsageError as error:
        warnings.add(revision.id, f"cannot be rebuilt: {error}")
        return
    except FormatError as error:
        bad.add(revision.id, f"cannot be read: {error}", _DAMAGED)
        return
    except StoreError as error:
        if error.__cause__ is not None:  # it is the way there that failed
            raise
        bad.add(revision.id, f"is damaged: {error}", _DAMAGED)
        return
    said = revision.message.trailer("Snapshot")
    if said and said != recorded.snapshot.digest:
        made = recorded.snapshot.digest[:12]
        bad.add(revision.id, f"says that its snapshot is {said[:12]}…, and its apps make {made}…", _DAMAGED)
