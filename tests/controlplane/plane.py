"""A real Kubernetes control plane on this machine: started in seconds, gone when it is left.

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; kwok plays the
kubelets by `assets/stages.yaml`. Nothing runs in containers, so images are never pulled.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.controlplane.build import build
from tests.controlplane.cluster import Cluster, WaitError
from tests.controlplane.etcd import Entry, Etcd
from tests.controlplane.processes import ProcessError, Processes, free_ports

ASSETS = Path(__file__).parent / "assets"
ATTEMPTS = 3
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
# The plane's own programs are administrators too; names of their own keep them out of the audit.
USERS = {
    "admin": "admin",
    "controller-manager": "system:kube-controller-manager",
    "scheduler": "system:kube-scheduler",
    "kwok": "plane:kwok",
    "probe": "plane:probe",
}
# Of one process each, with nobody to spare.
CONTROLLING: dict[str, Any] = {
    "leader_elect": False,
    "secure_port": 0,
    "profiling": False,
    "kube_api_qps": 1000,
    "kube_api_burst": 2000,
}
# What makes pods, by its folder in etcd, and how one of it makes none.
WORKLOADS: dict[str, tuple[str, dict[str, Any]]] = {
    "daemonsets": ("apps/v1", {"nodeSelector": {"kubernetes.io/hostname": "nowhere"}}),
    "deployments": ("apps/v1", {"replicas": 0}),
    "jobs": ("batch/v1", {"suspend": True}),
    "replicasets": ("apps/v1", {"replicas": 0}),
    "statefulsets": ("apps/v1", {"replicas": 0}),
}


class ControlPlane(Cluster):
    """A cluster of one's own. `with ControlPlane() as plane:` starts and stops it.

    `etcd` and `prefix` let a second cluster live in the first one's etcd: see `fork`. `gogc`: by how many
    percent its programs let their memory grow until they look what of it is free (Go's GOGC).
    """

    def __init__(self, etcd: Etcd | None = None, prefix: str = "/registry", *, gogc: int = 100) -> None:
        self._processes = Processes(environment={"GOGC": str(gogc)})
        super().__init__(folder=self._processes.folder, programs={})
        self._etcd = etcd
        self._prefix = prefix
        self._gogc = gogc
        self._owns_etcd = etcd is None
        self._forks: list[ControlPlane] = []
        self._baseline: dict[str, Entry] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def etcd(self) -> Etcd:
        """The store below the API server."""
        if self._etcd is None:
            raise ProcessError("the control plane has not been started")
        return self._etcd

    def start(self) -> None:
        """Starts everything; returns when a chart could be installed."""
        try:
            self.programs = build()
            (self.folder / "home").mkdir()
            self._write_tokens()
            self._start_servers()
            self.write_kubeconfig(self.kubeconfig, self.tokens["admin"])
            for user in USERS:
                self.write_kubeconfig(self.folder / f"{user}.kubeconfig", self.tokens[user])
            self._start_controllers()
            self.kubectl("apply", "-f", str(ASSETS / "objects.yaml"))
            self._settle()
            self.remember()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends all processes and removes their files, its forks' first; harmless when there are none."""
        while self._forks:
            self._forks.pop().stop()
        ran = bool(self._processes.running)
        self._processes.stop()
        if ran and not self._owns_etcd:
            self.etcd.delete_all(self._prefix)

    def restart_apiserver(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Kills the API server and starts it again where it was; `meanwhile` is done while it is away.

        Its caches begin anew, so that it cannot tell any more what happened before. The controllers begin
        anew as well: by themselves they take up to minutes to be at work again.
        """
        for name in ("kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver"):
            self._processes.end(name)
        meanwhile()
        self._start_apiserver(urlsplit(self.server).port)
        self._start_controllers()

    @contextmanager
    def without_controllers(self) -> Iterator[None]:
        """No controller acts meanwhile; afterwards they find what is there, all of it at once."""
        self._processes.end("kube-controller-manager")
        yield
        self._start_controller_manager()

    def fork(self) -> ControlPlane:
        """Another, empty cluster in the same etcd, under a prefix of its own; not yet started.

        It has its own API server, UIDs, users and audit log.
        """
        fork = ControlPlane(etcd=self.etcd, prefix=f"/fork-{secrets.token_hex(4)}", gogc=self._gogc)
        self._forks.append(fork)
        return fork

    def remember(self) -> None:
        """Makes what is there now what `reset` goes back to, with what every namespace has.

        A definition that every test needs is best applied once: new kinds take the API server
        seconds to serve.
        """
        self._namespaces_made()
        self._baseline = self.etcd.entries(self._prefix)

    def reset(self) -> None:
        """Puts the cluster back as it was at its start, or last remembered.

        It goes past the API, so neither finalizers nor the audit log notice. Workloads go before
        their pods, and their controllers must have noticed, or one would replace a pod that it
        misses; claims of a StatefulSet made so late are nobody's and would stay. Controllers may
        still be acting on what else they saw, therefore it is done when a second look finds
        nothing new.
        """
        self._forget_workloads()
        self.etcd.put_back(self._prefix, self._baseline)
        self.wait(
            lambda: not self.etcd.put_back(self._prefix, self._baseline),
            "the controllers coming to rest",
        )

    def _forget_workloads(self) -> None:
        """Deletes what makes pods, and waits until its controllers see a workload that came after."""
        added = self.etcd.entries(self._prefix, values=False).keys() - self._baseline.keys()
        kinds = {key: key.removeprefix(f"{self._prefix}/").partition("/")[0] for key in added}
        self.etcd.delete(key for key in added if kinds[key] in WORKLOADS)
        for kind in sorted(WORKLOADS.keys() & set(kinds.values())):
            path = f"/apis/{WORKLOADS[kind][0]}/namespaces/default/{kind}"
            name = self._api(path, _without_pods(kind))["metadata"]["name"]
            self.wait(
                partial(self._noticed, f"{path}/{name}"), f"the controller of {kind} noticing what went"
            )

    def _noticed(self, path: str) -> bool:
        return bool(self._api(path)["status"].keys() & {"observedGeneration", "conditions"})

    def pid_of(self, program: str) -> int:
        """The process id of one of its programs."""
        (process,) = (one for one in self._processes.running if one.name == program)
        return process.handle.pid

    def trouble(self) -> str:
        """Says which process has ended, if one has."""
        try:
            self._processes.check()
        except ProcessError as error:
            return f"\n{error}"
        return ""

    def _start_servers(self) -> None:
        """Starts etcd and the API server, on other ports when somebody was quicker to take one."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if self._owns_etcd:
                    self._start_etcd()
                self._start_apiserver()
            except ProcessError as error:
                if "address already in use" not in str(error) or attempt == ATTEMPTS:
                    raise
                self._processes.end_all()
            else:
                return

    def _start_etcd(self) -> None:
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        self._start(
            "etcd",
            data_dir=self.folder / "etcd",
            listen_client_urls=url,
            advertise_client_urls=url,
            listen_peer_urls="http://127.0.0.1:0",
            watch_progress_notify_interval="5s",  # as kubeadm has it: without, quiet kinds have no bookmarks
            unsafe_no_fsync=True,  # what a crash would lose is thrown away anyway
            quota_backend_bytes=4 << 30,
            log_level="warn",
        )
        self._etcd = Etcd(url)
        self._until(self.etcd.ready, "etcd answering")

    def _start_apiserver(self, port: int | None = None) -> None:
        port = port or free_ports(1)[0]
        self.server = f"https://127.0.0.1:{port}"
        key = self.ca_file.with_suffix(".key")  # made by the server itself as it starts
        self._start(
            "kube-apiserver",
            etcd_servers=self.etcd.url,
            etcd_prefix=self._prefix,
            bind_address="127.0.0.1",
            advertise_address="127.0.0.1",
            secure_port=port,
            cert_dir=self.ca_file.parent,
            authorization_mode="RBAC",
            token_auth_file=self.folder / "tokens.csv",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_signing_key_file=key,
            service_account_key_file=key,
            service_cluster_ip_range="10.96.0.0/16",
            audit_policy_file=ASSETS / "audit-policy.yaml",
            audit_log_path=self.audit_log,
            audit_log_mode="blocking",  # a request is in the file before its answer is out
            audit_log_maxsize=100_000,  # never rotated: marks are offsets into this file
            endpoint_reconciler_type="none",
            enable_priority_and_fairness=False,
            profiling=False,
        )
        self._until(self._apiserver_ready, "the API server being ready")

    def _start_controllers(self) -> None:
        self._start_controller_manager()
        self._start("kube-scheduler", kubeconfig=self.folder / "scheduler.kubeconfig", **CONTROLLING)
        self._start(
            "kwok",
            kubeconfig=self.folder / "kwok.kubeconfig",
            config=ASSETS / "stages.yaml",
            manage_all_nodes=True,
            node_ip="192.0.2.1",
            node_lease_duration_seconds=40,  # without heartbeats the nodes would be given up
        )

    def _start_controller_manager(self) -> None:
        self._start(
            "kube-controller-manager",
            kubeconfig=self.folder / "controller-manager.kubeconfig",
            service_account_private_key_file=self.ca_file.with_suffix(".key"),
            root_ca_file=self.ca_file,
            pvclaimbinder_sync_period="1s",
            **CONTROLLING,
        )

    def _settle(self) -> None:
        """Waits for what controllers make by themselves, as it belongs to an empty cluster."""
        expected = {f"{self._prefix}/leases/kube-node-lease/{node}" for node in ("node-1", "node-2")}
        expected |= {f"{self._prefix}/namespaces/{namespace}" for namespace in NAMESPACES}
        self._until(
            lambda: expected <= set(self.etcd.entries(self._prefix, values=False)),
            "the controllers making what every cluster has",
        )
        self._namespaces_made()
        self.kubectl("wait", "node", "--all", "--for=condition=Ready", "--timeout=30s")

    def _namespaces_made(self) -> None:
        """Waits until every namespace has what controllers put into it."""

        def made() -> bool:
            there = self.etcd.entries(self._prefix, values=False).keys()
            parts = [key.removeprefix(f"{self._prefix}/").split("/") for key in there]
            names = [rest[0] for kind, *rest in parts if kind == "namespaces"]
            wanted = ("serviceaccounts/{}/default", "configmaps/{}/kube-root-ca.crt")
            return all(f"{self._prefix}/{one.format(name)}" in there for name in names for one in wanted)

        self._until(made, "the controllers making what every namespace has")

    def _apiserver_ready(self) -> bool:
        try:
            return bool(self._api("/readyz"))
        except OSError:  # not listening, no certificate yet, or 500 while it starts
            return False

    def _until(self, check: Callable[[], bool], what: str) -> None:
        """Waits for a step of the start, or for a process to die of it."""

        def look() -> bool:
            self._processes.check()
            return check()

        try:
            self.wait(look, what, timeout=60)
        except WaitError as error:
            raise WaitError(f"{error}\n{self._processes.running[-1].tail()}") from None

    def _write_tokens(self) -> None:
        self.tokens = {user: secrets.token_hex(16) for user in USERS}
        rows = [f"{self.tokens[key]},{name},{key},system:masters" for key, name in USERS.items()]
        file = self.folder / "tokens.csv"
        file.touch(mode=0o600)
        file.write_text("\n".join(rows) + "\n")

    def _start(self, program: str, **flags: object) -> None:
        self._processes.start(program, self.programs[program], *_arguments(flags))


def _without_pods(kind: str) -> dict[str, Any]:
    """A workload that a controller has to look at, and nothing else."""
    labels = {"app": "noticed"}
    pod = {"containers": [{"name": "none", "image": "none"}], "restartPolicy": "Always"}
    spec: dict[str, Any] = {"selector": {"matchLabels": labels}}
    if kind == "jobs":  # their selector is the server's to choose, and their pods end
        spec, pod["restartPolicy"] = {}, "Never"
    spec["template"] = {"metadata": {"labels": labels}, "spec": pod}
    return {
        "metadata": {"generateName": "noticed-"},
        "spec": spec | WORKLOADS[kind][1],
    }


def _arguments(flags: Mapping[str, object]) -> Iterator[str]:
    for name, value in flags.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield f"--{name.replace('_', '-')}={text}"
