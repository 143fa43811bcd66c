"""The delivery protocol for one app: what to tell the API next, and what each answer makes of the entry.

Everything here is a pure function of an ``Entry``. The rules, and what breaks without them:

- An app is marked ``sending``, with its key and its bytes, before the request leaves. Without the mark a
  request whose answer was lost is forgotten, and the API may keep what is no longer so.
- What is marked is in doubt until it is answered, even if the API's last acknowledged word is what we
  want: A → B (sent, unanswered) → A must be told A again, under a key of its own.
- The same content goes under the same key with the same bytes; other content draws a greater key, and a
  receiver drops what is older than what it has. So a request that is late does no harm.
- A rejection keeps the mark, since an earlier try of the same request may have arrived.
- Absence needs proof: an app is told uninstalled only when ``gone`` says so.
- An app has one ``app_uuid`` at a time at the API: what may have been told under another one is told
  uninstalled, and that is acknowledged, before the new one is wanted.

The tests explore these functions exhaustively (``tests/unit/policy/test_protocol_explored.py``).
"""

from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from reconciler.model import App, digest_of, emitted, encode, tells_the_same
from reconciler.policy.entry import Acked, Entry, Rejected, Sending

REMEMBERED = timedelta(days=90)
"""How long an acknowledged uninstall is remembered: its key, for an app that comes back."""


class Reason(StrEnum):
    """Why an app that differs from what the API knows is not pushed."""

    DENIED = "Denied"  # its namespace is off limits
    STOPPED = "Stopped"  # the project says stop
    NEVER = "Never"  # the policy is to push nothing
    GONE = "Gone"  # the cluster does not have it any more, which is not recorded yet
    ABSENCE_UNPROVEN = "AbsenceUnproven"  # it left the snapshot, but no complete look says that it is gone
    UNAPPROVED = "Unapproved"  # people have not signed it off
    REFUSED = "Refused"  # what people signed off was never recorded
    REJECTED = "Rejected"  # the API refused this content


class Held(msgspec.Struct, frozen=True):
    """``what``: the reason in words, for people."""

    reason: Reason
    what: str


def told(entry: Entry) -> App | None:
    """What the API may have been told last; None where it knows nothing of the app, or its end."""
    if entry.sending is not None:
        return entry.sending.app
    return entry.acked.app if entry.acked is not None else None


def wanted(entry: Entry, approved: App | None, *, gone: bool) -> App | None:
    """What the API should have next; None where there is nothing to tell.

    ``gone``: a complete, permitted look at the cluster did not find the app.
    """
    if approved is None:
        last = told(entry)
        return last.as_uninstalled() if last is not None and gone else None
    former = _told_under_another_uuid(entry, approved.app_uuid)
    return former.as_uninstalled() if former is not None else approved


def _told_under_another_uuid(entry: Entry, app_uuid: str) -> App | None:
    if entry.sending is not None and entry.sending.app.app_uuid != app_uuid:
        return entry.sending.app
    if entry.acked is not None and entry.acked.app is not None and entry.acked.app_uuid != app_uuid:
        return entry.acked.app
    return None


def decide(
    entry: Entry, approved: App | None, *, gone: bool, retry_rejected_before: datetime
) -> App | Held | None:
    """The app to tell next, or why that must wait; None when the API knows it all.

    What was rejected before ``retry_rejected_before`` is tried again.
    """
    if approved is not None and gone:
        return Held(Reason.GONE, "it is gone from the cluster, which is not recorded yet")
    want = wanted(entry, approved, gone=gone)
    if want is None:
        if approved is None and told(entry) is not None:
            return Held(Reason.ABSENCE_UNPROVEN, "no complete look has shown yet that it is gone")
        return None
    if entry.sending is None and (known := told(entry)) is not None and tells_the_same(known, want):
        return None
    rejected = entry.rejected
    if rejected is not None and rejected.at >= retry_rejected_before and rejected.digest == told_digest(want):
        return Held(Reason.REJECTED, f"the API refused it with status {rejected.status}")
    return want


def resumes(entry: Entry, app: App) -> bool:
    """Whether telling ``app`` repeats the request that is marked: the same key, the same bytes.

    It does not when a greater key than the marked one is needed (``outdated``).
    """
    sending = entry.sending
    return sending is not None and sending.key == entry.last_key and tells_the_same(sending.app, app)


def mark(entry: Entry, app: App, key: str, body: str) -> Entry:
    """What must be durable before a request with new content, or a new key, leaves."""
    if key <= entry.last_key:
        raise ValueError(f"the key {key} of {app.key} is not greater than its last one, {entry.last_key}")
    return msgspec.structs.replace(entry, sending=Sending(key, app, body), rejected=None, last_key=key)


def acknowledge(entry: Entry, at: datetime, status: int = 0) -> Entry:
    """The API answered (with this status of HTTP) that it has what is marked. An uninstalled app shrinks to
    its app_uuid and key."""
    sending = _marked(entry)
    app = sending.app
    return msgspec.structs.replace(
        entry,
        acked=Acked(sending.key, app.app_uuid, at, None if app.is_uninstalled else app, status),
        sending=None,
        rejected=None,
    )


def reject(entry: Entry, status: int, at: datetime, what: str = "") -> Entry:
    """The API refuses what is marked, and says ``what``. The mark stays: an earlier try may have arrived."""
    rejected = Rejected(told_digest(_marked(entry).app), status, at, what)
    return msgspec.structs.replace(entry, rejected=rejected)


def outdated(entry: Entry, newest_key: str) -> Entry:
    """The API has a greater key than the one that is marked: the next one must be greater than that."""
    return msgspec.structs.replace(entry, last_key=max(entry.last_key, newest_key))


def in_doubt(entry: Entry, known: App | None, key: str, email_id: str) -> Entry:
    """An entry of a ledger that may be older than what was told, made into one that will be told again.

    ``known``: the app as the state store last had it, for an entry that is missing. The mark gets a
    ``key`` of its own, greater than the entry's last one, even where there is a mark already: the API
    may have accepted that key long ago and newer ones since, and would then answer it without
    doing anything.
    """
    app = told(entry) or known
    return entry if app is None else mark(entry, app, key, body_of(app, email_id))


def is_expired(entry: Entry, now: datetime) -> bool:
    """Whether an entry says nothing any more: its uninstall was acknowledged ``REMEMBERED`` ago."""
    acked = entry.acked
    if acked is None or acked.app is not None or now - acked.at < REMEMBERED:
        return False
    return entry.sending is None and entry.rejected is None


def body_of(app: App, email_id: str) -> str:
    """The body of a push: the emitted form as JSON."""
    return encode(emitted(app, email_id)).decode()


def told_digest(app: App) -> str:
    """blake2b-256 (hex) of the emitted form without ``email_id``."""
    return digest_of(encode((app.app_api_info, app.app_info)))


def _marked(entry: Entry) -> Sending:
    if entry.sending is None:
        raise ValueError("an answer came for an app that nothing was sent of")
    return entry.sending
