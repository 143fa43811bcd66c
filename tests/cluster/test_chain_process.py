"""The program itself, as the operator's ServiceAccount: `run` until it is told to stop, and `once`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import pytest

from tests.cluster.chain import ACCOUNT, EMAIL, SYSTEM, USER, git
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane
from tests.web.world import TOKEN, RecordingReceiver, receiving

BARE = str(CHARTS / "bare")
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


class Program(NamedTuple):
    """How the program is started here, and what it works on. `url`: of the API."""

    plane: ControlPlane
    folder: Path
    receiver: RecordingReceiver
    url: str

    @property
    def repository(self) -> Path:
        return self.folder / "record.git"

    def project(self, name: str = "hossted", **spec: object) -> dict[str, Any]:
        """Apply a project; as the server has it."""
        state = {"git": {"url": f"file://{self.repository}"}}
        project = {"apiVersion": "hossted.com/v1", "kind": "Hosstedproject", "metadata": {"name": name}}
        self.plane.apply({**project, "spec": {"settle": "1s", "state": state, **spec}})
        return self.now(name)

    def now(self, name: str = "hossted") -> dict[str, Any]:
        found: dict[str, Any] = self.plane.get("hosstedproject", name)
        return found

    def command(self, *args: str) -> list[str]:
        kubeconfig = self.plane.kubeconfig_for(SYSTEM, ACCOUNT)
        return [sys.executable, "-m", "reconciler", *args, "--kubeconfig", str(kubeconfig)]

    def environment(self, **settings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "POD_NAMESPACE": SYSTEM,
            "HOSSTED_API_URL": self.url,
            "HOSSTED_AUTH_TOKEN": TOKEN,
            "EMAIL_ID": EMAIL,
            **settings,
        }

    def run(self, *args: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            self.command(*args),
            check=False,
            capture_output=True,
            text=True,
            env=self.environment(**settings),
            timeout=60,
        )

    @contextmanager
    def running(self, *args: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """The operator, ended with the block at the latest; what it logs is in `operator.log`."""
        with (
            (self.folder / "operator.log").open("w") as log,
            subprocess.Popen(
                self.command("run", "--identity", "the-test", *args),
                stderr=log,
                env=self.environment(**settings),
                text=True,
            ) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    def conditions(self, name: str = "hossted") -> dict[str, tuple[str, str]]:
        found = self.now(name).get("status", {}).get("conditions", ())
        return {one["type"]: (one["status"], one["reason"]) for one in found}

    def subjects(self) -> list[str]:
        """Of the commits, oldest first."""
        if not git(self.repository, "for-each-ref"):
            return []
        return git(self.repository, "log", "--reverse", "--format=%s", "main").splitlines()

    def has_told(self, requests: int) -> bool:
        return len(self.receiver.requests) == requests

    def log(self) -> str:
        return (self.folder / "operator.log").read_text()

    def lease(self) -> dict[str, Any]:
        found: dict[str, Any] = self.plane.get("lease", ACCOUNT, "-n", SYSTEM)["spec"]
        return found


@pytest.fixture
def program(operated: ControlPlane, tmp_path: Path) -> Iterator[Program]:
    with receiving() as (receiver, url):
        program = Program(operated, tmp_path, receiver, url)
        git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(program.repository))
        yield program


def install(plane: ControlPlane, name: str = "test", *args: str) -> None:
    plane.helm("install", name, BARE, *args)
    plane.rolled_out()


def test_the_operator_records_pushes_answers_a_person_within_seconds_and_stops_cleanly(
    program: Program,
) -> None:
    plane = program.plane
    install(plane)
    program.project()
    with program.running() as operator:
        plane.wait(lambda: program.receiver.apps, "the push of what is there")
        assert program.subjects() == ["record 1 app of the cluster"]
        plane.wait(lambda: program.conditions().get("Ready") == ("True", "UpToDate"), "Ready")
        assert program.conditions()["Delivered"] == ("True", "UpToDate")
        assert program.lease()["holderIdentity"] == "the-test"

        edited = program.project(clusterName="prod")["metadata"]["generation"]
        plane.wait(
            lambda: program.now()["status"]["observedGeneration"] == edited, "the edit being seen", timeout=10
        )
        assert program.subjects()[1:] == ["cluster name none → prod"]

        plane.helm("upgrade", "test", BARE)
        asked = "2026-11-21T12:00:00Z"
        plane.kubectl("annotate", "hosstedproject", "hossted", f"reconcile.fluxcd.io/requestedAt={asked}")
        plane.wait(lambda: len(program.receiver.requests) == 2, "the push of the upgrade", timeout=15)
        assert program.subjects()[2:] == ["upgrade default/test: bare 0.1.0, revision 1 → 2"]
        plane.wait(lambda: program.now()["status"].get("lastHandledReconcileAt") == asked, "the echo")

        operator.send_signal(signal.SIGTERM)
        assert operator.wait(timeout=20) == 0
    assert not program.lease().get("holderIdentity")
    log = program.log()
    assert log.splitlines()[-1].endswith("stopped")
    assert "Traceback" not in log
    assert TOKEN not in log


def test_the_operator_serves_metrics_of_what_it_saw_and_none_of_it_was_missed(program: Program) -> None:
    plane = program.plane
    install(plane)
    program.project()
    with program.running("--metrics-bind-address", "127.0.0.1:0"):
        plane.wait(lambda: program.conditions().get("Ready") == ("True", "UpToDate"), "Ready")
        found = re.search(r"metrics are served on port (\d+)", program.log())
        assert found is not None
        with urlopen(f"http://127.0.0.1:{found[1]}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    shown = dict(line.rsplit(" ", 1) for line in lines if line[0] != "#")
    assert (shown["hossted_apps"], shown["hossted_pods"], shown["hossted_pending_apps"]) == (
        "1.0",
        "5.0",
        "0.0",
    )
    assert shown["hossted_missed_changes_total"] == "0.0"
    assert shown['hossted_condition{status="True",type="Ready"}'] == "1.0"
    assert float(shown["process_resident_memory_bytes"]) > 0


def test_what_happens_is_recorded_and_told_at_once_whatever_the_interval_and_nothing_else_asks(
    program: Program,
) -> None:
    plane = program.plane
    install(plane)
    program.project(interval="1h", settle="0s")
    with program.running():
        plane.wait(lambda: program.conditions().get("Ready") == ("True", "UpToDate"), "Ready")
        mark = plane.mark()
        for revision in (2, 3):
            plane.helm("upgrade", "test", BARE)
            plane.wait(partial(program.has_told, revision), "the push")
        plane.kubectl("scale", "statefulset", "test-node", "--replicas=1")
        plane.wait(lambda: len(plane.get("pods")) == 4, "a pod being gone")
        plane.wait(lambda: count(plane, mark, "leases") >= 2, "the Lease being renewed")
        assert [one for one in plane.api_requests(mark, user=USER) if one.verb in ("list", "watch")] == []
        assert count(plane, mark, "secrets") == 2  # the bodies of two revisions
    assert program.subjects()[1:] == [
        f"upgrade default/test: bare 0.1.0, revision {revision} → {revision + 1}" for revision in (1, 2)
    ]


OF_AN_UPGRADE = {
    "get secrets": 1,  # the new revision's body
    "update configmaps": 3,  # of the ledger: the revision, the mark, the answer
    "create events": 1,
}
SPECS: dict[str, dict[str, object]] = {
    "git": {"settle": "0s"},
    "configMap": {"settle": "0s", "state": {"configMap": {}}},
}
IN_CONFIGMAPS = {**OF_AN_UPGRADE, "create configmaps": 2, "update configmaps": 4}  # two parts, the head


@pytest.mark.parametrize(
    ("state", "expected"), [("git", OF_AN_UPGRADE), ("configMap", IN_CONFIGMAPS)], ids=["git", "ConfigMaps"]
)
def test_an_upgrade_costs_the_api_server_these_requests(
    state: str, expected: dict[str, int], program: Program
) -> None:
    plane = program.plane
    install(plane)
    began = plane.mark()
    program.project("hossted", **SPECS[state])
    with program.running():
        plane.wait(lambda: program.conditions().get("Ready") == ("True", "UpToDate"), "Ready")
        plane.wait(lambda: count(plane, began, "events"), "the Event of the first record")
        mark = plane.mark()
        plane.helm("upgrade", "test", BARE)
        plane.wait(lambda: program.now()["status"]["revision"] == [2], "the status")
        plane.wait(lambda: count(plane, mark, "events"), "the Event")
        asked = Counter(
            f"{one.verb} {one.resource}"
            for one in plane.api_requests(mark, user=USER)
            if one.resource not in ("", "leases")  # "": whether there are kinds by now that there were not
        )
    # One, or more where Helm takes its time: what is under way shows after two seconds.
    assert 1 <= asked.pop("patch hosstedprojects/status") <= 3
    assert asked == expected


def test_the_status_is_patched_only_when_something_has_changed(program: Program) -> None:
    plane = program.plane
    plane.helm("install", "test", BARE, "--set", "hold=true")
    plane.wait(lambda: phases(plane) == ["Pending"] * 4, "the pods")  # a StatefulSet begins with its first
    program.project(settle="5s")
    mark = plane.mark()
    with program.running():
        plane.wait(
            lambda: program.conditions().get("Recorded") and count(plane, mark, "leases") >= 3,
            "renewals of the lease, between which it looks at what stays as it is",
        )
        assert count(plane, mark, "hosstedprojects/status") == 1
        assert program.conditions()["Recorded"] == ("Unknown", "Settling")
        assert not program.subjects()
        plane.wait(lambda: pulled(plane), "the pods running")
        plane.wait(lambda: program.conditions()["Ready"] == ("True", "UpToDate"), "Ready")
    assert program.subjects() == ["record 1 app of the cluster"]


def phases(plane: ControlPlane) -> list[str]:
    return [one["status"]["phase"] for one in plane.get("pods")]


def pulled(plane: ControlPlane) -> bool:
    plane.finish_image_pulls()
    return phases(plane) == ["Running"] * 5


def count(plane: ControlPlane, mark: int, resource: str) -> int:
    """The operator's requests about a resource since a mark."""
    return sum(one.resource == resource for one in plane.api_requests(mark, user=USER))


