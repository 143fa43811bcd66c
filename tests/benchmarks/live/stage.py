"""Where the parts are measured: a control plane, a receiver, and the program as it runs in a cluster."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from examples.receiver.receiver import Reply, serving
from tests.benchmarks.live.processes import cpu_of
from tests.benchmarks.live.scale import Scale, copy, install
from tests.cluster.chain import ACCOUNT, DEFAULT, SYSTEM, USER
from tests.controlplane.plane import ControlPlane
from tests.web.world import TOKEN, RecordingReceiver

STORE = "bench"
HEAD = re.compile(rf"{STORE}-[0-9a-f]+")
CALM, CALM_SHARE = 5.0, 0.2
"""For how many seconds the API server must use no more than this share of a core."""

PATIENCE = 600.0
"""Seconds after which something will not come any more."""


class Asked(msgspec.Struct, frozen=True):
    """One request to the API server. ``received``, ``answered``: seconds since 1970; ``answered`` and
    ``code`` are 0 until it is answered."""

    verb: str
    uri: str
    user: str
    resource: str
    name: str
    received: float
    answered: float
    code: int = 0


class TimedReceiver(RecordingReceiver):
    """``times``: seconds since 1970 at which each request was received, (name, revision) with them."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[tuple[float, str, int]] = []

    def receive(self, key: str, body: bytes) -> Reply:
        helm = json.loads(body)["app_info"]["helm_info"]
        self.times.append((time.time(), f"{helm['namespace']}/{helm['name']}", helm["revision"]))
        return super().receive(key, body)


class Stage:
    """A cluster in which the operator's rights and kind are installed, and who it tells."""

    def __init__(self, plane: ControlPlane, folder: Path, receiver: TimedReceiver, url: str) -> None:
        self.plane = plane
        self.folder = folder
        self.receiver = receiver
        self.scale = Scale(0, 1)
        self._url = url
        self._started = 0

    def grow(self, scale: Scale) -> None:
        """Bring the cluster to a scale; it never shrinks."""
        if not self.scale.by_helm:
            install(self.plane, scale.by_helm)
        copy(self.plane, self.scale.times, scale.times)
        self.scale = scale
        self._calm_down()

    def _calm_down(self) -> None:
        """Wait until the controllers have seen all that there is, and ask for nothing any more."""

        def is_calm() -> bool:
            return self.apiserver_share(CALM) < CALM_SHARE

        self.plane.wait(is_calm, "the API server being at rest", PATIENCE)

    def project(self, git: Mapping[str, object] | None = None, **spec: object) -> None:
        """Apply the project, with its record in ConfigMaps or in a git repository."""
        state = {"git": git} if git else {"configMap": {"name": STORE}}
        self.plane.kubectl("delete", "hosstedproject", "--all")
        project = {"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": {"name": "hossted"}}
        self.plane.apply({**project, "spec": {"settle": "0s", "state": state, **spec}})

    def is_ready(self) -> bool:
        """Whether the project's status says that all is recorded and told."""
        (project,) = self.plane.get("hosstedprojects")
        conditions = project.get("status", {}).get("conditions", ())
        found = {one["type"]: (one["status"], one["reason"]) for one in conditions}
        return found.get("Ready") == ("True", "UpToDate")

    def forget(self) -> None:
        """Neither record nor ledger: the next start is from nothing."""
        self.plane.kubectl("delete", "configmaps", "-n", SYSTEM, "--all")
        self.plane.kubectl("delete", "leases", "-n", SYSTEM, "--all")
        self.receiver.apps.clear()

    def command(self, *words: str, server: str = "") -> list[str]:
        """The program, with the rights of ``config/default``; ``server``: the way to the API server."""
        path = self.plane.kubeconfig_for(SYSTEM, ACCOUNT)
        if server:
            config = json.loads(path.read_text())
            config["clusters"][0]["cluster"]["server"] = server
            path = path.with_name("counted.kubeconfig")
            path.touch(mode=0o600)
            path.write_text(json.dumps(config))
        return [sys.executable, "-m", "reconciler", *words, "--kubeconfig", str(path)]

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "POD_NAMESPACE": SYSTEM,
            "HOSSTED_API_URL": self._url,
            "HOSSTED_AUTH_TOKEN": TOKEN,
            "HOSSTED_API_RATE": "0",
        }

    @contextmanager
    def operator(self, server: str = "") -> "Iterator[Operator]":
        """The operator, from its start until the block ends."""
        self._started += 1
        log = self.folder / f"operator-{self._started}.log"
        command = self.command("run", "--identity", "bench", server=server)
        mark = self.plane.mark()
        with log.open("w") as output:
            began = time.time()
            process = subprocess.Popen(command, stderr=output, env=self.environment())
            try:
                yield Operator(self, process, began, mark, log)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=60)

    def asked(self, mark: int, user: str = USER) -> list[Asked]:
        """The requests of a user since a mark in the audit log, in their order; "" for everybody's."""
        found: dict[str, Asked] = {}
        with self.plane.audit_log.open("rb") as file:
            file.seek(mark)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                event = json.loads(line)
                if user in ("", event["user"]["username"]):
                    ended = event["stage"] == "ResponseComplete"
                    found[event["auditID"]] = _asked(event, ended)
        return list(found.values())

    def apiserver_cpu(self) -> float:
        return cpu_of(self.plane.pid_of("kube-apiserver"))

    def apiserver_share(self, seconds: float) -> float:
        """CPU a second of the API server, for so many seconds in which nothing is asked of it here."""
        before, began = self.apiserver_cpu(), time.monotonic()
        time.sleep(seconds)
        return (self.apiserver_cpu() - before) / (time.monotonic() - began)


