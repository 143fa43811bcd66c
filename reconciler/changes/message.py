"""A changeset as a commit's subject and body; the trailers are the caller's.

What a commit restores is told as well (``restored``): that is not among the changes, since the snapshot on
which they build is the one that was recorded, not what others made of it.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from reconciler.changes.change import AppChange, Changeset, Operation
from reconciler.changes.describe import lines, outcome, sentence, sentence_in_namespace, standing
from reconciler.changes.restored import restored_lines, restored_subject
from reconciler.changes.rule import rule_lines
from reconciler.changes.wording import arrow, clean, count, listed
from reconciler.model import Cluster, PolicyInEffect

_LONGEST_BODY = 200
"""Lines. The whole is in the diff; nobody reads more of it in a log."""
_GROUPED_FROM = 20
"""Apps; with fewer the namespace stands before each name."""
_NONE = "no differences"


class CommitText(NamedTuple):
    """``subject``: one line; ``body``: lines without a last newline, "" when the subject says it all."""

    subject: str
    body: str


def message(changes: Changeset, restored: Sequence[str] = (), notes: Sequence[str] = ()) -> CommitText:
    """What a reviewer wants to read of a changeset.

    ``restored``: what others did to the record and is put right, each as ``<what> was <done to it>``;
    ``notes``: sentences that the body begins with.
    """
    return CommitText(subject(changes, restored), _body(changes, restored, notes))


def subject(changes: Changeset, restored: Sequence[str] = ()) -> str:
    """One change as a sentence, several as counts; about 100 columns at most."""
    if restored and not changes:
        return restored_subject(restored)
    before, after = changes.cluster_before, changes.cluster_after
    if before is None:
        return _first(len(changes.apps), after)
    if before.format != after.format:
        return f"migrate format {arrow(str(before.format), str(after.format))}"
    if before.policy.stop != after.policy.stop:
        return _stop_or_resume(changes)
    if changes.apps:
        return _of_apps(changes)
    differences = cluster_lines(before, after) or [_NONE]
    rest = f" and {count(len(differences) - 1, 'more change')}" if len(differences) > 1 else ""
    return differences[0] + rest


def _of_apps(changes: Changeset) -> str:
    operations = {change.operation for change in changes}
    apps = count(len(changes.apps), "app")
    if operations == {Operation.DENY}:
        return f"{_deny(changes)}: {apps} {_verb(changes, 'leave')} the record"
    if operations == {Operation.ALLOW}:
        return f"{_allow(changes)}: {apps} {_verb(changes, 'return')} to the record"
    if len(changes.apps) == 1:
        return sentence(changes.apps[0])
    return _counts(changes.apps)


def _first(apps: int, cluster: Cluster) -> str:
    whose = f"cluster {clean(cluster.name)}" if cluster.name else "the cluster"
    return f"record {count(apps, 'app')} of {whose}" if apps else f"record {whose}: no apps"


def _stop_or_resume(changes: Changeset) -> str:
    whose = f"cluster {clean(changes.cluster_after.name)}" if changes.cluster_after.name else "the cluster"
    if changes.cluster_after.policy.stop:
        return f"stop: nothing of {whose} is recorded or pushed"
    meanwhile = f"; meanwhile {_outcomes(changes.apps)}" if changes.apps else ""
    return f"resume: {whose} is recorded and pushed again{meanwhile}"


def _counts(changes: tuple[AppChange, ...]) -> str:
    """``3 apps: 2 upgraded, 1 installed``; ``2 apps upgraded in default``."""
    apps = f"{count(len(changes), 'app')}: " if len({outcome(change) for change in changes}) > 1 else ""
    return apps + _outcomes(changes)


def _outcomes(changes: tuple[AppChange, ...]) -> str:
    """``2 upgraded, 1 installed``; ``2 apps upgraded in default``."""
    outcomes = Counter(outcome(change) for change in changes)
    if len(outcomes) > 1:
        return ", ".join(f"{number:,} {what}" for what, number in outcomes.most_common())
    namespaces = {change.key.namespace for change in changes}
    where = f" in {namespaces.pop()}" if len(namespaces) == 1 else ""
    return f"{count(len(changes), 'app')} {next(iter(outcomes))}{where}"


def _verb(changes: Changeset, plural: str) -> str:
    return f"{plural}s" if len(changes.apps) == 1 else plural


def _deny(changes: Changeset) -> str:
    before = changes.cluster_before.policy if changes.cluster_before else PolicyInEffect()
    return f"deny {_patterns(_added(before, changes.cluster_after.policy), changes)}"


def _allow(changes: Changeset) -> str:
    before = changes.cluster_before.policy if changes.cluster_before else PolicyInEffect()
    return f"allow {_patterns(_added(changes.cluster_after.policy, before), changes)} again"


def _added(before: PolicyInEffect, after: PolicyInEffect) -> list[str]:
    return [clean(p) for p in after.denyNamespaces if p not in before.denyNamespaces]


def _patterns(patterns: list[str], changes: Changeset) -> str:
    """The denied names or globs; the apps' namespaces where the list itself is as it was."""
    names = patterns or sorted({change.key.namespace for change in changes.apps})
    return listed(names) if len(names) <= 3 else count(len(names), "namespace")


