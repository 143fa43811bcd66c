"""A changeset as text for a terminal or a pipe."""

from io import StringIO

from rich.console import Console
from rich.text import Text

from reconciler.changes.change import AppChange, Changeset, Operation
from reconciler.changes.describe import lines, outcome, sentence
from reconciler.changes.message import cluster_lines

_STYLES = {
    Operation.INSTALL: "green",
    Operation.ALLOW: "green",
    Operation.UNINSTALL: "red",
    Operation.DENY: "red",
    Operation.ROLLBACK: "magenta",
}
_USUAL = "yellow"


def render_text(changes: Changeset, *, colour: bool = False) -> str:
    """A sentence per app and its differences below it; lines are never wrapped or cut."""
    text = Text()
    for line in cluster_lines(changes.cluster_before, changes.cluster_after):
        text.append(f"{line}\n", style="bold")
    for change in changes:
        text.append_text(_of_app(change))
    if not text:
        text.append("no differences\n")
    out = StringIO()
    console = Console(
        file=out, force_terminal=colour, color_system="standard" if colour else None, no_color=not colour
    )
    console.print(text, soft_wrap=True, end="")
    return out.getvalue()


def _of_app(change: AppChange) -> Text:
    style = "bold red" if outcome(change) == "failed" else _STYLES.get(change.operation, _USUAL)
    text = Text()
    text.append(f"{sentence(change)}\n", style=style)
    for line in lines(change):
        text.append(f"    {line}\n")
    return text