def test_without_an_api_all_but_pushing_works_and_a_second_project_is_stalled_and_names_the_first(
    program: Program,
) -> None:
    plane = program.plane
    install(plane)
    program.project("the-first")
    plane.wait(lambda: is_older(program.now("the-first")), "a second passing: creation is dated so")
    program.project("another", push={"on": "AnyChange"})
    with program.running(HOSSTED_API_URL="", HOSSTED_AUTH_TOKEN=""):
        plane.wait(lambda: program.conditions("the-first").get("Ready") == ("True", "UpToDate"), "Ready")
        plane.wait(lambda: "Stalled" in program.conditions("another"), "the second one being stalled")
    assert program.subjects() == ["record 1 app of the cluster"]
    assert program.conditions("the-first")["Delivered"] == ("Unknown", "NotConfigured")
    assert program.conditions("another") == {
        "Ready": ("False", "NotTheOldest"),
        "Stalled": ("True", "NotTheOldest"),
    }
    (message,) = {one["message"] for one in program.now("another")["status"]["conditions"]}
    assert "that is the-first" in message
    assert "HOSSTED_API_URL is not set" in program.log()
    assert program.receiver.requests == []


def is_older(project: dict[str, Any]) -> bool:
    """Whether another project would be younger by the clock of the API server."""
    created = datetime.fromisoformat(project["metadata"]["creationTimestamp"])
    return (datetime.now(UTC) - created).total_seconds() >= 1


