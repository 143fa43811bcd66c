"""Times in which nobody looked, as the next commit tells them."""

from datetime import timedelta

import msgspec

from reconciler.model import PolicyInEffect
from reconciler.operator.gaps import Gaps, text
from tests.builders import make_cluster, make_snapshot
from tests.unit.operator.results import NOW, make_recorded

MINUTE = timedelta(minutes=1)
INTERVAL = 10 * MINUTE
SNAPSHOT = make_snapshot()
DOWN = text(NOW - 60 * MINUTE, NOW, "down")


def test_a_start_long_after_the_last_renewal_of_the_lease_is_a_gap() -> None:
    gaps = Gaps.after(NOW - 60 * MINUTE, NOW, MINUTE)
    assert gaps.trailers(None, SNAPSHOT, (), NOW) == ("2026-11-21T11:00:00Z/2026-11-21T12:00:00Z down",)


def test_a_start_within_the_lease_and_a_very_first_start_are_none() -> None:
    assert Gaps.after(NOW - MINUTE, NOW, MINUTE).trailers(None, SNAPSHOT, (), NOW) == ()
    assert Gaps.after(None, NOW, MINUTE).trailers(None, SNAPSHOT, (), NOW) == ()


def test_looks_that_fail_for_longer_than_an_interval_are_a_gap() -> None:
    gaps = Gaps()
    gaps.looked(NOW, complete=True, interval=INTERVAL)
    gaps.looked(NOW + 10 * MINUTE, complete=False, interval=INTERVAL)
    gaps.looked(NOW + 25 * MINUTE, complete=True, interval=INTERVAL)
    told = gaps.trailers(None, SNAPSHOT, (), NOW + 25 * MINUTE)
    assert told == ("2026-11-21T12:00:00Z/2026-11-21T12:25:00Z unreadable",)


def test_a_look_that_failed_and_was_soon_repeated_is_none() -> None:
    gaps = Gaps()
    gaps.looked(NOW, complete=True, interval=INTERVAL)
    gaps.looked(NOW + MINUTE, complete=False, interval=INTERVAL)
    gaps.looked(NOW + 2 * MINUTE, complete=True, interval=INTERVAL)
    assert gaps.trailers(None, SNAPSHOT, (), NOW) == ()


def test_the_commit_that_resumes_tells_since_when_it_was_stopped() -> None:
    stopped = msgspec.structs.replace(make_cluster(), policy=PolicyInEffect(stop=True))
    tip = make_recorded(make_snapshot(cluster=stopped), at=NOW - 5 * MINUTE)
    assert Gaps().trailers(tip, SNAPSHOT, (), NOW) == ("2026-11-21T11:55:00Z/2026-11-21T12:00:00Z stopped",)
    assert Gaps().trailers(tip, make_snapshot(cluster=stopped), (), NOW) == ()


def test_a_gap_is_told_once_even_if_the_ledger_still_has_it() -> None:
    gaps = Gaps([DOWN])
    assert gaps.trailers(None, SNAPSHOT, (DOWN,), NOW) == (DOWN,)
    gaps.told()
    tip = make_recorded(trailers=(("Gap", DOWN),))
    assert gaps.trailers(tip, SNAPSHOT, (DOWN,), NOW) == ()
