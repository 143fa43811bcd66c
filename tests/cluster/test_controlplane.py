"""The control plane itself: it must be what the other cluster tests take it for."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controlplane import programs
from tests.controlplane.cluster import Cluster, CommandError, WaitError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.processes import ProcessError, Processes

ROOT = Path(__file__).parents[2]


def pods(cluster: Cluster) -> dict[str, str]:
    """The phase of each pod."""
    return {one["metadata"]["name"]: one["status"]["phase"] for one in cluster.get("pods")}


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # not Linux, or gone between the two looks
        return not Path("/proc/self").exists()
    return "State:\tZ" not in status


def test_the_server_says_the_version_that_was_pinned(controlplane: ControlPlane) -> None:
    version = programs.required("k8s.io/kubernetes")
    assert f"Server Version: {version}\n" in controlplane.kubectl("version")
    assert f"Client Version: {version}\n" in controlplane.kubectl("version")


@pytest.mark.parametrize("major", [3, 4])
def test_each_helm_says_its_own_version(controlplane: ControlPlane, major: int) -> None:
    said = controlplane.helm("version", "--short", version=3 if major == 3 else 4)
    assert said.startswith(programs.HELM[major])


def test_a_fresh_cluster_has_nodes_and_nothing_of_a_test_before(
    fresh_cluster: ControlPlane,
) -> None:
    nodes = fresh_cluster.get("nodes")
    assert [one["metadata"]["name"] for one in nodes] == ["node-1", "node-2"]
    assert fresh_cluster.get("pods,secrets,persistentvolumes", "-A") == []
    assert "test-" not in fresh_cluster.kubectl("get", "namespaces")


def test_what_a_cluster_remembers_survives_a_reset(another_cluster: ControlPlane) -> None:
    another_cluster.in_namespace("kept")
    another_cluster.remember()
    another_cluster.in_namespace("gone")
    another_cluster.reset()
    assert {one["metadata"]["name"] for one in another_cluster.get("namespaces")} == {
        *("default", "kube-node-lease", "kube-public", "kube-system", "kept")
    }


def test_a_reset_takes_away_what_came_and_puts_back_what_was_changed(
    fresh_cluster: ControlPlane,
) -> None:
    everything = "pods,services,statefulsets,persistentvolumeclaims,persistentvolumes,secrets"
    before = fresh_cluster.get(everything, "-A")
    fresh_cluster.in_namespace("left-behind")
    chart = str(ROOT / "tests/charts/bare")
    fresh_cluster.helm("install", "test", chart, namespace="left-behind")
    fresh_cluster.helm("install", "test", chart)
    fresh_cluster.kubectl("label", "namespace", "kube-system", "changed=yes")
    fresh_cluster.kubectl("delete", "storageclass", "standard")
    uid = fresh_cluster.get("namespace", "kube-system")["metadata"]["uid"]
    fresh_cluster.reset()
    kube_system = fresh_cluster.get("namespace", "kube-system")
    assert "changed" not in kube_system["metadata"]["labels"]
    assert kube_system["metadata"]["uid"] == uid
    assert [one["metadata"]["name"] for one in fresh_cluster.get("storageclasses")] == ["standard"]
    assert fresh_cluster.get(everything, "-A") == before
    fresh_cluster.helm("install", "test", chart)
    fresh_cluster.rolled_out()


def test_a_fork_is_another_cluster(controlplane: ControlPlane, another_cluster: ControlPlane) -> None:
    controlplane.in_namespace("only-in-the-first")
    assert "only-in-the-first" not in another_cluster.kubectl("get", "namespaces")
    uids = [one.get("namespace", "kube-system")["metadata"]["uid"] for one in (controlplane, another_cluster)]
    assert uids[0] != uids[1]


def test_a_held_pod_is_pending_until_it_is_let_go(cluster: Cluster) -> None:
    cluster.helm("install", "test", str(ROOT / "tests/charts/web"), "--set", "hold=true")
    cluster.wait(
        lambda: (
            cluster.get("pods") and all("containerStatuses" in one["status"] for one in cluster.get("pods"))
        ),
        "the pods being held",
    )
    assert set(pods(cluster).values()) == {"Pending"}
    cluster.finish_image_pulls()
    cluster.rolled_out()
    assert set(pods(cluster).values()) == {"Running"}


def test_a_running_container_tells_the_digest_of_its_image(cluster: Cluster) -> None:
    digest = f"sha256:{hashlib.sha256(b'by digest').hexdigest()}"
    images = {
        "registry.example.com:5000/team/app:1.2": "registry.example.com:5000/team/app",
        f"docker.io/library/redis@{digest}": "docker.io/library/redis",
        f"docker.io/library/redis:7@{digest}": "docker.io/library/redis",
    }
    containers = [{"name": f"c{number}", "image": one} for number, one in enumerate(images)]
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "test"},
            "spec": {"containers": containers},
        }
    )
    cluster.kubectl("wait", "pod/test", "--for=condition=Ready", "--timeout=30s")
    statuses = cluster.get("pod", "test")["status"]["containerStatuses"]
    for status, (image, repository) in zip(statuses, images.items(), strict=True):
        told = digest if "@" in image else f"sha256:{hashlib.sha256(image.encode()).hexdigest()}"
        assert status["imageID"] == f"{repository}@{told}"


def test_a_claim_is_bound_and_may_grow(cluster: Cluster) -> None:
    chart = str(ROOT / "tests/charts/web")
    cluster.helm("install", "test", chart)
    cluster.rolled_out()
    cluster.helm("upgrade", "test", chart, "--set", "storage=3Gi")
    claim = cluster.get("pvc", "test-cache")
    assert claim["status"]["phase"] == "Bound"
    assert claim["spec"]["resources"]["requests"]["storage"] == "3Gi"


def test_the_audit_log_counts_requests_by_user(cluster: Cluster) -> None:
    cluster.kubectl("create", "serviceaccount", "reader")
    cluster.kubectl(
        "create", "rolebinding", "r", "--clusterrole=view", f"--serviceaccount={cluster.namespace}:reader"
    )
    kubeconfig = cluster.kubeconfig_for(cluster.namespace, "reader")
    since = cluster.mark()
    cluster.kubectl("get", "pods", kubeconfig=kubeconfig)
    with pytest.raises(CommandError, match="forbidden"):
        cluster.kubectl("get", "nodes", kubeconfig=kubeconfig)
    user = f"system:serviceaccount:{cluster.namespace}:reader"
    lists = [
        (one.verb, one.resource, one.query["limit"])
        for one in cluster.api_requests(since, user=user, user_agent="kubectl")
        if one.resource
    ]
    assert lists == [("list", "pods", "500"), ("list", "nodes", "500")]
    assert not cluster.api_requests(since, user="admin")


def test_a_wait_that_is_in_vain_says_for_what(cluster: Cluster) -> None:
    with pytest.raises(WaitError, match=r"a miracle: not within 0\.1 s"):
        cluster.wait(lambda: None, "a miracle", timeout=0.1)


def test_a_program_that_dies_is_reported_with_the_end_of_its_log() -> None:
    processes = Processes()
    try:
        process = processes.start("sh", Path("/bin/sh"), "-c", "echo it went wrong; exit 3")
        process.handle.wait()
        with pytest.raises(ProcessError, match="sh ended with status 3:\nit went wrong"):
            processes.check()
    finally:
        processes.stop()
    assert not processes.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_whatever_ends_the_run(how: signal.Signals, cluster: Cluster) -> None:
    with subprocess.Popen([sys.executable, "-c", KEPT], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid, folder = run.stdout.readline().split()
        assert alive(int(pid))
        run.send_signal(how)
    cluster.wait(lambda: not alive(int(pid)), "the process being gone")
    cluster.wait(lambda: not Path(folder).exists(), "the files being gone")


KEPT = """
import signal
from pathlib import Path
from tests.controlplane.processes import Processes
# A shell starts what runs in its background with SIGINT ignored, and that is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
processes = Processes()
process = processes.start("sleep", Path("/bin/sleep"), "600")
print(process.handle.pid, processes.folder, flush=True)
signal.pause()
"""


def test_stopping_a_control_plane_ends_all_of_its_processes(controlplane: ControlPlane) -> None:
    with controlplane.fork() as plane:
        running = [one.handle for one in plane._processes.running]
        assert len(running) == 4
        assert all(one.poll() is None for one in running)
        plane.stop()  # and once more when it is left, as where no test needed it any more
        assert all(one.poll() is not None for one in running)
    assert not plane.folder.exists()