@pytest.mark.parametrize("command", [("run",), ("once",), ("once", "--dry-run")])
def test_an_api_without_a_token_is_one_line_and_exit_status_2(
    program: Program, command: tuple[str, ...]
) -> None:
    done = program.run(*command, HOSSTED_AUTH_TOKEN="")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("hossted-reconciler: HOSSTED_AUTH_TOKEN is not set, but HOSSTED_API_URL is: ")


def test_once_records_and_tells_and_its_dry_run_shows_both_and_writes_nothing(program: Program) -> None:
    plane = program.plane
    install(plane)
    program.project()
    mark = plane.mark()
    dry = program.run("once", "--dry-run", "--output", "json")
    assert dry.returncode == 0, dry.stderr
    shown = json.loads(dry.stdout)
    assert shown["subject"] == "record 1 app of the cluster"
    assert [push["app"] for push in shown["pushes"]] == ["default/test"]
    assert [one for one in plane.api_requests(mark, user=USER) if one.verb in WRITES] == []
    assert (program.subjects(), program.receiver.requests) == ([], [])

    first = program.run("once")
    assert first.returncode == 0, first.stderr
    assert "pushed default/test" in first.stdout
    assert program.subjects() == ["record 1 app of the cluster"]
    (pushed,) = program.receiver.apps
    assert pushed == (shown["clusterUUID"], "default", "test")
    assert program.conditions()["Ready"] == ("True", "UpToDate")
    assert not program.lease().get("holderIdentity")

    again = program.run("once")
    assert (again.returncode, again.stdout) == (0, "nothing has changed\n")
    assert len(program.receiver.requests) == len(program.subjects()) == 1

    program.receiver.fail("503:9")
    plane.helm("upgrade", "test", BARE)
    late = program.run("once")
    assert late.returncode == 1
    assert "pending default/test" in late.stdout
    assert program.subjects()[1:] == ["upgrade default/test: bare 0.1.0, revision 1 → 2"]
