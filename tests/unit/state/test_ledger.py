"""What every ledger promises: the file, and ConfigMaps (on a stand-in; tests/cluster has the server)."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reconciler.errors import LedgerError
from reconciler.model import AppKey
from reconciler.policy.entry import Acked, Entry, LedgerFacts, Sending
from reconciler.state.ledger.configmaps import ConfigMapLedger
from reconciler.state.ledger.contract import INSTANCES_KEPT, Ledger
from reconciler.state.ledger.file import FileLedger
from tests.builders import make_app
from tests.unit.state.configmap_standin import StandIn

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ONE, TWO = AppKey("default", "one"), AppKey("default", "two.three")
SENDING = Entry(sending=Sending("k1", make_app(), '{"a": "ü"}'), last_key="k1")
ACKED = Entry(acked=Acked("k1", "A-1", NOW, make_app()), last_key="k1")

Open = Callable[[], Ledger]


@pytest.fixture(params=["file", "configmap"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same ledger anew each time, as another process would."""
    if request.param == "file":
        return lambda: FileLedger(tmp_path / "state" / "ledger.json")
    access = StandIn()
    return lambda: ConfigMapLedger(access, "hossted")


async def test_what_is_written_is_read_back_by_another_process(open_ledger: Open) -> None:
    facts = LedgerFacts(cluster_uuid="K-1", adopted={"a/b": "A-1"}, instances=("i1",), endpoint="https://api")
    written = await open_ledger().write({ONE: SENDING, TWO: ACKED}, facts)
    assert await open_ledger().load() == written
    assert dict(written.entries) == {ONE: SENDING, TWO: ACKED}
    assert written.facts == facts


async def test_none_drops_an_entry_and_leaves_the_others(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.write({ONE: SENDING, TWO: ACKED})
    view = await ledger.write({ONE: None})
    assert dict(view.entries) == {TWO: ACKED}
    assert (await open_ledger().load()).entries == view.entries


async def test_facts_stay_when_only_entries_are_written(open_ledger: Open) -> None:
    ledger = open_ledger()
    await ledger.write({}, LedgerFacts(endpoint="https://api"))
    await ledger.write({ONE: ACKED})
    assert (await open_ledger().load()).facts.endpoint == "https://api"


async def test_a_ledger_that_was_not_there_is_suspect_until_it_is_settled(open_ledger: Open) -> None:
    assert (await open_ledger().load()).suspect
    assert (await open_ledger().write({ONE: ACKED}, LedgerFacts(cluster_uuid="K-1"))).suspect
    assert (await open_ledger().load()).suspect
    assert not (await open_ledger().settle_suspicion()).suspect
    view = await open_ledger().load()
    assert not view.suspect
    assert (dict(view.entries), view.facts.cluster_uuid) == ({ONE: ACKED}, "K-1")


async def test_of_two_writers_the_one_who_did_not_see_the_others_write_fails_and_reads_anew(
    open_ledger: Open,
) -> None:
    mine, others = open_ledger(), open_ledger()
    await mine.write({ONE: SENDING})
    await others.load()
    await mine.write({ONE: ACKED})
    with pytest.raises(LedgerError, match="somebody else"):
        await others.write({TWO: SENDING})
    assert dict((await others.load()).entries) == {ONE: ACKED}
    assert dict((await others.write({TWO: SENDING})).entries) == {ONE: ACKED, TWO: SENDING}


async def test_of_two_who_make_the_ledger_one_fails(open_ledger: Open) -> None:
    mine, others = open_ledger(), open_ledger()
    await mine.load()
    await others.load()
    await mine.write({ONE: ACKED}, LedgerFacts(cluster_uuid="K-1"))
    with pytest.raises(LedgerError, match="somebody else"):
        await others.write({ONE: SENDING}, LedgerFacts(cluster_uuid="K-2"))
    view = await open_ledger().load()
    assert (view.facts.cluster_uuid, dict(view.entries)) == ("K-1", {ONE: ACKED})


async def test_only_the_newest_instances_are_kept(open_ledger: Open) -> None:
    instances = tuple(f"i{number}" for number in range(INSTANCES_KEPT + 3))
    view = await open_ledger().write({}, LedgerFacts(instances=instances))
    assert view.facts.instances == instances[3:]
