"""``snapshot``: the inventory, as it is now, in a recording, or at a revision."""

import argparse

from reconciler.cli import files
from reconciler.cli.live import live
from reconciler.cli.output import note, print_json, print_table
from reconciler.cli.revisions import OBSERVED, find
from reconciler.cli.target import Target, target_of
from reconciler.errors import UsageError
from reconciler.inventory.objects import Meta
from reconciler.model import Snapshot


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    form = arguments.output or ("text" if arguments.unattributed else "json")
    if arguments.unattributed and form == "yaml":
        raise UsageError("--unattributed is printed as text or json")
    if not arguments.unattributed and form == "text":
        raise UsageError("apps are printed as json or yaml")
    async with target_of(arguments) as target:
        if arguments.unattributed:
            if arguments.revision is not None:
                raise UsageError("--unattributed is about the cluster as it is: leave out --revision")
            _print_pods((await live(target)).inventory.unattributed, form)
            return 0
        snapshot = await _snapshot(arguments, target)
        if form == "yaml":
            print(files.as_yaml(snapshot), end="")
        else:
            print_json(files.as_json(snapshot, target.settings.email_id))
    return 0


async def _snapshot(arguments: argparse.Namespace, target: Target) -> Snapshot:
    if arguments.revision is not None and arguments.recording is not None:
        raise UsageError("--from names a recording and --revision a revision of the record: choose one")
    revision = arguments.revision
    if revision is None and arguments.repo is not None and arguments.recording is None:
        revision = OBSERVED  # a repository has been named so that no cluster is asked
    if revision is None:
        return (await live(target)).snapshot
    return (await find(await target.track(), revision, target.times)).snapshot


def _print_pods(pods: tuple[Meta, ...], form: str) -> None:
    if form == "json":
        print_json([{"namespace": pod.namespace, "name": pod.name, "owner": _owner(pod)} for pod in pods])
    elif pods:
        print_table(("NAMESPACE", "POD", "OWNER"), ((pod.namespace, pod.name, _owner(pod)) for pod in pods))
    else:
        note("every pod belongs to an app")


def _owner(pod: Meta) -> str:
    """What made the pod, as ``Job/migrate``; "" for one that somebody made by hand."""
    return f"{pod.owner.kind}/{pod.owner.name}" if pod.owner is not None else ""
