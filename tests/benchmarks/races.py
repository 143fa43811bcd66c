"""``make bench ARGS=races``: what a fleet pays for sharing a branch, next to a branch for each cluster.

All clusters and the HTTPS server run on this machine at once, so the wall time is that of a fleet that shares
its few cores, and the CPU time is that of both ends. The pushes and requests for each change do not depend
on the machine much; they are what a forge sees.
"""

import asyncio
import resource
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from rich.table import Table

from tests.git.fleet import Fleet
from tests.git.servers.certificates import Authority
from tests.git.servers.https import HttpsServer
from tests.git.servers.stores import https_factory

FLEETS = (1, 10, 40)
CHANGES = 5
BRANCHES = {"shared": "main", "of its own": "state/{cluster_uuid}"}


class Race(msgspec.Struct, frozen=True):
    """``seconds`` of wall time in all. ``cpu``: seconds, of both ends; ``pushes`` (begun), ``requests``,
    ``sent`` (bytes of packs): in all. ``changes``: that landed."""

    changes: int
    seconds: float
    cpu: float
    pushes: int
    requests: int
    sent: int


def measure(clusters: int, branch: str) -> Race:
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "server").mkdir()
        authority = Authority(folder)
        with HttpsServer(folder / "server", authority.server("127.0.0.1")) as server:
            hosted = server.repository()
            factory = https_factory(folder, hosted, authority, branch)

            async def race() -> int:
                async with Fleet(factory, clusters) as fleet:
                    return sum(len(recorded) for recorded in (await fleet.race(CHANGES)).values())

            began, cpu = time.perf_counter(), _cpu()
            changes = asyncio.run(race())
            return Race(
                changes=changes,
                seconds=time.perf_counter() - began,
                cpu=_cpu() - cpu,
                pushes=hosted.attempts,
                requests=len(hosted.requests),
                sent=sum(push.size for push in hosted.pushes),
            )


def table() -> Table:
    """A row for each fleet and kind of branch."""
    shown = Table(
        "clusters", "changes", "branch", "seconds in all", "pushes tried/change", "requests/change",
        "bytes/change", "CPU ms/change", title=f"{CHANGES} changes of each cluster, all clusters at once",
    )  # fmt: skip
    for clusters in FLEETS:
        for kind, branch in BRANCHES.items():
            race = measure(clusters, branch)
            shown.add_row(
                str(clusters),
                str(race.changes),
                kind,
                f"{race.seconds:.1f}",
                f"{race.pushes / race.changes:.2f}",
                f"{race.requests / race.changes:.1f}",
                f"{race.sent / race.changes:.0f}",
                f"{race.cpu / race.changes * 1e3:.0f}",
            )
    return shown


def _cpu() -> float:
    """Seconds of CPU time that this process and the children that it has waited for have used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
