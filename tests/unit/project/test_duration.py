from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.project import Duration


@pytest.mark.parametrize(
    ("text", "seconds", "canonical"),
    [
        ("10m", 600, "10m"),
        ("1h30m", 5_400, "1h30m"),
        ("5s", 5, "5s"),
        ("500ms", 0.5, "500ms"),
        ("0s", 0, "0s"),
        ("0h0m", 0, "0s"),
        ("90s", 90, "1m30s"),
        ("1500ms", 1.5, "1s500ms"),
        ("5s10m", 605, "10m5s"),
        ("24h", 86_400, "24h"),
        ("99999h", 359_996_400, "99999h"),
    ],
)
def test_a_duration_is_read_and_printed_in_its_canonical_form(
    text: str, seconds: float, canonical: str
) -> None:
    duration = Duration.parse(text)
    assert duration == timedelta(seconds=seconds)
    assert str(duration) == canonical


@pytest.mark.parametrize(
    "text",
    ["", "10", "m", "-5s", "1.5h", "10 m", "10m ", "1d", "5us", "100000s", "1h1h1h1h1h", "P10M", "\uff11m"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration such as 10m"):
        Duration.parse(text)


@given(st.integers(min_value=0, max_value=24 * 3_600_000))
def test_the_printed_form_reads_as_the_same_duration(milliseconds: int) -> None:
    duration = Duration(milliseconds=milliseconds)
    assert Duration.parse(str(duration)) == duration
