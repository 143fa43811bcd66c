"""``history``: the revisions of the record, newest first."""

import argparse

from reconciler.cli.output import note, print_json, print_table
from reconciler.cli.revisions import SHORT
from reconciler.cli.target import target_of
from reconciler.cli.times import Times
from reconciler.errors import UsageError
from reconciler.model import AppKey
from reconciler.state.store import Revision, Track


async def run(arguments: argparse.Namespace) -> int:
    """List them."""
    app = _app(arguments.app)
    if arguments.limit < 0:
        raise UsageError(f"--limit {arguments.limit}: write a number of revisions, or 0 for all")
    async with target_of(arguments) as target:
        revisions = await _revisions(await target.track(), app, arguments.limit)
        times = target.times
    if arguments.output == "json":
        print_json([as_json(revision, times) for revision in revisions])
        return 0
    if not revisions:
        note(f"nothing has been recorded of {app or 'this cluster'}")
        return 0
    rows = (
        (revision.id[:SHORT], times.text(revision.recorded), revision.message.subject)
        for revision in revisions
    )
    print_table(("REVISION", "RECORDED", "WHAT CHANGED"), rows)
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


def _app(text: str | None) -> AppKey | None:
    try:
        return None if text is None else AppKey.parse(text)
    except ValueError as error:
        raise UsageError(f"{error}, as in default/test") from error
