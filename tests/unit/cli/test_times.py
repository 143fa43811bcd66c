"""Moments as people write and read them."""

from datetime import UTC, datetime

import pytest

from reconciler.cli.times import Times
from reconciler.errors import UsageError

MOMENT = datetime(2026, 11, 21, 23, 30, 5, tzinfo=UTC)


def test_times_are_utc_unless_a_zone_is_asked_for() -> None:
    assert Times().text(MOMENT) == "2026-11-21 23:30:05 UTC"
    assert Times("Europe/Paris").text(MOMENT) == "2026-11-22 00:30:05 CET"


def test_programs_get_rfc_3339() -> None:
    assert Times().rfc3339(MOMENT.replace(microsecond=7)) == "2026-11-21T23:30:05Z"
    assert Times("Asia/Kolkata").rfc3339(MOMENT) == "2026-11-22T05:00:05+05:30"


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-11-21T09:00Z", "UTC", "2026-11-21T09:00:00+00:00"),
        ("2026-11-21T09:00Z", "Europe/Paris", "2026-11-21T09:00:00+00:00"),
        ("2026-11-21T09:00", "Europe/Paris", "2026-11-21T08:00:00+00:00"),
        ("2026-11-21 09:00:30", "UTC", "2026-11-21T09:00:30+00:00"),
        ("2026-11-21T09:00:00+02:00", "UTC", "2026-11-21T07:00:00+00:00"),
        ("2026-11-21", "UTC", "2026-11-21T23:59:59.999999+00:00"),
        ("2026-11-21", "Europe/Paris", "2026-11-21T22:59:59.999999+00:00"),
    ],
)
def test_a_date_is_a_moment_and_a_day_its_last_one(text: str, zone: str, moment: str) -> None:
    assert Times(zone).parse(text) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("text", ["20261121", "deadbeef", "r12", "observed", "2026-11-21.json", "2026"])
def test_what_may_be_a_revision_or_a_file_is_no_date(text: str) -> None:
    assert Times().parse(text) is None


@pytest.mark.parametrize("text", ["2026-13-01", "2026-11-31", "2026-11-21T25:00", "2026-11-21Tnoon"])
def test_a_date_that_cannot_be_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=f"{text} is no date: write 2026-11-21"):
        Times().parse(text)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd", "Europe"])
def test_a_zone_that_is_not_known_is_named(zone: str) -> None:
    with pytest.raises(UsageError, match=f"--tz {zone}: no such time zone"):
        Times(zone)
