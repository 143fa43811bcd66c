"""``record``: writes a recording of a live cluster, for ``--from``, a bug report or a test.

A recording holds what the reconciler looks at and nothing else: of a Helm release its chart's metadata,
of a pod its images, of the Secret ``uuid`` an app's UUID. Values, notes, manifests, environment and the
data of Secrets are never in it.
"""

import argparse
import asyncio
from pathlib import Path

from reconciler.changes.wording import count
from reconciler.cli.live import tell_gaps
from reconciler.errors import KubernetesError, UsageError
from reconciler.inventory.live import LiveSource
from reconciler.inventory.objects import Look
from reconciler.inventory.recording import is_recording, write_recording
from reconciler.kube.client import Client
from reconciler.model import PolicyInEffect


async def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 when something failed to be read and is missing from the recording."""
    directory: Path = arguments.directory
    await asyncio.to_thread(_check, directory)
    client = Client.connect(arguments.context, kubeconfig=arguments.kubeconfig)
    try:
        look = await LiveSource(client).look(PolicyInEffect(denyNamespaces=tuple(arguments.deny)))
    finally:
        client.close()
    if not look.kube_system_uid:
        why = look.gaps[0].message if look.gaps else "it has no namespace kube-system"
        raise KubernetesError(f"the cluster cannot be read, nothing is recorded: {why}")
    await asyncio.to_thread(write_recording, look, directory)
    print(f"recorded {_summary(look)} in {directory}")
    tell_gaps(look.gaps)
    return int(any(not gap.forbidden for gap in look.gaps))


def _check(directory: Path) -> None:
    """UsageError unless it is safe to write there."""
    if directory.is_dir() and (is_recording(directory) or not any(directory.iterdir())):
        return
    if directory.exists():
        raise UsageError(f"{directory} is there and is no recording: name another directory")


def _summary(look: Look) -> str:
    releases = len({(release.namespace, release.name) for release in look.releases})
    named = (
        count(len(look.namespaces), "namespace"),
        count(releases, "release"),
        count(len(look.pods), "pod"),
        count(len(look.services), "service"),
        count(len(look.claims), "volume claim"),
        count(len(look.ingresses), "ingress object"),
    )
    return ", ".join(named)
