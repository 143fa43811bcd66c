from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop
from reconciler.delivery.breaker import MOST_TRIES, WITHIN, Breaker

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
API = "https://api.example/apps"
OK: Answer = Acknowledged(200)
DOWN: Answer = Again("answered 503", 503)
WRONG: Answer = Stop(401, "answered 401")


class Always(Random):
    """A jitter of exactly this part."""

    def __init__(self, part: float) -> None:
        super().__init__()
        self._part = part

    def random(self) -> float:
        return self._part


def waits(answers: list[list[Answer]], part: float = 1.0) -> list[float]:
    """Seconds waited after each of these tries, each made as soon as it may be."""
    breaker, seconds, now = Breaker(Always(part)), [], NOW
    for some in answers:
        assert breaker.lets_through(now)
        breaker.learn(some, now, API)
        wait = breaker.until - now if breaker.until is not None else timedelta()
        seconds.append(wait.total_seconds())
        now += wait
    return seconds


@pytest.mark.parametrize(
    ("tries", "expected"),
    [
        pytest.param([[OK]], [0], id="nothing to wait for"),
        pytest.param([[DOWN]] * 4, [1, 2, 4, 8], id="the longest wait doubles"),
        pytest.param(
            [[DOWN]] * 12, [1, 2, 4, 8, 45, 32, 64, 128, 256, 300, 300, 300], id="up to 5 min, five a minute"
        ),
        pytest.param([[DOWN], [DOWN], [OK], [DOWN]], [1, 2, 0, 1], id="an answer starts it anew"),
        pytest.param([[DOWN], [DOWN], [OK, DOWN]], [1, 2, 1], id="also one among others"),
        pytest.param([[DOWN], [Rejected(400, ""), DOWN]], [1, 1], id="a refusal is an answer"),
        pytest.param([[DOWN], [Outdated("x"), DOWN]], [1, 1], id="409 with a key is an answer"),
        pytest.param([[WRONG]] * 5, [600, 1200, 2400, 3600, 3600], id="a stop: 10 minutes to an hour"),
        pytest.param([[DOWN], [DOWN], [WRONG], [DOWN]], [1, 2, 600, 1], id="each kind counts by itself"),
        pytest.param([[DOWN, WRONG, DOWN]], [600], id="a stop among others stops"),
        pytest.param([[Again("", 429, 30.0)]], [31], id="Retry-After comes before the jitter"),
        pytest.param([[Again("", 429, 30.0), Again("", 429, 60.0), DOWN]], [61], id="the longest one counts"),
    ],
)
def test_the_api_is_left_alone_for(tries: list[list[Answer]], expected: list[float]) -> None:
    assert waits(tries) == expected


def test_the_jitter_is_full_but_never_cuts_retry_after_short() -> None:
    assert waits([[DOWN]] * 3, part=0.0) == [0, 0, 0]
    assert waits([[DOWN]] * 3, part=0.25) == [0.25, 0.5, 1.0]
    assert waits([[Again("", 503, 30.0)]], part=0.0) == [30]


def test_whatever_the_dice_say_five_tries_a_minute_are_the_most() -> None:
    assert waits([[DOWN]] * 11, part=0.0) == [0, 0, 0, 0, 60, 0, 0, 0, 0, 60, 0]


@given(
    parts=st.lists(st.floats(0, 1, exclude_max=True), min_size=60, max_size=60),
    news=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_while_nothing_gets_through_no_minute_has_more_tries_than_it_may(
    parts: list[float], news: list[bool]
) -> None:
    """``news``: after which tries new credentials come."""

    class Given(Random):
        def random(self) -> float:
            return parts.pop()

    breaker, now, tries = Breaker(Given()), NOW, []
    for renewed in news:
        breaker.learn([WRONG if renewed else DOWN], now, API)
        tries.append(now)
        if renewed:
            breaker.half_open(now)
        now = max(now, breaker.until or now)
        assert not breaker.is_closed
    for first, later in zip(tries, tries[MOST_TRIES:], strict=False):
        assert later - first >= WITHIN


def test_it_begins_half_open_and_only_an_answer_closes_it() -> None:
    breaker, later = Breaker(Always(1.0)), NOW + timedelta(seconds=1)
    assert (breaker.lets_through(NOW), breaker.is_closed) == (True, False)
    breaker.learn([OK], NOW, API)
    assert (breaker.lets_through(NOW), breaker.is_closed) == (True, True)
    breaker.learn([OK, DOWN, OK], NOW, API)
    assert (breaker.lets_through(NOW), breaker.is_closed) == (False, False)
    assert (breaker.lets_through(later), breaker.is_closed) == (True, False), "nobody knows yet"
    breaker.learn([OK], NOW, API)
    assert (breaker.is_closed, breaker.trouble, breaker.until) == (True, "", None)


def test_nothing_is_learnt_from_no_answer() -> None:
    breaker = Breaker(Always(1.0))
    breaker.learn([DOWN], NOW, API)
    breaker.learn([], NOW, API)
    assert (breaker.trouble, breaker.is_closed) == (f"{API}: answered 503", False)


def test_a_wait_is_over_when_its_time_has_come() -> None:
    breaker = Breaker(Always(1.0))
    breaker.learn([WRONG], NOW, API)
    assert not breaker.lets_through(NOW)
    assert not breaker.lets_through(NOW + timedelta(minutes=9))
    assert breaker.lets_through(NOW + timedelta(minutes=10))


def test_something_new_ends_a_stop_and_is_tried_with_one_request() -> None:
    breaker = Breaker(Always(1.0))
    breaker.learn([OK, WRONG], NOW, API)
    breaker.half_open(NOW)
    assert (breaker.lets_through(NOW), breaker.is_closed) == (True, False)
    assert (breaker.trouble, breaker.stopped) == ("", False)


def test_a_clock_that_is_set_back_does_not_make_the_wait_longer() -> None:
    breaker = Breaker(Always(0.0))
    for _ in range(MOST_TRIES):
        breaker.learn([WRONG], NOW, API)
    assert breaker.lets_through(NOW - timedelta(days=1))
    breaker.learn([DOWN], NOW - timedelta(days=1), API)
    assert breaker.until == NOW - timedelta(days=1)


@pytest.mark.parametrize(
    ("answer", "stopped"), [(DOWN, False), (WRONG, True)], ids=["a passing trouble", "a stop"]
)
def test_the_trouble_names_the_endpoint_and_passes_with_the_next_answer(
    answer: Answer, stopped: bool
) -> None:
    breaker = Breaker(Always(1.0))
    breaker.learn([OK, answer], NOW, API)
    assert (breaker.trouble, breaker.stopped) == (f"{API}: {getattr(answer, 'what', '')}", stopped)
    breaker.learn([OK], NOW, API)
    assert (breaker.trouble, breaker.stopped, breaker.until) == ("", False, None)
