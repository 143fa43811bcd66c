from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model import App
from reconciler.policy import protocol
from reconciler.policy.entry import EMPTY, Acked, Entry, Rejected, Sending
from reconciler.policy.protocol import Held, Reason
from tests.builders import make_app

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)

A, B = make_app(revision=1), make_app(revision=2)
A_OLD = make_app(revision=1, app_uuid="A-old")
A_GONE, B_GONE, OLD_GONE = A.as_uninstalled(), B.as_uninstalled(), A_OLD.as_uninstalled()


def acked(app: App, key: str = "1") -> Acked:
    return Acked(key, app.app_uuid, EARLIER, None if app.is_uninstalled else app)


def sending(app: App, key: str = "2") -> Sending:
    return Sending(key, app, protocol.body_of(app, "a@b.c"))


def entry(
    told: App | None = None, on_its_way: App | None = None, refused: App | None = None, last_key: str = "2"
) -> Entry:
    return Entry(
        acked=acked(told) if told else None,
        sending=sending(on_its_way) if on_its_way else None,
        rejected=Rejected(protocol.told_digest(refused), 400, NOW) if refused else None,
        last_key=last_key,
    )


@pytest.mark.parametrize(
    ("known", "approved", "gone", "want"),
    [
        pytest.param(EMPTY, A, False, A, id="an install is told"),
        pytest.param(EMPTY, None, True, None, id="what was never told is not told uninstalled"),
        pytest.param(entry(A), None, True, A_GONE, id="what is gone is told uninstalled"),
        pytest.param(entry(A), None, False, None, id="absence needs proof"),
        pytest.param(entry(A, B), None, True, B_GONE, id="uninstalled as it was last sent"),
        pytest.param(entry(A, B), None, False, None, id="absence needs proof, in doubt too"),
        pytest.param(entry(None, A_GONE), None, True, A_GONE, id="an uninstall is finished"),
        pytest.param(entry(A_GONE), None, True, None, id="uninstalled is told once"),
        pytest.param(entry(A_GONE), A, False, A, id="a re-install is told"),
        pytest.param(entry(A, A_GONE), B, False, B, id="a re-install does not wait for the uninstall"),
        pytest.param(entry(A_OLD), A, False, OLD_GONE, id="the former app_uuid first"),
        pytest.param(entry(None, A_OLD), A, False, OLD_GONE, id="also where it only may have been told"),
        pytest.param(entry(A_OLD, OLD_GONE), A, False, OLD_GONE, id="until that is acknowledged"),
        pytest.param(entry(OLD_GONE), A, False, A, id="and then the new one"),
        pytest.param(entry(A_OLD, A), A, False, OLD_GONE, id="what was acknowledged under it counts"),
        pytest.param(entry(A, OLD_GONE), A, False, OLD_GONE, id="what is on its way counts first"),
    ],
)
def test_what_the_api_should_have_next(
    known: Entry, approved: App | None, gone: bool, want: App | None
) -> None:
    assert protocol.wanted(known, approved, gone=gone) == want


@pytest.mark.parametrize(
    ("known", "approved", "gone", "expected"),
    [
        pytest.param(EMPTY, A, False, A, id="an install is sent"),
        pytest.param(entry(A), A, False, None, id="what is acknowledged is not sent again"),
        pytest.param(entry(A), B, False, B, id="a difference is sent"),
        pytest.param(entry(A, B), B, False, B, id="what was not answered is sent again"),
        pytest.param(entry(A, B), A, False, A, id="in doubt, even what is acknowledged is sent"),
        pytest.param(entry(A), None, False, Reason.ABSENCE_UNPROVEN, id="absence without proof is held"),
        pytest.param(entry(A_GONE), None, False, None, id="nothing is held of what has ended"),
        pytest.param(entry(A), B, True, Reason.GONE, id="what is gone is never told as present"),
        pytest.param(entry(A), A, True, Reason.GONE, id="not even as it was told"),
        pytest.param(entry(None, B, B), B, False, Reason.REJECTED, id="what was refused is held"),
        pytest.param(entry(None, B, B), A, False, A, id="until the app changes"),
        pytest.param(entry(A, B, B), None, True, B_GONE, id="an uninstall is a change"),
        pytest.param(entry(A, A_GONE, A_GONE), None, True, Reason.REJECTED, id="an uninstall may be refused"),
        pytest.param(entry(A_OLD, OLD_GONE, OLD_GONE), A, False, Reason.REJECTED, id="of a former uuid too"),
    ],
)
def test_what_is_done_about_an_app(
    known: Entry, approved: App | None, gone: bool, expected: App | Reason | None
) -> None:
    verdict = protocol.decide(known, approved, gone=gone, retry_rejected_before=NOW)
    assert (verdict.reason if isinstance(verdict, Held) else verdict) == expected


def test_what_was_refused_is_tried_again_after_a_while() -> None:
    later = NOW + timedelta(seconds=1)
    assert protocol.decide(entry(None, B, B), B, gone=False, retry_rejected_before=later) == B


def test_the_email_id_and_the_record_make_no_difference_to_the_api() -> None:
    other = msgspec.structs.replace(A, record=msgspec.structs.replace(A.record, chart_version="9.9.9"))
    assert protocol.decide(entry(A), other, gone=False, retry_rejected_before=NOW) is None
    assert protocol.told_digest(other) == protocol.told_digest(A) != protocol.told_digest(B)


