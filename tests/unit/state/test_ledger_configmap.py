"""The ledger in ConfigMaps, on a stand-in for the API server: splits, crashes, what is found afterwards."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from random import Random
from string import ascii_letters

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import FormatError, KubernetesError, LedgerError
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import AppKey
from reconciler.policy.entry import Acked, Entry, LedgerFacts, Sending
from reconciler.state.ledger.configmaps import ConfigMapLedger
from tests.builders import make_app
from tests.unit.state.configmap_standin import CrashError, Faulty, StandIn

NAMESPACE = "hossted"
APP = make_app()
ROOT = (NAMESPACE, "hossted-ledger-shard")
FACTS = (NAMESPACE, "hossted-ledger")


@cache
def bulky(mark: str) -> Entry:
    """An entry of 4 kB however it is packed: nine of them split a shard."""
    noise = "".join(Random(mark).choices(ascii_letters, k=3_100))
    return Entry(sending=Sending(mark, APP, mark + noise), last_key=mark)


def key(number: int) -> AppKey:
    return AppKey("default", f"app-{number}")


async def settled(access: StandIn, entries: Mapping[AppKey, Entry]) -> None:
    ledger = ConfigMapLedger(access, NAMESPACE)
    await ledger.write(entries)
    await ledger.settle_suspicion()


writes = st.dictionaries(st.integers(0, 24), st.one_of(st.none(), st.sampled_from("abc")), max_size=12)


@settings(max_examples=25)
@given(st.lists(writes, max_size=6), st.booleans())
def test_any_sequence_of_writes_reads_back_as_a_dict_would(
    sequence: list[dict[int, str | None]], anew: bool
) -> None:
    async def run() -> None:
        access, expected = StandIn(), dict[AppKey, Entry]()
        ledger = ConfigMapLedger(access, NAMESPACE)
        for write in sequence:
            if anew:
                ledger = ConfigMapLedger(access, NAMESPACE)
            entries = {key(number): bulky(mark) if mark else None for number, mark in write.items()}
            for app, entry in entries.items():
                expected.pop(app, None)
                if entry:
                    expected[app] = entry
            assert (await ledger.write(entries)).entries == expected
        assert (await ConfigMapLedger(access, NAMESPACE).load()).entries == expected

    asyncio.run(run())


BEFORE = {key(number): bulky("a") for number in range(8)}
SPLITS = {key(number): bulky("b") for number in range(4, 12)}
"""Changes four, adds four, and so splits the only shard."""


async def run_until(access: StandIn, at: int, *, made: bool) -> int:
    """Make the write that splits, and die at its ``at``-th request; how many requests were made."""
    faulty = Faulty(access, at, made=made)
    ledger = ConfigMapLedger(faulty, NAMESPACE)
    with suppress(CrashError):
        await ledger.write(SPLITS, LedgerFacts(cluster_uuid="K-1"))
    return faulty.writes


async def requests_of_a_split() -> int:
    access = StandIn()
    await settled(access, BEFORE)
    return await run_until(access, -1, made=False)


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
async def test_a_crash_at_any_request_of_a_split_leaves_every_entry_as_it_was_or_as_it_was_to_be(
    made: bool,
) -> None:
    total = await requests_of_a_split()
    assert total >= 6, "facts, two children created and filled, and the branch"
    outcomes = set()
    for at in range(total):
        access = StandIn()
        await settled(access, BEFORE)
        await run_until(access, at, made=made)
        view = await ConfigMapLedger(access, NAMESPACE).load()
        assert view.entries in (BEFORE, BEFORE | SPLITS)
        assert not view.suspect
        outcomes.add(len(view.entries))

        again = await ConfigMapLedger(access, NAMESPACE).write(SPLITS | {key(99): bulky("c")})
        assert again.entries == BEFORE | SPLITS | {key(99): bulky("c")}
        assert (await ConfigMapLedger(access, NAMESPACE).load()).entries == again.entries
    assert outcomes == ({8, 12} if made else {8})


async def test_what_a_split_that_was_not_finished_left_is_deleted_by_a_later_write() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    await run_until(access, await requests_of_a_split() - 1, made=False)
    left = set(access.items)
    await ConfigMapLedger(access, NAMESPACE).write(SPLITS)
    await ConfigMapLedger(access, NAMESPACE).write({key(0): None})
    children = {name for name in left if name[1].startswith("hossted-ledger-shard-")}
    assert len(children) >= 2
    assert not children & set(access.items)


async def test_children_that_may_still_be_named_are_not_deleted() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    # A writer who has filled the children and is about to name them, while another one takes over.
    await run_until(access, await requests_of_a_split() - 1, made=False)
    left = set(access.items)
    await ConfigMapLedger(access, NAMESPACE).write({}, LedgerFacts(endpoint="https://api"))
    assert set(access.items) == left


async def test_a_writer_who_knows_a_shard_only_as_it_was_before_the_split_fails() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    stale = ConfigMapLedger(access, NAMESPACE)
    await stale.load()
    await ConfigMapLedger(access, NAMESPACE).write(SPLITS)
    with pytest.raises(LedgerError, match="somebody else wrote in between"):
        await stale.write({key(0): bulky("s")})
    assert (await stale.load()).entries == BEFORE | SPLITS


async def test_during_a_write_it_is_known_as_far_as_it_is_durable_and_after_one_that_fails_it_is_not() -> (
    None
):
    access = StandIn()
    await settled(access, BEFORE)
    seen: list[Mapping[AppKey, Entry] | None] = []

    def known() -> Mapping[AppKey, Entry] | None:
        return ledger.known.entries if ledger.known else None

    class Looking(Faulty):
        async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
            seen.append(known())
            return await super().replace_config_map(wanted)

    ledger = ConfigMapLedger(Looking(access, 1, error=KubernetesError("away")), NAMESPACE)
    assert known() is None
    await ledger.load()
    after = (await ledger.write({key(0): bulky("s")})).entries
    assert known() == after
    with pytest.raises(LedgerError):
        await ledger.write({key(0): bulky("t")})
    assert seen == [BEFORE, after]
    assert known() is None


async def test_two_writers_who_split_at_once_do_not_mix_their_children() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    one, other = ConfigMapLedger(access, NAMESPACE), ConfigMapLedger(access, NAMESPACE)
    await one.load()
    await other.load()
    mine = {key(number): bulky("m") for number in range(20, 26)}
    results = await asyncio.gather(one.write(SPLITS), other.write(mine), return_exceptions=True)
    assert [type(result) for result in results].count(LedgerError) == 1
    won = SPLITS if isinstance(results[1], LedgerError) else mine
    assert (await ConfigMapLedger(access, NAMESPACE).load()).entries == BEFORE | won


async def test_the_apps_of_one_shard_are_written_by_one_request() -> None:
    access = StandIn()
    await settled(access, BEFORE | SPLITS)
    faulty = Faulty(access)
    ledger = ConfigMapLedger(faulty, NAMESPACE)
    await ledger.load()
    by_shard: dict[str, list[AppKey]] = {}
    for app in BEFORE | SPLITS:
        by_shard.setdefault(ledger.shard_of(app), []).append(app)
    assert len(by_shard) >= 2
    for number, apps in enumerate(by_shard.values(), start=1):
        await ledger.write({app: Entry(last_key="z") for app in apps})
        assert faulty.writes == number
    assert faulty.reads == 1, "one list, and nothing is read again for a write"


async def test_writing_what_is_there_already_makes_no_request() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    faulty = Faulty(access)
    ledger = ConfigMapLedger(faulty, NAMESPACE)
    view = await ledger.load()
    assert await ledger.write(BEFORE, view.facts) == view
    assert await ledger.settle_suspicion() == view
    assert faulty.writes == 0


def restored(access: StandIn, name: tuple[str, str], data: Mapping[str, str] | None = None) -> None:
    """Delete a ConfigMap and make it again as a backup has it: same data, another UID."""
    item = access.items[name]
    access.items[name] = msgspec.structs.replace(
        item, uid="another", data=item.data if data is None else data
    )


def edited(access: StandIn, name: tuple[str, str]) -> None:
    access.items[name] = msgspec.structs.replace(
        access.items[name], managers=("hossted-reconciler", "kubectl-edit")
    )


def missing(access: StandIn, name: tuple[str, str]) -> None:
    del access.items[name]


def leaf(access: StandIn) -> tuple[str, str]:
    return max(name for name in access.items if name[1].startswith("hossted-ledger-shard-"))


@pytest.mark.parametrize("what", [restored, edited, missing])
@pytest.mark.parametrize("where", ["facts", "root", "leaf"])
async def test_a_configmap_that_was_restored_edited_or_deleted_makes_the_ledger_suspect_until_settled(
    what: object, where: str
) -> None:
    assert callable(what)
    access = StandIn()
    await settled(access, BEFORE | SPLITS)
    what(access, {"facts": FACTS, "root": ROOT, "leaf": leaf(access)}[where])

    view = await ConfigMapLedger(access, NAMESPACE).load()
    assert view.suspect
    if what is not missing or where == "facts":
        assert view.entries == BEFORE | SPLITS

    # Writes cover the evidence, not the suspicion.
    written = await ConfigMapLedger(access, NAMESPACE).write({key(n): bulky("w") for n in range(12)})
    assert written.suspect
    assert (await ConfigMapLedger(access, NAMESPACE).load()).suspect
    await ConfigMapLedger(access, NAMESPACE).settle_suspicion()
    after = await ConfigMapLedger(access, NAMESPACE).load()
    assert not after.suspect
    assert after.entries == written.entries


@pytest.mark.parametrize("what", [restored, edited, missing])
@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
async def test_a_crash_at_any_request_of_settling_keeps_the_suspicion_or_ends_it(
    what: object, made: bool
) -> None:
    assert callable(what)

    async def tampered() -> StandIn:
        access = StandIn()
        await settled(access, BEFORE | SPLITS)
        what(access, leaf(access))
        return access

    counting = Faulty(await tampered())
    await ConfigMapLedger(counting, NAMESPACE).settle_suspicion()
    assert counting.writes >= 3, "the suspicion, the shard, the end of the suspicion"
    for at in range(counting.writes):
        access = await tampered()
        before = (await ConfigMapLedger(access, NAMESPACE).load()).entries
        with pytest.raises(CrashError):
            await ConfigMapLedger(Faulty(access, at, made=made), NAMESPACE).settle_suspicion()
        view = await ConfigMapLedger(access, NAMESPACE).load()
        assert view.suspect is not (made and at == counting.writes - 1)
        assert view.entries == before
        await ConfigMapLedger(access, NAMESPACE).settle_suspicion()
        after = await ConfigMapLedger(access, NAMESPACE).load()
        assert (after.suspect, after.entries) == (False, before)


@pytest.mark.parametrize("made", [False, True], ids=["not made", "made, not answered"])
async def test_a_crash_while_the_ledger_is_made_leaves_one_that_is_suspect(made: bool) -> None:
    counting = Faulty(StandIn())
    await ConfigMapLedger(counting, NAMESPACE).write(BEFORE, LedgerFacts(cluster_uuid="K-1"))
    for at in range(counting.writes):
        access = StandIn()
        with pytest.raises(CrashError):
            await ConfigMapLedger(Faulty(access, at, made=made), NAMESPACE).write(
                BEFORE, LedgerFacts(cluster_uuid="K-1")
            )
        view = await ConfigMapLedger(access, NAMESPACE).load()
        assert view.suspect
        assert view.entries in ({}, BEFORE)
        again = await ConfigMapLedger(access, NAMESPACE).write(BEFORE, LedgerFacts(cluster_uuid="K-1"))
        assert (again.entries, again.facts.cluster_uuid) == (BEFORE, "K-1")


async def test_after_a_failed_write_the_ledger_is_read_anew() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    faulty = Faulty(access, 0, made=True, error=KubernetesError("no answer"))
    ledger = ConfigMapLedger(faulty, NAMESPACE)
    await ledger.load()
    with pytest.raises(LedgerError, match="no answer"):
        await ledger.write({key(0): bulky("b")})
    assert (await ledger.write({key(1): bulky("b")})).entries[key(0)] == bulky("b")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (FACTS, {"ledger.json": '{"format": 2}'}, "newer program"),
        (FACTS, {}, "hossted/hossted-ledger is not a ledger that we wrote"),
        (ROOT, {"shard.json": '{"format": 1, "uid": "u", "children": {"0": "x"}}'}, "tree of shards"),
        (
            ROOT,
            {"shard.json": '{"format": 1, "children": {"": "hossted-ledger-shard"}}'},
            "not a ledger that we",
        ),
        (ROOT, {"shard.json": '{"format": 1}', "a_b": "{"}, "data 'a_b', is not an entry that we wrote"),
    ],
)
async def test_a_ledger_that_makes_no_sense_is_refused_by_name(
    name: tuple[str, str], data: dict[str, str], message: str
) -> None:
    access = StandIn()
    await settled(access, BEFORE)
    restored(access, name, data)
    with pytest.raises(FormatError, match=message):
        await ConfigMapLedger(access, NAMESPACE).load()


async def test_a_configmap_that_lost_its_labels_is_not_written_over() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    item: ConfigMap = access.items[ROOT]
    access.items[ROOT] = msgspec.structs.replace(item, labels={})
    with pytest.raises(LedgerError, match="hossted-ledger-shard is there"):
        await ConfigMapLedger(access, NAMESPACE).write({key(0): bulky("b")})
    assert access.items[ROOT].data == item.data


async def test_what_was_acknowledged_is_kept_once_however_often_it_is_read() -> None:
    access = StandIn()
    told = Entry(acked=Acked("1", APP.app_uuid, datetime(2026, 11, 21, tzinfo=UTC), APP), last_key="1")
    await settled(access, {APP.key: told})
    ledger = ConfigMapLedger(access, NAMESPACE)
    first, second = [(await ledger.load()).entries[APP.key] for _ in range(2)]
    assert first == second == told
    assert first.acked
    assert second.acked
    assert first.acked.app is second.acked.app


async def test_two_ledgers_share_a_namespace() -> None:
    access = StandIn()
    await settled(access, BEFORE)
    await ConfigMapLedger(access, NAMESPACE, "other").write(SPLITS)
    assert (await ConfigMapLedger(access, NAMESPACE).load()).entries == BEFORE
    assert (await ConfigMapLedger(access, NAMESPACE, "other").load()).entries == SPLITS


async def test_the_shard_of_an_app_is_known_before_the_ledger_was_read() -> None:
    assert ConfigMapLedger(StandIn(), NAMESPACE).shard_of(key(0)) == ""
