"""The demo is a test of itself: what it finds wrong."""

from datetime import UTC, datetime

import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer
from reconciler.delivery.deliver import PushResult
from reconciler.demo.check import of_all, of_step
from reconciler.demo.parts import Request
from reconciler.demo.play import Outcome, Told
from reconciler.demo.story import Expected
from reconciler.model import AppKey
from reconciler.policy.entry import Acked, Entry, LedgerFacts, LedgerView
from tests.builders import make_app

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
OLD, NEW = "01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"
TEST = AppKey("default", "test")


TAKEN = Acknowledged(200)


def request(key: str = OLD, body: str = "a", answer: Answer = TAKEN) -> Request:
    return Request(NOW, TEST, key, body, answer)


def told(*requests: Request) -> Outcome:
    """A delivery of which the last request was acknowledged."""
    outcome = Outcome()
    push = PushResult(TEST, make_app(), requests[-1].key, 200, "because")
    outcome.events.append(Told(NOW, requests, {TEST: push}, 0, ""))
    return outcome


def test_a_step_that_went_as_expected_has_no_problem() -> None:
    assert of_step(Expected(commits=0, pushed=("default/test",)), told(request())) == []


@pytest.mark.parametrize(
    ("expected", "problem"),
    [
        (Expected(1, ("default/test",)), "0 commits instead of 1"),
        (Expected(0, ()), "acknowledged was default/test instead of nothing"),
        (Expected(0, ("default/test",), requests=3), "1 requests instead of 3"),
    ],
)
def test_a_step_that_went_otherwise_is_told(expected: Expected, problem: str) -> None:
    assert problem in of_step(expected, told(request()))


def ledger(*, known: bool) -> LedgerView:
    acked = Acked(OLD, "A-1", NOW) if known else None
    return LedgerView(LedgerFacts(cluster_uuid="K-1"), {TEST: Entry(acked=acked, last_key=OLD)})


GONE = {("K-1", *TEST): {"app_info": {"helm_info": {"status": "uninstalled"}}}}


def test_a_request_that_was_repeated_under_its_key_is_as_it_should_be() -> None:
    again = told(request(answer=Again("away")), request())
    assert of_all([again], [], ledger(known=True), GONE, "") == []


@pytest.mark.parametrize(
    ("requests", "problem"),
    [
        ((request(body="a"), request(body="b")), "two bodies under the key"),
        ((request(NEW), request(OLD)), "older than the last one"),
        ((request(OLD), request(NEW)), "2 keys were drawn"),
    ],
)
def test_keys_that_break_the_protocol_are_told(requests: tuple[Request, ...], problem: str) -> None:
    found = of_all([told(*requests)], [], ledger(known=True), GONE, "")
    assert any(problem in one for one in found)


def test_what_is_still_to_be_told_at_the_end_is_a_problem() -> None:
    assert "default/test is still to be told" in of_all([], [], ledger(known=False), GONE, "")


def test_a_receiver_that_knows_something_else_is_a_problem() -> None:
    deployed = {("K-1", *TEST): {"app_info": {"helm_info": {"status": "deployed"}}}}
    found = of_all([told(request())], [], ledger(known=True), deployed, "")
    assert found == ["the receiver does not have default/test as it was acknowledged"]


def test_an_app_that_only_one_of_receiver_and_ledger_has_is_a_problem() -> None:
    assert "the receiver has 0 apps, the ledger 1" in of_all([], [], ledger(known=True), {}, "")