class Operator:
    """A running one. ``began``: seconds since 1970; ``mark``: in the audit log, before it began."""

    def __init__(
        self, stage: Stage, process: "subprocess.Popen[bytes]", began: float, mark: int, log: Path
    ) -> None:
        self._stage = stage
        self._process = process
        self.began = began
        self.mark = mark
        self.log = log

    @property
    def pid(self) -> int:
        if self._process.poll() is not None:
            raise RuntimeError(f"the operator has ended:\n{self.log.read_text()[-3000:]}")
        return self._process.pid

    def until_told(self, apps: int) -> None:
        """Wait until the receiver has so many apps."""
        self.wait(lambda: len(self._stage.receiver.apps) >= apps, f"{apps} apps being told")

    def until_ready(self) -> None:
        """Wait until the project says so: all is recorded, and told."""
        self.wait(self._stage.is_ready, "the project being ready")

    def wait(self, check: Any, what: str) -> None:
        def look() -> bool:
            assert self.pid
            return bool(check())

        self._stage.plane.wait(look, what, PATIENCE)

    def heads(self, since: int) -> list[Asked]:
        """The writes that recorded something in ConfigMaps, since a mark."""
        writes = [one for one in self._stage.asked(since) if one.verb in ("create", "update")]
        return [one for one in writes if one.resource == "configmaps" and HEAD.fullmatch(one.name)]


@contextmanager
def stage() -> Iterator[Stage]:
    """Start everything."""
    folder = Path(tempfile.mkdtemp(prefix="bench-live-"))
    receiver = TimedReceiver()
    try:
        with ControlPlane() as plane, serving(receiver, token=TOKEN) as url:
            plane.kubectl("apply", "-k", DEFAULT)
            plane.kubectl("delete", "deployment", "--all", "-n", SYSTEM, "--cascade=foreground")
            plane.kinds_served()
            yield Stage(plane, folder, receiver, url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _asked(event: Mapping[str, Any], ended: bool) -> Asked:
    target = event.get("objectRef", {})
    return Asked(
        verb=event["verb"],
        uri=event["requestURI"],
        user=event["user"]["username"],
        resource="/".join(filter(None, (target.get("resource"), target.get("subresource")))),
        name=target.get("name", ""),
        received=_seconds(event["requestReceivedTimestamp"]),
        answered=_seconds(event["stageTimestamp"]) if ended else 0.0,
        code=event["responseStatus"]["code"] if ended else 0,
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
