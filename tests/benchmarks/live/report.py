"""Rows of figures, their table, and their file."""

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.table import Table

RESULTS = Path(__file__).parents[1] / "results" / "live.json"
DOCUMENT = Path(__file__).parents[3] / "docs/performance.md"
BEGIN, END = "<!-- figures: written by `make bench ARGS=live` -->", "<!-- end of figures -->"


_MET = {None: "", True: "met", False: "**not met**"}


class Row(msgspec.Struct, frozen=True):
    """One figure, and what it is compared with.

    ``goal``: at most this; None where none was set. It is of ``ratio`` when ``is_ratio``, else of ``value``.
    ``baseline``: the other way's figure in the same unit, if there is one.
    """

    part: str
    what: str
    value: float
    unit: str
    goal: float | None = None
    is_ratio: bool = False
    baseline: float | None = None
    baseline_name: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the baseline's."""
        return self.value / self.baseline if self.baseline else None

    @property
    def met(self) -> bool | None:
        compared = self.ratio if self.is_ratio else self.value
        return None if self.goal is None or compared is None else compared <= self.goal


class Run(msgspec.Struct, frozen=True):
    """``scale``: by which runs are told apart; only those of the same are compared. ``load``: of the machine
    before it, on average over 1, 5 and 15 minutes."""

    scale: str
    at: str
    machine: str
    load: tuple[float, float, float]
    rows: tuple[Row, ...]


def a_run(scale: str, load: tuple[float, float, float], rows: Iterable[Row]) -> Run:
    """What was measured now. ``load``: as ``Run.load``."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return Run(scale, datetime.now(UTC).isoformat(timespec="seconds"), machine, load, tuple(rows))


def read() -> dict[str, Run]:
    """The committed runs, by scale."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=dict[str, Run]) if RESULTS.exists() else {}


def write(run: Run, path: Path = RESULTS) -> None:
    """Put the run beside those of other scales; the rows of parts that it did not measure stay."""
    runs = read() if path == RESULTS else {}
    parts = {row.part for row in run.rows}
    before = runs[run.scale].rows if run.scale in runs else ()
    rows = (*(row for row in before if row.part not in parts), *run.rows)
    runs[run.scale] = msgspec.structs.replace(run, rows=tuple(sorted(rows, key=lambda row: row.part)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(runs), indent=1) + b"\n")


def publish(runs: Mapping[str, Run]) -> None:
    """Put the figures of the largest cluster into the document."""
    run = max(runs.values(), key=_releases)
    text = DOCUMENT.read_text()
    before, after = text.partition(BEGIN)[0], text.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{_markdown(run)}\n{END}{after}")


def _releases(run: Run) -> int:
    return int(run.scale.partition(" ")[0].replace(",", ""))


def _markdown(run: Run) -> str:
    load = ", ".join(f"{one:.1f}" for one in run.load)
    lines = [f"A cluster of {run.scale}; {run.machine}; load average {load} when it began; {run.at}."]
    if run.load[0] > 2 * (os.cpu_count() or 1):  # it tells of minutes that are over, too
        lines.append("Other work ran beside it, so that times are several times what they are alone.")
    if _releases(run) < 1_000:
        lines.append(
            "The goals are for 1,000 releases and 10,000 pods: here they only show what is compared."
        )
    lines += [
        "",
        "| what | figure | goal | | baseline of the same run | times the baseline |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in run.rows:
        baseline = "" if row.baseline is None else f"{_shown(row.baseline, row.unit)}, {row.baseline_name}"
        note = f" ({row.note})" if row.note else ""
        ratio = "" if row.ratio is None else _number(row.ratio)
        cells = (row.what + note, _shown(row.value, row.unit), _goal(row), _MET[row.met], baseline, ratio)
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines)


def table(run: Run, last: Mapping[str, Run]) -> Table:
    """Goals beside figures, and the last run of the same scale beside both."""
    known = {(row.part, row.what): row.value for row in last[run.scale].rows} if run.scale in last else {}
    shown = Table("what", "figure", "goal", "", "baseline", "", "times the baseline", "last run")
    shown.title = f"{run.scale}; {run.machine}, load {run.load[0]:.1f}"
    part = ""
    for row in run.rows:
        if part not in ("", row.part):
            shown.add_section()
        part = row.part
        before = known.get((row.part, row.what))
        shown.add_row(
            row.what + (f"\n  ({row.note})" if row.note else ""),
            _shown(row.value, row.unit),
            _goal(row),
            _MET[row.met],
            row.baseline_name,
            "" if row.baseline is None else _shown(row.baseline, row.unit),
            "" if row.ratio is None else _number(row.ratio),
            "" if before is None else _shown(before, row.unit),
        )
    return shown


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"≤ {_number(row.goal)} times" if row.is_ratio else f"≤ {_shown(row.goal, row.unit)}"


def _shown(value: float, unit: str) -> str:
    return f"{_number(value)} {unit}".rstrip()


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 4
    return f"{value:,.{digits}f}"
