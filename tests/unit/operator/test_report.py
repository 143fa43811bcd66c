"""The status, and how often it is written; Events; the line in the log."""

from datetime import timedelta

import msgspec
import pytest

from reconciler.model import AppKey
from reconciler.operator import report
from reconciler.operator.result import Approving, Delivery, Failure, Result, Stage
from reconciler.project import RECONCILE, REQUESTED_AT, Project, SnapshotRef, Spec, Status
from tests.builders import make_app, make_snapshot
from tests.unit.operator.results import NOW, make_recorded, make_result

PROJECT = Project(name="hossted", uid="u", generation=1)
INTERVAL = timedelta(minutes=10)


def written(project: Project, **changes: object) -> Status:
    return report.status_of(project, make_result(**changes), "a@example.com")  # type: ignore[arg-type] # a test's shorthand


def test_the_status_tells_identity_releases_revisions_and_counts() -> None:
    apps = [make_app(revision=5), make_app("b", "two", 1), make_app("c", "three", 1)]
    status = written(PROJECT, recorded=make_recorded(make_snapshot(*apps)), delivery=Delivery(pending=2))
    assert (status.clusterUUID, status.kubeSystemUID, status.email_id) == ("K-1", "u", "a@example.com")
    assert status.reconcileHelmReleases["default/test"] == "keycloak-18.3.3 revision 5"
    assert status.revision == (1, 1, 5)
    assert status.summary is not None
    assert (status.summary.releases, status.summary.pods, status.summary.pending) == (1, 1, 2)
    assert status.snapshot is not None
    assert status.snapshot.digest == make_snapshot(*apps).digest


@pytest.mark.parametrize(
    ("flux", "ours", "shown", "echoed", "answer"),
    [
        ("", "", "", (), ""),
        ("f1", "", "", (), "f1"),
        ("", "o1", "", (), "o1"),
        ("f2", "o1", "f1", ("f1", "o1"), "f2"),
        ("f1", "o2", "f1", ("f1", "o1"), "o2"),
        ("f1", "o2", "o2", ("f1",), "o2"),
        ("f2", "o2", "f1", (), "f2"),
        ("f2", "o2", "f2", (), "o2"),
        ("", "", "f1", (), "f1"),
        ("same", "same", "same", (), "same"),
    ],
)
def test_the_request_to_reconcile_that_was_not_shown_yet_is_echoed(
    flux: str, ours: str, shown: str, echoed: tuple[str, ...], answer: str
) -> None:
    """``shown``: as the status has it; ``echoed``: what was shown as well."""
    asked = msgspec.structs.replace(
        PROJECT,
        annotations={REQUESTED_AT: flux, RECONCILE: ours},
        status=Status(lastHandledReconcileAt=shown),
    )
    status = report.status_of(asked, make_result(), "a@example.com", echoed)
    assert status.lastHandledReconcileAt == answer


def test_what_a_failed_reconcile_does_not_know_stays_in_the_status() -> None:
    before = written(PROJECT)
    failure = Failure(Stage.COLLECT, "KubernetesUnavailable", "no answer", stalled=False)
    result = msgspec.structs.replace(
        make_result(looked=False, failure=failure), recorded=None, delivery=None, cluster_uuid=""
    )
    after = report.status_of(msgspec.structs.replace(PROJECT, status=before), result, "a@example.com")
    assert (after.clusterUUID, after.helmStatus, after.snapshot) == (
        before.clusterUUID,
        before.helmStatus,
        before.snapshot,
    )