@pytest.mark.parametrize(
    ("known", "app", "expected"),
    [
        pytest.param(entry(None, A), A, True, id="the same content repeats the request"),
        pytest.param(entry(None, A), B, False, id="other content does not"),
        pytest.param(entry(A), A, False, id="nothing is marked"),
        pytest.param(entry(None, A, last_key="3"), A, False, id="a greater key is needed"),
    ],
)
def test_a_request_is_repeated_only_with_its_content_and_a_key_that_will_do(
    known: Entry, app: App, expected: bool
) -> None:
    assert protocol.resumes(known, app) is expected


def test_a_mark_keeps_the_whole_request() -> None:
    body = protocol.body_of(B, "a@b.c")
    marked = protocol.mark(entry(A, None, B), B, "3", body)
    assert marked == Entry(acked=acked(A), sending=Sending("3", B, body), last_key="3")
    assert '"email_id":"a@b.c"' in body


@pytest.mark.parametrize("key", ["1", "2"])
def test_a_key_that_is_not_greater_cannot_be_used(key: str) -> None:
    with pytest.raises(ValueError, match="not greater"):
        protocol.mark(entry(A), B, key, "")


def test_what_is_acknowledged_is_known_and_no_longer_in_doubt() -> None:
    assert protocol.acknowledge(entry(A, B, B), NOW) == Entry(
        acked=Acked("2", B.app_uuid, NOW, B), last_key="2"
    )


def test_an_acknowledged_uninstall_shrinks_to_its_app_uuid_and_key() -> None:
    assert protocol.acknowledge(entry(A, A_GONE), NOW) == Entry(
        acked=Acked("2", A.app_uuid, NOW, None), last_key="2"
    )


def test_a_rejection_is_recorded_and_leaves_the_mark() -> None:
    before = entry(A, B)
    after = protocol.reject(before, 422, NOW)
    assert after.rejected == Rejected(protocol.told_digest(B), 422, NOW)
    assert (after.sending, after.acked, after.last_key) == (before.sending, before.acked, before.last_key)


def test_a_newer_key_at_the_api_asks_for_a_greater_one_and_leaves_the_content_in_doubt() -> None:
    after = protocol.outdated(entry(A, B), "7")
    assert after == msgspec.structs.replace(entry(A, B), last_key="7")
    assert not protocol.resumes(after, B)
    assert protocol.outdated(after, "5") == after


def test_an_answer_to_nothing_is_a_fault_of_the_program() -> None:
    with pytest.raises(ValueError, match="nothing was sent"):
        protocol.acknowledge(entry(A), NOW)


@pytest.mark.parametrize(
    ("known", "recorded", "app"),
    [
        pytest.param(entry(A), None, A, id="what was acknowledged"),
        pytest.param(entry(A, B), None, B, id="what was on its way, under a key of its own"),
        pytest.param(EMPTY, B, B, id="what only the record knows"),
        pytest.param(entry(A_GONE), B, B, id="what came after its end"),
    ],
)
def test_what_a_ledger_that_may_be_old_says_is_told_again_under_a_fresh_key(
    known: Entry, recorded: App | None, app: App
) -> None:
    after = protocol.in_doubt(known, recorded, "9", "")
    assert (after.sending, after.last_key) == (Sending("9", app, protocol.body_of(app, "")), "9")
    assert after.acked == known.acked


def test_nothing_is_in_doubt_of_an_app_that_nobody_knows() -> None:
    assert protocol.in_doubt(EMPTY, None, "9", "") == EMPTY


apps = st.sampled_from([A, B, A_OLD])
entries = st.builds(
    entry, st.none() | st.sampled_from([A, A_OLD, A_GONE]), st.none() | st.sampled_from([A, B, OLD_GONE])
)


@given(entries, st.none() | apps, st.booleans())
def test_telling_what_is_wanted_until_it_is_acknowledged_ends_after_two_pushes(
    known: Entry, approved: App | None, gone: bool
) -> None:
    gone = gone and approved is None
    for number in range(3):
        verdict = protocol.decide(known, approved, gone=gone, retry_rejected_before=NOW)
        if not isinstance(verdict, App):
            return
        if not protocol.resumes(known, verdict):
            known = protocol.mark(known, verdict, f"3{number}", protocol.body_of(verdict, ""))
        known = protocol.acknowledge(known, NOW)
    raise AssertionError("it goes on and on")


LONG_GONE = Acked("k", "A-1", NOW - timedelta(days=90))


@pytest.mark.parametrize(
    ("kept", "is_expired"),
    [
        (Entry(acked=LONG_GONE), True),
        (Entry(acked=Acked("k", "A-1", NOW - timedelta(days=89, hours=23))), False),
        (Entry(acked=Acked("k", "A-1", NOW - timedelta(days=365), A)), False),
        (Entry(acked=LONG_GONE, sending=sending(A)), False),
        (Entry(acked=LONG_GONE, rejected=Rejected("d", 400, NOW)), False),
        (Entry(sending=sending(A)), False),
        (Entry(last_key="k"), False),
    ],
)
def test_an_acknowledged_uninstall_expires_after_90_days_when_nothing_else_is_known(
    kept: Entry, is_expired: bool
) -> None:
    assert protocol.is_expired(kept, NOW) is is_expired
