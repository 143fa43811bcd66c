"""``blame``: each line of an app's stored document, the revision that last changed it, what the API knows."""

import argparse
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from enum import StrEnum
from typing import NamedTuple

import msgspec
from rich.console import Console

from reconciler.changes.blame import carried
from reconciler.changes.wording import count
from reconciler.cli.known import key_of, ledger_of
from reconciler.cli.output import note, print_json, print_table
from reconciler.cli.revisions import SHORT
from reconciler.cli.target import target_of
from reconciler.cli.times import Times
from reconciler.errors import FormatError, UsageError
from reconciler.model import App, AppKey
from reconciler.policy.entry import EMPTY, Entry
from reconciler.state.documents import dump_app
from reconciler.state.store import Revision, Track

_NEVER_TOLD = "record:"
"""The line from which on a document is what is recorded and never told."""


class Told(StrEnum):
    """What the API knows of a line."""

    YES = "told"
    NO = "not told"
    IN_DOUBT = "in doubt"  # it was sent, or what it replaced was sent again, and no answer has come
    NEVER = "-"


class Line(msgspec.Struct, frozen=True):
    """``revision``: which changed the line last; ``older``: or one before it that the store has no more.
    ``told``: None where that is not known."""

    text: str
    revision: Revision
    older: bool = False
    told: Told | None = None


class _State(NamedTuple):
    """An app at a revision; ``older`` as in ``Line``."""

    app: App | None
    revision: Revision
    older: bool = False


async def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    key = key_of(arguments.app)
    async with target_of(arguments) as target:
        async with aclosing(past(await target.track(), key)) as states:
            lines = await blamed(states, key)
        if not lines:
            raise UsageError(f"nothing is on record of {key}: snapshot and history show what is")
        ledger, times = await ledger_of(target), target.times
    if ledger is not None:
        known = told([line.text for line in lines], ledger.entries.get(key, EMPTY))
        lines = [msgspec.structs.replace(line, told=one) for line, one in zip(lines, known, strict=True)]
    if arguments.output == "json":
        print_json({"app": str(key), "lines": [_as_json(line, times) for line in lines]})
    else:
        _print(lines, times)
    return 0


def told(texts: list[str], entry: Entry) -> list[Told]:
    """What the API knows of each line of a document."""
    acked = entry.acked.app if entry.acked is not None else None
    known = carried(texts, _lines(acked)) if acked is not None else {}
    sent = carried(texts, _lines(entry.sending.app)) if entry.sending is not None else known

    def of(number: int) -> Told:
        if (number in known) != (number in sent) or (number in sent and acked is None):
            return Told.IN_DOUBT
        return Told.YES if number in known else Told.NO

    first = texts.index(_NEVER_TOLD)
    return [Told.NEVER if number >= first else of(number) for number in range(len(texts))]


async def blamed(past: AsyncIterator[_State], key: AppKey) -> list[Line]:
    """The lines of the newest document of an app, none when there is none. Older ones are read until all
    lines are explained."""
    found: dict[int, Line] = {}
    newer: _State | None = None
    document: list[str] = []
    places: dict[int, int] = {}  # of the lines that are not explained yet: their numbers in ``document``
    with Console(stderr=True).status(f"reading what was recorded of {key}") as progress:
        async for state in past:
            if newer is None:
                if state.app is None:
                    note(f"{key} has left the record: {state.revision.message.subject}; this is how it was")
                    continue
                document = _lines(state.app)
                places = dict(enumerate(range(len(document))))
            else:
                older = _lines(state.app)
                same = carried(document, older)
                found |= _explained(document, {at for at in places.items() if at[1] not in same}, newer)
                places = {number: same[place] for number, place in places.items() if place in same}
                document = older
            newer = state
            if not places:
                break
            recorded = state.revision.recorded
            progress.update(f"{count(len(places), 'line')} of {key} are older than {recorded:%Y-%m-%d}")
    if newer is not None:
        found |= _explained(document, places.items(), newer)
    return [found[number] for number in sorted(found)]


def _explained(document: list[str], places: Iterable[tuple[int, int]], by: _State) -> dict[int, Line]:
    return {number: Line(document[place], by.revision, by.older) for number, place in places}


async def past(track: Track, key: AppKey) -> AsyncGenerator[_State, None]:
    """What an app was at each revision that changed it, newest first; at last what is older than all that
    the store has. Revisions that cannot be read are passed over: people's edits may be no documents."""
    last: Revision | None = None
    passed = 0
    async for revision in track.history(key):
        try:
            recorded = await track.at(revision.id)
        except (UsageError, FormatError):
            passed += 1
            continue
        last = revision
        yield _State(recorded.snapshot.apps.get(key), revision)
    if passed:
        note(f"{count(passed, 'revision')} of {key} cannot be read; those that came next stand for them")
    if last is None:
        tip = await track.tip()
        if tip is not None and (app := tip.snapshot.apps.get(key)) is not None:
            *_, oldest = [tip.revision, *[revision async for revision in track.history()]]
            yield _State(app, oldest, older=True)
        return
    try:
        before = await track.before(last.id)
    except UsageError:  # it is not kept any more
        before = await track.at(last.id)
    if before is not None and (app := before.snapshot.apps.get(key)) is not None:
        yield _State(app, last, older=True)


def _lines(app: App | None) -> list[str]:
    return [] if app is None else dump_app(app).decode().splitlines()


def _print(lines: list[Line], times: Times) -> None:
    """Each line of the document, and below it what the revisions say that it comes from."""
    rows = [
        (
            _name(line),
            times.text(line.revision.recorded),
            *([f"{line.told:8}"] if line.told else []),
            line.text,
        )
        for line in lines
    ]
    told_too = ["API"] if len(rows[0]) > 3 else []
    print_table(("REVISION", "RECORDED", *told_too, "DOCUMENT"), rows)
    print()
    origins = {_name(line): line.revision for line in lines}
    newest = sorted(origins.items(), key=lambda each: each[1].recorded, reverse=True)
    print_table(("REVISION", "WHAT CHANGED"), [(name, one.message.subject) for name, one in newest])


def _name(line: Line) -> str:
    return f"{'^' if line.older else ''}{line.revision.id[:SHORT]}"


def _as_json(line: Line, times: Times) -> dict[str, object]:
    return {
        "line": line.text,
        "revision": line.revision.id,
        "orOlder": line.older,
        "recorded": times.rfc3339(line.revision.recorded),
        "subject": line.revision.message.subject,
        "told": None if line.told is None else str(line.told),
    }