class TestDelay:
    """When a status is written over another."""

    def test_nothing_is_written_while_only_the_timestamp_would_change_within_an_interval(self) -> None:
        old = written(PROJECT)
        new = msgspec.structs.replace(old, lastReconcileTimestamp="2026-11-21T12:09:59Z")
        assert report.delay(old, new, timedelta.max, INTERVAL) is None

    def test_the_timestamp_alone_is_written_once_an_interval(self) -> None:
        old = written(PROJECT)
        new = msgspec.structs.replace(old, lastReconcileTimestamp="2026-11-21T12:10:00Z")
        assert report.delay(old, new, timedelta.max, INTERVAL) == timedelta()

    def test_a_changed_condition_is_written_at_once(self) -> None:
        old, new = written(PROJECT), written(PROJECT, waiting=True)
        assert report.delay(old, new, timedelta(seconds=1), INTERVAL) == timedelta()

    @pytest.mark.parametrize(("under_way", "wait"), [(-5, 2), (0, 2), (1.5, 0.5), (2, 0), (60, 0)])
    def test_what_is_under_way_is_written_once_it_lasts(self, under_way: float, wait: float) -> None:
        old, new = written(PROJECT), written(PROJECT, waiting=True)
        since = timedelta(seconds=under_way)
        assert report.delay(old, new, timedelta.max, INTERVAL, under_way=since) == timedelta(seconds=wait)

    def test_what_is_under_way_is_written_at_once_where_nothing_was_ready_of_this_generation(self) -> None:
        new = written(msgspec.structs.replace(PROJECT, generation=2), waiting=True)
        new = msgspec.structs.replace(new, observedGeneration=2)
        failed = written(
            PROJECT, failure=Failure(Stage.COLLECT, "KubernetesUnavailable", "no", stalled=False)
        )
        for old in (Status(), failed, written(PROJECT)):
            assert report.delay(old, new, timedelta.max, INTERVAL, under_way=timedelta()) == timedelta()

    @pytest.mark.parametrize(("since", "wait"), [(0, 10), (4, 6), (10, 0), (3600, 0)])
    def test_anything_else_is_written_at_most_every_ten_seconds(self, since: int, wait: int) -> None:
        old = written(PROJECT)
        new = written(PROJECT, recorded=make_recorded(make_snapshot(make_app(revision=2)), subject="upgrade"))
        assert report.delay(old, new, timedelta(seconds=since), INTERVAL) == timedelta(seconds=wait)

    @pytest.mark.parametrize(("listed", "wait"), [(1, 10), (166, 10), (200, 12), (1_000, 60)])
    def test_the_more_it_lists_the_less_often_it_is_written(self, listed: int, wait: float) -> None:
        lines = {f"shop/app-{number}": "web-1 revision 1" for number in range(listed)}
        old = msgspec.structs.replace(written(PROJECT), reconcileHelmReleases=lines)
        new = msgspec.structs.replace(old, snapshot=SnapshotRef("another"))
        assert report.delay(old, new, timedelta(), INTERVAL) == timedelta(seconds=wait)
        answering = msgspec.structs.replace(new, lastHandledReconcileAt="now")
        assert report.delay(old, answering, timedelta(), INTERVAL) == report.MIN_DELAY

    def test_a_clock_that_was_set_back_makes_nothing_wait_longer(self) -> None:
        old = written(PROJECT)
        later = msgspec.structs.replace(old, lastReconcileTimestamp="2016-11-21T12:00:00Z")
        assert report.delay(old, later, timedelta(days=-3650), INTERVAL) == timedelta()
        new = written(PROJECT, recorded=make_recorded(make_snapshot(make_app(revision=2)), subject="upgrade"))
        assert report.delay(old, new, timedelta(days=-3650), INTERVAL) == report.MIN_DELAY

    def test_what_another_process_wrote_is_written_over_at_once_by_a_new_one(self) -> None:
        old = written(PROJECT)
        new = written(PROJECT, recorded=make_recorded(make_snapshot(make_app(revision=2)), subject="upgrade"))
        assert report.delay(old, new, timedelta.max, INTERVAL) == timedelta()

    def test_the_first_status_is_written_at_once(self) -> None:
        assert report.delay(Status(), written(PROJECT), timedelta(), INTERVAL) == timedelta()


FAILED = Failure(Stage.RECORD, "StoreUnavailable", "away", stalled=False)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (make_result(), False),
        (make_result(waiting=True), True),
        (make_result(delivery=Delivery(pending=1)), True),
        (make_result(delivery=Delivery(pending=1, trouble="answered 503")), False),
        (make_result(waiting=True, delivery=Delivery(pending=1, trouble="answered 503")), False),
        (make_result(waiting=True, failure=FAILED), False),
    ],
)
def test_something_is_under_way_while_it_waits_for_nothing_but_time(result: Result, expected: bool) -> None:
    assert report.is_under_way(result) is expected


