"""What the commands print of a reconcile: for people on a terminal, or as JSON for programs."""

import sys
from collections.abc import Iterable, Sequence

import msgspec

from reconciler.changes.render_json import changeset_as_json
from reconciler.delivery.deliver import Delivered
from reconciler.operator.conditions import REMOVALS_HELD, conditions, removals_held
from reconciler.operator.result import Preview, Result
from reconciler.policy.plan import Plan


def preview(seen: Preview, form: str | None) -> None:
    """What a reconcile would record and send, and to where."""
    if form == "json":
        print_json(
            {
                "clusterUUID": seen.cluster_uuid,
                "store": seen.location,
                "endpoint": seen.endpoint,
                "subject": seen.subject,
                "changes": changeset_as_json(seen.changes) if seen.changes else None,
                "pushes": [{"app": str(push.key), "why": push.why} for push in seen.plan.pushes],
                "held": _held(seen.plan),
                "removalsHeld": [str(key) for key in sorted(seen.braking.held)],
            }
        )
        return
    print(f"cluster {seen.cluster_uuid}")
    if seen.changes:
        print(f"\nwould record in {seen.location}:\n\n{_commit(seen.subject, seen.body)}")
    else:
        print(f"\nwould record nothing in {seen.location}: nothing has changed")
    if seen.braking.held:
        print(f"\nwould hold removals: {removals_held(seen.project, seen.braking)}")
    if not seen.endpoint:
        print("\nwould push nothing: HOSSTED_API_URL is not set")
        return
    print(
        f"\nwould push to {seen.endpoint}:"
        if seen.plan.pushes
        else f"\nwould push nothing to {seen.endpoint}"
    )
    for push in seen.plan.pushes:
        print(f"  {push.key}: {push.why}")
    _print_held(seen.plan)


def outcome(result: Result, delivered: Delivered | None, form: str | None) -> None:
    """What a reconcile did."""
    if form == "json":
        recorded = result.recorded
        print_json(
            {
                "clusterUUID": result.cluster_uuid,
                "revision": recorded.revision.id if recorded is not None else None,
                "digest": recorded.snapshot.digest if recorded is not None else None,
                "changes": changeset_as_json(result.changes) if result.changes is not None else None,
                "pushed": [
                    {
                        "app": str(push.key),
                        "key": push.idempotency_key,
                        "status": push.status,
                        "why": push.why,
                    }
                    for push in (delivered.pushed if delivered is not None else ())
                ],
                "pending": [
                    str(push.key) for push in (delivered.plan.pushes if delivered is not None else ())
                ],
                "conditions": [
                    {"type": one.type, "status": one.status, "reason": one.reason, "message": one.message}
                    for one in conditions(result)
                ],
            }
        )
        return
    if result.changes is not None and result.recorded is not None:
        revision = result.recorded.revision
        print(f"recorded {revision.id[:12]}: {_commit(revision.message.subject, revision.message.body)}")
    elif result.failure is None:
        print("stopped, as the project says" if result.stopped else "nothing has changed")
    if delivered is not None:
        for push in delivered.pushed:
            print(f"pushed {push.key}: {push.why}")
        for push in delivered.rejected:
            print(f"rejected {push.key}: {push.what}")
        for left in delivered.plan.pushes:
            print(f"pending {left.key}: {left.why}")
        if delivered.trouble:
            print(delivered.trouble)
        _print_held(delivered.plan)
    for condition in conditions(result):
        wrong = condition.status == "False" and condition.type in ("Collected", "Recorded")
        held = condition.type == "Recorded" and condition.reason == REMOVALS_HELD
        if (wrong or held) and not result.stopped:
            print(f"{condition.type} {condition.reason}: {condition.message}", file=sys.stderr)


def note(text: str) -> None:
    """Something that a person should know of what is printed, beside it."""
    print(f"note: {text}", file=sys.stderr)


def is_terminal() -> bool:
    """Whether a person reads what is printed: then there may be colour, and tables."""
    return sys.stdout.isatty()


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows of cells: a table on a terminal, else a line each with two spaces between the cells.

    The last column takes what is left of the terminal's width; whatever comes from a cluster is plain.
    """
    if not is_terminal():
        for row in rows:
            print("  ".join(row))
        return
    # Imported when there is a table: a command that prints a line does not pay for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(head[-1], overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def print_json(value: object) -> None:
    """As indented JSON."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _commit(subject: str, body: str) -> str:
    """A commit's text as git shows it: the body indented."""
    return "\n".join((subject, *(f"    {line}".rstrip() for line in body.splitlines())))


def _held(plan: Plan) -> dict[str, str]:
    return {str(key): held.what for key, held in plan.held.items()}


def _print_held(plan: Plan) -> None:
    for key, what in _held(plan).items():
        print(f"  {key} is held: {what}")
