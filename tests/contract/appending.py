"""How the contract suite records, and what it reads back."""

from datetime import UTC, datetime, timedelta

from reconciler.model import AppKey, Snapshot
from reconciler.state.store import Message, Recorded, Revision, Track
from tests.builders import (
    changes_between,
)
from tests.git.actions import trailers_of

START = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)
KEYCLOAK = AppKey("default", "test")


async def append(
    track: Track,
    snapshot: Snapshot,
    on: Recorded | None,
    *,
    subject: str = "Record a change",
    minutes: int = 0,
) -> Recorded:
    """Append with a plausible message; ``minutes`` after the start."""
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        Message(subject=subject, trailers=trailers_of(snapshot)),
        on=on,
        happened=START + timedelta(minutes=minutes),
        recorded=START + timedelta(minutes=minutes, seconds=5),
    )


async def history_of(track: Track, app: AppKey | None = None) -> list[Revision]:
    return [revision async for revision in track.history(app)]
