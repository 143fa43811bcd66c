"""A day in the life of a cluster: what comes and goes by itself must not drown what people did.

Time is compressed. Of the day's 1,440 minutes one of each hour is played; in each of them 20 CronJobs fire,
an autoscaler scales, and the operator looks whenever it asks to. A CronJob fires by the real clock, so its
Jobs are made here as its controller makes them, with it as their owner; the real controllers do the rest:
they run the Jobs and clear away the old ones. In the chain's clock a minute is 12 times as long as settle,
as it is with the defaults (5 s).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest

from reconciler.operator.result import Result
from tests.cluster.chain import SETTLE, Chain, NewChain, Pushed
from tests.controlplane.cluster import CHARTS, CommandError
from tests.controlplane.plane import ControlPlane

WEB, BATCH, TINY = (str(CHARTS / name) for name in ("web", "batch", "tiny"))
MINUTE = 12 * SETTLE
MINUTES = 24
CRON_JOBS = [f"job-{number:02}" for number in range(20)]
MOST_COMMITS = 20


class Change(NamedTuple):
    """What a person does at a minute of the day. ``told``: the revision and status, of Helm's own changes."""

    minute: int
    does: Callable[[ControlPlane], object]
    subject: str
    told: Pushed | None = None


def helm(*args: str) -> Callable[[ControlPlane], object]:
    return lambda plane: plane.helm(*args)


def kubectl(*args: str) -> Callable[[ControlPlane], object]:
    return lambda plane: plane.kubectl(*args)


def failing(plane: ControlPlane) -> None:
    with pytest.raises(CommandError):
        plane.helm("upgrade", "late", TINY, "--set", "replicas=nonsense")


def pushed(name: str, revision: int, status: str = "deployed") -> Pushed:
    return Pushed(f"default/{name}", revision, status)


NEW_PORT = '[{"op": "add", "path": "/spec/ports/-", "value": {"name": "extra", "port": 8080}}]'
CHANGES = (
    Change(
        1,
        helm("upgrade", "job-07", BATCH),
        "upgrade default/job-07: batch 0.5.1, revision 1 → 2",
        pushed("job-07", 2),
    ),
    Change(3, helm("install", "late", TINY), "install default/late: tiny 0.1.0", pushed("late", 1)),
    Change(
        6,
        helm("upgrade", "shop", WEB, "--set", "images.app=registry.example.com/shop/web:2.5.0"),
        "upgrade default/shop: web 1.0.0, revision 1 → 2, image web 2.4.0 → 2.5.0",
        pushed("shop", 2),
    ),
    Change(
        8,
        kubectl("set", "image", "deployment/shop-web", "app=registry.example.com/shop/web:2.5.1"),
        "change default/shop: image web 2.5.0 → 2.5.1",
    ),
    Change(
        11, failing, "upgrade of default/late failed: tiny 0.1.0, revision 1 → 2", pushed("late", 2, "failed")
    ),
    Change(
        12,
        helm("rollback", "late", "1"),
        "roll back default/late to revision 1: tiny 0.1.0, revision 2 → 3",
        pushed("late", 3),
    ),
    Change(
        14,
        kubectl("patch", "service", "shop-web", "--type=json", "-p", NEW_PORT),
        "change default/shop: service shop-web: new port 8080",
    ),
    Change(
        16,
        helm("rollback", "shop", "1"),
        "roll back default/shop to revision 1: web 1.0.0, revision 2 → 3, image web 2.5.1 → 2.4.0",
        pushed("shop", 3),
    ),
    Change(
        19,
        helm("uninstall", "job-19", "--wait"),
        "uninstall default/job-19: batch 0.5.1",
        pushed("job-19", 1, "uninstalled"),
    ),
    Change(
        22,
        helm("uninstall", "late", "--wait"),
        "uninstall default/late: tiny 0.1.0",
        pushed("late", 3, "uninstalled"),
    ),
)
DRAINS = {9: "node-1", 10: "node-2", 18: "node-1", 19: "node-2"}
"""Each node is drained twice, and back at the end of the minute."""


class Day:
    """The cluster's day: what fires, scales and is drained. ``seen``: the pods that the looks found."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.plane = chain.plane
        self.seen: set[str] = set()

    def install(self) -> None:
        """20 releases with a CronJob each, as many Helms at once as there are cores; one that is scaled."""
        with ThreadPoolExecutor(os.cpu_count()) as helms:
            list(helms.map(lambda name: self.plane.helm("install", name, BATCH), CRON_JOBS))
        self.plane.helm("install", "shop", WEB)
        self.plane.rolled_out()

    def fire(self, minute: int) -> None:
        """What every CronJob makes in this minute."""
        jobs = [job_of(one, minute) for one in self.plane.get("cronjobs")]
        self.plane.kubectl(
            "create", "-f", "-", stdin=json.dumps({"kind": "List", "apiVersion": "v1", "items": jobs})
        )

    def scale(self, minute: int) -> None:
        """Up until noon, down in the evening."""
        replicas = 2 + min(minute, MINUTES - minute) // 2
        self.plane.kubectl("scale", "deployment", "shop-web", f"--replicas={replicas}")

    async def play(self, minute: int) -> None:
        """One minute: it fires, it scales, a node goes; people do what they do; and looks at all of it."""
        self.fire(minute)
        self.scale(minute)
        self.note(await self.chain.look())
        node = DRAINS.get(minute)
        if node:
            self.plane.kubectl("drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data")
            self.note(await self.chain.look())
        for change in CHANGES:
            if change.minute == minute:
                change.does(self.plane)
        self.note(await self.chain.look())
        self.plane.rolled_out()
        self.note(await self.chain.wait(MINUTE))
        if node:
            self.plane.kubectl("uncordon", node)
        self.chain.clock.advance(59 * MINUTE)

    def note(self, result: Result) -> None:
        assert result.inventory is not None, result.failure
        for app in result.inventory.apps.values():
            self.seen.update(pod.name for pod in app.app_info.pod_info)


def job_of(cron_job: dict[str, Any], minute: int) -> dict[str, Any]:
    """The Job of a CronJob that fires, as the CronJob controller writes it."""
    name = cron_job["metadata"]["name"]
    template = cron_job["spec"]["jobTemplate"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{name}-{29_000_000 + minute}",
            "namespace": cron_job["metadata"]["namespace"],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "CronJob",
                    "name": name,
                    "uid": cron_job["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": template["spec"],
    }


async def test_a_day_makes_a_commit_for_each_thing_that_people_did_and_for_nothing_else(
    new_chain: NewChain,
) -> None:
    chain = await new_chain(interval=f"{10 * MINUTE:.0f}s")
    day = Day(chain)
    day.install()
    await chain.settle()
    assert await chain.subjects() == ["21 apps installed in default"]
    assert len(chain.pushes()) == 21
    for minute in range(MINUTES):
        await day.play(minute)
        expected = [change for change in CHANGES if change.minute == minute]
        assert (minute, await chain.subjects(), chain.pushes()) == (
            minute,
            [change.subject for change in expected],
            [change.told for change in expected if change.told],
        )
    assert len(CHANGES) <= MOST_COMMITS
    assert len(day.seen) > 19 * MINUTES  # all of them came, and were seen
