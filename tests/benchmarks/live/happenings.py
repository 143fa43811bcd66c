"""What is measured of a cluster in which things happen: upgrades, rollouts, storms, and growth."""

import itertools
import json
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.live import baselines, parts
from tests.benchmarks.live.counting import counting
from tests.benchmarks.live.http import Http
from tests.benchmarks.live.parts import MB, Effort
from tests.benchmarks.live.processes import cpu_of, memory_of
from tests.benchmarks.live.report import Row
from tests.benchmarks.live.scale import Scale, originals
from tests.benchmarks.live.stage import Operator, Stage
from tests.cluster.chain import SYSTEM
from tests.controlplane.cluster import CHARTS
from tests.git.servers.certificates import Authority
from tests.git.servers.https import HttpsServer

RATE = 200
"""Events a second of the storm."""

SLOW = 40
"""Events a second of the storms that are compared when a cluster has grown: as many as a machine of two cores
can make in the larger one. What is done once a second costs each event the more, the fewer there are."""

STORMED = 500
"""Pods that they are about."""

SETTLE = 1.0
"""Seconds, where what comes after settling is measured."""


class Upgraded(NamedTuple):
    """When, in seconds since 1970: the API server answered Helm's last write, and Helm had ended."""

    app: str
    revision: int
    written: float
    ended: float
    mark: int


class Upgrades:
    """Helm upgrades of the originals of a chart, by turns."""

    def __init__(self, stage: Stage, chart: str) -> None:
        self._stage = stage
        releases = [one for one in originals(stage.scale.by_helm) if one[2] == chart]
        self._next = itertools.cycle(releases)

    def one(self, *flags: str) -> Upgraded:
        plane = self._stage.plane
        where, name, chart = next(self._next)
        mark = plane.mark()
        plane.helm("upgrade", name, str(CHARTS / chart), "--reuse-values", *flags, namespace=where)
        ended = time.time()
        writes = [
            one
            for one in self._stage.asked(mark, "admin")
            if one.resource == "secrets" and one.verb in ("create", "update")
        ]
        revision = max(int(one.name.rpartition(".v")[2]) for one in writes if one.name)
        return Upgraded(f"{where}/{name}", revision, max(one.answered for one in writes), ended, mark)


