"""``policy explain``: the one list of rules as it is applied."""

import argparse
from collections.abc import Iterator

from reconciler.cli import wiring
from reconciler.cli.output import print_json, print_table
from reconciler.kube.client import Client
from reconciler.policy.listing import Listed, listing
from reconciler.policy.rules import Action
from reconciler.project import Project, Spec

_ORDER = (
    "The first line that matches a change decides what becomes of it, field by field.\n"
    "Of an app's changes the strongest action decides about the app: Push, Record, Defer, Ignore."
)
_ALWAYS = "Installs and uninstalls are recorded whatever a rule says."
_NO_API = "While the operator has no HOSSTED_API_URL nothing is pushed, and what says Push is recorded."


async def run(arguments: argparse.Namespace) -> int:
    """Print it. UsageError when there is no project, InvalidProjectError for one that cannot be used."""
    project = await _project(arguments)
    entries = listing(project.spec.in_effect())
    if arguments.output == "json":
        print_json(as_json(project, entries))
        return 0
    print(f"{_ORDER}\n")
    print_table(("", "ACTION", "BY", "CHANGES"), _rows(entries))
    print()
    for note in notes(project.spec, entries):
        print(note)
    return 0


def notes(spec: Spec, entries: tuple[Listed, ...]) -> list[str]:
    """What else decides."""
    told = [_ALWAYS] if any(map(_hides_everything, entries)) else []
    if spec.push.on is None:
        told.append("push.on is not set: HelmUpdate, and Never while the operator has no HOSSTED_API_URL.")
    return [*told, _NO_API]


def as_json(project: Project, entries: tuple[Listed, ...]) -> dict[str, object]:
    """The list for programs. ``pushOnWithoutAPI``: what ``push.on`` is while the operator has no API."""
    push = project.spec.push
    return {
        "project": project.name,
        "pushOn": push.resolved(has_api=True),
        "pushOnWithoutAPI": push.resolved(has_api=False),
        "rules": entries,
    }


async def _project(arguments: argparse.Namespace) -> Project:
    if arguments.project is not None:
        return wiring.project_from(arguments.project)
    client = Client.connect(arguments.context, kubeconfig=arguments.kubeconfig)
    try:
        return await wiring.served_project(client)
    finally:
        client.close()


def _hides_everything(one: Listed) -> bool:
    """Whether it says of all fields of an app that they are not recorded by themselves."""
    return one.match is not None and not one.match.fields and one.action in (Action.DEFER, Action.IGNORE)


def _rows(entries: tuple[Listed, ...]) -> Iterator[tuple[str, ...]]:
    width = max(len(one.by) for one in entries)
    for one in entries:
        unreached = "" if one.reached else " (never reached: a rule before it matches everything)"
        yield f"{one.number:>2}", one.action.ljust(6), one.by.ljust(width), f"{one.what}{unreached}"
