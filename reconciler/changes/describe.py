"""An app's change in words, as a person would have written it: one sentence, and a line per difference."""

from collections.abc import Iterable, Mapping

from reconciler.changes.change import AppChange, Detail, Field, Operation
from reconciler.changes.phrases import phrase, pod_phrases, unfollowed
from reconciler.changes.wording import arrow, clean, count, listed
from reconciler.model import App

LONGEST_SUBJECT = 100
"""Columns; a sentence is longer only where a name leaves it no choice."""

UNSEEN = "came and went unseen"
"""Of revisions between two looks. Two snapshots do not tell of them, only a commit's body does."""

_DEPLOYED = "deployed"
_FAILED = "failed"
_STUCK = frozenset({"pending-install", "pending-upgrade", "pending-rollback"})

_HELM = frozenset(
    {
        Field.REVISION,
        Field.STATUS,
        Field.UPDATED,
        Field.CHART,
        Field.CHART_VERSION,
        Field.APP_VERSION,
    }
)
_PODS = frozenset({Field.POD, Field.POD_STATUS, Field.RECORD_CONTAINERS})
_TELLING = (
    Field.REVISION,
    Field.STATUS,
    Field.CHART,
    Field.CHART_VERSION,
    Field.APP_VERSION,
    Field.POD_IMAGE,
    Field.INGRESS_DOMAIN,
    Field.INGRESS,
    Field.VOLUME_SIZE,
    Field.VOLUME,
    Field.SERVICE_PORT,
    Field.SERVICE,
    Field.APP_UUID,
    Field.RECORD_SERVICES,
    Field.RECORD_ROUTES,
)
"""What a sentence names first; pods only where there is nothing else."""

_MANY_PODS = 4


def sentence(change: AppChange) -> str:
    """``upgrade default/test: keycloak 18.3.3 → 18.4.0, revision 4 → 5``; 100 columns if names allow it."""
    return _head(change, str(change.key)) + _what(change, LONGEST_SUBJECT - len(str(change.key)))


def sentence_in_namespace(change: AppChange) -> str:
    """``sentence`` where the namespace stands above it."""
    return _head(change, change.key.name) + _what(change, LONGEST_SUBJECT - len(change.key.name))


def outcome(change: AppChange) -> str:
    """What became of the app, in a word that completes "2 apps …": ``upgraded``, ``failed``."""
    if change.again:
        return "recorded again"
    if _has_failed(change):
        return "failed"
    if is_reinstall(change):
        return "reinstalled"
    return _OUTCOMES[change.operation]


_OUTCOMES: Mapping[Operation, str] = {
    Operation.INSTALL: "installed",
    Operation.UPGRADE: "upgraded",
    Operation.ROLLBACK: "rolled back",
    Operation.CHANGE: "changed",
    Operation.UNINSTALL: "uninstalled",
    Operation.DENY: "denied",
    Operation.ALLOW: "allowed again",
}


def standing(app: App, name: str) -> str:
    """An app as it is, without a word of how it came to be: ``default/test: keycloak 18.3.3, revision 5``."""
    return f"{name}: {state_of(app)}"


def state_of(app: App) -> str:
    """``keycloak 18.3.3, revision 5``, and the status unless it is deployed."""
    status = "" if app.helm.status == _DEPLOYED else f", {clean(app.helm.status)}"
    return _chart(app) + _revision(app) + status


def is_reinstall(change: AppChange) -> bool:
    """Whether a new release took the old one's place and name."""
    return change.operation is Operation.INSTALL and change.before is not None


def _head(change: AppChange, name: str) -> str:
    verb = "reinstall" if is_reinstall(change) else str(change.operation)
    noun, target = verb, ""
    if change.operation is Operation.ROLLBACK and change.after is not None:
        verb, noun = "roll back", "rollback"
        target = f" to revision {change.after.record.rolled_back_to}"
    if change.again:
        return f"record {name} again: " if change.after is not None else f"record again that {name} is gone: "
    if _has_failed(change):
        return f"{noun} of {name}{target} failed: "
    if _is_stuck(change):
        return f"{noun} of {name}{target} is stuck: "
    again = " again" if change.operation is Operation.ALLOW else ""
    return f"{verb} {name}{again}{target}: "


