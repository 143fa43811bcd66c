"""``diff``: what differs between two of a revision, a track, a date, a file, what was delivered, the cluster.

Exit status as ``diff``: 0 the same, 1 different, 2 trouble.
"""

import argparse

from reconciler.changes.change import Changeset
from reconciler.changes.render_html import render_html
from reconciler.changes.render_json import render_json
from reconciler.changes.render_markdown import render_markdown
from reconciler.changes.render_text import render_text
from reconciler.cli.output import is_terminal
from reconciler.cli.sides import Side, compare, side
from reconciler.cli.target import target_of

TROUBLE = 2


async def run(arguments: argparse.Namespace) -> int:
    """Compare, print, and say by the exit status whether they differ."""
    async with target_of(arguments) as target:
        before, after = await side(target, arguments.a), await side(target, arguments.b)
    changes = compare(before, after)
    print(_rendered(before, after, changes, arguments.output), end="")
    return int(bool(changes))


def _rendered(before: Side, after: Side, changes: Changeset, form: str | None) -> str:
    match form:
        case "json":
            return render_json(changes)
        case "markdown":
            return render_markdown(changes)
        case "html":
            return render_html(
                changes, title="What differs", facts=(("From", before.title), ("To", after.title))
            )
        case _:
            head = f"--- {before.title}\n+++ {after.title}\n\n" if changes else ""
            return head + render_text(changes, colour=is_terminal())
