"""What a test does with a cluster: kubectl, helm, tokens, the audit log, waiting."""

from __future__ import annotations

import json
import os
import random
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from tests.controlplane.audit import AuditEvent, read_audit_log

T = TypeVar("T")

CHARTS = Path(__file__).parents[1] / "charts"
HOLD = "test.hossted.com/hold-image-pull"
PAUSE = 0.05  # seconds between two looks
# What has to be finished for all to be rolled out, and where the API has it.
WORKLOADS = {
    "Deployment": "apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "apis/apps/v1/namespaces/{}/daemonsets",
    "Job": "apis/batch/v1/namespaces/{}/jobs",
    "PersistentVolumeClaim": "api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "api/v1/namespaces/{}/pods",
}


class CommandError(Exception):
    """kubectl or helm ended with an error; the message has what it said."""


class WaitError(Exception):
    """What a test waited for did not come."""


@dataclass
class Cluster:
    """A Kubernetes API with an administrator's kubeconfig, and the programs to use it with."""

    folder: Path
    programs: Mapping[str, Path]
    server: str = ""
    tokens: dict[str, str] = field(default_factory=dict)
    namespace: str = "default"

    def in_namespace(self, namespace: str) -> Cluster:
        """The same cluster, seen from a namespace, which is made; kubectl and helm start there."""
        self._api("/api/v1/namespaces", {"metadata": {"name": namespace}})
        # Pods are refused until it is there, and what makes them tries again only after a while.
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.wait(lambda: self._api(accounts)["items"], f"the ServiceAccount of namespace {namespace}")
        view = Cluster(self.folder, self.programs, self.server, self.tokens, namespace)
        view.write_kubeconfig(view.kubeconfig, self.tokens["admin"], namespace)
        return view

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig (user `admin`)."""
        return self.folder / f"admin.{self.namespace}.kubeconfig"

    @property
    def ca_file(self) -> Path:
        """The certificate that the API server's own is to be checked with."""
        return self.folder / "certificates" / "apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.folder / "audit.log"

    def kubectl(self, *args: str, stdin: str | None = None, kubeconfig: Path | None = None) -> str:
        """Runs the real kubectl; what it printed."""
        return self._run("kubectl", args, stdin, kubeconfig, {})

    def helm(
        self,
        *args: str,
        version: Literal[3, 4] = 3,
        namespace: str = "",
        driver: Literal["secret", "configmap"] = "secret",
        kubeconfig: Path | None = None,
    ) -> str:
        """Runs the real Helm, release storage by `driver`; what it printed.

        It need not check the charts, which are known to be right: the schema of the whole API, which it would
        read each time, costs more than all else that it does.
        """
        unchecked = ("--disable-openapi-validation",) if args[0] in ("install", "upgrade") else ()
        command = (*args, *unchecked, "--namespace", namespace or self.namespace)
        return self._run(f"helm{version}", command, None, kubeconfig, {"HELM_DRIVER": driver})

    def get(self, *args: str) -> Any:
        """`kubectl get ... -o json`, decoded; of several objects, the list of them."""
        answer = json.loads(self.kubectl("get", *args, "-o", "json"))
        return answer["items"] if answer["kind"] == "List" else answer

    def apply(self, *objects: Mapping[str, Any] | str) -> None:
        """`kubectl apply` of objects, each a mapping or YAML text."""
        texts = [one if isinstance(one, str) else json.dumps(one) for one in objects]
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(texts))

    def package(self, chart: str, *, version: str = "", app_version: str = "") -> str:
        """Packs one of the project's charts under another version; the archive's path."""
        numbers = {"--version": version, "--app-version": app_version}
        flags = [text for flag, number in numbers.items() if number for text in (flag, number)]
        folder = tempfile.mkdtemp(prefix="package-", dir=self.folder)
        self.helm("package", str(CHARTS / chart), "--destination", folder, *flags)
        (archive,) = Path(folder).iterdir()
        return str(archive)

    def rolled_out(self, namespace: str = "", timeout: float = 30.0) -> None:
        """Waits until all workloads have the pods they want, Jobs are over, and claims bound."""
        where = namespace or self.namespace
        left: list[str] = []

        def done() -> bool:
            left[:] = unfinished(self._workloads(where))
            return not left

        try:
            self.wait(done, f"the workloads of namespace {where} being rolled out", timeout)
        except WaitError as error:
            raise WaitError(f"{error}; unfinished: {', '.join(left)}") from None

    def _workloads(self, namespace: str) -> list[dict[str, Any]]:
        """Workloads, claims and pods, unnoticed by the audit log.

        By plain requests: one look after the other by kubectl keeps a core busy with starting it.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        headers = {"Authorization": f"Bearer {self.tokens['probe']}"}
        found: list[dict[str, Any]] = []
        with closing(HTTPSConnection(urlsplit(self.server).netloc, timeout=30, context=context)) as api:
            for kind, path in WORKLOADS.items():
                where = f"/{path.format(namespace)}"
                api.request("GET", where, headers=headers)
                answer = api.getresponse()
                text = answer.read()
                if answer.status != 200:
                    raise CommandError(f"GET {where}: status {answer.status}\n{text.decode()}")
                found += (one | {"kind": kind} for one in json.loads(text)["items"])
        return found

    def kinds_served(self) -> None:
        """Waits until every defined kind is served; `kubectl wait` ends at one without conditions."""
        self.wait(lambda: all(map(_established, self.get("crd"))), "the defined kinds being served")

    def finish_image_pulls(self, namespace: str = "") -> None:
        """Lets the pods go on that the label `test.hossted.com/hold-image-pull` holds back."""
        where = namespace or self.namespace
        self.kubectl("label", "pods", "--all", "-n", where, f"{HOLD}-")

    def mark(self) -> int:
        """A point in the audit log, for `api_requests(since=...)`."""
        return self.audit_log.stat().st_size

    def api_requests(
        self, since: int = 0, *, user: str | None = None, user_agent: str | None = None
    ) -> list[AuditEvent]:
        """The requests since the mark: of this user, by a program whose agent contains this."""
        return [
            event
            for event in read_audit_log(self.audit_log, since)
            if (user is None or event.user == user) and (user_agent is None or user_agent in event.user_agent)
        ]

    def token_for(self, namespace: str, serviceaccount: str) -> str:
        """A real token of a ServiceAccount, from the TokenRequest API; CommandError when there is none."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{serviceaccount}/token"
        try:
            return str(self._api(path, {"spec": {}})["status"]["token"])
        except OSError as error:
            raise CommandError(f"POST {path}: {error}") from error

    def kubeconfig_for(self, namespace: str, serviceaccount: str) -> Path:
        """A kubeconfig with such a token; the ServiceAccount's namespace is the default one."""
        path = self.folder / f"{namespace}.{serviceaccount}.kubeconfig"
        token = self.token_for(namespace, serviceaccount)
        return self.write_kubeconfig(path, token, namespace)

    def write_kubeconfig(self, path: Path, token: str, namespace: str = "default") -> Path:
        """Writes a kubeconfig for a token."""
        cluster = {"server": self.server, "certificate-authority": str(self.ca_file)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": "test", "namespace": namespace},
                }
            ],
            "current-context": "test",
        }
        path.touch(mode=0o600)  # helm warns of a kubeconfig that others may read
        path.write_text(json.dumps(config))
        return path

    def wait(self, check: Callable[[], T | None], what: str, timeout: float = 30.0) -> T:
        """Looks until `check` gives something true, and returns it; `what` is for the message.

        Prefer `kubectl wait` and `kubectl rollout status` where they can say it.
        """
        deadline = time.monotonic() + timeout
        pause = threading.Event()
        while not (result := check()):
            if time.monotonic() > deadline:
                raise WaitError(f"{what}: not within {timeout:g} s{self.trouble()}")
            pause.wait(PAUSE)  # nothing tells us of the change; between looks others may work
        return result

    def trouble(self) -> str:
        """What is known of why things do not go on; appended to a timeout's message."""
        return ""

    def _api(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the API server answers to a GET, or to a POST of a body, unnoticed by the audit log.

        To start kubectl costs much more than that.
        """
        context = ssl.create_default_context(cafile=str(self.ca_file))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        headers = {"Authorization": f"Bearer {self.tokens['probe']}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.server}{path}", data=data, headers=headers)
        with opener.open(request, timeout=5) as answer:
            return json.loads(answer.read()) if path != "/readyz" else answer.status == 200

    def _run(
        self,
        program: str,
        args: tuple[str, ...],
        stdin: str | None,
        kubeconfig: Path | None,
        environment: Mapping[str, str],
    ) -> str:
        home = self.folder / "home"
        done = subprocess.run(
            [str(self.programs[program]), *args],
            check=False,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "HOME": str(home),
                "KUBECONFIG": str(kubeconfig or self.kubeconfig),
                "GOGC": "off",  # it ends before it is worth while to look for what can go
                "HELM_CACHE_HOME": str(home / "helm/cache"),
                "HELM_CONFIG_HOME": str(home / "helm/config"),
                "HELM_DATA_HOME": str(home / "helm/data"),
                **environment,
            },
        )
        if done.returncode != 0:
            said = f"{done.stdout}{done.stderr}".strip()
            raise CommandError(f"{program} {' '.join(args)}: status {done.returncode}\n{said}")
        return done.stdout


def unfinished(objects: list[dict[str, Any]]) -> list[str]:
    """Those of the workloads, claims and pods that are not yet as they are meant to be."""
    return [
        f"{one['kind']} {one['metadata']['name']}"
        for one in objects
        if not _finished(one["kind"], one["metadata"], one.get("spec", {}), one.get("status", {}))
    ]


def _finished(kind: str, meta: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]) -> bool:
    seen = status.get("observedGeneration") == meta.get("generation")
    match kind:
        case "Deployment" | "StatefulSet":
            counts = {status.get(f"{name}eplicas", 0) for name in ("r", "readyR", "updatedR")}
            return seen and counts == {spec.get("replicas", 1)}
        case "DaemonSet":
            counts = {status.get("numberReady", 0), status.get("updatedNumberScheduled", 0)}
            return seen and counts == {status.get("desiredNumberScheduled")}
        case "Job":
            ends = {"Complete", "Failed"}
            return any(one["type"] in ends for one in status.get("conditions", ()))
        case "PersistentVolumeClaim":
            return bool(status.get("phase") == "Bound")
        case _:  # a pod may run or have ended; one that is being deleted is still in the way
            return status.get("phase") != "Pending" and "deletionTimestamp" not in meta


def _established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def large_values(path: Path, size: int = 300_000) -> Path:
    """Writes a values file for the chart `bulky`: of this size, always the same, hard to pack."""
    blob = random.Random(size).randbytes(size // 2).hex()
    path.write_text(f"blob: {blob}\n")
    return path
