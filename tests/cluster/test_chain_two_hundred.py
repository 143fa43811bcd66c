"""The original's case: of 200 releases one is upgraded, and that one app is told, once.

The operator that this one replaces told every app of the namespace, over and over.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from tests.cluster.chain import INTERVAL, SETTLE, Chain, Commit, Pushed
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

TINY = str(CHARTS / "tiny")
NAMESPACES = [f"team-{number:02}" for number in range(20)]
RELEASES = [(namespace, f"app-{number}") for namespace in NAMESPACES for number in range(10)]
APPS = sorted("/".join(release) for release in RELEASES)


def install_all(plane: ControlPlane) -> None:
    """The real Helm, as many at once as the machine has cores."""

    def install(release: tuple[str, str]) -> None:
        namespace, name = release
        plane.helm("install", name, TINY, namespace=namespace)

    plane.apply(
        *({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in NAMESPACES)
    )
    with ThreadPoolExecutor(os.cpu_count()) as helms:
        list(helms.map(install, RELEASES))
    for namespace in NAMESPACES:
        plane.rolled_out(namespace)


async def test_of_two_hundred_releases_the_one_that_is_upgraded_is_told_alone_and_once(chain: Chain) -> None:
    plane = chain.plane
    install_all(plane)
    await chain.settle()
    assert await chain.subjects() == ["200 apps installed"]
    assert chain.pushes() == [Pushed(app, 1, "deployed") for app in APPS]

    plane.helm("upgrade", "app-7", TINY, "--set", "replicas=2", namespace="team-13")
    plane.rolled_out("team-13")
    await chain.settle()
    commits = await chain.commits()
    assert [told(commit) for commit in commits] == [
        ("upgrade team-13/app-7: tiny 0.1.0, revision 1 → 2", ("team-13/app-7.yaml",))
    ]
    assert chain.pushes() == [Pushed("team-13/app-7", 2, "deployed")]
    assert len(chain.emitted("team-13/app-7")["pod_info"]) == 2

    await chain.restart()
    await chain.wait(INTERVAL + SETTLE)
    assert (await chain.commits(), chain.pushes()) == ([], [])


def told(commit: Commit) -> tuple[str, tuple[str, ...]]:
    return commit.subject, commit.files