def upgrade(stage: Stage, effort: Effort) -> Iterator[Row]:
    """From Helm's last write to the record and to the push, and what an upgrade costs."""
    idle = stage.apiserver_share(30)  # it collects garbage every now and then
    alone = _cost_of_upgrades(stage, effort.upgrades // 2, idle)
    with counting(stage.plane.server) as way:
        rounds, server_cpu = baselines.polled(stage, effort.polled, way.url)
        poll_bytes = way.bytes / (len(rounds) + 1)
    poll_cpu = statistics.median(one.cpu for one in rounds)
    poll_seconds = baselines.PERIOD / 2 + statistics.median(one.seconds for one in rounds)
    server_cpu = max(server_cpu - baselines.PERIOD * idle, 0.0)
    yield Row("upgrade", "one round of the 10 s poll, CPU", poll_cpu * 1e3, "ms")

    stage.project()
    with stage.operator() as operator:
        operator.until_told(stage.scale.releases)
        upgrades = Upgrades(stage, "tiny")
        _told(stage, operator, upgrades.one())
        recorded, pushed, since_end = [], [], []
        before, server, began = cpu_of(operator.pid), stage.apiserver_cpu(), time.monotonic()
        for _ in range(effort.upgrades):
            done = upgrades.one()
            at = _told(stage, operator, done)
            pushed.append(at - done.written)
            since_end.append(at - done.ended)
            recorded.append(operator.heads(done.mark)[-1].answered - done.written)
        used = (cpu_of(operator.pid) - before) / effort.upgrades
        seconds = time.monotonic() - began
        with_us = (stage.apiserver_cpu() - server - idle * seconds) / effort.upgrades
        log = operator.log.read_text()
    for what, times in (("recorded (ConfigMap)", recorded), ("push received", pushed)):
        for name, percent, goal in (("p50", 50, 0.1), ("p99", 99, 0.5)):
            yield Row(
                "upgrade",
                f"Helm's last write → {what}, {name}",
                _percentile(times, percent) * 1e3,
                "ms",
                goal * 1e3,
                False,
                poll_seconds * 1e3 if percent == 50 else None,
                "half the 10 s, and a round of the poll" if percent == 50 else "",
                f"of {len(times)}; pods not touched",
            )
    yield Row("upgrade", "Helm's end → push received, p50", statistics.median(since_end) * 1e3, "ms", 100.0)
    yield Row(
        "upgrade",
        "CPU of an upgrade without rollout",
        used * 1e3,
        "ms",
        0.01,
        True,
        poll_cpu * 1e3,
        "10 s poll, a round",
    )
    yield Row(
        "upgrade",
        "CPU of the API server, beyond Helm's own",
        max(with_us - alone, 0.0) * 1e3,
        "ms",
        0.01,
        True,
        server_cpu * 1e3,
        "10 s poll, a round",
        f"Helm's own: {alone * 1e3:.0f} ms; the difference of two runs, each without the"
        f" {idle * 1e3:.0f} ms/s that it needs alone",
    )
    if "Traceback" in log:
        raise RuntimeError(log[-3000:])
    yield from _rollouts(stage, effort, poll_cpu, poll_bytes)


def _rollouts(stage: Stage, effort: Effort, poll_cpu: float, poll_bytes: float) -> Iterator[Row]:
    """Upgrades that replace all pods of a release, behind the way that counts bytes."""
    with counting(stage.plane.server) as way, stage.operator(way.url) as operator:
        operator.until_told(stage.scale.releases)
        upgrades = Upgrades(stage, "web")

        def roll() -> None:
            image = f"images.app=registry.example.com/shop/web:r{time.time_ns()}"
            done = upgrades.one("--set", image)
            stage.plane.rolled_out(done.app.partition("/")[0], timeout=300)
            _told(stage, operator, done)

        roll()  # all was told before, so nothing else tells that it has started
        time.sleep(2)
        before, bytes_before = cpu_of(operator.pid), way.bytes
        for _ in range(effort.rollouts):
            roll()
        time.sleep(2)  # what is quiet only now is recorded yet
        used = (cpu_of(operator.pid) - before) / effort.rollouts
        moved = (way.bytes - bytes_before) / effort.rollouts
    note = f"12 pods replaced each time; of {effort.rollouts}"
    yield Row(
        "upgrade",
        "CPU of an upgrade with its rollout",
        used * 1e3,
        "ms",
        0.01,
        True,
        poll_cpu * 1e3,
        "10 s poll, a round",
        note,
    )
    yield Row(
        "upgrade",
        "bytes of the API server, with rollout",
        moved / 1e3,
        "kB",
        0.01,
        True,
        poll_bytes / 1e3,
        "10 s poll, a round",
        note,
    )


def git(stage: Stage, effort: Effort) -> Iterator[Row]:
    """From Helm's last write to a git repository behind HTTPS on this machine, beyond ``settle``."""
    with tempfile.TemporaryDirectory(prefix="bench-git-") as name:
        folder = Path(name)
        authority = Authority(folder)
        (folder / "served").mkdir()
        with HttpsServer(folder / "served", authority.server("127.0.0.1")) as server:
            repository = server.repository()
            metadata = {"name": "bench-git", "namespace": SYSTEM}
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}
            stage.plane.apply({**secret, "stringData": {"ca.crt": authority.pem}})
            stage.forget()
            spec = {"url": repository.url, "branch": "main", "secretRef": {"name": "bench-git"}}
            stage.project(git=spec, settle=f"{SETTLE:.0f}s")
            times = list(_git_times(stage, effort, repository.path / "refs/heads/main"))
    stage.forget()
    for what, percent, goal in (("p50", 50, 200.0), ("p99", 99, None)):
        yield Row(
            "git",
            f"Helm's last write → git remote over https, beyond settle, {what}",
            _percentile(times, percent) * 1e3,
            "ms",
            goal,
            note=f"of {len(times)}; settle {SETTLE:.0f} s",
        )


