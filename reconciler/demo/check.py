"""Whether the demo went as its story says: each step's numbers, and what must hold at the end. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from reconciler.demo.parts import Request
from reconciler.demo.play import Outcome
from reconciler.demo.story import Expected
from reconciler.model import AppKey, emitted, encode
from reconciler.policy.entry import LedgerView
from reconciler.state.store import Revision


def of_step(expected: Expected, outcome: Outcome) -> list[str]:
    """What went otherwise in a step, a sentence each."""
    problems = list(outcome.failures)
    commits, pushed = len(outcome.commits), tuple(map(str, outcome.pushed))
    if commits != expected.commits:
        problems.append(f"{commits} commits instead of {expected.commits}")
    if pushed != expected.pushed:
        problems.append(f"acknowledged was {_list(pushed)} instead of {_list(expected.pushed)}")
    requests = len(expected.pushed) if expected.requests is None else expected.requests
    if len(outcome.requests) != requests:
        problems.append(f"{len(outcome.requests)} requests instead of {requests}")
    return problems


def of_all(
    outcomes: Sequence[Outcome],
    history: Sequence[Revision],
    ledger: LedgerView,
    received: Mapping[tuple[str, str, str], Mapping[str, Any]],
    email_id: str,
) -> list[str]:
    """What does not hold at the end, a sentence each.

    ``history``: newest first; ``received``: the receiver's apps by cluster UUID, namespace and name.
    """
    problems = _of_keys([request for outcome in outcomes for request in outcome.requests])
    committed = [event.revision.id for outcome in outcomes for event in outcome.commits]
    if committed != [revision.id for revision in reversed(history)]:
        problems.append("the history is not what was committed step by step")
    acknowledged = len({request.key for outcome in outcomes for request in outcome.requests})
    if acknowledged != sum(len(outcome.pushed) for outcome in outcomes):
        problems.append(f"{acknowledged} keys were drawn for another number of acknowledged pushes")
    for key, entry in ledger.entries.items():
        if entry.sending is not None or entry.acked is None:
            problems.append(f"{key} is still to be told")
            continue
        push = received.get((ledger.facts.cluster_uuid, *key), {})
        if entry.acked.app is None:
            ends_right = _status(push) == "uninstalled"
        else:
            ends_right = push == msgspec.json.decode(encode(emitted(entry.acked.app, email_id)))
        if not ends_right:
            problems.append(f"the receiver does not have {key} as it was acknowledged")
    if len(received) != len(ledger.entries):
        problems.append(f"the receiver has {len(received)} apps, the ledger {len(ledger.entries)}")
    return problems


def _of_keys(requests: Iterable[Request]) -> list[str]:
    """One key, one body; and what is new has a greater key than what was sent of that app before."""
    problems: list[str] = []
    bodies: dict[str, str] = {}
    newest: dict[AppKey, str] = {}
    for request in requests:
        if bodies.setdefault(request.key, request.body) != request.body:
            problems.append(f"{request.app} was sent with two bodies under the key {request.key}")
        if request.key < newest.get(request.app, ""):
            problems.append(f"{request.app} was sent under the key {request.key}, older than the last one")
        newest[request.app] = request.key
    return problems


def _status(push: Mapping[str, Any]) -> str:
    return str(push["app_info"]["helm_info"]["status"]) if push else ""


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "nothing"
