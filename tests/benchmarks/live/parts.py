"""What is measured of a cluster that is as it is: start, cold start, ``once``, and what quiet costs."""

import json
import statistics
import time
from collections.abc import Callable, Iterator

from tests.benchmarks.live import baselines
from tests.benchmarks.live.counting import counting
from tests.benchmarks.live.processes import cpu_of, peak_of, run
from tests.benchmarks.live.report import Row
from tests.benchmarks.live.stage import Stage

MB = 1e6
HOUR = 3600.0
KINDS = 15
"""Watches: of 14 kinds, and of the project."""


REST = 20.0
"""Seconds after a start in which what was put off until nothing is in a hurry is done."""


class Effort:
    """How long and how often things are measured. ``small``: to see that it works."""

    def __init__(self, small: bool) -> None:
        self.starts = 2 if small else 7
        self.rounds = 1 if small else 5
        self.quiet = 30.0 if small else 300.0
        self.polled = 20.0 if small else 60.0
        self.upgrades = 5 if small else 100
        self.rollouts = 2 if small else 10
        self.storm = 10.0 if small else 60.0


def start(stage: Stage, effort: Effort) -> Iterator[Row]:
    """From the start of the process to its first request."""
    stage.project()
    took = []
    for _ in range(effort.starts):
        with stage.operator() as operator:
            operator.wait(lambda: stage.asked(operator.mark), "its first request")
            took.append(stage.asked(operator.mark)[0].received - operator.began)
    plain = [baselines.python(stage, "nothing").seconds for _ in range(effort.starts)]
    yield Row(
        "start",
        "import and start to first request",
        statistics.median(took),
        "s",
        goal=0.6,
        baseline=statistics.median(plain),
        baseline_name="python -m of an empty module",
    )


def cold(stage: Stage, effort: Effort) -> Iterator[Row]:
    """The first complete inventory, from nothing, and from the start of the operator."""
    looks, curls = [], []
    for _ in range(effort.rounds):
        mark = stage.plane.mark()
        looks.append(json.loads(baselines.python(stage, "look", str(stage.plane.kubeconfig)).output))
        asked = [one for one in stage.asked(mark, "admin") if one.verb in ("get", "list")]
        requests = baselines.requests_to_repeat(asked)
        curls.append(baselines.curl(stage, requests))
    seconds = statistics.median(one["seconds"] for one in looks)
    limit = statistics.median(one.seconds for one in curls)
    found = f"{looks[0]['apps']:,} apps, {looks[0]['pods']:,} containers, {len(requests):,} requests"
    yield Row(
        "cold", "first inventory complete", seconds, "s", 1.5, True, limit, "curl, the same requests", found
    )
    used = statistics.median(one["cpu"] for one in looks)
    client = baselines.typed(stage)
    yield Row(
        "cold", "first inventory, CPU", used, "s", None, False, client.cpu, "official client, typed lists"
    )
    yield Row(
        "cold",
        "first inventory, peak memory",
        looks[0]["peak"] / MB,
        "MB",
        None,
        False,
        client.peak / MB,
        "official client, typed lists",
    )
    stage.forget()
    stage.project()
    helm = baselines.helm_list(stage)
    with stage.operator() as operator:
        operator.until_told(stage.scale.releases)
        (head, *_) = operator.heads(operator.mark)
        yield Row(
            "cold",
            "operator's start to all recorded",
            head.answered - operator.began,
            "s",
            None,
            False,
            helm.seconds,
            "helm list -A -a",
        )
        times = [at for at, _, _ in stage.receiver.times]
        yield Row("cold", "operator's start to all told", max(times) - operator.began, "s")
        yield peak(stage, "cold", operator.pid)


def once(stage: Stage, effort: Effort) -> Iterator[Row]:
    """``once`` when there is nothing to record or to tell."""
    stage.project()
    command, environment = stage.command("once"), stage.environment()
    run(command, environment)
    done = [run(command, environment) for _ in range(effort.rounds)]
    for one in done:
        if one.output.strip() != "nothing has changed":
            raise RuntimeError(f"once found something to do: {one.output[:500]}")
    helm = baselines.helm_list(stage)
    yield Row(
        "once",
        "once, nothing to do: start to exit",
        statistics.median(one.seconds for one in done),
        "s",
        1.5,
        False,
        helm.seconds,
        "helm list -A -a",
    )
    median = statistics.median(one.cpu for one in done)
    yield Row("once", "once, CPU", median, "s", None, False, helm.cpu, "helm list -A -a")
    peak = max(one.peak for one in done) / MB
    yield Row("once", "once, peak memory", peak, "MB", None, False, helm.peak / MB, "helm list -A -a")


