"""Commands as they are typed, on a real cluster, by somebody who may only read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.cli.main import main
from tests.cluster.chain import EMAIL
from tests.cluster.chain import USER as OPERATOR
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

READ = ["get", "list"]


class Done(NamedTuple):
    status: int
    out: str
    err: str


Hossted = Callable[..., Awaitable[Done]]


@pytest.fixture
def hossted(
    operated: ControlPlane,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Hossted:
    """Runs a command as the ServiceAccount `reader`, who may read what the operator reads and no more."""
    for name in ("HOSSTED_API_URL", "HOSSTED_AUTH_TOKEN", "POD_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("EMAIL_ID", EMAIL)
    reader = user(
        operated,
        "reader",
        (["namespaces", "pods", "services", "persistentvolumeclaims", "secrets", "configmaps"], ""),
        (["statefulsets", "deployments", "replicasets", "daemonsets"], "apps"),
        (["jobs", "cronjobs"], "batch"),
        (["ingresses"], "networking.k8s.io"),
        (["hosstedprojects"], "hossted.com"),
    )

    async def run(*words: str, kubeconfig: Path = reader) -> Done:
        mark = operated.mark()
        capsys.readouterr()
        status = await asyncio.to_thread(main, [*words, "--kubeconfig", str(kubeconfig)])
        requests = operated.api_requests(mark, user_agent="hossted-reconciler")
        verbs = {event.verb for event in requests if event.user != OPERATOR}
        assert verbs <= {"get", "list"}, "a command that reads has written"
        return Done(status, *capsys.readouterr())

    return run


def user(plane: ControlPlane, name: str, *may_read: tuple[list[str], str]) -> Path:
    """A kubeconfig for somebody who may read these resources, each with its API group, everywhere."""
    meta = {"name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": "default"}
    rules = [{"apiGroups": [group], "resources": kinds, "verbs": READ} for kinds, group in may_read]
    rbac = "rbac.authorization.k8s.io"
    plane.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {**meta, "namespace": "default"}},
        {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [subject],
        },
    )
    return plane.kubeconfig_for("default", name)


def install(plane: ControlPlane, name: str, chart: str, *options: str) -> None:
    plane.helm("install", name, str(CHARTS / chart), *options)
    plane.rolled_out("default")
