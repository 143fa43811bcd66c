"""The conditions of every kind of result, and the rules of kstatus that all of them keep."""

import itertools
from datetime import timedelta

import msgspec
import pytest

from reconciler.inventory.judge import Problem
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from reconciler.operator.conditions import conditions, describe_gap, sentence, stalled
from reconciler.operator.result import Approving, Delivery, Failure, Result, Stage
from reconciler.state.store import Repair
from tests.unit.operator.results import KEY, NOW, make_recorded, make_result

BROKEN = Problem("Release default/broken", "is not gzip", KEY)
AWAY = Failure(Stage.RECORD, "StoreUnavailable", "file:///srv/x.git cannot be reached", stalled=False)
WRONG = Failure(Stage.COLLECT, "InvalidSpec", "spec.rules: not supported", stalled=True)
UNUSABLE = Delivery(pending=2, trouble="https://api.example.com/: answered 401", stopped=True)
PENDING = Delivery(pending=2, trouble="https://api.example.com/: answered 503")

OTHER = "another reconciler (Instance i-2) records the same cluster"
EDITED = msgspec.structs.replace(
    make_recorded(), repairs=(Repair("default/test was edited by Jane Doe in 1a2b3c4d", KEY),)
)

ON = Approving("approved/K-1")
WRONGLY = Approving(
    "approved/K-1", {KEY: "default/test.yaml on the branch approved/K-1 was never in the record"}
)

TABLE = [
    pytest.param(make_result(), "Ready=UpToDate", "Delivered=UpToDate", id="all is well"),
    pytest.param(make_result(stopped=True), "Ready=Stopped", "Collected!Stopped", id="stopped"),
    pytest.param(make_result(waiting=True), "Recorded=Settling", "Reconciling=Settling", id="an app settles"),
    pytest.param(
        make_result(problems=(BROKEN,)), "Ready=Partial", "Collected!Partial", id="a broken release"
    ),
    pytest.param(
        make_result(failure=AWAY), "Ready!StoreUnavailable", "Reconciling=Retrying", id="the store is away"
    ),
    pytest.param(
        make_result(failure=AWAY), "Recorded!StoreUnavailable", "Collected=Complete", id="seen all the same"
    ),
    pytest.param(
        make_result(looked=False, failure=WRONG),
        "Stalled=InvalidSpec",
        "Ready!InvalidSpec",
        id="a wrong spec",
    ),
    pytest.param(
        make_result(delivery=PENDING), "Delivered!Pending", "Reconciling=Delivering", id="the API is away"
    ),
    pytest.param(
        make_result(delivery=UNUSABLE), "Delivered!ApiUnusable", "Ready!ApiUnusable", id="the API refuses us"
    ),
    pytest.param(
        make_result(delivery=Delivery(in_doubt=True)),
        "Delivered!LedgerInDoubt",
        "Ready!LedgerInDoubt",
        id="the ledger was restored",
    ),
    pytest.param(
        make_result(delivery=Delivery(rejected=(KEY,))),
        "Delivered!Rejected",
        "Ready!Rejected",
        id="the API rejects one",
    ),
    pytest.param(
        make_result(notices=(OTHER,)), "Recorded=Attention", "Ready=Attention", id="something to know"
    ),
    pytest.param(
        make_result(notices=(OTHER,), waiting=True),
        "Recorded=Attention",
        "Reconciling=Settling",
        id="something to know while an app settles",
    ),
    pytest.param(
        make_result(notices=(OTHER,), failure=AWAY),
        "Recorded!StoreUnavailable",
        "Ready!StoreUnavailable",
        id="what to know is less than what is wrong",
    ),
    pytest.param(
        make_result(stopped=True, recorded=EDITED),
        "Recorded=Attention",
        "Ready=Stopped",
        id="an edit that is not restored yet",
    ),
    pytest.param(
        make_result(delivery=Delivery(configured=False)),
        "Delivered?NotConfigured",
        "Ready=UpToDate",
        id="no API at all",
    ),
    pytest.param(
        make_result(delivery=Delivery(unapproved=(KEY,)), approving=ON),
        "Delivered=AwaitingApproval",
        "Ready=AwaitingApproval",
        id="an app waits for people",
    ),
    pytest.param(
        make_result(delivery=Delivery(unapproved=(KEY,)), approving=ON, notices=(OTHER,)),
        "Delivered=AwaitingApproval",
        "Ready=Attention",
        id="something to know while an app waits for people",
    ),
    pytest.param(
        make_result(delivery=Delivery(unapproved=(KEY,)), approving=WRONGLY),
        "Delivered!ApprovalRefused",
        "Ready!ApprovalRefused",
        id="people approved what never was",
    ),
    pytest.param(
        make_result(delivery=PENDING, approving=WRONGLY),
        "Delivered!Pending",
        "Ready!Pending",
        id="the API is away, and people approved what never was",
    ),
    pytest.param(
        make_result(approving=Approving("approved/K-1", trouble="it cannot be reached")),
        "Delivered!ApprovalUnreadable",
        "Ready!ApprovalUnreadable",
        id="what is approved cannot be read",
    ),
]