class TestNotices:
    FAILURE = FAILED

    def test_what_was_recorded_is_an_event_with_the_revision(self) -> None:
        (notice,) = report.notices(None, make_result(changed=True))
        assert (notice.reason, notice.message) == ("Recorded", "upgrade default/test (revision 3218124868)")

    def test_a_failure_is_a_warning_once(self) -> None:
        failed = make_result(failure=self.FAILURE)
        assert [notice.warning for notice in report.notices(make_result(), failed)] == [True]
        assert report.notices(failed, failed) == ()

    def test_an_unchanged_cluster_is_no_event(self) -> None:
        assert report.notices(None, make_result()) == ()

    def test_fields_of_the_upstream_operator_are_named(self) -> None:
        upstream = msgspec.structs.replace(PROJECT, spec=Spec(ignored=("cve", "helm")))
        notice = report.ignored(upstream)
        assert notice is not None
        assert notice.message.startswith("spec.cve, spec.helm: accepted, without effect")
        assert report.ignored(PROJECT) is None


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (make_result(), "1 app seen"),
        (make_result(changed=True), "1 app seen, recorded 3218124868: upgrade default/test"),
        (make_result(waiting=True), "1 app seen, 1 waiting"),
        (
            msgspec.structs.replace(make_result(), differences=2),
            "1 app seen, 2 missed changes put right since the start",
        ),
        (make_result(stopped=True), "stopped, as the project says"),
        (make_result(failure=TestNotices.FAILURE), "recording failed (StoreUnavailable): away"),
    ],
)
def test_the_log_has_one_line_of_a_reconcile(result: object, line: str) -> None:
    assert report.line(result) == line  # type: ignore[arg-type] # a table of results


def test_now_is_the_moment_of_the_result() -> None:
    assert written(PROJECT).last_reconcile == NOW


def test_what_people_should_know_has_one_event_for_as_long_as_it_is_so() -> None:
    quiet, first, both = make_result(), make_result(notices=("one",)), make_result(notices=("one", "two"))
    away = make_result(failure=Failure(Stage.RECORD, "StoreUnavailable", "away", False), notices=("one",))

    def told(*results: Result) -> list[list[str]]:
        pairs = zip((None, *results), results, strict=False)
        return [
            [n.message for n in report.notices(was, now) if n.reason == "Attention" and n.warning]
            for was, now in pairs
        ]

    assert told(quiet, first, first, both, quiet, first) == [[], ["one"], [], ["two"], [], ["one"]]
    assert told(first, away, first) == [["one"], [], []]


def test_what_is_wrong_with_approval_is_a_warning_once() -> None:
    def result(trouble: str = "", **refused: str) -> Result:
        named = {AppKey("shop", name): why for name, why in refused.items()}
        return make_result(approving=Approving("approved/K-1", named, trouble))

    def told(*results: Result) -> list[list[str]]:
        pairs = zip((None, *results), results, strict=False)
        return [
            [f"{n.reason}: {n.message}" for n in report.notices(was, now) if n.warning] for was, now in pairs
        ]

    away = "what is approved on approved/K-1 cannot be read, so no more is told: it is away"
    assert told(result(), result(web="web never was"), result(web="web never was", db="db never was")) == [
        [],
        ["ApprovalRefused: web never was"],
        ["ApprovalRefused: db never was"],
    ]
    assert told(result(web="one"), result(web="another"), result(), result(web="another")) == [
        ["ApprovalRefused: one"],
        ["ApprovalRefused: another"],
        [],
        ["ApprovalRefused: another"],
    ]
    assert told(result("it is away"), result("it is away"), result()) == [
        [f"ApprovalUnreadable: {away}"],
        [],
        [],
    ]
    failed = msgspec.structs.replace(result(web="one"), failure=TestNotices.FAILURE)
    assert told(result(web="one"), failed, result(web="one")) == [
        ["ApprovalRefused: one"],
        ["StoreUnavailable: away"],
        [],
    ]
    assert told(make_result(), make_result()) == [[], []]


def test_the_status_has_the_key_that_commits_are_signed_with() -> None:
    key = "ssh-ed25519 AAAA reconciler"
    signed = msgspec.structs.replace(PROJECT, status=written(PROJECT, signing_key=key))
    assert signed.status.signingKey == key
    assert written(signed).signingKey == key, "a result that does not know leaves it"
    assert written(signed, signing_key="").signingKey == "", "not signed any more"
