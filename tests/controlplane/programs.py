"""Which real programs make up the control plane, and how each is stamped with its version.

Kubernetes, etcd and kwok are tools of the `go.mod` beside this file. Each Helm is built in a module
of its own, because the two want other versions of the Kubernetes libraries than the server has.
"""

from __future__ import annotations

import hashlib
import platform
import re
from dataclasses import dataclass
from pathlib import Path

MODULE = Path(__file__).parent
HELM = {3: "v3.22.0", 4: "v4.3.1"}
LINK = "-s -w"


@dataclass(frozen=True)
class Program:
    """One program to build.

    `package` with an `@version` is installed by itself; without, it is a tool of `go.mod`.
    `stamps` are the string variables that the linker sets.
    """

    name: str
    package: str
    stamps: tuple[tuple[str, str], ...] = ()

    @property
    def ldflags(self) -> str:
        """What goes into `-ldflags`: no symbols, and the version."""
        return " ".join([LINK, *(f"-X {name}={value}" for name, value in self.stamps)])


def required(module: str) -> str:
    """The version of `module` that `go.mod` pins."""
    text = (MODULE / "go.mod").read_text()
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise LookupError(f"go.mod does not require {module}")
    return found[1]


def programs() -> tuple[Program, ...]:
    """All programs, in the order in which they are built: what others wait for comes first."""
    kubernetes = required("k8s.io/kubernetes")
    major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
    # Unstamped, the server calls itself v0.0.0-master and charts with a kubeVersion refuse it.
    stamps = tuple(
        (f"{package}.{variable}", value)
        for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
        for variable, value in (
            ("gitVersion", kubernetes),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        )
    )
    return (
        Program("etcd", "go.etcd.io/etcd/server/v3"),
        Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver", stamps),
        Program("kubectl", "k8s.io/kubernetes/cmd/kubectl", stamps),
        Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager", stamps),
        Program("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler", stamps),
        Program("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        *(
            Program(
                f"helm{major}",
                f"helm.sh/helm/v{major}/cmd/helm@{version}",
                ((f"helm.sh/helm/v{major}/internal/version.version", version),),
            )
            for major, version in HELM.items()
        ),
    )


def recipe_hash() -> str:
    """Names the cache folder: the same programs from the same sources have the same hash.

    The builder's own code is left out on purpose: a better progress line need not build again.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in ("go.mod", "go.sum"):
        digest.update((MODULE / name).read_bytes())
    digest.update(repr(programs()).encode())
    digest.update(f"{platform.system()}/{platform.machine()}".encode())
    return digest.hexdigest()
