"""``blame``, and what ``history`` says of an app, on a repository."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.policy.entry import Acked, Entry, LedgerFacts, Sending
from reconciler.state.ledger.file import FileLedger
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.commands import STORY, V1, V2, WEB, Hossted, ids, record, write_ledger
from tests.git.factory import commit_as_a_person

LATER = datetime(2026, 11, 22, 9, tzinfo=UTC)
UPGRADE = "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2"
NO_LEDGER = "note: there is no ledger here, so it is not known what the API knows\n"


def keep(repository: Path, entry: Entry) -> None:
    """A ledger beside the repository that knows one app."""

    async def write() -> None:
        ledger = FileLedger(repository.with_name(f"{repository.name}.ledger.json"))
        await ledger.load()
        await ledger.write({V1.key: entry}, LedgerFacts(cluster_uuid=CLUSTER_UUID))

    asyncio.run(write())


def blamed(hossted: Hossted, app: str = "default/test") -> dict[str, tuple[str, str | None]]:
    """By line, whose it is and what the API knows of it; of equal lines the last."""
    document = json.loads(hossted("blame", app, "-o", "json").out)
    assert document["app"] == app
    return {one["line"].strip(): (one["revision"], one["told"]) for one in document["lines"]}


def test_blame_names_for_each_line_the_revision_that_last_changed_it(hossted: Hossted) -> None:
    first, second, _ = (one[:12] for one in ids(hossted))
    done = hossted("blame", "default/test")
    assert (done.status, done.err) == (0, NO_LEDGER)
    document, _, origins = done.out.partition("\n\n")
    lines = document.splitlines()
    assert lines[0] == f"{first}  2026-11-19 09:00:00 UTC  app_api_info:"
    assert [line for line in lines if not line.startswith(first)] == [
        f"{second}  2026-11-20 09:00:00 UTC      revision: 2",
        f"{second}  2026-11-20 09:00:00 UTC    chart_version: 1.1.0",
    ]
    assert origins.splitlines() == [f"{second}  {UPGRADE}", f"{first}  record 1 app of cluster test"]


def test_blame_says_of_each_line_whether_the_api_knows_it(hossted: Hossted, repository: Path) -> None:
    write_ledger(repository, CLUSTER_UUID)
    lines = hossted("blame", "default/test").out.partition("\n\n")[0].splitlines()
    told = {line[49:].strip(): line[39:47].strip() for line in lines}
    assert told["revision: 2"] == "not told"
    assert told["updated: '2026-11-21T09:42:49.227889695Z'"] == "told"
    assert told["chart_version: 1.1.0"] == "-"


SENT = Sending("k2", V2, "{}")


@pytest.mark.parametrize(
    ("entry", "revision", "chart"),
    [
        pytest.param(Entry(), "not told", "not told", id="nothing was ever told"),
        pytest.param(Entry(acked=Acked("k1", V1.app_uuid, LATER, V1)), "not told", "told", id="older"),
        pytest.param(Entry(acked=Acked("k1", V2.app_uuid, LATER, V2)), "told", "told", id="all of it"),
        pytest.param(Entry(acked=Acked("k1", V2.app_uuid, LATER)), "not told", "not told", id="uninstalled"),
        pytest.param(Entry(sending=SENT), "in doubt", "in doubt", id="sent for the first time"),
        pytest.param(
            Entry(acked=Acked("k1", V1.app_uuid, LATER, V1), sending=SENT), "in doubt", "told", id="sent"
        ),
        pytest.param(
            Entry(acked=Acked("k1", V2.app_uuid, LATER, V2), sending=Sending("k2", V1, "{}")),
            "in doubt",
            "told",
            id="something else was sent",
        ),
    ],
)
def test_a_line_is_told_not_told_or_in_doubt(
    hossted: Hossted, repository: Path, entry: Entry, revision: str, chart: str
) -> None:
    keep(repository, entry)
    lines = blamed(hossted)
    assert (lines["revision: 2"][1], lines["chart: keycloak"][1]) == (revision, chart)
    assert lines["chart_version: 1.1.0"][1] == "-"


def test_without_a_ledger_programs_are_told_that_it_is_not_known(hossted: Hossted) -> None:
    first, second, _ = ids(hossted)
    lines = blamed(hossted)
    assert lines["revision: 2"] == (second, None)
    assert lines["chart: keycloak"] == (first, None)
    newest = json.loads(hossted("blame", "default/test", "-o", "json").out)["lines"][9]
    assert newest == {
        "line": "    revision: 2",
        "revision": second,
        "orOlder": False,
        "recorded": "2026-11-20T09:00:00Z",
        "subject": UPGRADE,
        "told": None,
    }


def test_blame_of_what_came_back_begins_with_its_return(hossted: Hossted, tmp_path: Path) -> None:
    path = tmp_path / "back.git"
    asyncio.run(record(path, *STORY, (LATER, make_snapshot(WEB)), (LATER, make_snapshot(V2, WEB))))
    newest = json.loads(hossted("history", "-o", "json", repo=path).out)[0]["revision"]
    document = json.loads(hossted("blame", "default/test", "-o", "json", repo=path).out)
    assert {line["revision"] for line in document["lines"]} == {newest}


def test_blame_of_what_has_left_the_record_is_of_how_it_was_last(hossted: Hossted, tmp_path: Path) -> None:
    path = tmp_path / "left.git"
    asyncio.run(record(path, *STORY, (LATER, make_snapshot(WEB))))
    done = hossted("blame", "default/test", repo=path)
    assert done.status == 0
    left, known = done.err.splitlines(keepends=True)
    assert left.startswith("note: default/test has left the record: uninstall default/test: keycloak 1.1.0")
    assert left.endswith("; this is how it was\n")
    assert known == NO_LEDGER
    assert "      revision: 2\n" in done.out


def test_blame_passes_over_what_people_broke_and_what_came_next_stands_for_it(
    hossted: Hossted, tmp_path: Path
) -> None:
    path = tmp_path / "edited.git"
    asyncio.run(record(path, *STORY[:1]))
    file = f"clusters/{CLUSTER_UUID}/default/test.yaml"
    commit_as_a_person(path, {file: "no app: at all\n"}, "break it")
    asyncio.run(record(path, (LATER, make_snapshot(make_app(revision=7, chart_version="1.0.0")))))
    done = hossted("blame", "default/test", repo=path)
    assert done.status == 0
    assert done.err.splitlines()[0].startswith("note: 1 revision of default/test cannot be read")


def test_an_app_that_was_never_recorded_ends_with_status_2(hossted: Hossted) -> None:
    done = hossted("blame", "default/tset")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("hossted-reconciler: nothing is on record of default/tset")
    wrong = hossted("blame", "tset")
    assert wrong.status == 2
    assert wrong.err == "hossted-reconciler: 'tset' is not of the form NAMESPACE/NAME, as in default/test\n"


def test_history_of_an_app_says_from_where_on_the_api_knows_it(hossted: Hossted, repository: Path) -> None:
    write_ledger(repository, CLUSTER_UUID)
    first, second, _ = (one[:12] for one in ids(hossted))
    assert hossted("history", "default/test").out.splitlines() == [
        f"{second}  2026-11-20 09:00:00 UTC  not told  {UPGRADE}",
        f"{first}  2026-11-19 09:00:00 UTC  told      record 1 app of cluster test",
    ]
    newest, oldest = json.loads(hossted("history", "default/test", "-o", "json").out)
    assert (newest["told"], oldest["told"]) == (False, True)
    assert "told" not in json.loads(hossted("history", "-o", "json").out)[0]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (Entry(), [False, False]),
        (Entry(acked=Acked("k1", V2.app_uuid, LATER, V2)), [True, True]),
        (Entry(acked=Acked("k1", V1.app_uuid, LATER)), [False, False]),
        (Entry(acked=Acked("k1", V1.app_uuid, LATER, make_app(revision=9))), [False, False]),
    ],
)
def test_what_history_says_follows_the_ledger(
    hossted: Hossted, repository: Path, entry: Entry, told: list[bool]
) -> None:
    keep(repository, entry)
    assert [one["told"] for one in json.loads(hossted("history", "default/test", "-o", "json").out)] == told


def test_the_end_of_an_app_is_told_too(hossted: Hossted, tmp_path: Path) -> None:
    path = tmp_path / "left.git"
    asyncio.run(record(path, *STORY, (LATER, make_snapshot(WEB))))
    keep(path, Entry(acked=Acked("k1", V1.app_uuid, LATER)))
    found = json.loads(hossted("history", "default/test", "-o", "json", repo=path).out)
    assert [one["told"] for one in found] == [True, True, True]
