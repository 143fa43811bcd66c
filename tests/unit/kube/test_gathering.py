"""When a watch rests."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kube.gathering import AT_ONCE, REST, Gathering


def rests(*moments: float) -> list[float]:
    """What it says at each of these moments."""
    gathering = Gathering()
    return [gathering.read(at) for at in moments]


def test_what_people_do_is_read_as_it_comes() -> None:
    assert rests(*[7.0] * AT_ONCE) == [0.0] * AT_ONCE


def test_a_storm_is_read_with_rests() -> None:
    assert rests(*[7.0] * (AT_ONCE + 2)) == [0.0] * AT_ONCE + [REST, REST]


@pytest.mark.parametrize(
    ("quiet", "at_once"),
    [(REST, 0), (2 * REST, 1), (5 * REST, 4), (1.5 * AT_ONCE * REST, AT_ONCE), (3600.0, AT_ONCE)],
)
def test_quiet_makes_up_for_a_storm(quiet: float, at_once: int) -> None:
    storm = [0.0] * (AT_ONCE + 1)
    after = rests(*storm, *[quiet + 0.001] * (at_once + 1))[len(storm) :]
    assert after == [0.0] * at_once + [REST]


@given(st.lists(st.floats(0.0, 3 * REST), min_size=AT_ONCE))
def test_wakes_are_bounded_whatever_comes(pauses: list[float]) -> None:
    """Who rests as told is woken no more often than once a ``REST``, but for ``AT_ONCE`` times."""
    gathering, at = Gathering(), 0.0
    for woken, pause in enumerate(pauses, 1):
        at += pause
        assert woken <= AT_ONCE + at / REST + 1 + 1e-6
        at += gathering.read(at)


def test_moments_only_count_by_what_lies_between() -> None:
    pauses = [0.0, *[REST / 3] * 50]
    assert rests(*accumulate(pauses)) == rests(*(1e6 + at for at in accumulate(pauses)))
