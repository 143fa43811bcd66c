"""What a copy of the ledger that people read lacks, and what it knows better. Pure.

A copy has, by app, the Idempotency-Key under which the API took the app last; keys only grow.
"""

from collections.abc import Callable, Mapping

from reconciler.model import App, AppKey
from reconciler.policy.entry import EMPTY, Acked, Entry, LedgerView
from reconciler.policy.protocol import body_of, mark, outdated, told


def missing(view: LedgerView, keys: Mapping[AppKey, str]) -> dict[AppKey, Acked]:
    """What the copy has not got yet, the oldest first."""
    acked = {key: entry.acked for key, entry in view.entries.items() if entry.acked is not None}
    found = [(one.key, key, one) for key, one in acked.items() if keys.get(key, "") < one.key]
    return {key: one for _, key, one in sorted(found, key=lambda each: each[:2])}


def newer(view: LedgerView, keys: Mapping[AppKey, str]) -> dict[AppKey, str]:
    """The keys of the copy that are greater than any that the ledger knows of their app: of these the
    ledger is an older one."""
    return {
        key: there for key, there in sorted(keys.items()) if there > view.entries.get(key, EMPTY).last_key
    }


def outrun(
    view: LedgerView,
    newer: Mapping[AppKey, str],
    known: Mapping[AppKey, App],
    draw: Callable[[str], str],
    email_id: str,
) -> dict[AppKey, Entry]:
    """Entries for the apps of which the ledger is an older one: each will be told again.

    ``known``: the apps as the record has them, or the copy; ``draw``: a new key, greater than the one
    given. What is known so is newer than what the ledger says. An app that nobody knows anything of but its
    end needs no entry.
    """
    found = {}
    for key, there in newer.items():
        entry = outdated(view.entries.get(key, EMPTY), there)
        app = known.get(key) or told(entry)
        if app is not None:
            found[key] = mark(entry, app, draw(entry.last_key), body_of(app, email_id))
    return found
