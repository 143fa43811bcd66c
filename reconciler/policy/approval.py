"""What people signed off, and what that makes of the plan. Pure.

Approval gates what is told, not what runs. It goes app by app: an app is approved when its file on the
approved branch is one that the record once had, and that file has changed there since approval began to be
required; an app whose file has left that branch since then is approved to be gone. Every other app stays
as it was delivered.

What that comes to is worked out with each plan, since it rests on what was told last. Three things hold
whatever people approve: an app that has left the record, or the cluster, is not told as present; an app
that the record has is not told uninstalled; and what may have reached the API already is sent again as it
was, until it is answered.
"""

from collections.abc import Callable, Mapping

import msgspec

from reconciler.model import App, AppKey, tells_the_same
from reconciler.policy.entry import Entry
from reconciler.policy.protocol import Held, Reason, told

Worth = Callable[[App | None, App | None], str | None]

REQUIRED = "Required"
"""The ``push.approval`` under which people decide what is told."""


class Approval(msgspec.Struct, frozen=True):
    """The approved branch at one moment, compared with where it stood when approval began to be required.

    ``tip``: its newest commit, "" while there is no such branch. ``apps``: approved, each as its file there
    has it; ``removed``: approved to be gone. ``refused``: apps whose file there the record never had, and
    why, a sentence each. No app is in two of them.
    """

    tip: str = ""
    apps: Mapping[AppKey, App] = {}
    removed: frozenset[AppKey] = frozenset()
    refused: Mapping[AppKey, str] = {}

    def state_of(self, key: AppKey, entry: Entry) -> App | None:
        """What counts as approved of an app: what people approved, else what was told last. None: it is to
        be gone, or to stay unknown."""
        if key in self.removed:
            return None
        return self.apps.get(key) or _delivered(entry)


def counts_as_gone(approved: App | None, recorded: App | None, *, gone: bool) -> bool:
    """Whether the plan takes an app for gone. ``gone``: a complete look at the cluster did not find it.

    What left the record did so because a look proved it, or because nobody may look there any more: it is
    not told as present, even when the newest look could not see that far. And nothing is told uninstalled
    before that is recorded.
    """
    return gone or recorded is None if approved is not None else gone and recorded is None


def waiting(
    key: AppKey,
    entry: Entry,
    recorded: App | None,
    approval: Approval,
    worth: Worth,
) -> Held | None:
    """What keeps an app from being told as it is recorded, where that is the approved branch; else None.

    ``worth``: why a difference would be told if it were approved, from what the API knows (None: nothing) to
    what is recorded (None: it is gone); None where it would not be.
    """
    if key in approval.refused:
        return Held(Reason.REFUSED, approval.refused[key])
    approved, known = approval.state_of(key, entry), _delivered(entry)
    if recorded is None:
        return _gone(approved, known, worth)
    if key in approval.removed and known is not None:
        return Held(Reason.ABSENCE_UNPROVEN, "its end is approved, and the cluster has it still")
    if approved is not None and tells_the_same(approved, recorded):
        return None
    if worth(known, recorded) is None:
        return None
    what = "it was never told, and waits" if known is None else "what is recorded of it waits"
    return Held(Reason.UNAPPROVED, f"{what} for approval")


def _gone(approved: App | None, known: App | None, worth: Worth) -> Held | None:
    if approved is None:
        return None
    if known is None:
        return Held(Reason.GONE, "it is approved, and the cluster does not have it any more")
    if worth(known, None) is None:
        return None
    return Held(Reason.UNAPPROVED, "its end waits for approval")


def _delivered(entry: Entry) -> App | None:
    """What was told last, unless that was its end."""
    last = told(entry)
    return None if last is None or last.is_uninstalled else last
