"""A rule of a project in words, and how two lists of rules differ."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher

from reconciler.changes.wording import clean, listed
from reconciler.model import RuleInEffect

_NAMED = 3  # names that a sentence has before it counts them


def rule_in_words(rule: RuleInEffect, *, whole: bool = False) -> str:
    """``Ignore pod_info.status in dev-*``; ``whole``: long lists are not counted but told."""
    match = rule.match

    def some(names: Iterable[str], what: str) -> str:
        told = [clean(name) for name in names]
        return listed(told) if whole or len(told) <= _NAMED else f"{len(told)} {what}"

    return "".join(
        (
            f"{rule.action} ",
            some(match.fields, "fields") if match.fields else "everything",
            f" of {some(match.releases, 'releases')}" if match.releases else "",
            f" of the chart {some(match.charts, 'charts')}" if match.charts else "",
            f" in {some(match.namespaces, 'namespaces')}" if match.namespaces else "",
            f" at {some(match.operations, 'operations')}" if match.operations else "",
        )
    )


def rule_lines(before: Sequence[RuleInEffect], after: Sequence[RuleInEffect]) -> Iterator[str]:
    """A line for each rule that went or came, with its number. A rule in another place is both."""
    for kind, start, stop, new_start, new_stop in SequenceMatcher(a=before, b=after).get_opcodes():
        if kind == "equal":
            continue
        for number in range(start, stop):
            yield f"policy: rule {number + 1} gone: {rule_in_words(before[number])}"
        for number in range(new_start, new_stop):
            yield f"policy: new rule {number + 1}: {rule_in_words(after[number])}"
