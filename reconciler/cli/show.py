"""``show``: one revision, with what it changed."""

import argparse

from reconciler.changes.change import Changeset
from reconciler.changes.describe import UNSEEN, sentence
from reconciler.changes.diff import diff
from reconciler.changes.render_html import render_html
from reconciler.changes.render_json import changeset_as_json
from reconciler.changes.render_markdown import render_markdown
from reconciler.changes.render_text import render_text
from reconciler.cli import history
from reconciler.cli.output import is_terminal, print_json
from reconciler.cli.revisions import find
from reconciler.cli.target import target_of
from reconciler.cli.times import Times
from reconciler.state.store import Message, Recorded


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    async with target_of(arguments) as target:
        track, times = await target.track(), target.times
        recorded = await find(track, arguments.revision, times)
        before = await track.before(recorded.revision.id)
    changes = diff(before.snapshot if before is not None else None, recorded.snapshot)
    if arguments.output == "json":
        document = history.as_json(recorded.revision, times)
        print_json({**document, "apps": len(recorded.snapshot.apps), "changes": changeset_as_json(changes)})
    else:
        print(_rendered(recorded, changes, times, arguments.output), end="")
    return 0


def _rendered(recorded: Recorded, changes: Changeset, times: Times, form: str | None) -> str:
    message, facts = recorded.revision.message, _facts(recorded, times)
    match form:
        case "markdown":
            items = "".join(f"- {name}: `{value}`\n" for name, value in facts)
            return f"{render_markdown(changes)}\n{items}"
        case "html":
            return render_html(changes, title=message.subject, facts=facts)
        case _:
            head = "".join(f"{name.ljust(12)}  {value}\n" for name, value in facts)
            return f"{head}\n{_intro(message, changes)}{render_text(changes, colour=is_terminal())}"


def _intro(message: Message, changes: Changeset) -> str:
    """The message, as far as the changes do not say the same: only it knows what went unseen."""
    if UNSEEN in message.body:
        return f"{message.subject}\n\n{message.body}\n\n"
    told = any(sentence(change) == message.subject for change in changes)
    return "" if told else f"{message.subject}\n\n"


def _facts(recorded: Recorded, times: Times) -> tuple[tuple[str, str], ...]:
    revision = recorded.revision
    return (
        ("Revision", revision.id),
        ("Happened", times.text(revision.happened)),
        ("Recorded", times.text(revision.recorded)),
        *revision.message.trailers,
    )
