"""Whether an app has settled, so that an upgrade is recorded once and with its pods (section 5.1, "Quiet").

A value per app that differs from its record is carried from look to look; clocks are arguments. An app is
quiet when nothing of it changed for ``settle`` and none of its pods is Pending. What never gets quiet is
taken as it stands after 12 times ``settle``. That time begins when the app stops being quiet, and again when
a difference first appears that makes a revision: a pod that has been Pending for days says nothing about
the upgrade that comes now. A release on its way waits until it ends, or has lasted one ``interval``.

An app that is gone must stay so for ``settle`` too: an uninstall and an install under the same name, one
after the other, are a reinstall.
"""

from collections.abc import Mapping, Set
from datetime import datetime
from enum import StrEnum

import msgspec

from reconciler.differing import differing
from reconciler.inventory.inventory import Inventory
from reconciler.model import App, AppKey
from reconciler.policy.rules import Rules

_PATIENCE = 12
"""How many times ``settle`` something may take."""
_PATIENCE_WITHOUT_SETTLE = 60.0
_SHORTEST_WAIT = 1.0
_NOTHING = ""


class Verdict(StrEnum):
    QUIET = "Quiet"
    AS_IT_STANDS = "AsItStands"  # not quiet, and waited for long enough
    WAIT = "Wait"


class Compared(msgspec.Struct, frozen=True):
    """An app and its record, by their digests, "" for what is not there. ``matters``: whether by these
    ``rules`` they differ by more than what is deferred."""

    state: str
    recorded: str
    rules: Rules
    matters: bool


class Tracked(msgspec.Struct, frozen=True):
    """What is remembered of an app between two looks; times are monotonic seconds.

    ``compared``: as it was last; ``since``: when that state was first seen; ``restless_since``: when the
    wait for quiet began; ``quiet``: whether it was; ``transit_since``: when it was first seen on its way,
    None when it was not.
    """

    compared: Compared
    since: float
    restless_since: float
    quiet: bool
    transit_since: float | None = None


class Observation(msgspec.Struct, frozen=True):
    """``verdicts``: of the apps that need one. ``next_look``: in how many seconds (0 or more) a verdict may
    change without anything else happening, or is worth asking for; None when nothing waits."""

    tracked: Mapping[AppKey, Tracked]
    verdicts: Mapping[AppKey, Verdict]
    next_look: float | None


def observe(
    tracked: Mapping[AppKey, Tracked],
    inventory: Inventory,
    recorded: Mapping[AppKey, App],
    *,
    now: float,
    wall: datetime,
    settle: float,
    interval: float,
    rules: Rules,
    unsettled: Mapping[AppKey, str] | None = None,
    differ: Set[AppKey] | None = None,
) -> Observation:
    """Judge every app that differs from its record, or was recorded as it stood.

    ``tracked``: of the look before, empty after a start. ``now``: monotonic seconds; ``wall``: the same
    moment as a date, to compare with a release's. ``settle`` and ``interval``: seconds. ``unsettled``: the
    ledger's marks, digests of apps that were recorded as they stood. ``differ``: the apps that are another
    value in the record, where that is known already.
    """
    marks = unsettled or {}
    result: dict[AppKey, Tracked] = {}
    verdicts: dict[AppKey, Verdict] = {}
    looks: list[float] = []
    differ = differing(recorded, inventory.apps) if differ is None else differ
    for key in sorted(differ | (marks.keys() & recorded.keys())):
        was, live = recorded.get(key), inventory.apps.get(key)
        if live is None and not has_left(inventory, key):
            continue  # absence without proof is no news
        marked = was is not None and marks.get(key) == was.digest
        if was is not None and live is not None and was.digest == live.digest and not marked:
            continue
        old = tracked.get(key)
        sight = _Sight(
            compared=_compared(was, live, rules, old.compared if old is not None else None),
            pending=key in inventory.settling,
            transit=_seconds(wall, inventory.in_transit.get(key)),
        )
        one, verdict, look = _judge(old, sight, now, settle, interval, marked=marked)
        result[key], verdicts[key] = one, verdict
        if look is not None:
            looks.append(look)
    return Observation(result, verdicts, max(0.0, min(looks) - now) if looks else None)


def longest_wait(settle: float) -> float:
    """Seconds after which an app that does not get quiet is taken as it stands."""
    return _PATIENCE * settle if settle else _PATIENCE_WITHOUT_SETTLE


def has_left(inventory: Inventory, key: AppKey) -> bool:
    """Whether an app without a live state is gone for certain, its history kept or not."""
    return key in inventory.kept or inventory.is_gone(key)


def _compared(was: App | None, live: App | None, rules: Rules, before: Compared | None) -> Compared:
    """Compare an app with its record, once: what is deferred may differ for weeks."""
    state, recorded = (_NOTHING if app is None else app.digest for app in (live, was))
    if before is not None and before.rules is rules and (before.state, before.recorded) == (state, recorded):
        return before
    matters = was is None or live is None or rules.recorded_by_itself(was, live)
    return Compared(state, recorded, rules, matters)


def _seconds(wall: datetime, since: datetime | None) -> float | None:
    return None if since is None else (wall - since).total_seconds()


class _Sight(msgspec.Struct, frozen=True):
    """One app in one look. ``transit``: for how many seconds it has been on its way, by its release."""

    compared: Compared
    pending: bool
    transit: float | None


def _judge(
    old: Tracked | None, sight: _Sight, now: float, settle: float, interval: float, *, marked: bool
) -> tuple[Tracked, Verdict, float | None]:
    matters = sight.compared.matters
    since = old.since if old is not None and old.compared.state == sight.compared.state else now
    if sight.transit is not None:
        began = now if old is None or old.transit_since is None else old.transit_since
        began = min(began, now - sight.transit)
        if now - began < interval:
            one = Tracked(sight.compared, since, now, quiet=False, transit_since=began)
            return one, Verdict.WAIT, min(began + interval, now + _patience(now - began, settle))
    else:
        began = None
    restless_since = now
    if old is not None and not old.quiet and (old.compared.matters or not matters):
        restless_since = old.restless_since
    quiet = now - since >= settle and not sight.pending
    limit = restless_since + longest_wait(settle)
    verdict = Verdict.QUIET if quiet else Verdict.AS_IT_STANDS if now >= limit else Verdict.WAIT
    one = Tracked(sight.compared, since, restless_since, quiet, began)
    if verdict is Verdict.QUIET or not (matters or marked):
        return one, verdict, None
    looks = [now + _patience(now - restless_since, settle) if sight.pending else since + settle]
    if verdict is Verdict.WAIT:
        looks.append(limit)
    return one, verdict, min(looks)


def _patience(elapsed: float, settle: float) -> float:
    """When to look again for what ends by itself: soon at first, then ever later."""
    return max(settle, _SHORTEST_WAIT, elapsed / 4)
