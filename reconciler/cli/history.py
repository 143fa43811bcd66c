"""``history``: the revisions of the record, newest first; of an app, with whether the API knows them."""

import argparse
from collections.abc import Iterator

from reconciler.cli.known import key_of, ledger_of
from reconciler.cli.output import note, print_json, print_table
from reconciler.cli.revisions import SHORT
from reconciler.cli.target import Target, target_of
from reconciler.cli.times import Times
from reconciler.errors import FormatError, UsageError
from reconciler.model import App, AppKey, tells_the_same
from reconciler.policy.entry import EMPTY
from reconciler.state.store import Revision, Track


async def run(arguments: argparse.Namespace) -> int:
    """List them."""
    app = None if arguments.app is None else key_of(arguments.app)
    if arguments.limit < 0:
        raise UsageError(f"--limit {arguments.limit}: write a number of revisions, or 0 for all")
    async with target_of(arguments) as target:
        revisions = await _revisions(await target.track(), app, arguments.limit)
        told = None if app is None or not revisions else await _told(target, app, revisions)
        times = target.times
    if arguments.output == "json":
        print_json(list(_as_json(revisions, told, times)))
        return 0
    if not revisions:
        note(f"nothing has been recorded of {app or 'this cluster'}")
        return 0
    rows = (
        (
            revision.id[:SHORT],
            times.text(revision.recorded),
            *(() if told is None else ("told    " if number >= told else "not told",)),
            revision.message.subject,
        )
        for number, revision in enumerate(revisions)
    )
    print_table(("REVISION", "RECORDED", *(("API",) if told is not None else ()), "WHAT CHANGED"), rows)
    return 0


def as_json(revision: Revision, times: Times) -> dict[str, object]:
    """A revision for programs: its whole id, both of its times, and its text."""
    message = revision.message
    return {
        "revision": revision.id,
        "recorded": times.rfc3339(revision.recorded),
        "happened": times.rfc3339(revision.happened),
        "subject": message.subject,
        "body": message.body,
        "trailers": [{"name": name, "value": value} for name, value in message.trailers],
    }


async def _revisions(track: Track, app: AppKey | None, limit: int) -> list[Revision]:
    found: list[Revision] = []
    async for revision in track.history(app):
        found.append(revision)
        if len(found) == limit:
            break
    return found


def _as_json(revisions: list[Revision], told: int | None, times: Times) -> Iterator[dict[str, object]]:
    for number, revision in enumerate(revisions):
        known = {} if told is None else {"told": number >= told}
        yield {**as_json(revision, times), **known}


async def _told(target: Target, app: AppKey, revisions: list[Revision]) -> int | None:
    """From which of these revisions of an app on, the newest first, the API knows what they recorded: all
    of them are in what it acknowledged last. None where that is not known."""
    ledger = await ledger_of(target, quiet=True)
    if ledger is None:
        return None
    acked = ledger.entries.get(app, EMPTY).acked
    if acked is None:
        return len(revisions)
    track = await target.track()
    for number, revision in enumerate(revisions):
        try:
            recorded = (await track.at(revision.id)).snapshot.apps.get(app)
        except (UsageError, FormatError):  # somebody's edit, which is no document
            continue
        if _is_same(recorded, acked.app):
            return number
    return len(revisions)


def _is_same(recorded: App | None, known: App | None) -> bool:
    """Whether the API knows what was recorded, be it that the app is gone."""
    if recorded is None or known is None:
        return recorded is known
    return tells_the_same(recorded, known)
