"""Verifies a track by what every store offers: each revision, rebuilt, is what its digest says.

For ConfigMaps, which have no signatures: whoever may write them may write them all.
"""

from itertools import pairwise
from typing import Final

from reconciler.errors import NotKeptError, NotWholeError, UsageError
from reconciler.state.store import Revision, Track, Trailer
from reconciler.state.verify.report import Findings, Interval, Report, parse_gap

_MEDDLED: Final = "the ConfigMaps were edited or deleted, or some of an older copy were restored"


async def verify_revisions(track: Track, location: str) -> Report:
    """Every revision that is kept. UsageError when there is none; StoreError, FormatError as the track."""
    tip = await track.tip()
    if tip is None:
        raise UsageError(f"nothing has been recorded in {location} yet")
    revisions = [revision async for revision in track.history()][::-1] or [tip.revision]
    bad, warnings = Findings(), Findings()
    for repair in tip.repairs:
        bad.add("", repair.what, f"{_MEDDLED}; the next commit puts right what can be")
    for notice in track.notices:
        warnings.add("", notice)
    for revision in revisions:
        await _judge(track, revision, bad, warnings)
    await _judge_beginning(track, revisions[0], bad)
    for one, other in pairwise(revisions):
        if other.recorded < one.recorded:
            warnings.add(other.id, "is dated before the one that it follows", "a clock was set back")
    return Report(
        track=location,
        revisions=len(revisions),
        checked=len(revisions),
        first=revisions[0].recorded,
        last=revisions[-1].recorded,
        gaps=tuple(gap for revision in revisions for gap in _gaps(revision, bad)),
        bad=tuple(bad.found),
        bad_count=bad.count,
        warnings=tuple(warnings.found),
    )


async def _judge(track: Track, revision: Revision, bad: Findings, warnings: Findings) -> None:
    try:
        made = (await track.at(revision.id)).snapshot.digest
    except NotWholeError as error:
        warnings.add(revision.id, f"cannot be judged: {error}")
        return
    except UsageError as error:
        bad.add(revision.id, f"cannot be rebuilt: {error}", _MEDDLED)
        return
    said = revision.message.trailer(Trailer.SNAPSHOT)
    if said and said != made:
        bad.add(
            revision.id, f"says that its snapshot is {said[:12]}…, and its apps make {made[:12]}…", _MEDDLED
        )


async def _judge_beginning(track: Track, oldest: Revision, bad: Findings) -> None:
    """Before the oldest that can be read there is none, or none that should still be kept."""
    try:
        await track.before(oldest.id)
    except (NotKeptError, NotWholeError):
        return
    except UsageError as error:
        bad.add(oldest.id, f"is the oldest that can be read: {error}", _MEDDLED)


def _gaps(revision: Revision, bad: Findings) -> list[Interval]:
    found = []
    for name, value in revision.message.trailers:
        if name == Trailer.GAP:
            try:
                found.append(parse_gap(value))
            except ValueError:
                bad.add(revision.id, f"has the Gap {value[:80]!r}, which is none", _MEDDLED)
    return found
