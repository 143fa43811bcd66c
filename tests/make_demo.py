"""`python -m tests.make_demo`: makes the demo's recordings anew, on a real control plane with the real Helm.

It runs the commands of `examples/demo/story.yaml` one after the other, waits until their workloads have
settled, and writes the recording of each look over the old one. What stands for a slow image pull is the
label that holds pods back (see `tests/controlplane/assets/stages.yaml`); the time it takes is real.
"""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
import time

from reconciler.demo.story import EXAMPLES, Seen, read_story
from reconciler.inventory.live import LiveSource
from reconciler.inventory.recording import write_recording
from reconciler.kube.client import Client
from reconciler.model import PolicyInEffect
from tests.controlplane.cluster import CHARTS, HOLD
from tests.controlplane.plane import ControlPlane

DEMO = EXAMPLES / "demo"
SLOW = "09-pulling"
ARRIVED = "09-pulled"
PODS_OF_SLOW = 4
PULL = 75.0
"""Seconds that the slow pull takes: more than 12 times the demo's `settle`."""
BETWEEN = 8.0
"""Seconds between two looks at least: more than the demo's `settle`, so that each is seen to settle."""
APP_VERSIONS = {"web-1.1.0.tgz": "2.5.0", "keycloak-18.4.0.tgz": "24.0.2"}


def main() -> int:
    """Replace the recordings."""
    story = read_story(DEMO)
    shutil.rmtree(DEMO / "recordings", ignore_errors=True)
    with ControlPlane() as plane:
        for step in story.steps:
            print(step.title, flush=True)
            for seen in step.looks:
                _make(plane, seen)
                asyncio.run(_record(plane, seen))
                # Time is what is recorded here; nothing tells of it but a clock.
                time.sleep(PULL if seen.recording == SLOW else BETWEEN)
    size = sum(file.stat().st_size for file in (DEMO / "recordings").rglob("*.json"))
    print(f"{size / 1024:.0f} KiB in {DEMO / 'recordings'}")
    return 0


def _make(plane: ControlPlane, seen: Seen) -> None:
    touched: set[str] = set()
    for command in seen.did:
        print(f"  $ {command}", flush=True)
        words = shlex.split(command)
        at = words.index("-n")
        namespace = words[at + 1]
        del words[at : at + 2]
        touched.add(namespace)
        if words[0] == "helm":
            plane.in_namespace(namespace)
            held = ("--set", "hold=true") if seen.recording == SLOW else ()
            plane.helm(*(_chart(plane, word) for word in words[1:]), *held, namespace=namespace)
        else:
            plane.kubectl(*words[1:], "-n", namespace)
    if seen.recording == ARRIVED:
        plane.finish_image_pulls("shop")
        touched.add("shop")
    if seen.recording == SLOW:
        held_back = ("pods", "-n", "shop", "-l", HOLD)
        plane.wait(lambda: len(plane.get(*held_back)) == PODS_OF_SLOW, "the pods that wait for their image")
        return
    for namespace in touched:
        plane.rolled_out(namespace)


def _chart(plane: ControlPlane, word: str) -> str:
    """The archive that a word of the story names, packed; any other word as it is."""
    if not word.endswith(".tgz"):
        return word
    name, _, version = word.removesuffix(".tgz").rpartition("-")
    if not (CHARTS / name).is_dir():
        raise SystemExit(f"{word}: there is no chart {CHARTS / name}")
    return plane.package(name, version=version, app_version=APP_VERSIONS.get(word, ""))


async def _record(plane: ControlPlane, seen: Seen) -> None:
    client = Client.connect(kubeconfig=plane.kubeconfig)
    try:
        # Only what the story is about: the namespaces of the system have no releases.
        look = await LiveSource(client).look(PolicyInEffect(denyNamespaces=("kube-*", "default")))
    finally:
        client.close()
    if look.gaps:
        raise SystemExit(f"{seen.recording} would not be complete: {look.gaps[0].message}")
    write_recording(look, DEMO / "recordings" / seen.recording)


if __name__ == "__main__":
    sys.exit(main())
