"""Looks in passing: at once while they are rare, a twentieth of a core under a storm."""

import pytest

from reconciler.operator.pace import AT_ONCE, LONGEST, REST, Pace


def test_what_is_rare_need_not_wait() -> None:
    pace = Pace()
    for at in range(100):
        assert pace.used(0.04, float(at)) == at


def test_after_a_rest_some_looks_may_come_at_once_and_no_more() -> None:
    pace = Pace()
    pace.used(0.0, 0.0)
    for _ in range(5):
        assert pace.used(AT_ONCE / 5, 1000.0) == 1000.0
    assert pace.used(0.2, 1000.0) == pytest.approx(1000.0 + 0.2 * (1 + REST))


def test_what_was_not_used_does_not_pile_up() -> None:
    pace = Pace()
    pace.used(0.0, 0.0)
    assert pace.used(AT_ONCE + 0.2, 100_000.0) == pytest.approx(100_000.0 + 0.2 * (1 + REST))


def test_a_look_at_very_much_makes_nothing_wait_for_long() -> None:
    pace = Pace()
    assert pace.used(7.0, 100.0) == pytest.approx(100.0 + LONGEST)
    assert pace.used(0.0, 100.0 + LONGEST) == pytest.approx(100.0 + LONGEST), "nor is it owed for later"


@pytest.mark.parametrize("look", [0.003, 0.05, 0.2])
def test_a_storm_costs_a_twentieth_of_a_core_besides_what_may_come_at_once(look: float) -> None:
    pace, now, spent = Pace(), 0.0, 0.0
    while now < 600.0:
        now += look
        spent += look
        now = pace.used(look, now)
    assert spent - AT_ONCE <= now / (1 + REST) + 1e-6
    assert spent >= 0.9 * now / (1 + REST), "and is not held up for longer"