def _git_times(stage: Stage, effort: Effort, branch: Path) -> Iterator[float]:
    with stage.operator() as operator:
        operator.until_told(stage.scale.releases)
        upgrades = Upgrades(stage, "tiny")
        for _ in range(max(effort.upgrades // 3, 3)):
            known = branch.stat().st_mtime_ns
            done = upgrades.one()
            operator.wait(lambda: branch.stat().st_mtime_ns != known, "the remote's branch moving")  # noqa: B023 - called now
            yield branch.stat().st_mtime_ns / 1e9 - done.written - SETTLE
            _told(stage, operator, done)


def storm(stage: Stage, effort: Effort, rate: int = RATE) -> Iterator[Row]:
    """Pods that change so often a second, and whether the record agrees with the cluster afterwards."""
    # By the built-in rules what changes of a pod makes no commit of its own, and nothing could be compared.
    stage.project(settle="5s", rules=[{"match": {"fields": ["pod_info"]}, "action": "Record"}])
    with stage.operator() as operator:
        operator.until_told(stage.scale.releases)
        stage.plane.wait(lambda: _agrees(stage), "the record agreeing with the cluster before", 120)
        pid = operator.pid
        began, before, memory = time.monotonic(), cpu_of(pid), memory_of(pid)
        events = _blow(stage, effort.storm, rate)
        seconds = time.monotonic() - began
        used, grown = cpu_of(pid) - before, memory_of(pid) - memory
        agreed = time.monotonic()
        stage.plane.wait(lambda: _agrees(stage), "the record agreeing with the cluster", 240)
        agreed = time.monotonic() - agreed
        yield parts.peak(stage, "storm", pid)
    note = (
        f"{events:,} events, {events / seconds:.0f} a second; record and cluster agree {agreed:.0f} s later"
    )
    # A machine that cannot make so many makes fewer: what each costs is what counts.
    share = rate * used / events
    yield Row("storm", f"share of one core, at {rate} events a second", 100 * share, "%", 10.0, note=note)
    yield Row(
        "storm", "CPU of an event", 1e6 * used / events, "µs", note="recording what they changed included"
    )
    yield Row("storm", "memory grown by", grown / MB, "MB", 5.0)


def growth(small: Sequence[Row], larger: Sequence[Row], before: Scale, large: Scale) -> list[Row]:
    """How the cold start, memory and the cost of an event grow, by the rows of two clusters, the slow storm's
    among them."""
    times = large.releases / before.releases
    known, figures = _figures(small), _figures(larger)
    peaks = [row for row in larger if row.what.startswith("peak memory of the operator")]
    goals = {
        "first inventory complete": times,
        "first inventory, peak memory": times,
        "operator's start to all recorded": times,
        "CPU of an event": 1.1,
    }
    return [
        *(
            Row(
                "growth",
                f"{what}, {large}",
                figures[what][0],
                figures[what][1],
                goal,
                True,
                known[what][0],
                str(before),
            )
            for what, goal in goals.items()
        ),
        *(Row("growth", row.what, row.value, row.unit, row.goal, note=row.part) for row in peaks),
        *(
            Row(
                "growth",
                f"{row.what}, {large}",
                row.value,
                row.unit,
                row.goal,
                row.is_ratio,
                row.baseline,
                row.baseline_name,
            )
            for row in larger
            if row.what.startswith(("first inventory complete", "share of one core"))
        ),
    ]


def _figures(rows: Sequence[Row]) -> dict[str, tuple[float, str]]:
    return {row.what: (row.value, row.unit) for row in rows}


def _told(stage: Stage, operator: Operator, done: Upgraded) -> float:
    """When the receiver got the upgrade."""

    def found() -> float:
        return next(
            (at for at, app, revision in reversed(stage.receiver.times) if (app, revision) == done[:2]), 0.0
        )

    operator.wait(found, f"the push of {done.app}, revision {done.revision}")
    return found()


def _cost_of_upgrades(stage: Stage, count: int, idle: float) -> float:
    """CPU of the API server for one upgrade that nobody looks at, beyond what it needs alone."""
    upgrades = Upgrades(stage, "tiny")
    upgrades.one()
    before, began = stage.apiserver_cpu(), time.monotonic()
    for _ in range(count):
        upgrades.one()
    seconds = time.monotonic() - began
    return (stage.apiserver_cpu() - before - idle * seconds) / count


def _blow(stage: Stage, seconds: float, rate: int) -> int:
    """Change pods' statuses at the rate: restarts mostly, and one time in ten the image that runs."""
    http = Http(stage.plane, 8)
    listed = json.loads(http.get("/api/v1/pods"))["items"]
    candidates = [pod for pod in listed if _is_chosen(pod)]
    chosen = random.Random(1).sample(candidates, min(STORMED, len(candidates)))
    slots = threading.Semaphore(16)

    def change(number: int) -> None:
        try:
            pod = chosen[number % len(chosen)]
            statuses = pod["status"]["containerStatuses"]
            statuses[0]["restartCount"] += 1
            if number % 10 == 0:
                statuses[0]["imageID"] = f"{statuses[0]['image']}@sha256:{number:064x}"
            where, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            path = f"/api/v1/namespaces/{where}/pods/{name}/status"
            http.patch(path, {"status": {"containerStatuses": statuses}})
        finally:
            slots.release()

    began = time.monotonic()
    with ThreadPoolExecutor(8) as hands:
        done = []
        for number in range(int(rate * seconds)):
            ahead = began + number / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            slots.acquire()
            done.append(hands.submit(change, number))
    for one in done:
        one.result()
    return len(done)


def _is_chosen(pod: dict[str, dict[str, object]]) -> bool:
    return str(pod["metadata"]["namespace"]).startswith("bench-") and "containerStatuses" in pod["status"]


def _agrees(stage: Stage) -> bool:
    """Whether a fresh list of the cluster is what is recorded, as ``diff`` finds."""
    done = subprocess.run(
        stage.command("diff", "observed", "cluster", "--output", "json"),
        check=False,
        capture_output=True,
        text=True,
        env=stage.environment(),
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(done.stderr[-2000:])
    return done.returncode == 0


def _percentile(times: Sequence[float], percent: int) -> float:
    ordered = sorted(times)
    return (
        ordered[min(len(ordered) - 1, -(-len(ordered) * percent // 100) - 1)]
        if percent < 100
        else ordered[-1]
    )
