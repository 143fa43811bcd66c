"""Why an app is told or not, in words: one answer, and what it rests on. Pure."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from difflib import get_close_matches

import msgspec

from reconciler.changes.change import AppChange
from reconciler.changes.describe import lines, state_of
from reconciler.changes.diff import diff_app, operation_of
from reconciler.changes.wording import clean, count
from reconciler.model import App
from reconciler.operator.conditions import GONE, REMOVALS_HELD
from reconciler.operator.planning import RETRY_REJECTED
from reconciler.operator.standing import Facts, Standing, deferred, standings, verdict_of
from reconciler.policy import keys
from reconciler.policy.plan import Push
from reconciler.policy.protocol import resumes
from reconciler.policy.quiet import has_left, longest_wait
from reconciler.policy.rules import rules_of
from reconciler.project import Duration

_SHORT = 12  # characters of a revision's id
_MOST = 6  # differences that are named one by one
_SILENT = 3  # intervals without a word from the operator, before that is said
_NEAREST = 3

_TO_RECORD = (Standing.SETTLE, Standing.STORE, Standing.BRAKE, Standing.LOOK)

When = Callable[[datetime], str]


class Line(msgspec.Struct, frozen=True):
    """``about``: what it is about, in a word or two; ``text``: a sentence without its stop."""

    about: str
    text: str


class Why(msgspec.Struct, frozen=True):
    """``answer``: the whole of it in a sentence or two; ``lines``: what it rests on."""

    standing: Standing
    answer: str
    lines: tuple[Line, ...] = ()


def explain(facts: Facts, when: When) -> Why:
    """Why the API was told what the cluster has of an app, or was not. ``when``: how a moment is written."""
    first, *others = standings(facts)
    answer = _ANSWERS[first.standing](facts, first.what, when)
    if first.standing is Standing.UNKNOWN:
        return Why(first.standing, answer)
    found = [
        *_on_record(facts, when),
        *_in_the_cluster(facts),
        *_acknowledged(facts, when),
        *_sent(facts, when),
        *_differs(facts),
        *_rule(facts, first.standing),
        *(
            Line("And", _ANSWERS[one.standing](facts, one.what, when))
            for one in others
            if not one.standing.is_right and one.standing is not Standing.GONE
        ),
        *_silence(facts, when),
    ]
    return Why(first.standing, answer, tuple(found))


# What it rests on


def _on_record(facts: Facts, when: When) -> Iterator[Line]:
    if facts.no_record:
        return
    by = ""
    if facts.last is not None:
        last = facts.last
        by = f"since {when(last.recorded)} by {last.id[:_SHORT]}: {last.message.subject}"
    if facts.recorded is not None:
        yield Line("On record", f"{state_of(facts.recorded)}; {by}" if by else state_of(facts.recorded))
    else:
        yield Line("On record", f"not any more, {by}" if by else "not yet")


def _in_the_cluster(facts: Facts) -> Iterator[Line]:
    live, was = facts.live, facts.recorded
    if facts.look is None:
        return
    if live is None:
        yield Line("Cluster", "gone" if has_left(facts.look, facts.key) else "not seen")
    elif was is None:
        yield Line("Cluster", state_of(live))
    elif live.digest == was.digest:
        yield Line("Cluster", "as recorded")
    else:
        later = "; that alone makes no revision, it goes with the next" if deferred(facts) else ""
        yield Line("Cluster", f"{_difference(was, live)}{later}")


def _acknowledged(facts: Facts, when: When) -> Iterator[Line]:
    if facts.entry is None:
        return
    acked = facts.entry.acked
    if acked is None:
        yield Line("API knows", "nothing of it that it acknowledged")
        return
    what = "its end" if acked.app is None else state_of(acked.app)
    status = f" with status {acked.status}" if acked.status else ""
    yield Line("API knows", f"{what}; acknowledged {when(acked.at)}{status}, under the key {acked.key}")


def _sent(facts: Facts, when: When) -> Iterator[Line]:
    sending = facts.entry.sending if facts.entry is not None else None
    if sending is None:
        return
    drawn = f" of {when(keys.drawn_at(sending.key))}" if keys.parse(sending.key) else ""
    what = "its end" if sending.app.is_uninstalled else state_of(sending.app)
    yield Line("Sent", f"{what}, under the key {sending.key}{drawn}; not acknowledged")


def _differs(facts: Facts) -> Iterator[Line]:
    known, recorded = facts.known, facts.recorded
    if known is not None and recorded is not None and (told := _difference(known, recorded)):
        yield Line("Not told", told)


def _difference(before: App, after: App) -> str:
    """What differs, in words; what is not worth a word is left out."""
    change = AppChange(after.key, operation_of(before, after), before, after, diff_app(before, after))
    found = lines(change)
    rest = len(found) - _MOST
    return "; ".join([*found[:_MOST], *([f"and {rest:,} more"] if rest > 0 else [])])


def _rule(facts: Facts, standing: Standing) -> Iterator[Line]:
    """Which rule decides about what the API does not know, or decided about the last change, by the rules of
    now."""
    if facts.no_record or facts.entry is None or standing in (Standing.DENIED, Standing.STOPPED):
        return
    rules, known, wanted = rules_of(facts.policy), facts.known, facts.recorded
    if standing in _TO_RECORD:
        wanted = facts.live
    elif isinstance(verdict := verdict_of(facts), Push):
        yield Line("Rule", verdict.why)
        return
    elif facts.last is not None and not rules.actions(known, wanted):
        known = facts.previous
    yield Line("Rule", rules.worth_pushing(known, wanted).because)


def _silence(facts: Facts, when: When) -> Iterator[Line]:
    last, interval = facts.status.last_reconcile, Duration.parse(facts.policy.interval)
    if last is not None and facts.at - last > _SILENT * interval:
        yield Line("Operator", f"no word since {when(last)}: is it running?")


# The answers


def _unknown(facts: Facts, what: str, when: When) -> str:
    places = [
        *(["in the cluster"] if facts.look is not None else []),
        *(["on record"] if not facts.no_record else []),
        *(["known to the API"] if facts.entry is not None else []),
    ]
    names = get_close_matches(str(facts.key), map(str, sorted(facts.others)), n=_NEAREST)
    nearest = f". Did you mean {' or '.join(names)}?" if names else ""
    neither = "neither " if len(places) > 1 else "not "
    return f"{facts.key} is {neither}{' nor '.join(places)}{nearest}"


def _settle(facts: Facts, what: str, when: When) -> str:
    settle = Duration.parse(facts.policy.settle)
    if facts.look is not None and facts.key in facts.look.in_transit:
        until = f"when that ends, or has lasted {facts.policy.interval}"
    else:
        longest = Duration(seconds=longest_wait(settle.total_seconds()))
        until = f"once it has been quiet for {settle}, and after {longest} as it stands"
    return f"{facts.key} waits to settle: {what}. That is recorded {until}"


def _store(facts: Facts, what: str, when: When) -> str:
    stalled = facts.status.condition("Stalled") is not None
    then = "This takes a person" if stalled else "It is tried again until it works"
    return f"{facts.key} waits for the record, and nothing is told before it is recorded: {what}. {then}"


def _brake(facts: Facts, what: str, when: When) -> str:
    """As the condition has it, which knows by what a person confirms; before it does, in words of our own."""
    said = facts.status.condition("Recorded")
    if said is not None and said.reason == REMOVALS_HELD:
        held = said.message.partition(GONE)[0]
    else:
        many = f"{len(facts.braking.keys)} of {count(facts.braking.of, 'app')}"
        held = f"{many} are gone at once, which a second complete look or a person must confirm"
    return f"{facts.key} is gone from the cluster, and still on record: {held}"


def _rejected(facts: Facts, what: str, when: When) -> str:
    rejected = facts.entry.rejected if facts.entry is not None else None
    if rejected is None:
        return f"the API rejected {facts.key}: {what}"
    said = f": {clean(rejected.what)}" if rejected.what else ""
    return (
        f"the API rejected {facts.key} as it is recorded, with status {rejected.status}"
        f" at {when(rejected.at)}{said}. It is told again when the app, the URL or the credentials change,"
        f" or after {when(rejected.at + RETRY_REJECTED)}"
    )


def _approval(facts: Facts, what: str, when: When) -> str:
    if facts.no_approval:
        return f"{facts.key} waits for approval, and {facts.approved_branch} cannot be read: {what}"
    return f"{facts.key} is not told: {what} on the branch {facts.approved_branch}"


def _in_doubt(facts: Facts, what: str, when: When) -> str:
    verdict = verdict_of(facts)
    same = isinstance(verdict, Push) and facts.entry is not None and resumes(facts.entry, verdict.app)
    next_ = (
        "The same bytes go under the same key until they are answered"
        if same
        else "What is to be told now goes under a new key, and tells the API that it is newer"
    )
    return f"{facts.key} was sent and no answer came, so the API may know it or not. {next_}"


def _recorded(facts: Facts, what: str, when: When) -> str:
    if not what:
        return f"{facts.key} was never told, and has left the record: there is nothing to tell"
    return f"{facts.key} is recorded and not told: {what}"


def _told(facts: Facts, what: str, when: When) -> str:
    if facts.recorded is None:
        return f"the API knows that {facts.key} is uninstalled"
    return f"the API knows {facts.key} as it is recorded"


_Answer = Callable[[Facts, str, When], str]

_ANSWERS: Mapping[Standing, _Answer] = {
    Standing.UNKNOWN: _unknown,
    Standing.UNSURE: lambda facts, what, when: f"how {facts.key} stands cannot be told: {what}",
    Standing.DENIED: lambda facts, what, when: (
        f"{facts.key} is neither recorded nor told, for spec.denyNamespaces denies {facts.key.namespace};"
        " what the API knows of it stays"
    ),
    Standing.STOPPED: lambda facts, what, when: (
        f"{facts.key} is neither recorded nor told while spec.stop is true"
    ),
    Standing.LOOK: lambda facts, what, when: (
        f"{facts.key} cannot be seen as it is, so nothing new is recorded of it: {what}"
    ),
    Standing.BRAKE: _brake,
    Standing.STORE: _store,
    Standing.SETTLE: _settle,
    Standing.NEVER: lambda facts, what, when: f"{facts.key} is recorded and not told: {what}",
    Standing.ABSENCE_UNPROVEN: lambda facts, what, when: f"{facts.key} is not told uninstalled: {what}",
    Standing.GONE: lambda facts, what, when: f"{facts.key} is not told as present: {what}",
    Standing.APPROVAL: _approval,
    Standing.REFUSED: lambda facts, what, when: f"{facts.key} is not told: {what}",
    Standing.REJECTED: _rejected,
    Standing.API: lambda facts, what, when: (
        f"{facts.key} is to be told, and waits for the API as all apps do: {what}"
    ),
    Standing.IN_DOUBT: _in_doubt,
    Standing.PENDING: lambda facts, what, when: (
        f"{'the end of ' if facts.recorded is None else ''}{facts.key} is recorded, and told with the next"
        " delivery"
    ),
    Standing.RECORDED: _recorded,
    Standing.TOLD: _told,
}
