"""A copy of the ledger that people read: what it lacks, and when it knows of later deliveries."""

from datetime import UTC, datetime

import pytest

from reconciler.model import App, AppKey, emitted, encode
from reconciler.policy import keys
from reconciler.policy.delivered import missing, newer, outrun
from reconciler.policy.entry import Acked, Entry, LedgerFacts, LedgerView, Sending
from reconciler.policy.protocol import decide
from tests.builders import APP_UUID, make_app

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
K1, K2, K3 = (f"019a1e1{number}-0000-7000-8000-000000000000" for number in (1, 2, 3))
WEB, DB = AppKey("shop", "web"), AppKey("shop", "db")
EMAIL = "ops@example.com"

draw = keys.source(lambda: AT, bytes)


def acked(key: str, app: App | None = None) -> Entry:
    return Entry(acked=Acked(key, APP_UUID, AT, app), last_key=key)


def view(**entries: Entry) -> LedgerView:
    return LedgerView(LedgerFacts(), {AppKey("shop", name): entry for name, entry in entries.items()})


@pytest.mark.parametrize(
    ("ledger", "copy", "lacks"),
    [
        (view(), {}, []),
        (view(web=acked(K1)), {}, [WEB]),
        (view(web=acked(K1)), {WEB: K1}, []),
        (view(web=acked(K2)), {WEB: K1}, [WEB]),
        (view(web=acked(K1)), {WEB: K2}, []),
        (view(web=acked(K3), db=acked(K2)), {WEB: K1}, [DB, WEB]),
        (view(web=Entry(sending=Sending(K1, make_app(), "{}"), last_key=K1)), {}, []),
        (view(), {WEB: K1}, []),
    ],
)
def test_what_was_acknowledged_later_than_the_copy_says_is_missing_oldest_first(
    ledger: LedgerView, copy: dict[AppKey, str], lacks: list[AppKey]
) -> None:
    assert list(missing(ledger, copy)) == lacks


@pytest.mark.parametrize(
    ("ledger", "copy", "found"),
    [
        (view(web=acked(K2)), {WEB: K2}, {}),
        (view(web=acked(K2)), {WEB: K1}, {}),
        (view(web=Entry(last_key=K3)), {WEB: K2}, {}),
        (view(web=acked(K1)), {WEB: K2}, {WEB: K2}),
        (view(), {WEB: K1}, {WEB: K1}),
        (view(web=acked(K1)), {}, {}),
    ],
)
def test_a_greater_key_in_the_copy_shows_an_older_ledger(
    ledger: LedgerView, copy: dict[AppKey, str], found: dict[AppKey, str]
) -> None:
    assert newer(ledger, copy) == found


def test_what_an_older_ledger_believes_acknowledged_is_told_again_under_a_greater_key() -> None:
    old, now = make_app("shop", "web", 1), make_app("shop", "web", 2)
    ledger = view(web=acked(K1, now))
    entries = outrun(ledger, {WEB: K3}, {WEB: now}, draw, EMAIL)
    assert list(entries) == [WEB]
    assert entries[WEB].last_key > K3
    # Even what the ledger believed acknowledged, since the API may have been told something else since.
    assert decide(entries[WEB], now, gone=False, retry_rejected_before=AT) == now
    assert decide(acked(K1, now), now, gone=False, retry_rejected_before=AT) is None
    assert decide(entries[WEB], old, gone=False, retry_rejected_before=AT) == old


def test_an_app_that_only_the_copy_knows_is_told_to_be_gone_once_that_is_proven() -> None:
    web = make_app("shop", "web")
    entry = outrun(view(), {WEB: K2}, {WEB: web}, draw, EMAIL)[WEB]
    assert entry.sending is not None
    assert entry.sending.body == encode(emitted(web, EMAIL)).decode()
    assert decide(entry, None, gone=True, retry_rejected_before=AT) == web.as_uninstalled()


def test_an_end_that_nobody_remembers_otherwise_needs_no_entry() -> None:
    assert outrun(view(), {WEB: K2}, {}, draw, EMAIL) == {}
