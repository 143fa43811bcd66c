"""From a look to the next snapshot, and when what a commit tells of happened."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from reconciler.changes.diff import diff
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import App, AppKey, PolicyInEffect, Snapshot
from reconciler.operator.decide import at_once, cluster_of, happened, is_premature, waiting
from reconciler.policy.quiet import Observation, Verdict
from tests.builders import make_app, make_cluster, make_snapshot
from tests.unit.operator.results import KEY, NOW, make_inventory

UPDATED = "2026-11-21T09:42:49.227889695Z"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([], [make_app()], datetime.fromisoformat(UPDATED), id="an install: Helm's time"),
        pytest.param(
            [make_app()],
            [make_app(revision=2, updated="2026-11-21T10:00:00Z")],
            datetime(2026, 11, 21, 10, tzinfo=UTC),
            id="an upgrade: Helm's time",
        ),
        pytest.param([make_app()], [], NOW, id="an uninstall: nobody knows, so now"),
        pytest.param([make_app()], [make_app(hosts=["a"])], NOW, id="a change by hand: now"),
        pytest.param([], [make_app(updated="2031-01-01T00:00:00Z")], NOW, id="a clock that is ahead: now"),
        pytest.param([], [make_app(updated="rubbish")], NOW, id="no time at all: now"),
    ],
)
def test_a_commit_is_dated_when_its_changes_happened(
    before: list[App], after: list[App], expected: datetime
) -> None:
    assert happened(diff(make_snapshot(*before), make_snapshot(*after)), NOW) == expected


def test_only_what_is_forbidden_is_recorded_as_unreadable() -> None:
    gaps = (
        Gap(Kind.PODS, "team-a", forbidden=True),
        Gap(Kind.INGRESSES, forbidden=True),
        Gap(Kind.SERVICES, message="500"),
    )
    cluster = cluster_of("prod", "u", PolicyInEffect(), gaps)
    assert cluster.unreadable == ("ingresses", "pods in team-a")


def test_what_is_held_out_of_the_record_says_what_it_waits_for() -> None:
    observation = Observation({}, {KEY: Verdict.WAIT, AppKey("a", "b"): Verdict.QUIET}, 5.0)
    assert waiting(make_inventory(make_app()), observation, {}) == {KEY: "it has just changed"}
    assert waiting(make_inventory(), observation, {}) == {KEY: "gone a moment ago"}


def test_where_nobody_looks_again_everything_is_quiet_but_what_is_on_its_way() -> None:
    other = AppKey("default", "other")
    inventory = msgspec.structs.replace(
        make_inventory(make_app()), in_transit={other: NOW - timedelta(seconds=5)}
    )
    observation = Observation({}, {KEY: Verdict.WAIT, other: Verdict.WAIT}, 5.0)
    assert at_once(observation, inventory).verdicts == {KEY: Verdict.QUIET, other: Verdict.WAIT}
    assert at_once(observation, inventory).next_look is None


ORDINARY, STOPPED = PolicyInEffect(), PolicyInEffect(stop=True)
DENYING = PolicyInEffect(denyNamespaces=("def*",))
DENYING_ANOTHER = PolicyInEffect(denyNamespaces=("team-*",))


def with_policy(policy: PolicyInEffect) -> Snapshot:
    return make_snapshot(cluster=msgspec.structs.replace(make_cluster(), policy=policy))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(None, ORDINARY, True, id="the first commit is of something"),
        pytest.param(ORDINARY, ORDINARY, False, id="other apps need not wait for this one"),
        pytest.param(STOPPED, ORDINARY, True, id="what ends a stop tells what happened meanwhile"),
        pytest.param(ORDINARY, STOPPED, False, id="a stop is told at once"),
        pytest.param(DENYING, ORDINARY, True, id="what allows a namespace brings its apps back"),
        pytest.param(DENYING_ANOTHER, ORDINARY, False, id="another namespace is allowed again"),
        pytest.param(ORDINARY, DENYING_ANOTHER, False, id="a denial is told at once"),
    ],
)
def test_a_commit_waits_for_apps_that_it_should_tell_of_while_they_settle(
    before: PolicyInEffect | None, after: PolicyInEffect, expected: bool
) -> None:
    tip = None if before is None else with_policy(before)
    settling = {KEY: "it has just changed"}
    assert is_premature(tip, after, make_inventory(make_app()), settling) is expected
    assert not is_premature(tip, after, make_inventory(make_app()), {})


def test_what_ends_a_stop_or_a_denial_waits_for_nothing_that_may_last() -> None:
    held = {KEY: "pending-upgrade"}
    on_its_way = msgspec.structs.replace(make_inventory(make_app()), in_transit={KEY: NOW})
    unseen = msgspec.structs.replace(make_inventory(), waiting={KEY: "pods cannot be listed"})
    for policy in (STOPPED, DENYING):
        for inventory in (on_its_way, unseen):
            assert not is_premature(with_policy(policy), ORDINARY, inventory, held)


def test_a_first_commit_that_would_be_empty_waits_for_what_is_on_its_way_too() -> None:
    app, other = make_app(), make_app(name="other")
    inventory = msgspec.structs.replace(make_inventory(app, other), in_transit={KEY: NOW})
    alone = msgspec.structs.replace(make_inventory(app), in_transit={KEY: NOW})
    held = {KEY: "pending-install"}
    assert not is_premature(None, ORDINARY, inventory, held)
    assert is_premature(None, ORDINARY, alone, held)
    assert is_premature(None, ORDINARY, inventory, {other.key: "it has just changed", **held})
