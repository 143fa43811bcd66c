"""A simulated week: whatever fails and whoever dies, the receiver ends with exactly what is approved, and on
the way nothing is lost, sent again under another key while it is in doubt, told before it was recorded (or
approved), or told as gone while it is there.

By default a short one, of a day; ``WEEK=1`` makes it seven, with 10,000 changes and a death at every effect.
Printed with ``-s``: what happened, and what it came to. Another seed: ``SEED=7 pytest -s …``.
"""

import os
import random
from pathlib import Path

from tests.chain.approvers import ReviewedDisk
from tests.chain.endpoint import endpoint
from tests.chain.faults import When
from tests.chain.weather import CLUSTER_AWAY, FAULTS, LYING, PARTIAL
from tests.chain.week import ANSWERING, Week
from tests.chain.world import ConfigMapDisk, Disk, World
from tests.web.world import RecordingReceiver

SEED = int(os.environ.get("SEED", "1"))
WHOLE = "WEEK" in os.environ
EVERYWHERE = ("look", "load", "write", "clusters", "tip", "append", "rescue", "withdraw", "push")
CONFIG_MAPS = ("get", "list", "create", "replace", "delete")
GIT = ("keys", "follow", "approved")
A_HANDFUL = 5
"""Requests in a minute while something fails."""
TAKEN = {what for what, effects in FAULTS.items() if all(when is When.AFTER for when, _ in effects.values())}
NOT_OF_THE_API = {CLUSTER_AWAY, PARTIAL, LYING, "races of the store are lost", *TAKEN}
"""While these last, what is known is told as fast as ever."""
OF_CONFIG_MAPS = {what for what in FAULTS if "ConfigMaps" in what}
"""Where there are none, nothing fails meanwhile."""
UNDER_WAY = 8
"""Those that were under way when it began to."""


async def lived(
    disk: Disk, folder: Path, *, changes: int, crashes: int, days: int, effects: tuple[str, ...]
) -> Week:
    """A week on a disk, and nothing wrong with it."""
    random.seed(SEED)
    receiver = RecordingReceiver()
    async with endpoint(receiver) as site:
        world = World(disk, receiver, site.url)
        week = Week(
            world, site, folder, seed=SEED, changes=changes, crashes=crashes, days=days, effects=effects
        )
        await week.run()
    print("\n" + week.summary())
    print("died", ", ".join(f"{when.value} {what} {n} times" for (what, when), n in week.crashed.items()))
    print("failed", ", ".join(f"{what} {times} times" for what, times in week.weather.seen.items()))
    print("requests in a minute", week.worst_minutes)
    assert week.audit.counts.told == []
    assert week.owed == []
    week.check()
    assert week.life.changes >= changes
    died_at = sum(times > 0 for times in week.crashed.values())
    assert died_at >= (1.0 if WHOLE else 0.5) * len(week.crashed)
    assert week.per_needed <= 1.05
    assert week.audit.counts.needed
    unharmed = NOT_OF_THE_API if isinstance(disk, ConfigMapDisk) else NOT_OF_THE_API | OF_CONFIG_MAPS
    for what, requests in week.worst_minutes.items():
        if what not in unharmed and not what.endswith(ANSWERING):
            assert requests <= A_HANDFUL + UNDER_WAY, what
    return week


async def test_a_week_with_the_state_in_config_maps(tmp_path: Path) -> None:
    changes, crashes, days = (10_000, 180, 7) if WHOLE else (1_000, 60, 1)
    week = await lived(
        ConfigMapDisk(),
        tmp_path,
        changes=changes,
        crashes=crashes,
        days=days,
        effects=EVERYWHERE + CONFIG_MAPS,
    )
    assert len(week.weather.seen) >= (15 if WHOLE else 5)


async def test_a_week_with_the_state_in_git_and_people_who_approve(tmp_path: Path) -> None:
    changes, crashes, days = (10_000, 180, 7) if WHOLE else (300, 50, 1)
    week = await lived(
        ReviewedDisk(tmp_path),
        tmp_path,
        changes=changes,
        crashes=crashes,
        days=days,
        effects=EVERYWHERE + GIT,
    )
    assert week.people is not None
    assert not WHOLE or len(week.people.acted) >= 6
