"""Moments as people write and read them, in the zone that they asked for."""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from reconciler.errors import UsageError

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(rf"{_DAY.pattern}([T ].+)?")


class Times:
    """``zone``: a name of the IANA time zone database; UsageError when this machine does not know it."""

    def __init__(self, zone: str = "UTC") -> None:
        self._zone = _zone(zone)

    def text(self, moment: datetime) -> str:
        """``2026-11-21 09:42:49 UTC``, for people."""
        return moment.astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S %Z")

    def rfc3339(self, moment: datetime) -> str:
        """``2026-11-21T09:42:49Z``, for programs."""
        return moment.astimezone(self._zone).isoformat(timespec="seconds").replace("+00:00", "Z")

    def parse(self, text: str) -> datetime | None:
        """The moment that a date names: of a whole day the last one. None for what is no date."""
        if not _MOMENT.fullmatch(text):
            return None
        try:
            found = datetime.fromisoformat(text)
            if found.tzinfo is None:
                found = found.replace(tzinfo=self._zone)
            return found + timedelta(days=1, microseconds=-1) if _DAY.fullmatch(text) else found
        except (ValueError, OverflowError) as error:
            raise UsageError(f"{text} is no date: write 2026-11-21, or 2026-11-21T09:00Z") from error


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC  # also where there is no database, as in a small container
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"--tz {name}: no such time zone here; write one as Europe/Paris") from error
