"""``kubectl apply -k config/default`` on a real API server: it applies, and grants what is needed only."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.controlplane.plane import ControlPlane

ROOT = Path(__file__).parents[2]
DEFAULT = str(ROOT / "config/default")
SYSTEM = "hossted-system"
USER = f"system:serviceaccount:{SYSTEM}:hossted-reconciler"


@pytest.fixture(scope="module")
def installed(controlplane: ControlPlane) -> Iterator[ControlPlane]:
    controlplane.reset()
    controlplane.kubectl("apply", "-k", DEFAULT)
    controlplane.kinds_served()
    yield controlplane
    controlplane.reset()


def test_the_servers_strict_validation_accepts_every_object(installed: ControlPlane) -> None:
    command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")
    lines = installed.kubectl(*command, "-k", DEFAULT).splitlines()
    assert len(lines) == 8
    assert all(line.endswith("serverside-applied (server dry run)") for line in lines)


def test_what_is_installed_does_not_differ_from_the_files(installed: ControlPlane) -> None:
    assert installed.kubectl("diff", "-k", DEFAULT) == ""


def test_the_pod_is_admitted_under_the_restricted_pod_security_standard(installed: ControlPlane) -> None:
    installed.kubectl("rollout", "status", "deployment/hossted-reconciler", "-n", SYSTEM, "--timeout=60s")
    labels = installed.get("namespace", SYSTEM)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    (pod,) = installed.get("pods", "-n", SYSTEM)
    (container,) = pod["spec"]["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["spec"]["serviceAccountName"] == "hossted-reconciler"
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/tmp", "/var/lib/hossted-reconciler"}


class Question(NamedTuple):
    """``resource``: ``resource.group/subresource``, group and subresource being optional."""

    verb: str
    resource: str
    namespace: str = ""
    name: str = ""

    def review(self) -> dict[str, object]:
        kind, _, subresource = self.resource.partition("/")
        plural, _, group = kind.partition(".")
        attributes = {
            "verb": self.verb,
            "group": group,
            "resource": plural,
            "subresource": subresource,
            "namespace": self.namespace,
            "name": self.name,
        }
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}", "system:authenticated"]
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": USER, "groups": groups, "resourceAttributes": attributes},
        }


def allowed(plane: ControlPlane, questions: Iterable[Question]) -> list[Question]:
    """Those of the questions that the API server's authorizer answers with yes for the reconciler."""
    asked = list(questions)
    reviews = "\n---\n".join(json.dumps(question.review()) for question in asked)
    line = 'jsonpath={.status.allowed}{"\\n"}'
    answers = plane.kubectl("create", "-o", line, "-f", "-", stdin=reviews).split()
    return [question for question, answer in zip(asked, answers, strict=True) if answer == "true"]


READ = (
    "namespaces",
    "pods",
    "services",
    "persistentvolumeclaims",
    "secrets",
    "configmaps",
    "statefulsets.apps",
    "deployments.apps",
    "replicasets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "ingresses.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "hosstedprojects.hossted.com",
)
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")

NEEDED = (
    Question("patch", "hosstedprojects.hossted.com/status"),
    Question("create", "events", "default"),
    Question("create", "configmaps", SYSTEM),
    Question("get", "configmaps", SYSTEM, "hossted-state"),
    Question("list", "configmaps", SYSTEM),
    Question("update", "configmaps", SYSTEM, "hossted-state"),
    Question("delete", "configmaps", SYSTEM, "hossted-state"),
    Question("create", "leases.coordination.k8s.io", SYSTEM),
    Question("get", "leases.coordination.k8s.io", SYSTEM, "hossted-reconciler"),
    Question("update", "leases.coordination.k8s.io", SYSTEM, "hossted-reconciler"),
)

NOT_NEEDED = (
    Question("*", "*.*"),
    Question("patch", "configmaps", SYSTEM, "hossted-state"),
    Question("patch", "events", "default"),
    Question("update", "hosstedprojects.hossted.com/status"),
    Question("create", "secrets", SYSTEM),
    Question("update", "secrets", SYSTEM, "hossted-api"),
    Question("delete", "secrets", "default"),
    Question("create", "configmaps", "default"),
    Question("update", "configmaps", "kube-system"),
    Question("deletecollection", "configmaps", SYSTEM),
    Question("get", "leases.coordination.k8s.io", SYSTEM, "another"),
    Question("update", "leases.coordination.k8s.io", SYSTEM, "another"),
    Question("delete", "leases.coordination.k8s.io", SYSTEM, "hossted-reconciler"),
    Question("create", "leases.coordination.k8s.io", "default"),
    Question("update", "leases.coordination.k8s.io", "kube-system", "hossted-reconciler"),
    Question("create", "pods/exec", "default"),
    Question("get", "pods/log", "default"),
    Question("create", "serviceaccounts/token", SYSTEM, "hossted-reconciler"),
    Question("list", "events", "default"),
    Question("delete", "events", "default"),
    Question("get", "nodes"),
    Question("list", "persistentvolumes"),
    Question("get", "customresourcedefinitions.apiextensions.k8s.io"),
    Question("create", "customresourcedefinitions.apiextensions.k8s.io"),
    Question("create", "clusterrolebindings.rbac.authorization.k8s.io"),
    Question("update", "hosstedprojects.hossted.com/finalizers"),
    Question("impersonate", "users"),
)


def test_what_an_inventory_is_made_of_may_be_read_everywhere_and_not_changed(installed: ControlPlane) -> None:
    questions = [Question(verb, resource) for resource in READ for verb in VERBS]
    reads = [Question(verb, resource) for resource in READ for verb in ("get", "list", "watch")]
    assert allowed(installed, questions) == reads


def test_the_reconciler_may_do_what_it_needs(installed: ControlPlane) -> None:
    assert allowed(installed, NEEDED) == list(NEEDED)


def test_the_reconciler_may_not_do_what_it_does_not_need(installed: ControlPlane) -> None:
    assert allowed(installed, NOT_NEEDED) == []


def test_the_service_accounts_own_token_is_held_to_these_rights(installed: ControlPlane) -> None:
    kubeconfig = installed.kubeconfig_for(SYSTEM, "hossted-reconciler")
    listed = installed.kubectl("get", "secrets", "--all-namespaces", "-o", "name", kubeconfig=kubeconfig)
    assert listed == ""
    answer = installed.kubectl(
        "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", kubeconfig=kubeconfig
    )
    assert answer == USER
