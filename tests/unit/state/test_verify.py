"""What verifying counts and judges, as far as no repository is needed: gaps, covered time, directories."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import FormatError
from reconciler.model import FORMAT, App, AppKey, Snapshot
from reconciler.state.documents import dump_app, dump_cluster
from reconciler.state.verify.directory import (
    GONE,
    PLAIN_FILE,
    Directory,
    Document,
    FileChange,
    is_of_record,
    read_document,
)
from reconciler.state.verify.report import MOST_FINDINGS, Findings, Interval, Report, parse_gap
from tests.builders import CLUSTER_UUID, make_app, make_snapshot

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
CLUSTER_FILE = FileChange("cluster.yaml", PLAIN_FILE, "c")
CLUSTER = read_document("cluster.yaml", dump_cluster(make_snapshot().cluster))


def hours(number: float) -> datetime:
    return FIRST + timedelta(hours=number)


def report(*gaps: tuple[float, float], last: float = 24) -> Report:
    some = tuple(Interval(hours(start), hours(end), "down") for start, end in gaps)
    return Report(track="main", first=FIRST, last=hours(last), gaps=some)


@pytest.mark.parametrize(
    ("gaps", "uncovered"),
    [
        ((), 0),
        (((1, 3),), 2),
        (((1, 3), (5, 6)), 3),
        (((1, 3), (2, 4)), 3),
        (((1, 9), (2, 4)), 8),
        (((-5, 1),), 1),
        (((23, 30),), 1),
        (((-5, -1), (25, 26)), 0),
        (((-5, 30),), 24),
    ],
)
def test_uncovered_is_each_moment_of_the_gaps_once(
    gaps: tuple[tuple[float, float], ...], uncovered: float
) -> None:
    assert report(*gaps).uncovered == timedelta(hours=uncovered)
    assert report(*gaps).covered == timedelta(hours=24 - uncovered)


moments = st.floats(-10, 40).map(lambda number: round(number, 2))


@given(st.lists(st.tuples(moments, moments).map(lambda pair: (min(pair), max(pair))), max_size=6))
def test_covered_and_uncovered_are_all_of_the_time(gaps: list[tuple[float, float]]) -> None:
    found = report(*gaps)
    assert found.covered + found.uncovered == timedelta(hours=24)
    assert found.covered >= timedelta() <= found.uncovered
    assert found.uncovered == report(*reversed(gaps)).uncovered


def test_a_record_of_nothing_and_one_whose_dates_go_back_cover_nothing() -> None:
    assert Report(track="main").covered == Report(track="main").uncovered == timedelta()
    assert report(last=-3).covered == timedelta()


def test_a_gap_is_read_as_it_is_written() -> None:
    found = parse_gap("2026-11-01T01:00:00Z/2026-11-01T03:30:00Z unreadable")
    assert (found.start, found.end, found.reason) == (hours(1), hours(3.5), "unreadable")
    assert found.length == timedelta(hours=2.5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "down",
        "2026-11-01T01:00:00Z",
        "2026-11-01T01:00:00Z/2026-11-01T03:30:00Z",
        "2026-11-01T01:00:00Z/2026-11-01T03:30:00Z asleep",
        "2026-11-01T03:30:00Z/2026-11-01T01:00:00Z down",
        "2026-11-01T01:00:00/2026-11-01T03:30:00 down",
        "yesterday/today down",
    ],
)
def test_what_is_no_gap_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_gap(text)


def test_too_many_findings_are_counted_and_not_kept() -> None:
    findings = Findings()
    for number in range(MOST_FINDINGS + 5):
        findings.add(str(number), "is wrong")
    assert (findings.count, len(findings.found)) == (MOST_FINDINGS + 5, MOST_FINDINGS)


# Directories

apps = st.builds(
    make_app,
    namespace=st.sampled_from(["default", "shop", "a-b", "a"]),
    name=st.sampled_from(["test", "web", "b-c", "b.c"]),
    revision=st.integers(1, 9),
)


@given(st.lists(st.lists(apps, max_size=4), min_size=1, max_size=6), st.data())
def test_the_digest_is_that_of_the_snapshot_after_any_changes(
    story: list[list[App]], data: st.DataObject
) -> None:
    directory = Directory()
    directory.apply([CLUSTER_FILE], {"c": CLUSTER})
    now: dict[AppKey, App] = {}
    for some in story:
        gone = data.draw(st.sets(st.sampled_from(sorted(now)))) if now else set()
        changes, documents = [], {}
        for key in gone:
            del now[key]
            changes.append(FileChange(f"{key}.yaml", GONE, "0"))
        for app in {each.key: each for each in some}.values():
            now[app.key] = app
            changes.append(FileChange(f"{app.key}.yaml", PLAIN_FILE, app.digest))
            documents[app.digest] = read_document(f"{app.key}.yaml", dump_app(app))
        directory.apply(changes, documents)
        expected = Snapshot(CLUSTER_UUID, make_snapshot().cluster, now)
        assert directory.digest(CLUSTER_UUID) == expected.digest
        assert directory.problem() == ""


def test_a_copy_goes_its_own_way() -> None:
    app = make_app()
    change = FileChange("default/test.yaml", PLAIN_FILE, "1")
    one = Directory()
    one.apply([CLUSTER_FILE, change], {"c": CLUSTER, "1": read_document(change.path, dump_app(app))})
    other, digest = one.copy(), one.digest(CLUSTER_UUID)
    other.apply([FileChange(change.path, GONE, "0")], {})
    assert (one.digest(CLUSTER_UUID), one.files) == (digest, {"cluster.yaml": "c", change.path: "1"})
    assert other.files == {"cluster.yaml": "c"}


@pytest.mark.parametrize(
    ("mode", "content", "problem"),
    [
        (PLAIN_FILE, b"a: 1\n", "is not a stored app"),
        (PLAIN_FILE, b"\t{", "is not YAML"),
        (PLAIN_FILE, dump_app(make_app("shop")), "holds the app shop/test"),
        ("120000", dump_app(make_app()), "is not a plain file (mode 120000)"),
        ("160000", b"", "is not a plain file (mode 160000)"),
    ],
)
def test_what_is_no_app_makes_no_snapshot(mode: str, content: bytes, problem: str) -> None:
    directory = Directory()
    directory.apply([CLUSTER_FILE], {"c": CLUSTER})
    path = "default/test.yaml"
    directory.apply([FileChange(path, mode, "1")], {"1": read_document(path, content)})
    assert problem in directory.problem()
    directory.apply([FileChange(path, GONE, "0")], {})
    assert directory.problem() == ""


def test_the_policy_must_be_there_and_be_one() -> None:
    directory = Directory()
    assert directory.problem() == "cluster.yaml is missing"
    directory.apply([CLUSTER_FILE], {"c": read_document("cluster.yaml", b"nothing: 1\n")})
    assert "is not a stored cluster" in directory.problem()


def test_a_newer_format_is_not_judged() -> None:
    with pytest.raises(FormatError, match="upgrade the program"):
        read_document("cluster.yaml", f"format: {FORMAT + 1}\n".encode())


def test_what_differs_is_told_with_what_was_there() -> None:
    directory = Directory()
    path = "default/test.yaml"
    document = Document(key=make_app().key, digest="1")
    assert directory.apply([FileChange(path, PLAIN_FILE, "1")], {"1": document}) == {path: ""}
    assert directory.apply([FileChange(path, PLAIN_FILE, "1")], {"1": document}) == {}
    assert directory.apply([FileChange(path, "100755", "1")], {"1": document}) == {path: "1"}
    assert directory.apply([FileChange(path, GONE, "0")], {}) == {path: "100755 1"}
    assert directory.apply([FileChange("README.md", PLAIN_FILE, "1")], {}) == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("cluster.yaml", True),
        ("a/b.yaml", True),
        ("README.md", False),
        ("a/b/c.yaml", False),
        ("a/b.yml", False),
    ],
)
def test_what_is_of_the_record(path: str, expected: bool) -> None:
    assert is_of_record(path) is expected
