"""When an app has settled: looks at given seconds, and what each one says."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey, RuleInEffect
from reconciler.policy.quiet import Observation, Tracked, Verdict, observe
from reconciler.policy.rules import Rules
from tests.builders import make_app
from tests.unit.policy.inventories import make_inventory

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUIET, STANDS, WAIT = Verdict.QUIET, Verdict.AS_IT_STANDS, Verdict.WAIT
SETTLE, INTERVAL = 5.0, 600.0

OLD = make_app(revision=1)
NEW = make_app(revision=2)
PENDING = make_app(revision=2, pod_status="Pending")
KEY = OLD.key


class Looks:
    """Looks one after the other; what is recorded stays unless a look says otherwise."""

    def __init__(self, *recorded: App, settle: float = SETTLE, push_on: str = "HelmUpdate") -> None:
        self.recorded: Mapping[AppKey, App] = {app.key: app for app in recorded}
        self.tracked: Mapping[AppKey, Tracked] = {}
        self.marks: dict[AppKey, str] = {}
        self.rules = Rules(push_on)
        self._settle = settle

    def at(self, now: float, *live: App, inventory: Inventory | None = None) -> Observation:
        seen = observe(
            self.tracked,
            inventory or make_inventory(*live),
            self.recorded,
            now=now,
            wall=START + timedelta(seconds=now),
            settle=self._settle,
            interval=INTERVAL,
            rules=self.rules,
            unsettled=self.marks,
        )
        self.tracked = seen.tracked
        return seen

    def verdict(self, now: float, *live: App, inventory: Inventory | None = None) -> Verdict | None:
        return self.at(now, *live, inventory=inventory).verdicts.get(KEY)


Step = tuple[float, App | None, Verdict | None]


@pytest.mark.parametrize(
    ("recorded", "steps"),
    [
        pytest.param(OLD, [(0, OLD, None), (100, OLD, None)], id="what is as recorded needs no verdict"),
        pytest.param(OLD, [(0, NEW, WAIT), (4.9, NEW, WAIT), (5, NEW, QUIET)], id="an upgrade"),
        pytest.param(None, [(0, NEW, WAIT), (5, NEW, QUIET), (10, NEW, QUIET)], id="an install"),
        pytest.param(
            OLD,
            [
                (0, NEW, WAIT),
                (4, make_app(revision=3), WAIT),
                (8, make_app(revision=3), WAIT),
                (9, make_app(revision=3), QUIET),
            ],
            id="each change begins the wait anew",
        ),
        pytest.param(
            None,
            [
                (0, PENDING, WAIT),
                (5, PENDING, WAIT),
                (59, PENDING, WAIT),
                (60, PENDING, STANDS),
                (600, PENDING, STANDS),
            ],
            id="a Pending pod is waited for 12 times settle",
        ),
        pytest.param(
            None,
            [(0, PENDING, WAIT), (30, NEW, WAIT), (35, NEW, QUIET)],
            id="a pod that runs in time",
        ),
        pytest.param(
            OLD,
            [
                (0, NEW, WAIT),
                *((n * 4.0, make_app(revision=2 + n), WAIT) for n in range(1, 15)),
                (60, make_app(revision=99), STANDS),
            ],
            id="what never rests is taken as it stands",
        ),
        pytest.param(
            OLD,
            [
                (0, NEW, WAIT),
                (5, NEW, QUIET),
                (500, PENDING, WAIT),
                (559, PENDING, WAIT),
                (560, PENDING, STANDS),
            ],
            id="the patience begins when it stops being quiet",
        ),
        pytest.param(
            OLD,
            [
                (0, make_app(revision=1, pod_status="Pending"), WAIT),
                (9000, make_app(revision=1, pod_status="Pending"), STANDS),
                (9001, PENDING, WAIT),
                (9060, PENDING, WAIT),
                (9061, PENDING, STANDS),
            ],
            id="a pod that has been Pending for hours does not rush the upgrade",
        ),
        pytest.param(OLD, [(0, None, WAIT), (4, None, WAIT), (5, None, QUIET)], id="an uninstall"),
        pytest.param(
            OLD, [(0, None, WAIT), (3, NEW, WAIT), (8, NEW, QUIET)], id="an uninstall and an install are one"
        ),
        pytest.param(OLD, [(0, NEW, WAIT), (3, OLD, None), (9, NEW, WAIT)], id="there and back again"),
    ],
)
def test_a_verdict_at_each_look(recorded: App | None, steps: list[Step]) -> None:
    looks = Looks(*[recorded] if recorded else [])
    told = [(now, looks.verdict(now, *[live] if live else [])) for now, live, _ in steps]
    assert told == [(now, verdict) for now, _, verdict in steps]


@pytest.mark.parametrize(
    ("now", "live", "verdict"),
    [
        (0.0, NEW, QUIET),
        (0.0, PENDING, WAIT),
    ],
)
def test_without_settle_what_has_no_pending_pod_is_quiet_at_once(
    now: float, live: App, verdict: Verdict
) -> None:
    assert Looks(OLD, settle=0).verdict(now, live) is verdict


def test_without_settle_a_pending_pod_is_waited_for_a_minute() -> None:
    looks = Looks(OLD, settle=0)
    assert [looks.verdict(now, PENDING) for now in (0, 59, 60)] == [WAIT, WAIT, STANDS]


def test_an_absence_without_proof_is_no_verdict_and_nothing_waits_for_it() -> None:
    looks = Looks(OLD)
    for inventory in (make_inventory(unproven=["default"]), make_inventory(unreadable=[KEY])):
        seen = looks.at(0, inventory=inventory)
        assert (seen.verdicts, seen.tracked, seen.next_look) == ({}, {}, None)


def test_a_release_uninstalled_with_its_history_kept_is_gone() -> None:
    looks = Looks(OLD)
    inventory = make_inventory(kept=[OLD.as_uninstalled()])
    assert [looks.verdict(now, inventory=inventory) for now in (0, 5)] == [WAIT, QUIET]


def on_its_way(app: App, since: float) -> Inventory:
    return make_inventory(app, in_transit={app.key: START + timedelta(seconds=since)})


UPGRADING = make_app(revision=2, status="pending-upgrade")


def test_a_release_on_its_way_waits_until_it_ends_and_settles() -> None:
    looks = Looks(OLD)
    assert [looks.verdict(now, inventory=on_its_way(UPGRADING, 0)) for now in (1, 30, 300)] == [WAIT] * 3
    assert [looks.verdict(now, NEW) for now in (301, 305, 306)] == [WAIT, WAIT, QUIET]


def test_pods_that_are_pending_after_a_long_way_are_waited_for() -> None:
    looks = Looks(OLD)
    looks.at(0, inventory=on_its_way(UPGRADING, 0))
    looks.at(300, inventory=on_its_way(UPGRADING, 0))
    assert [looks.verdict(now, PENDING) for now in (301, 350, 360)] == [WAIT, WAIT, STANDS]


@pytest.mark.parametrize("status", ["pending-install", "pending-upgrade", "pending-rollback", "uninstalling"])
def test_a_release_that_is_on_its_way_for_an_interval_is_stuck(status: str) -> None:
    looks = Looks(OLD)
    stuck = on_its_way(make_app(revision=2, status=status), 0)
    assert [looks.verdict(now, inventory=stuck) for now in (10, 599, 600)] == [WAIT, WAIT, QUIET]


def test_a_release_that_was_stuck_long_before_the_start_need_only_be_quiet() -> None:
    looks = Looks(OLD)
    stuck = on_its_way(UPGRADING, -3600)
    assert [looks.verdict(now, inventory=stuck) for now in (0, 5)] == [WAIT, QUIET]


def test_a_release_whose_clock_is_ahead_is_stuck_an_interval_after_it_was_first_seen() -> None:
    looks = Looks(OLD)
    stuck = on_its_way(UPGRADING, +3600)
    assert [looks.verdict(now, inventory=stuck) for now in (0, 599, 600)] == [WAIT, WAIT, QUIET]


def test_what_differs_for_weeks_is_compared_when_either_side_or_a_rule_changes() -> None:
    looks = Looks(OLD)
    other = make_app(revision=1, pods=2)

    def compared(now: float, *live: App) -> bool:
        before = looks.tracked.get(KEY)
        after = looks.at(now, *live).tracked[KEY]
        return before is None or after.compared is not before.compared

    assert [compared(0, NEW), compared(1, NEW), compared(2, other), compared(3, other)] == [True, False] * 2
    assert not looks.tracked[KEY].compared.matters
    looks.rules = Rules("AnyChange", own=(RuleInEffect(action="Record"),))
    assert [compared(4, other), compared(5, other)] == [True, False]
    assert looks.tracked[KEY].compared.matters
    looks.recorded = {KEY: make_app(revision=3)}
    assert [compared(6, other), compared(7, other)] == [True, False]


def test_what_was_recorded_as_it_stood_is_judged_until_its_first_quiet_state() -> None:
    looks = Looks(PENDING)
    assert looks.verdict(0, PENDING) is None
    looks.marks[KEY] = PENDING.digest
    assert [looks.verdict(now, PENDING) for now in (0, 60)] == [WAIT, STANDS]
    assert [looks.verdict(now, NEW) for now in (61, 66)] == [STANDS, QUIET]


def test_a_mark_of_another_state_is_not_heeded() -> None:
    looks = Looks(OLD)
    looks.marks[KEY] = PENDING.digest
    assert looks.verdict(0, OLD) is None


@pytest.mark.parametrize(
    ("steps", "next_look"),
    [
        pytest.param([(0, OLD)], None, id="nothing waits"),
        pytest.param([(0, NEW)], 5, id="until it has settled"),
        pytest.param([(0, NEW), (2, NEW)], 3, id="the rest of that"),
        pytest.param([(0, NEW), (5, NEW)], None, id="it has"),
        pytest.param([(0, PENDING)], 5, id="a Pending pod is asked for again soon"),
        pytest.param([(0, PENDING), (40, PENDING)], 10, id="then later"),
        pytest.param([(0, PENDING), (57, PENDING)], 3, id="but when the patience ends at the latest"),
        pytest.param([(0, PENDING), (400, PENDING)], 100, id="and ever later"),
        pytest.param([(0, None)], 5, id="an absence"),
        pytest.param([(0, make_app(pod_status="Pending"))], None, id="what is deferred is not asked for"),
        pytest.param([(0, make_app(pod_status="Failed"))], None, id="nor waited for"),
    ],
)
def test_the_next_look_is_when_a_verdict_may_change(
    steps: list[tuple[float, App | None]], next_look: float | None
) -> None:
    looks = Looks(OLD)
    seen = [looks.at(now, *[live] if live else []) for now, live in steps]
    assert seen[-1].next_look == next_look


def test_the_next_look_at_a_release_on_its_way_is_soon_and_at_the_interval_at_the_latest() -> None:
    looks = Looks(OLD)
    told = [looks.at(now, inventory=on_its_way(UPGRADING, 0)).next_look for now in (0, 100, 598)]
    assert told == [5, 25, 2]


def test_the_earliest_of_several_decides_the_next_look() -> None:
    looks = Looks()
    looks.at(0, make_app(name="a"))
    assert looks.at(3, make_app(name="a"), make_app(name="b")).next_look == 2


STATES = st.sampled_from((OLD, NEW, PENDING, make_app(revision=3), None))


@given(st.lists(st.tuples(st.floats(0.5, 20), STATES), min_size=1, max_size=12), st.sampled_from((0.0, 5.0)))
@hypothesis_settings(max_examples=60)
def test_whoever_follows_the_next_look_gets_a_verdict_in_bounded_time(
    steps: list[tuple[float, App | None]], settle: float
) -> None:
    looks = Looks(OLD, settle=settle)
    now, live, seen = 0.0, None, None
    for pause, live in steps:
        now += pause
        seen = looks.at(now, *[live] if live else [])
    began = now
    while seen is not None and WAIT in seen.verdicts.values():
        assert seen.next_look is not None
        assert seen.next_look > 0
        now += seen.next_look + 1e-6
        seen = looks.at(now, *[live] if live else [])
        assert now - began <= 61