def quiet(stage: Stage, effort: Effort) -> Iterator[Row]:
    """A cluster in which nothing happens: what the operator, and the poll, need and cost."""
    idle = stage.apiserver_share(effort.quiet / 2)
    with counting(stage.plane.server) as way:
        rounds, with_poll = baselines.polled(stage, effort.polled, way.url)
        polled = way.bytes / (len(rounds) + 1) / baselines.PERIOD
    poll_cost = max(with_poll / baselines.PERIOD - idle, 0.0)
    poll_cpu = statistics.median(one.cpu for one in rounds) / baselines.PERIOD
    rest = stage.apiserver_share(effort.quiet / 2)  # the poll has left it another heap to look through
    with counting(stage.plane.server) as way:
        at_rest = _Window(stage, way.url, lambda: way.bytes, effort.quiet, "10m")
        often = _Window(stage, way.url, lambda: way.bytes, max(effort.quiet / 2, 130.0), "1m")
    comparison = max(often.cpu - at_rest.cpu, 0.0) * 60
    hour = at_rest.cpu * HOUR + 6 * comparison
    scaled = f"measured {effort.quiet:.0f} s"
    yield Row("quiet", "CPU an hour", hour, "s", 5.0, False, poll_cpu * HOUR, "10 s poll", scaled)
    yield Row(
        "quiet", "CPU of one comparison (interval)", comparison, "s", note="from a run with interval 1m"
    )
    per_hour = at_rest.requests * HOUR
    yield Row(
        "quiet",
        "requests an hour",
        per_hour,
        "",
        None,
        False,
        stage_namespaces(stage) * HOUR / baselines.PERIOD,
        "10 s poll",
        f"{scaled}: {at_rest.kinds}",
    )
    yield Row(
        "quiet",
        "bytes of the API server",
        at_rest.bytes / 1e3,
        "kB/s",
        0.01,
        True,
        polled / 1e3,
        "10 s poll",
    )
    yield Row(
        "quiet",
        "CPU of the API server",
        max(at_rest.apiserver - rest, 0.0) * 1e3,
        "ms/s",
        0.01,
        True,
        poll_cost * 1e3,
        "10 s poll",
        f"beyond the {rest * 1e3:.1f} ms/s that it needs alone; steps of {10 / effort.quiet:.2f} ms/s",
    )


class _Window:
    """So many seconds of an operator that has nothing to do; every figure is per second."""

    def __init__(self, stage: Stage, url: str, received: Callable[[], int], seconds: float, interval: str):
        stage.project(interval=interval)
        with stage.operator(url) as operator:
            operator.until_ready()
            time.sleep(REST)
            mark, bytes_before = stage.plane.mark(), received()
            before, server = cpu_of(operator.pid), stage.apiserver_cpu()
            time.sleep(seconds)
            self.cpu = (cpu_of(operator.pid) - before) / seconds
            self.apiserver = (stage.apiserver_cpu() - server) / seconds
            self.bytes = (received() - bytes_before) / seconds
            asked = stage.asked(mark)
            began = [one for one in asked if one.received]
            self.requests = len(began) / seconds
            counts: dict[str, int] = {}
            for one in began:
                word = f"{one.verb} {one.resource}"
                counts[word] = counts.get(word, 0) + 1
            self.kinds = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())[:6])


def stage_namespaces(stage: Stage) -> int:
    """Lists of one round of the poll: one of each namespace, and one of the namespaces."""
    return 1 + len(stage.plane.get("namespaces"))


def peak(stage: Stage, part: str, pid: int) -> Row:
    goals = {1_000: 100.0, 5_000: 200.0}
    return Row(
        part,
        f"peak memory of the operator at {stage.scale}",
        peak_of(pid) / MB,
        "MB",
        goals.get(stage.scale.releases),
    )
