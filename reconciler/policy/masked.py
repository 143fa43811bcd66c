"""An app as it is compared and recorded where some of its fields are ignored: those keep the recorded value.

Element by element: a pod on both sides keeps its recorded status where ``pod_info.status`` is ignored, a
service its ports; where ``pod_info`` is ignored, the recorded pods stay. Two things follow from the others:

- ``helm_info.revision`` takes ``rolled_back_to`` along, ``app_uuid`` all that says whose the app is, and
  what only the record has goes with its block (``record.containers`` with ``pod_info``, ...).
- Pods carry the images. Where ``pod_info.image`` is ignored, pods with other images are not taken, and the
  recorded ones stay in their place. Where ``pod_info`` is ignored and the images are not, a change of the
  images brings the live pods along: there is no other way to record it.
"""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, TypeVar

import msgspec

from reconciler.changes.change import Field
from reconciler.changes.images import standing_images
from reconciler.model import App, Container, PodInfo, Value

_PENDING = "Pending"

_HELM = {
    Field.REVISION: "revision",
    Field.STATUS: "status",
    Field.UPDATED: "updated",
    Field.CHART: "chart",
    Field.APP_VERSION: "appVersion",
}
_BLOCKS = {
    "service_info": (Field.SERVICE, Field.SERVICE_PORT),
    "volume_info": (Field.VOLUME, Field.VOLUME_SIZE),
    "ingress_info": (Field.INGRESS, Field.INGRESS_DOMAIN),
}
_RECORD = {
    Field.CHART_VERSION: "chart_version",
    Field.REVISION: "rolled_back_to",
    Field.RECORD_SERVICES: "services",
    Field.RECORD_ROUTES: "routes",
}
_OF_PODS = frozenset({Field.POD, Field.RECORD_CONTAINERS})
_NAME = attrgetter("namespace", "name")
_POD = attrgetter("namespace", "name", "image")
_Element = TypeVar("_Element", bound=Value)
_replace = msgspec.structs.replace


def effective(was: App, live: App, ignored: frozenset[Field]) -> frozenset[Field]:
    """What of ``ignored`` can be left out of this comparison: not the pods that a change of images brings."""
    if Field.POD not in ignored or Field.POD_IMAGE in ignored:
        return ignored
    before, after = standing_images(was, live)
    return ignored if before == after else ignored - _OF_PODS


def masked(was: App, live: App, ignored: frozenset[Field]) -> App:
    """``live`` with the recorded values of what is ignored; ``was`` itself where nothing else differs."""
    ignored = effective(was, live, ignored)
    info: dict[str, Any] = {"pod_info": _pods(was, live, ignored)}
    for name, (coming, value) in _BLOCKS.items():
        old, new = getattr(was.app_info, name), getattr(live.app_info, name)
        info[name] = _block(old, new, _NAME, keep=coming in ignored, keep_values=value in ignored)
    helm = {name: getattr(was.helm, name) for field, name in _HELM.items() if field in ignored}
    record = {name: getattr(was.record, name) for field, name in _RECORD.items() if field in ignored}
    record["containers"] = _containers(was, live, info["pod_info"], ignored)
    app = _replace(
        live,
        app_api_info=(was if Field.APP_UUID in ignored else live).app_api_info,
        app_info=_replace(live.app_info, helm_info=_replace(live.helm, **helm), **info),
        record=_replace(live.record, **record),
    )
    return was if app == was else app


def is_starting(was: App, live: App, app: App, ignored: frozenset[Field]) -> bool:
    """Whether a pod of ``app`` (``live`` as it is masked) is Pending, and that is not ignored."""
    pods = {_POD(pod) for pod in live.app_info.pod_info}
    if Field.POD_STATUS in ignored:
        pods -= {_POD(pod) for pod in was.app_info.pod_info}
    return any(pod.status == _PENDING and _POD(pod) in pods for pod in app.app_info.pod_info)


def _block(
    was: tuple[_Element, ...],
    live: tuple[_Element, ...],
    identity: Callable[[_Element], object],
    *,
    keep: bool,
    keep_values: bool,
) -> tuple[_Element, ...]:
    """A block's elements. ``keep``: what came and went is ignored; ``keep_values``: what changed of an
    element that is on both sides is."""
    if not keep and not keep_values:
        return live
    before, after = {identity(one) for one in was}, {identity(one) for one in live}
    both = before & after
    recorded = (before - after if keep else set()) | (both if keep_values else set())
    shown = (set() if keep else after - before) | (set() if keep_values else both)
    return _joined(
        (one for one in was if identity(one) in recorded), (one for one in live if identity(one) in shown)
    )


def _joined(some: Iterable[_Element], others: Iterable[_Element]) -> tuple[_Element, ...]:
    return tuple(sorted({*some, *others}))


def _pods(was: App, live: App, ignored: frozenset[Field]) -> tuple[PodInfo, ...]:
    old, new = was.app_info.pod_info, live.app_info.pod_info
    pods = _block(old, new, _POD, keep=Field.POD in ignored, keep_values=Field.POD_STATUS in ignored)
    if Field.POD_IMAGE in ignored and Field.POD not in ignored:
        return _of_recorded_images(was, live, pods)
    return pods


def _of_recorded_images(was: App, live: App, pods: tuple[PodInfo, ...]) -> tuple[PodInfo, ...]:
    """The pods whose images the record has, and the recorded ones with those that are gone.

    Which images count depends on the pods of both sides (``standing_images``), so this is repeated until
    they are the same; each round takes more of the recorded and leaves more of the live.
    """
    while True:
        seen = _replace(live, app_info=_replace(live.app_info, pod_info=pods))
        recorded, shown = standing_images(was, seen)
        if recorded == shown:
            return pods
        stay = {_POD(pod) for pod in was.app_info.pod_info}
        pods = _joined(
            (pod for pod in was.app_info.pod_info if pod.image in recorded - shown),
            (pod for pod in pods if pod.image not in shown - recorded or _POD(pod) in stay),
        )


def _containers(
    was: App, live: App, pods: tuple[PodInfo, ...], ignored: frozenset[Field]
) -> tuple[Container, ...]:
    """The containers of the pods that are taken, each from the side that its pod is from."""
    if Field.RECORD_CONTAINERS in ignored:
        return was.record.containers
    there = {(pod.name, pod.image) for pod in live.app_info.pod_info}
    taken = {(pod.name, pod.image) for pod in pods}
    if there == taken:
        return live.record.containers
    names, stay = {name for name, _ in taken & there}, {name for name, _ in taken - there}
    return _joined(
        (
            one
            for one in was.record.containers
            if one.pod in stay and (one.pod not in names or (one.pod, one.image) in taken - there)
        ),
        (
            one
            for one in live.record.containers
            if one.pod in names and (one.pod, one.image) not in there - taken
        ),
    )
