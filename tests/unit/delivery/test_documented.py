"""The page says of each status what the code does."""

import re
from pathlib import Path

import pytest

from reconciler.delivery.answers import Acknowledged, Again, Answer, Outdated, Rejected, Stop, answer_of
from reconciler.delivery.api import CONNECT, MOST_READ, READ, TEXT, WRITE
from reconciler.delivery.breaker import MOST_TRIES
from reconciler.delivery.deliver import AT_ONCE, BATCH
from reconciler.settings import DEFAULT_RATE
from tests.unit.delivery.test_api import KEY, NOW

PAGE = (Path(__file__).parents[3] / "docs/delivery.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| \*\*(\w+)\*\* \|", PAGE, re.MULTILINE)
KINDS: dict[str, type[Answer]] = {
    "told": Acknowledged,
    "stopped": Stop,
    "rejected": Rejected,
    "newer": Outdated,
    "again": Again,
}


def statuses(text: str) -> list[int]:
    """``400, 5xx`` as numbers."""
    found = [int(number) for number in re.findall(r"\b\d{3}\b", text)]
    for hundreds in re.findall(r"\b(\d)xx\b", text):
        found += range(int(hundreds) * 100, int(hundreds) * 100 + 100)
    return found


@pytest.mark.parametrize(("answers", "kind"), ROWS)
def test_a_row_of_the_table_is_what_an_answer_means(answers: str, kind: str) -> None:
    headers = {"content-type": "text/html"} if "text/html" in answers else {}
    if "Idempotency-Key" in answers:
        headers = {"idempotency-key": KEY}
    assert statuses(answers) or answers == "no answer"
    for status in statuses(answers):
        assert type(answer_of(status, headers, "", NOW)) is KINDS[kind], status


def test_a_status_that_no_row_names_stops() -> None:
    named = {status for answers, _ in ROWS for status in statuses(answers)}
    rest = {status for status in range(300, 1000) if status not in named}
    assert {type(answer_of(status, {}, "", NOW)) for status in rest} == {Stop}
    assert {kind for _, kind in ROWS} == set(KINDS)


@pytest.mark.parametrize(
    "text",
    [
        f"up to {BATCH} apps",
        f"{AT_ONCE} at once",
        f"{DEFAULT_RATE:g} a second",
        f"at most {MOST_READ // 1024} KiB are read, for at most {TEXT:g} seconds",
        f"longer than {CONNECT:g} s for a connection, takes no data for {WRITE:g} s",
        f"says nothing for {READ:g} s",
        f"at most {MOST_TRIES} tries in any minute",
    ],
)
def test_the_page_has_the_figures_of_the_code(text: str) -> None:
    assert text in PAGE
