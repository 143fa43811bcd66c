"""``why``: one app, and why the API was told of it or not, in words.

Exit status: 0 the API knows what it should, 1 something waits, is held or was rejected, 2 it cannot be told.
"""

import argparse

from reconciler.cli.known import key_of
from reconciler.cli.output import is_terminal, print_json
from reconciler.cli.target import target_of
from reconciler.cli.times import Times
from reconciler.cli.why_facts import gather
from reconciler.errors import UsageError
from reconciler.operator.standing import Facts, Standing
from reconciler.operator.why import Why, explain
from reconciler.policy.entry import EMPTY
from reconciler.policy.rules import rules_of

TROUBLE = 2


async def run(arguments: argparse.Namespace) -> int:
    """Tell it."""
    key = key_of(arguments.app)
    async with target_of(arguments) as target:
        facts = await gather(target, key, asks_cluster=arguments.repo is None)
        times = target.times
    why = explain(facts, times.text)
    if why.standing is Standing.UNKNOWN:
        raise UsageError(why.answer)
    if arguments.output == "json":
        print_json(as_json(facts, why, times))
    else:
        print(as_text(why, colour=is_terminal()), end="")
    if not why.standing.is_known:
        return TROUBLE
    return 0 if why.standing.is_right else 1


def as_text(why: Why, *, colour: bool = False) -> str:
    """The answer, and below it what it rests on."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if colour else ("", "")
    width = max((len(line.about) for line in why.lines), default=0)
    rest = "".join(f"{line.about.ljust(width)}  {line.text}\n" for line in why.lines)
    return f"{bold}{why.answer}{plain}\n" + (f"\n{rest}" if rest else "")


def as_json(facts: Facts, why: Why, times: Times) -> dict[str, object]:
    """The same for programs, with what the words are made of."""
    entry, last = facts.entry or EMPTY, facts.last
    acked, sending, rejected = entry.acked, entry.sending, entry.rejected
    return {
        "app": str(facts.key),
        "standing": str(why.standing),
        "right": why.standing.is_right,
        "answer": why.answer,
        "lines": [{"about": line.about, "text": line.text} for line in why.lines],
        "recorded": None if last is None else {
            "revision": last.id,
            "recorded": times.rfc3339(last.recorded),
            "subject": last.message.subject,
            "present": facts.recorded is not None,
        },
        "acknowledged": None if acked is None else {
            "at": times.rfc3339(acked.at),
            "key": acked.key,
            "status": acked.status or None,
            "revision": None if acked.app is None else acked.app.helm.revision,
        },
        "sending": None if sending is None else {"key": sending.key},
        "rejected": None if rejected is None else {
            "at": times.rfc3339(rejected.at),
            "status": rejected.status,
            "what": rejected.what,
        },
        "differences": _differences(facts),
    }  # fmt: skip


def _differences(facts: Facts) -> list[dict[str, object]]:
    """What is recorded and the API does not know, with what the rules make of each."""
    if facts.no_record or facts.entry is None:
        return []
    rulings = rules_of(facts.policy).actions(facts.known, facts.recorded)
    return [
        {
            "field": None if one.detail is None else str(one.detail.field),
            "item": None if one.detail is None else one.detail.item,
            "before": None if one.detail is None else one.detail.before,
            "after": None if one.detail is None else one.detail.after,
            "action": str(one.action),
            "by": one.by,
        }
        for one in rulings
    ]
