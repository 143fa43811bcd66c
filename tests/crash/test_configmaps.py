"""Killed at every effect, and at random moments: state and ledger in ConfigMaps."""

from pathlib import Path

from tests.crash.harness import at_every_effect, at_random
from tests.crash.outside import Way, outside


async def test_killed_at_every_effect_and_started_again_nothing_is_lost_and_nothing_told_twice(
    tmp_path: Path,
) -> None:
    with outside(Way.CONFIGMAPS, tmp_path, "compact") as world:
        tally = await at_every_effect(world)
    print(tally)
    assert tally.violations == []
    assert {"POST configmaps", "PUT configmaps", "DELETE configmaps", "push"} <= tally.points.keys()
    assert tally.kills > 80


async def test_killed_at_a_hundred_random_moments_of_a_busy_run_it_ends_right(tmp_path: Path) -> None:
    with outside(Way.CONFIGMAPS, tmp_path, "busy-11-400") as world:
        tally = await at_random(world, kills=100, seed=11)
    print(tally)
    assert tally.violations == []
    assert tally.kills == 100
