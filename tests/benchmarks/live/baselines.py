"""The other ways to the same: curl, which is the limit; Helm; the official client; the poll."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from reconciler.kube import resources
from reconciler.kube.bodies import SUPERSEDED
from reconciler.kube.client import EITHER, JSON
from reconciler.kube.resources import Resource
from tests.benchmarks.live.processes import Ran, run
from tests.benchmarks.live.stage import Asked, Stage

REPOSITORY = Path(__file__).parents[3]
PERIOD = 10.0
"""Seconds from one round of the poll to the next."""

_KINDS: tuple[Resource[Any], ...] = (
    resources.NAMESPACES, resources.RELEASE_SECRETS, resources.RELEASE_CONFIGMAPS, resources.UUID_SECRETS,
    resources.PODS, resources.SERVICES, resources.CLAIMS, resources.INGRESSES, *resources.WORKLOADS,
)  # fmt: skip


class Round(msgspec.Struct, frozen=True):
    """One of the poll's: seconds by the clock, seconds of CPU, bytes at the peak so far."""

    seconds: float
    cpu: float
    peak: int


def requests_to_repeat(asked: Iterable[Asked]) -> list[tuple[str, str]]:
    """Of what was asked, what can be asked again and ends by itself: (URI, Accept), in order."""
    found = []
    for one in asked:
        query = parse_qs(urlsplit(one.uri).query)
        if one.verb in ("get", "list") and one.code == 200 and "watch" not in query:
            found.append((one.uri, _accept(one)))
    return found


def curl(stage: Stage, requests: Iterable[tuple[str, str]]) -> Ran:
    """One curl that makes the requests one after the other, over one connection, and keeps nothing."""
    blocks = [
        f'url = "{stage.plane.server}{uri}"\n'
        f'header = "Accept: {accept}"\n'
        f'header = "Authorization: Bearer {stage.plane.tokens["admin"]}"\n'
        f'cacert = "{stage.plane.ca_file}"\noutput = "/dev/null"\nfail\nhttp1.1\n'
        for uri, accept in requests
    ]
    environment = {"PATH": stage.environment()["PATH"]}
    return run(["curl", "--silent", "--show-error", "--config", "-"], environment, "next\n".join(blocks))


def helm_list(stage: Stage) -> Ran:
    """``helm list`` of everything."""
    environment = {
        "PATH": stage.environment()["PATH"],
        "HOME": str(stage.folder),
        "KUBECONFIG": str(stage.plane.kubeconfig),
    }
    program = str(stage.plane.programs["helm3"])
    return run([program, "list", "-A", "-a", "--max", "100000"], environment)


def typed(stage: Stage) -> Ran:
    """The official client's typed lists."""
    return python(stage, "typed", str(stage.plane.kubeconfig))


def python(stage: Stage, module: str, *arguments: str) -> Ran:
    """A module of this package in an interpreter of its own."""
    return run([sys.executable, "-m", f"tests.benchmarks.live.{module}", *arguments], _environment(stage))


@contextmanager
def polling(stage: Stage, server: str = "") -> Iterator[list[Round]]:
    """The poll, while the block lasts; its rounds come into the list as they end."""
    command = [sys.executable, "-m", "tests.benchmarks.live.poll"]
    arguments = [server or stage.plane.server, str(stage.plane.ca_file), str(PERIOD)]
    rounds: list[Round] = []
    with subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(stage),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{stage.plane.tokens['admin']}\n")
        process.stdin.close()
        lines = process.stdout

        def collect() -> None:
            for line in lines:
                rounds.append(msgspec.convert(json.loads(line), Round))

        reader = Thread(target=collect, daemon=True)
        reader.start()
        try:
            stage.plane.wait(lambda: rounds, "the first round of the poll", 600)
            yield rounds
        finally:
            process.kill()
            reader.join()


def polled(stage: Stage, seconds: float, server: str = "") -> tuple[list[Round], float]:
    """The rounds of so many seconds, at least two, and the API server's CPU for each of them."""
    with polling(stage, server) as rounds:
        first = len(rounds)
        began, before = time.monotonic(), stage.apiserver_cpu()
        stage.plane.wait(
            lambda: time.monotonic() - began >= seconds and len(rounds) >= first + 2,
            "the poll's rounds",
            3600,
        )
        used = stage.apiserver_cpu() - before
        return rounds[first:], used / (len(rounds) - first)


def _environment(stage: Stage) -> dict[str, str]:
    return {"PATH": stage.environment()["PATH"], "HOME": str(stage.folder), "PYTHONPATH": str(REPOSITORY)}


def _accept(one: Asked) -> str:
    """The form in which the program asks for it: where releases are listed, of their metadata or whole."""
    address = urlsplit(one.uri)
    if one.verb == "get":
        return EITHER if one.resource in ("secrets", "configmaps") else JSON
    if SUPERSEDED in address.query:
        return EITHER
    plural = address.path.rpartition("/")[2]
    return next((kind.accept for kind in _KINDS if kind.path().rpartition("/")[2] == plural), JSON)
