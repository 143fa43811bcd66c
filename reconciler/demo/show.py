"""What the demo says of a step, for people: what was done, what is recorded, what was told, and why not."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from rich.text import Text

from reconciler.changes.change import AppChange, Field
from reconciler.changes.describe import lines, sentence
from reconciler.changes.diff import diff
from reconciler.changes.render_text import render_text
from reconciler.changes.wording import count
from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop
from reconciler.demo.parts import Request
from reconciler.demo.play import Committed, Deferred, Happened, Killed, Outcome, Told, Waiting
from reconciler.demo.screen import Screen
from reconciler.demo.story import Step
from reconciler.state.store import Recorded, Revision

SHORT = 12
"""Characters of a revision, as ``history`` shows it."""

_TAIL = 8  # of a key: the beginning is its time, and the same for many
_MOST_LINES = 4  # of a commit
_IN_SUBJECT = frozenset({Field.REVISION, Field.CHART_VERSION, Field.UPDATED})
_MOST_WAITING = 2


def begin(screen: Screen, number: int, step: Step) -> None:
    """The step's title, and what it is in the story for."""
    screen.title(f"{number}. {step.title}")
    screen.line(f"   {step.shows}", style="italic")


def outcome(screen: Screen, step: Step, found: Outcome) -> None:
    """What came of it."""
    if step.api:
        status, _, times = step.api.partition(":")
        screen.row("", "", Text(f"(the API answers {status}, {times} times)", style="bold"))
    for event in found.events:
        match event:
            case Happened():
                _happened(screen, event)
            case Waiting():
                _waiting(screen, event)
            case Deferred():
                _deferred(screen, event)
            case Committed():
                _committed(screen, event)
            case Told():
                _told(screen, event)
            case Killed():
                _killed(screen, event)


def wrong(screen: Screen, problems: Iterable[str]) -> None:
    """What did not go as the story expects."""
    for problem in problems:
        screen.row("", "wrong", problem)


def history(screen: Screen, revisions: Sequence[Revision]) -> None:
    """The record, as ``history`` shows it."""
    screen.title("The record", "hossted-reconciler history")
    for revision in revisions:
        when = f"{revision.recorded:%Y-%m-%d %H:%M:%S}"
        screen.line(Text.assemble((revision.id[:SHORT], "yellow"), f"  {when}  {revision.message.subject}"))


def difference(screen: Screen, before: Recorded, after: Recorded) -> None:
    """What differs between two revisions, as ``diff`` shows it."""
    ids = before.revision.id[:SHORT], after.revision.id[:SHORT]
    screen.title("From the first revision to the last", f"hossted-reconciler diff {ids[0]} {ids[1]}")
    changes = diff(before.snapshot, after.snapshot)
    screen.line(Text.from_ansi(render_text(changes, colour=True).rstrip()))


def received(screen: Screen, pushes: Iterable[Mapping[str, Any]]) -> None:
    """What the receiver has of each app."""
    screen.title("What the receiver knows")
    for push in pushes:
        info = push["app_info"]
        helm = info["helm_info"]
        pods = count(len({pod["name"] for pod in info["pod_info"]}), "pod")
        what = f"{helm['chart']} {helm['appVersion']}, revision {helm['revision']} {helm['status']}, {pods}"
        screen.line(f"{helm['namespace']}/{helm['name']}".ljust(14) + what)


def totals(screen: Screen, outcomes: Sequence[Outcome], repeated: int) -> None:
    """That all went as it should, in numbers."""
    commits = sum(len(one.commits) for one in outcomes)
    pushed = sum(len(one.pushed) for one in outcomes)
    requests = sum(len(one.requests) for one in outcomes)
    screen.line()
    screen.line(
        f"As the story expects: {count(len(outcomes), 'step')}, {count(commits, 'commit')}, "
        f"{count(requests, 'request')}, {pushed} acknowledged, {repeated} of these a repetition that the "
        "receiver knew. Nothing was lost, and nothing taken twice.",
        style="bold green",
    )


def farewell(screen: Screen, kept: Path | None, program: str) -> None:
    """Where to look next. ``program``: how this one is called."""
    screen.line()
    if kept is not None:
        screen.line(f"Kept in {kept}: record.git, its ledger, pushes.jsonl, requests.jsonl. Look around:")
        screen.line(f"  {program} history --repo {kept / 'record.git'}")
        screen.line(f"  {program} diff --repo {kept / 'record.git'} delivered observed")
    else:
        screen.line(f"To look around in what it made: {program} demo --keep DIR")
    screen.line("Read on: README.md (install it), docs/project.md (the policy), docs/state.md (the record)")


def _happened(screen: Screen, event: Happened) -> None:
    for command in event.seen.did:
        screen.row("", "$", Text(command, style="bold"))
    for words in event.seen.words:
        screen.row("", "", Text(f"({words})", style="bold"))


def _waiting(screen: Screen, event: Waiting) -> None:
    named = [f"{key}: {why}" for key, why in event.apps.items()]
    rest = len(named) - _MOST_WAITING
    text = "; ".join(named[:_MOST_WAITING]) + (f"; and {count(rest, 'more app')}" if rest > 0 else "")
    screen.row(_time(event.at), "waits", Text(text, style="dim"))


def _deferred(screen: Screen, event: Deferred) -> None:
    for change in event.changes:
        screen.row(_time(event.at), "deferred", f"{sentence(change)}: no commit of its own")
    if not event.changes:
        screen.row(_time(event.at), "", "as it was recorded again; there was no commit")


def _committed(screen: Screen, event: Committed) -> None:
    revision = event.revision
    text = Text.assemble((revision.id[:SHORT], "yellow"), f"  {revision.message.subject}")
    screen.row(_time(event.at), "recorded", text)
    if event.changes.cluster_before is not None:
        subject = revision.message.subject
        details = [line for change in event.changes for line in _lines(change) if line not in subject]
        rest = len(details) - _MOST_LINES
        for line in details[:_MOST_LINES]:
            screen.row("", "", Text(f"  {line}", style="dim"))
        if rest > 0:
            screen.row("", "", Text(f"  … and {count(rest, 'more line')}", style="dim"))
    for key, why in event.untold.items():
        screen.row("", "not told", f"{key}: {why}")


def _told(screen: Screen, event: Told) -> None:
    for request in event.requests:
        push = event.pushed.get(request.app)
        if push is None:
            what = f"{_said(request.answer)}; {_key(request)}"
            screen.row(_time(event.at), "sent", f"{request.app}: {what}")
        else:
            known = ", taken before" if event.repeated else ""
            what = f"{push.status}{known}; {_key(request)}; {push.why}"
            screen.row(_time(event.at), "told", f"{request.app}: {what}")


def _killed(screen: Screen, event: Killed) -> None:
    for request in event.requests:
        screen.row(_time(event.at), "sent", f"{request.app}: {_key(request)}")
    screen.row(_time(event.at), "killed", "before it read the answer; the next process begins")


def _lines(change: AppChange) -> list[str]:
    """What differs, without what the subject has already."""
    details = tuple(detail for detail in change.details if detail.field not in _IN_SUBJECT)
    return lines(msgspec.structs.replace(change, details=details))


def _said(answer: Answer) -> str:
    match answer:
        case Acknowledged(status):
            return str(status)
        case Outdated():
            return "409, a newer key is known"
        case Again(what) | Rejected(_, what) | Stop(_, what):
            return what


def _key(request: Request) -> str:
    return f"key …{request.key[-_TAIL:]}"


def _time(at: datetime) -> str:
    return f"{at:%H:%M:%S}"
