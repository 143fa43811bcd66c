"""Moments as people and programs write them."""

from datetime import datetime


def moment(text: str) -> datetime | None:
    """A moment from RFC 3339 or from Go's ``time.String()`` (``… … +0000 UTC m=+1.5``), else None."""
    parts = text.split(" ")
    try:
        found = datetime.fromisoformat(text if len(parts) < 3 else f"{parts[0]}T{parts[1]}{parts[2]}")
    except ValueError:
        return None
    return found if found.tzinfo else None