def cluster_lines(before: Cluster | None, after: Cluster) -> list[str]:
    """A line for each difference of two cluster documents: the policy, what cannot be read, the name."""
    if before is None or before == after:
        return []
    old, new = before.policy, after.policy
    result = []
    if before.format != after.format:
        result.append(f"migrate format {arrow(str(before.format), str(after.format))}")
    if old.stop != new.stop:
        result.append(
            "stop: nothing is recorded or pushed" if new.stop else "resume: recorded and pushed again"
        )
    result.extend(f"deny {pattern}" for pattern in _added(old, new))
    result.extend(f"allow {pattern} again" for pattern in _added(new, old))
    for what, one, other in (
        ("push on", old.push.on, new.push.on),
        ("approval", old.push.approval, new.push.approval),
        ("interval", old.interval, new.interval),
        ("settle", old.settle, new.settle),
    ):
        if one != other:
            result.append(f"policy: {what} {arrow(clean(one), clean(other))}")
    result.extend(rule_lines(old.rules or (), new.rules or ()))
    result.extend(f"cannot read {clean(kind)}" for kind in after.unreadable if kind not in before.unreadable)
    result.extend(
        f"can read {clean(kind)} again" for kind in before.unreadable if kind not in after.unreadable
    )
    if before.name != after.name:
        result.append(f"cluster name {arrow(clean(before.name), clean(after.name))}")
    if before.kube_system_uid != after.kube_system_uid:
        result.append(
            f"UID of kube-system {arrow(clean(before.kube_system_uid), clean(after.kube_system_uid))}"
        )
    return result or ["denied namespaces listed in another order"]


def _body(changes: Changeset, restored: Sequence[str], notes: Sequence[str]) -> str:
    """A line per change with its old and new value; grouped by namespace and cut where it is long."""
    first = subject(changes, restored)
    about = [list(notes), _untold(changes, first), restored_lines(restored)]
    apps = _of_all(changes, first, detailed=True)
    if sum(map(len, apps)) > _LONGEST_BODY:  # every app rather than every detail of some
        apps = _of_all(changes, first, detailed=False)
    paragraphs = [paragraph for paragraph in (*about, *apps) if paragraph]
    if paragraphs == [[first]]:
        return ""
    return "\n".join(_cut([line for paragraph in paragraphs for line in (*paragraph, "")][:-1]))


def _untold(changes: Changeset, first: str) -> list[str]:
    """What else than apps has changed, without what the subject says."""
    found = cluster_lines(changes.cluster_before, changes.cluster_after)
    if len(found) == 1 and first.startswith((found[0], "stop: ", "resume: ")):
        return []
    return found


def _of_all(changes: Changeset, first: str, *, detailed: bool) -> list[list[str]]:
    is_first = changes.cluster_before is None
    if len(changes.apps) == 1 and not is_first:
        told = first == sentence(changes.apps[0])
        return [[*([] if told else [sentence(changes.apps[0])]), *lines(changes.apps[0])]]
    if len(changes.apps) < _GROUPED_FROM:
        whole = [_of_app(change, str(change.key), is_first=is_first, detailed=detailed) for change in changes]
        return [[line for some in whole for line in some]]
    result = []
    for namespace, group in groupby(changes, key=lambda change: change.key.namespace):
        some = tuple(group)
        paragraph = [f"{namespace}: {count(len(some), 'app')}"]
        for change in some:
            told_of = _of_app(change, change.key.name, is_first=is_first, detailed=detailed)
            paragraph += [f"  {line}" for line in told_of]
        result.append(paragraph)
    return result


def _of_app(change: AppChange, name: str, *, is_first: bool, detailed: bool) -> list[str]:
    if is_first and change.after is not None:  # how it came to be there, nobody saw
        return [standing(change.after, name)]
    head = sentence(change) if name == str(change.key) else sentence_in_namespace(change)
    return [head, *(f"  {line}" for line in lines(change) if detailed)]


def _cut(text: list[str]) -> list[str]:
    if len(text) <= _LONGEST_BODY:
        return text
    kept = text[: _LONGEST_BODY - 1]
    return [*kept, f"… and {count(sum(map(bool, text[len(kept) :])), 'more line')}"]
