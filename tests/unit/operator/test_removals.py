"""What people are told of removals that the brake holds: conditions, Events, the line in the log."""

from datetime import timedelta

import msgspec
import pytest

from reconciler.changes.diff import diff
from reconciler.model import AppKey
from reconciler.operator import report
from reconciler.operator.conditions import conditions, removals_held
from reconciler.operator.result import Delivery, Failure, Result, Stage
from reconciler.policy.brake import NOTHING, Braking, Course
from reconciler.project import Condition
from reconciler.project.status import LONGEST_MESSAGE
from tests.builders import make_app, make_snapshot
from tests.unit.operator.results import NOW, make_result

KEYS = tuple(AppKey("shop", f"app-{number}") for number in range(12))
HELD = Braking(Course.HELD, KEYS, 15, left="d" * 64, due=NOW + timedelta(minutes=10))
GONE = diff(
    make_snapshot(*(make_app(key.namespace, key.name) for key in KEYS), make_app()), make_snapshot(make_app())
)


def braked(braking: Braking = HELD, **changes: object) -> Result:
    result = make_result(**changes)  # type: ignore[arg-type] # a test's shorthand
    return msgspec.structs.replace(result, project="hossted", braking=braking)


def after(course: Course, before: Braking | None = None, **changes: object) -> list[report.Notice]:
    result = braked(msgspec.structs.replace(HELD, course=course))
    known = None if before is None else braked(before)
    return list(report.notices(known, msgspec.structs.replace(result, **changes)))


def said(result: Result, kind: str) -> Condition:
    (found,) = [one for one in conditions(result) if one.type == kind]
    return found


def test_the_message_says_what_is_held_until_when_and_how_to_confirm_it() -> None:
    assert removals_held("hossted", HELD) == (
        "12 of 15 apps are gone at once: their removal is held until a complete look from "
        "2026-11-21T12:10:00Z on finds the same, or you confirm it: kubectl annotate hosstedproject hossted "
        f"hossted.com/confirm-removals={'d' * 64} --overwrite; "
        "gone: shop/app-0; shop/app-1; shop/app-2; and 9 more"
    )


def test_a_confirmation_of_an_earlier_time_must_be_taken_away_first() -> None:
    text = removals_held("hossted", msgspec.structs.replace(HELD, stale=True))
    assert "take it away (kubectl annotate hosstedproject hossted hossted.com/confirm-removals-)" in text
    assert "d" * 64 not in text


def test_the_command_is_never_cut_off() -> None:
    keys = tuple(AppKey("n" * 63, f"{number}{'a' * 52}") for number in range(900))
    longest = msgspec.structs.replace(HELD, keys=keys, of=900)
    assert removals_held("p" * 253, longest).index("--overwrite") < LONGEST_MESSAGE


def test_in_a_look_that_could_see_nothing_of_them_they_are_held_all_the_same() -> None:
    assert removals_held("hossted", Braking(Course.HELD)) == "removals are held until a look sees everything"


@pytest.mark.parametrize("others", [{}, {"waiting": True}, {"notices": ("something to know",)}])
def test_it_is_recorded_and_ready_and_both_say_first_what_is_held(others: dict[str, object]) -> None:
    for kind in ("Recorded", "Ready"):
        one = said(braked(HELD, **others), kind)
        assert (one.status, one.reason) == ("True", "RemovalsHeld")
        assert one.message.startswith("12 of 15 apps are gone at once")


def test_what_is_held_is_more_than_what_could_not_be_read_and_less_than_what_is_wrong() -> None:
    failed = Failure(Stage.RECORD, "StoreUnavailable", "away", stalled=False)
    assert said(braked(failure=failed), "Recorded").reason == "StoreUnavailable"
    assert said(braked(delivery=Delivery(pending=1)), "Ready").reason == "Pending"


@pytest.mark.parametrize("course", [Course.NONE, Course.AGREED, Course.CONFIRMED, Course.ENDED])
def test_what_is_not_held_is_not_said(course: Course) -> None:
    assert said(braked(msgspec.structs.replace(HELD, course=course)), "Ready").reason == "UpToDate"


class TestEvents:
    def test_the_beginning_is_a_warning_once(self) -> None:
        (notice,) = after(Course.BEGUN, NOTHING)
        assert (notice.reason, notice.warning) == ("RemovalsHeld", True)
        assert notice.message == removals_held("hossted", HELD)
        assert after(Course.HELD, HELD) == []

    def test_a_process_that_starts_meanwhile_does_not_say_it_again(self) -> None:
        assert after(Course.HELD) == []

    def test_a_beginning_that_could_not_be_recorded_is_made_up_for(self) -> None:
        assert [notice.reason for notice in after(Course.HELD, NOTHING)] == ["RemovalsHeld"]

    @pytest.mark.parametrize(
        ("course", "why"),
        [(Course.AGREED, "a second complete look agrees"), (Course.CONFIRMED, "they were confirmed")],
    )
    def test_the_release_says_why_when_it_is_recorded(self, course: Course, why: str) -> None:
        (_, notice) = after(course, HELD, changes=GONE)
        assert notice == report.Notice("RemovalsReleased", f"12 removals are recorded: {why}")
        assert after(course, HELD) == []

    def test_what_is_held_no_more_is_told_as_well(self) -> None:
        (notice,) = after(Course.ENDED, HELD)
        assert (notice.reason, notice.warning) == ("RemovalsReleased", False)

    def test_a_failed_look_says_nothing_new_of_it(self) -> None:
        failure = Failure(Stage.COLLECT, "KubernetesUnavailable", "no answer", stalled=False)
        assert [one.reason for one in after(Course.HELD, NOTHING, failure=failure)] == [
            "KubernetesUnavailable"
        ]


def test_the_log_counts_what_is_held() -> None:
    assert report.line(braked()) == "1 app seen, the removal of 12 apps held"