def told(result: Result) -> dict[str, str]:
    """``=`` True, ``!`` False, ``?`` Unknown, then the reason, by type."""
    signs = {"True": "=", "False": "!", "Unknown": "?"}
    return {one.type: f"{one.type}{signs[one.status]}{one.reason}" for one in conditions(result)}


@pytest.mark.parametrize(("result", "one", "other"), TABLE)
def test_each_result_has_its_conditions(result: Result, one: str, other: str) -> None:
    assert {one, other} <= set(told(result).values())


@pytest.mark.parametrize(
    "result",
    [
        make_result(stopped=s, looked=ok, waiting=w, problems=p, delivery=d, failure=f)
        for s, ok, w, p, d, f in itertools.product(
            (False, True),
            (False, True),
            (False, True),
            ((), (BROKEN,)),
            (
                Delivery(),
                PENDING,
                Delivery(rejected=(KEY,)),
                Delivery(configured=False),
                Delivery(in_doubt=True),
            ),
            (None, AWAY, WRONG),
        )
    ],
)
def test_the_conditions_keep_the_rules_of_kstatus(result: Result) -> None:
    found = {one.type: one for one in conditions(result)}
    assert set(found) >= {"Ready", "Collected", "Recorded", "Delivered"}
    assert all(one.reason and one.reason[0].isupper() and " " not in one.reason for one in found.values())
    assert all(one.message for one in found.values())
    assert not {"Reconciling", "Stalled"} <= set(found), "one of the two at most"
    for abnormal in {"Reconciling", "Stalled"} & set(found):
        assert found[abnormal].status == "True", "there only when true"
    if "Stalled" in found:
        assert found["Ready"].status == "False"


def test_the_apps_that_wait_for_people_are_counted_and_three_are_named_with_the_branch() -> None:
    def message(number: int) -> str:
        keys = tuple(AppKey("shop", f"app-{each}") for each in range(number))
        result = make_result(delivery=Delivery(unapproved=keys), approving=ON)
        return next(one.message for one in conditions(result) if one.type == "Delivered")

    assert message(1) == "1 app waits for approval on the branch approved/K-1: shop/app-0"
    assert message(200) == (
        "200 apps wait for approval on the branch approved/K-1: "
        "shop/app-0; shop/app-1; shop/app-2; and 197 more"
    )


def test_a_failure_is_said_by_the_part_that_failed_and_by_ready() -> None:
    found = {one.type: one.message for one in conditions(make_result(failure=AWAY))}
    assert found["Ready"] == found["Recorded"] == AWAY.message


def test_what_is_not_served_is_stalled_and_not_ready() -> None:
    assert [(one.type, one.status) for one in stalled("NotTheOldest", "only …")] == [
        ("Ready", "False"),
        ("Stalled", "True"),
    ]


def test_a_gap_is_told_with_its_namespace_and_why() -> None:
    assert describe_gap(Gap(Kind.PODS, "team-a", forbidden=True)) == "cannot read pods in team-a: forbidden"
    result = msgspec.structs.replace(make_result(), gaps=(Gap(Kind.INGRESSES, message="500"),))
    assert told(result)["Collected"] == "Collected!Partial"


def test_a_long_list_is_cut_with_a_count() -> None:
    assert sentence(str(n) for n in range(3)) == "0; 1; 2"
    assert sentence(str(n) for n in range(5)) == "0; 1; 2; and 2 more"


def test_what_people_should_know_stands_first_and_with_the_revision() -> None:
    found = {one.type: one.message for one in conditions(make_result(notices=(OTHER, "second")))}
    assert found["Recorded"] == f"{OTHER}; second; revision 3218124868: upgrade default/test"
    found = {one.type: one.message for one in conditions(make_result(stopped=True, recorded=EDITED))}
    assert found["Recorded"].startswith(
        "default/test was edited by Jane Doe in 1a2b3c4d: restored with the next commit; revision "
    )


def test_when_the_api_is_tried_again_is_said_to_the_second_and_only_while_it_waits() -> None:
    at = NOW + timedelta(minutes=3, seconds=2, microseconds=999_999)
    waits = msgspec.structs.replace(PENDING, next_try=at)
    found = {one.type: one.message for one in conditions(make_result(delivery=waits))}
    assert found["Delivered"] == (
        "2 apps pending: https://api.example.com/: answered 503; next try at 2026-11-21T12:03:02Z"
    )
    assert found["Reconciling"] == found["Ready"] == found["Delivered"]
    busy = Delivery(pending=2, next_try=at)
    assert conditions(make_result(delivery=busy)) == conditions(make_result(delivery=Delivery(pending=2)))
