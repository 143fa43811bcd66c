"""``python -m tests.benchmarks.live.look KUBECONFIG``: one complete inventory from nothing, and what it cost.

Prints JSON: seconds from before the configuration is read until the inventory is there, what is imported
being left out; seconds of CPU; bytes of memory at the peak; and what was found.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

from reconciler.cli.memory import economise
from reconciler.inventory.fold import fold
from reconciler.inventory.watched import WatchedSource
from reconciler.kube.client import Client
from reconciler.kube.package import part
from reconciler.model import PolicyInEffect
from tests.benchmarks.live.processes import peak_of
from tests.benchmarks.measure import cpu


async def look(kubeconfig: Path) -> dict[str, float]:
    economise()  # as the operator does
    for late in ("client.configuration", "client.rest", "config.kube_config"):
        part(late)  # imported when a connection is made
    began, before = time.perf_counter(), cpu()
    source = WatchedSource(Client.connect(kubeconfig=kubeconfig))
    running = asyncio.create_task(source.run())
    policy = PolicyInEffect()
    looking = asyncio.create_task(source.look(policy))
    await asyncio.wait((running, looking), return_when=asyncio.FIRST_COMPLETED)
    if running.done():  # or the look would wait for ever
        running.result()
    seen = await looking
    inventory = fold(seen, cluster_uuid="K-benchmark", policy=policy, adopted={}, previous={})
    seconds = time.perf_counter() - began
    pods = sum(len(app.app_info.pod_info) for app in inventory.apps.values())
    assert not seen.gaps, seen.gaps
    running.cancel()
    await asyncio.wait([running])
    return {
        "seconds": seconds,
        "cpu": cpu() - before,
        "peak": peak_of(os.getpid()),
        "apps": len(inventory.apps),
        "pods": pods,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(look(Path(sys.argv[1])))))