def _has_failed(change: AppChange) -> bool:
    return _moved_helm(change) and change.after is not None and change.after.helm.status == _FAILED


def _is_stuck(change: AppChange) -> bool:
    return _moved_helm(change) and change.after is not None and change.after.helm.status in _STUCK


def _moved_helm(change: AppChange) -> bool:
    return change.operation in (Operation.INSTALL, Operation.UPGRADE, Operation.ROLLBACK)


def _what(change: AppChange, room: int) -> str:
    room -= len(_head(change, ""))
    before, after = change.before, change.after
    if change.again and after is not None:
        return state_of(after)
    if change.operation is Operation.CHANGE:
        return _fitting(_telling(change), room)
    if before is None or after is None:
        app = after or before
        if app is None:
            return ""
        return _chart(app) + (_revision(app) if after else "")
    text = f"{_chart_change(before, after)}, revision {arrow(*_revisions(before, after))}"
    if _chart(before) == _chart(after) and before.helm.appVersion == after.helm.appVersion:
        others = [d for d in change.details if d.field not in _HELM | _PODS]
        rest = _fitting(_telling_details(others), room - len(text) - 2) if others else ""
        if rest and len(text) + 2 + len(rest) <= room:
            return f"{text}, {rest}"
    return text


def _revision(app: App) -> str:
    return f", revision {app.helm.revision}" if app.helm.revision != 1 else ""


def _revisions(before: App, after: App) -> tuple[str, str]:
    return str(before.helm.revision), str(after.helm.revision)


def _chart(app: App) -> str:
    return clean(f"{app.helm.chart} {app.record.chart_version}".strip())


def _chart_change(before: App, after: App) -> str:
    old, new = _chart(before), _chart(after)
    if before.helm.chart != after.helm.chart:
        return arrow(old, new)
    if old != new:
        versions = clean(before.record.chart_version), clean(after.record.chart_version)
        return f"{clean(after.helm.chart)} {arrow(*versions)}"
    if before.helm.appVersion != after.helm.appVersion:
        return f"{new} (app {arrow(clean(before.helm.appVersion), clean(after.helm.appVersion))})"
    return new


def _fitting(phrases: list[str], room: int) -> str:
    """As many as fit, at least one, and the number of the others."""
    shown = 1
    while shown < len(phrases) and len(_with_rest(phrases, shown + 1)) <= room:
        shown += 1
    return _with_rest(phrases, shown)


def _with_rest(phrases: list[str], shown: int) -> str:
    text, rest = ", ".join(phrases[:shown]), len(phrases) - shown
    return f"{text} and {count(rest, 'more change')}" if rest > 0 else text


def _telling(change: AppChange) -> list[str]:
    return (
        _telling_details(change.details)
        or pod_phrases(change.details)
        or [phrase(detail) for detail in change.details if detail.field is Field.UPDATED]
        or ["details of the record"]
    )


def _telling_details(details: Iterable[Detail]) -> list[str]:
    shown = unfollowed(tuple(details))
    return [
        text for field in _TELLING for detail in shown if detail.field is field and (text := phrase(detail))
    ]


def lines(change: AppChange) -> list[str]:
    """A line per difference with its old and new value; many pods are counted."""
    details = unfollowed(change.details)
    pods = [d for d in details if d.field in (Field.POD, Field.POD_STATUS)]
    result = [
        text
        for detail in details
        if (len(pods) <= _MANY_PODS or detail not in pods) and (text := _line(detail))
    ]
    if len(pods) > _MANY_PODS:
        result.extend(pod_phrases(pods))
    if change.unseen:
        result.append(unseen(change))
    return result


def unseen(change: AppChange) -> str:
    """The revisions that came and went between two looks."""
    revisions = [f"{r.revision} ({clean(r.status)})" for r in change.unseen]
    return f"revision{'s' if len(revisions) > 1 else ''} {listed(revisions)} {UNSEEN}"


def _line(detail: Detail) -> str:
    text = phrase(detail)
    if detail.field is Field.INGRESS_DOMAIN:
        return f"{text} (ingress {clean(detail.item)})"
    return text
