"""The branch that shows what the API was told follows the ledger: in batches, and complete in the end.

What it lacks is worked out anew each time, from the ledger and from the branch, so a crash loses nothing.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import Final

from reconciler.model import App, AppKey
from reconciler.policy.delivered import missing, newer, outrun
from reconciler.policy.entry import Entry, LedgerView
from reconciler.state.store import DeliveredBranch

EVERY: Final = 60.0
"""Seconds between two pushes of the branch."""

MOST: Final = 500
"""Apps in one commit: writing their documents takes a second or two, which nobody should notice."""


async def follow(branch: DeliveredBranch, view: LedgerView, *, instance: str, at: datetime) -> bool:
    """Bring the branch closer to the ledger by one commit; whether more is missing.

    Raises what ``DeliveredBranch`` raises.
    """
    lacking = missing(view, await branch.keys())
    if lacking:
        batch = dict(islice(lacking.items(), MOST))
        await branch.follow(batch, view.entries.keys(), instance=instance, at=at)
    return len(lacking) > MOST


async def overtaken(
    branch: DeliveredBranch,
    view: LedgerView,
    recorded: Mapping[AppKey, App],
    draw: Callable[[str], str],
    email_id: str,
) -> dict[AppKey, Entry]:
    """The entries to write where the branch knows of a later delivery than the ledger, which then is a
    copy from an earlier time: what the API has is in doubt.

    Raises what ``DeliveredBranch`` raises.
    """
    later = newer(view, await branch.keys())
    shown = {key: await branch.app(key) for key in later if key not in recorded}
    known = {key: app for key, app in shown.items() if app is not None}
    return outrun(view, later, {**known, **recorded}, draw, email_id)
