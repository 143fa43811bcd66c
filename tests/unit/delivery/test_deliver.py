from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from reconciler.delivery.api import Acknowledged, Again, Answer, Outdated, Rejected, Stop
from reconciler.delivery.deliver import Pause

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
    """Seconds waited after each of these batches."""
    pause, seconds = Pause(Always(part)), []
    for batch in answers:
        pause.learn(batch, NOW, API)
        seconds.append((pause.until - NOW).total_seconds() if pause.until else 0.0)
    return seconds


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        pytest.param([[OK]], [0], id="nothing to wait for"),
        pytest.param([[DOWN]] * 4, [1, 2, 4, 8], id="the longest wait doubles"),
        pytest.param([[DOWN]] * 12, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300], id="up to 5 minutes"),
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
def test_the_api_is_left_alone_for(batches: list[list[Answer]], expected: list[float]) -> None:
    assert waits(batches) == expected


def test_the_jitter_is_full_but_never_cuts_retry_after_short() -> None:
    assert waits([[DOWN]] * 3, part=0.0) == [0, 0, 0]
    assert waits([[DOWN]] * 3, part=0.25) == [0.25, 0.5, 1.0]
    assert waits([[Again("", 503, 30.0)]], part=0.0) == [30]


def test_a_wait_is_over_when_its_time_has_come() -> None:
    pause = Pause(Always(1.0))
    assert pause.is_over(NOW)
    pause.learn([WRONG], NOW, API)
    assert not pause.is_over(NOW)
    assert not pause.is_over(NOW + timedelta(minutes=9))
    assert pause.is_over(NOW + timedelta(minutes=10))


def test_a_clock_that_is_set_back_does_not_make_the_wait_longer() -> None:
    pause = Pause(Always(1.0))
    pause.learn([WRONG], NOW, API)
    assert pause.is_over(NOW - timedelta(days=1))


@pytest.mark.parametrize(
    ("answer", "stopped"), [(DOWN, False), (WRONG, True)], ids=["a passing trouble", "a stop"]
)
def test_the_trouble_names_the_endpoint_and_passes_with_the_next_answer(
    answer: Answer, stopped: bool
) -> None:
    pause = Pause(Always(1.0))
    pause.learn([OK, answer], NOW, API)
    assert (pause.trouble, pause.stopped) == (f"{API}: {getattr(answer, 'what', '')}", stopped)
    pause.learn([OK], NOW, API)
    assert (pause.trouble, pause.stopped, pause.until) == ("", False, None)
