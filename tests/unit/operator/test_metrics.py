"""What is served for Prometheus: computed from the latest result."""

import msgspec
import pytest

from reconciler.inventory.judge import Problem
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.operator.metrics import ResultCollector, metrics
from reconciler.operator.result import Delivery, Failure, Result, Stage
from tests.unit.operator.results import KEY, NOW, make_result

LOOKED = make_result()
UNREADABLE = Problem("Secret default/sh.helm.release.v1.test.v1", "is broken", KEY)


def samples(result: Result) -> dict[str, float]:
    """By name; of conditions, ``Type=Status``."""
    return {
        "=".join(each.labels[name] for name in ("type", "status")) if each.labels else each.name: each.value
        for metric in metrics(result)
        for each in metric.samples
    }


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (LOOKED, {"hossted_apps": 1, "hossted_pods": 1, "hossted_missed_changes_total": 0}),
        (LOOKED, {"hossted_last_reconcile_timestamp_seconds": NOW.timestamp(), "Ready=True": 1}),
        (msgspec.structs.replace(LOOKED, differences=3), {"hossted_missed_changes_total": 3}),
        (
            msgspec.structs.replace(LOOKED, gaps=(Gap(Kind.SERVICES, "shop", forbidden=True),)),
            {"hossted_unseen_kinds": 1, "Collected=False": 1},
        ),
        (make_result(waiting=True), {"hossted_waiting_apps": 1, "Reconciling=True": 1}),
        (make_result(problems=(UNREADABLE,)), {"hossted_unreadable_apps": 1}),
        (
            make_result(delivery=Delivery(pending=2, rejected=(KEY,), unapproved=(KEY, AppKey("a", "b")))),
            {"hossted_pending_apps": 2, "hossted_rejected_apps": 1, "hossted_unapproved_apps": 2},
        ),
        (
            make_result(failure=Failure(Stage.RECORD, "StoreUnavailable", "no way", stalled=False)),
            {"Ready=False": 1, "Recorded=False": 1},
        ),
    ],
)
def test_a_result_gives_these_numbers(result: Result, expected: dict[str, float]) -> None:
    found = samples(result)
    assert {name: found.get(name) for name in expected} == expected


def test_what_was_not_looked_at_is_left_out_rather_than_called_nothing() -> None:
    found = samples(make_result(stopped=True, looked=False))
    assert "hossted_apps" not in found
    assert found["Collected=False"] == 1


def test_before_the_first_result_and_after_leading_there_is_nothing() -> None:
    assert [*ResultCollector(lambda: None).collect()] == []
    assert [*ResultCollector(lambda: LOOKED).collect()] != []
