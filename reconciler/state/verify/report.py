"""What verifying a track finds, as values, and the time that a record covers. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

MOST_FINDINGS: Final = 1_000
"""Findings of a kind that are kept; the rest is counted. One that was forged early spoils all after it."""

GAP_REASONS: Final = ("stopped", "down", "unreadable")


class Finding(msgspec.Struct, frozen=True):
    """Something that a person should know. ``revision``: "" when it is about the track as a whole.

    ``what``: a clause that follows the revision (``says that …``), or a sentence where there is none.
    ``means``: what to make of it; "" where that is plain.
    """

    revision: str
    what: str
    means: str = ""


class Interval(msgspec.Struct, frozen=True):
    """A time in which nobody looked, and why: one of ``GAP_REASONS``."""

    start: datetime
    end: datetime
    reason: str

    @property
    def length(self) -> timedelta:
        return self.end - self.start


class Report(msgspec.Struct, frozen=True):
    """``track``: what was verified, for people; ``revisions``: of the reconciler's own, in all.

    ``checked``: of those, in this run; the others were verified before. ``signed``: that have a signature;
    ``judged_by``: where it is said who may sign, "" when whose the signatures are was not judged.
    ``bad_count`` may be more than ``bad`` has. ``rescued``: branches that keep what vanished from the track.
    """

    track: str
    revisions: int = 0
    checked: int = 0
    signed: int = 0
    judged_by: str = ""
    first: datetime | None = None
    last: datetime | None = None
    gaps: tuple[Interval, ...] = ()
    bad: tuple[Finding, ...] = ()
    bad_count: int = 0
    warnings: tuple[Finding, ...] = ()
    rescued: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return self.bad_count == 0

    @property
    def uncovered(self) -> timedelta:
        """The length of all gaps between the first revision and the last, each moment counted once."""
        if self.first is None or self.last is None:
            return timedelta()
        return _union(self.gaps, self.first, self.last)

    @property
    def covered(self) -> timedelta:
        """The time from the first revision to the last, without the gaps."""
        if self.first is None or self.last is None:
            return timedelta()
        return max(self.last - self.first, timedelta()) - self.uncovered


class Findings:
    """Collects findings, and counts those that are too many."""

    def __init__(self, found: Iterable[Finding] = ()) -> None:
        self.found = list(found)
        self.count = len(self.found)

    def add(self, revision: str, what: str, means: str = "") -> None:
        self.count += 1
        if len(self.found) < MOST_FINDINGS:
            self.found.append(Finding(revision, what, means))


def parse_gap(text: str) -> Interval:
    """The value of a ``Gap`` trailer, ``<from>/<to> <why>``; ValueError for anything else."""
    moments, _, reason = text.partition(" ")
    start, _, end = moments.partition("/")
    interval = Interval(_moment(start), _moment(end), reason)
    if reason not in GAP_REASONS or interval.end < interval.start:
        raise ValueError(f"{text!r} is not of the form FROM/TO REASON")
    return interval


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} is of no time zone")
    return found


def _union(gaps: Iterable[Interval], first: datetime, last: datetime) -> timedelta:
    total = timedelta()
    until = first
    for gap in sorted(gaps, key=lambda gap: gap.start):
        start, end = max(gap.start, until), min(gap.end, last)
        if end > start:
            total += end - start
            until = end
    return total
