"""``why`` on a repository, without any cluster: what it prints, and with which exit status."""

import asyncio
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.model import App
from reconciler.policy.entry import Acked, Entry, LedgerFacts, Rejected, Sending
from reconciler.policy.protocol import told_digest
from reconciler.state.ledger.file import FileLedger
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.commands import STORY, V1, V2, WEB, Hossted, ids, record, write_ledger

NOW = datetime.now(UTC)
UPGRADE = "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2"
KEY = "01a1fe1f-8528-7000-8000-00000000000a"

Keep = Callable[[Entry], None]


@pytest.fixture
def keep(repository: Path) -> Keep:
    """Puts a ledger beside the repository that knows the app ``default/test``."""

    async def write(entry: Entry) -> None:
        ledger = FileLedger(repository.with_name(f"{repository.name}.ledger.json"))
        await ledger.load()
        await ledger.write({V1.key: entry}, LedgerFacts(cluster_uuid=CLUSTER_UUID))

    return lambda entry: asyncio.run(write(entry))


def acked(app: App | None) -> Acked:
    return Acked(KEY, V1.app_uuid, STORY[1][0], app, 200)


SENT = Entry(acked=acked(V1), sending=Sending(KEY, V2, "{}"), last_key=KEY)
REJECTED = Rejected(told_digest(V2), 422, NOW, "no such app_uuid")


def test_why_says_what_is_recorded_what_the_api_knows_and_which_rule_decided(
    hossted: Hossted, keep: Keep
) -> None:
    keep(Entry(acked=acked(V2)))
    _, second, _ = ids(hossted)
    done = hossted("why", "default/test")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "the API knows default/test as it is recorded",
        "",
        f"On record  keycloak 1.1.0, revision 2; since 2026-11-20 09:00:00 UTC by {second[:12]}: {UPGRADE}",
        "API knows  keycloak 1.1.0, revision 2; acknowledged 2026-11-20 09:00:00 UTC with status 200,"
        f" under the key {KEY}",
        "Rule       HelmUpdate pushes a change of helm_info.revision, chart_version",
    ]


@pytest.mark.parametrize(
    ("entry", "status", "answer"),
    [
        pytest.param(Entry(acked=acked(V2)), 0, "the API knows default/test as it is recorded", id="told"),
        pytest.param(
            Entry(acked=acked(make_app(revision=2, chart_version="1.1.0", image="keycloak:9"))),
            0,
            "default/test is recorded and not told: HelmUpdate does not push a change of pod_info.image",
            id="recorded only",
        ),
        pytest.param(
            Entry(acked=acked(V1)),
            1,
            "default/test is recorded, and told with the next delivery",
            id="pending",
        ),
        pytest.param(SENT, 1, "default/test was sent and no answer came", id="in doubt"),
        pytest.param(
            Entry(acked=SENT.acked, sending=SENT.sending, rejected=REJECTED, last_key=KEY),
            1,
            "the API rejected default/test as it is recorded, with status 422",
            id="rejected",
        ),
    ],
)
def test_why_ends_with_0_when_the_api_knows_what_it_should_and_1_when_something_waits(
    hossted: Hossted, keep: Keep, entry: Entry, status: int, answer: str
) -> None:
    keep(entry)
    done = hossted("why", "default/test")
    assert (done.status, done.err) == (status, "")
    assert done.out.startswith(answer)
    document = json.loads(hossted("why", "default/test", "-o", "json").out)
    assert document["right"] is (status == 0)
    assert document["answer"].startswith(answer)


def test_why_for_programs_has_what_the_words_are_made_of(hossted: Hossted, keep: Keep) -> None:
    keep(SENT)
    _, second, _ = ids(hossted)
    document = json.loads(hossted("why", "default/test", "-o", "json", "--tz", "Europe/Paris").out)
    assert document["standing"] == "InDoubt"
    assert document["recorded"] == {
        "revision": second,
        "recorded": "2026-11-20T10:00:00+01:00",
        "subject": UPGRADE,
        "present": True,
    }
    assert document["acknowledged"] == {
        "at": "2026-11-20T10:00:00+01:00",
        "key": KEY,
        "status": 200,
        "revision": 1,
    }
    assert document["sending"] == {"key": KEY}
    assert document["rejected"] is None
    assert [(one["field"], one["action"], one["by"]) for one in document["differences"]] == [
        ("helm_info.revision", "Push", "HelmUpdate"),
        ("chart_version", "Push", "HelmUpdate"),
    ]


def test_what_was_uninstalled_and_told_is_right(hossted: Hossted, repository: Path, keep: Keep) -> None:
    asyncio.run(record(repository, (NOW, make_snapshot(WEB))))
    keep(Entry(acked=acked(None)))
    done = hossted("why", "default/test")
    assert done.status == 0
    assert done.out.startswith(
        "the API knows that default/test is uninstalled\n\nOn record  not any more, since "
    )


def test_an_app_that_nobody_knows_is_an_error_with_the_nearest_names(hossted: Hossted, keep: Keep) -> None:
    keep(Entry(acked=acked(V2)))
    done = hossted("why", "defualt/test")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "hossted-reconciler: defualt/test is neither on record nor known to the API."
        " Did you mean default/test?\n"
    )
    assert hossted("why", "test").status == 2


@pytest.mark.parametrize("other", [False, True])
def test_without_a_ledger_how_an_app_stands_cannot_be_told(
    hossted: Hossted, repository: Path, other: bool
) -> None:
    if other:
        write_ledger(repository, OTHER_CLUSTER_UUID)
    done = hossted("why", "default/test")
    assert done.status == 2
    assert done.err.startswith("note: the ledger is about" if other else "note: there is no ledger here")
    answer, _, on_record = done.out.splitlines()
    assert answer.startswith("how default/test stands cannot be told: ")
    assert on_record.startswith("On record  keycloak 1.1.0, revision 2; since ")


def test_a_repository_that_is_gone_is_trouble(hossted: Hossted, repository: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert hossted("why", "default/test", repo=empty).status == 2
    shutil.rmtree(empty)
    assert "there is no such directory" in hossted("why", "default/test", repo=empty).err
