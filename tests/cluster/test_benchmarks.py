"""The benchmarks of the live inventory still run: one part of them, on a cluster of four releases."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
from rich.console import Console

from tests.benchmarks.live import report
from tests.benchmarks.live.main import measure
from tests.benchmarks.live.parts import Effort
from tests.benchmarks.live.report import Row
from tests.benchmarks.live.scale import Scale

TWO_AND_COPIES = Scale(2, 2)


def test_a_cold_start_is_measured_next_to_curl_and_the_official_client(tmp_path: Path) -> None:
    shown = Console(file=io.StringIO(), width=160)
    (run,) = measure(["cold"], Effort(small=True), TWO_AND_COPIES, TWO_AND_COPIES, shown)
    rows = {row.what: row for row in run.rows}
    assert rows["first inventory complete"].note.startswith("4 apps, ")
    assert all(row.value > 0 for row in run.rows)
    assert {row.baseline_name for row in run.rows if row.baseline} >= {
        "curl, the same requests",
        "official client, typed lists",
        "helm list -A -a",
    }
    report.write(run, tmp_path / "live.json")
    written = msgspec.json.decode((tmp_path / "live.json").read_bytes(), type=dict[str, report.Run])
    assert written == {"4 releases, 62 pods": run}
    assert report.table(run, written).row_count >= len(rows)


def test_a_goal_is_of_the_ratio_where_it_says_so_and_of_the_figure_elsewhere() -> None:
    row = Row("part", "what", 3.0, "s", goal=1.5, is_ratio=True, baseline=2.0)
    assert (row.ratio, row.met) == (1.5, True)
    assert msgspec.structs.replace(row, value=3.1).met is False
    assert msgspec.structs.replace(row, is_ratio=False).met is False
    assert msgspec.structs.replace(row, goal=None).met is None
    assert msgspec.structs.replace(row, baseline=0.0).met is None
