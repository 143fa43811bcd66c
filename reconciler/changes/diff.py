"""Compare apps and snapshots: by digest first, by DeepDiff where that differs.

The only module that knows deepdiff. Lists are compared by the identity of their elements (an app is made
into nested dicts first), which is many times faster than ``ignore_order`` and never matches a pod with
another; ``threshold_to_diff_deeper=0`` keeps DeepDiff from folding a large difference into its root.

What a field's change means is section 5.1's: see ``Field`` and ``diff_app``.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from reconciler.changes.change import AppChange, Changeset, Detail, Field, Operation, UnseenRevision
from reconciler.changes.images import replaced_images, standing_images
from reconciler.differing import differing
from reconciler.model import App, AppKey, Cluster, Snapshot

_ORDER = {field: place for place, field in enumerate(Field)}


def diff(
    before: Snapshot | None,
    after: Snapshot,
    *,
    revisions: Mapping[AppKey, Sequence[tuple[int, str]]] | None = None,
) -> Changeset:
    """What differs between two snapshots, apps in key order.

    ``before`` is None for the first revision of a track. ``revisions``: the (number, status) of
    all revisions of a release that are known from labels, the recorded ones included; those that neither
    snapshot shows become ``AppChange.unseen``.
    """
    old: Mapping[AppKey, App] = {} if before is None else before.apps
    cluster_before = None if before is None else before.cluster
    known = revisions or {}
    changes = []
    for key in sorted(_differing(old, after.apps)):
        was, now = old.get(key), after.apps.get(key)
        operation = _operation(was, now, key, cluster_before, after.cluster)
        changes.append(
            AppChange(
                key=key,
                operation=operation,
                before=was,
                after=now,
                details=diff_app(was, now) if was is not None and now is not None else (),
                unseen=() if before is None else _unseen(operation, was, now, known.get(key, ())),
            )
        )
    return Changeset(tuple(changes), cluster_before, after.cluster)


def _differing(old: Mapping[AppKey, App], new: Mapping[AppKey, App]) -> Iterator[AppKey]:
    for key in differing(old, new):
        was, now = old.get(key), new.get(key)
        if was is None or now is None or was.digest != now.digest:
            yield key


def _operation(
    was: App | None, now: App | None, key: AppKey, before: Cluster | None, after: Cluster
) -> Operation:
    if now is None:
        return Operation.DENY if after.policy.denies(key.namespace) else Operation.UNINSTALL
    if was is None and before is not None and before.policy.denies(key.namespace):
        return Operation.ALLOW
    return operation_of(was, now)


def operation_of(was: App | None, now: App) -> Operation:
    """What happened to an app that is there now. A new release under the old name is an install."""
    if was is None:
        return Operation.INSTALL
    if now.helm.revision > was.helm.revision:
        return Operation.ROLLBACK if now.record.rolled_back_to else Operation.UPGRADE
    return Operation.INSTALL if _reinstalled(was, now) else Operation.CHANGE


def _reinstalled(was: App, now: App) -> bool:
    """Whether a revision that did not rise is of a new release under the old name.

    A revision that fell to an older one is not: its newest Secret was deleted by hand.
    """
    if was.helm.updated == now.helm.updated:
        return False
    try:
        return datetime.fromisoformat(now.helm.updated) > datetime.fromisoformat(was.helm.updated)
    except (ValueError, TypeError):  # not RFC 3339, or only one of them has a zone
        return True


def _unseen(
    operation: Operation, was: App | None, now: App | None, known: Sequence[tuple[int, str]]
) -> tuple[UnseenRevision, ...]:
    if now is None or operation not in (Operation.INSTALL, Operation.UPGRADE, Operation.ROLLBACK):
        return ()
    lowest = 0 if was is None or operation is Operation.INSTALL else was.helm.revision
    between = {(number, status) for number, status in known if lowest < number < now.helm.revision}
    return tuple(UnseenRevision(number, status) for number, status in sorted(between))


def diff_app(before: App, after: App) -> tuple[Detail, ...]:
    """How two states of one app differ, in the order of ``Field``; empty if their digests are equal.

    - ``helm_info.*``, ``chart_version``, ``app_uuid``: item "". With the revision goes item
      ``rolled_back_to``, with the UUID ``hossted_helm`` (and ``cluster_uuid``, ``app_name``).
    - ``pod_info.image``: the set of images, Jobs' pods left out; item: the image's short name.
    - ``pod_info.status``, ``volume_info.size``: of a pod, a volume that is on both sides.
    - ``service_info.port``, ``ingress_info.domain``: one detail per port or host that came or went (one
      for both where one replaced another) of a service, an ingress that is on both sides.
    - ``pod_info``, ``service_info``, ``volume_info``, ``ingress_info``: what came or went, as the pod's
      image, the ports, the size in bytes, the hosts.
    - ``record.*``: likewise.

    Items are names, with the namespace in front where it is not the release's.
    """
    pair = before.digest, after.digest
    if pair[0] == pair[1]:
        return ()
    if pair not in _KNOWN:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[pair] = _details(before, after)
    return _KNOWN[pair]


# An app that differs from its record only in what is deferred is compared again at every look, perhaps
# for days: 1 to 4 ms by DeepDiff, 1 µs from here. By digests, so that no app is kept alive.
_KNOWN: dict[tuple[str, str], tuple[Detail, ...]] = {}
_MOST_KNOWN = 20_000


def _details(before: App, after: App) -> tuple[Detail, ...]:
    images_before, images_after = standing_images(before, after)
    found = {
        Detail(Field.POD_IMAGE, name, old, new)
        for name, old, new in replaced_images(images_before, images_after)
    }
    elements: defaultdict[tuple[Field, str], list[_Difference]] = defaultdict(list)
    for one in _differences(*_narrowed(_by_identity(before), _by_identity(after))):
        if one.element is None:
            found.add(_detail(one))
        else:
            elements[_ELEMENT_FIELDS[one.field], one.item].append(one)
    for (field, item), some in elements.items():
        found.update(_element_details(field, item, some))
    return tuple(sorted(found, key=lambda d: (_ORDER[d.field], d.item, d.before or "", d.after or "")))


class _Item(NamedTuple):
    """Identifies an element of a list. ``rest``: what it takes besides the name that is shown."""

    shown: str
    rest: tuple[Hashable, ...] = ()


class _Difference(NamedTuple):
    """A leaf of a DeepDiff. ``element``: a port or host of an object that is on both sides."""

    field: Field
    item: str
    rest: tuple[Hashable, ...]
    element: str | None
    before: object | None
    after: object | None


_Leaf = str | dict[str, bool]
_Comparable = dict[str, dict[_Item, _Leaf]]

_ELEMENT_FIELDS = {Field.SERVICE: Field.SERVICE_PORT, Field.INGRESS: Field.INGRESS_DOMAIN}
_VALUE_FIELDS = {Field.POD: Field.POD_STATUS, Field.VOLUME: Field.VOLUME_SIZE}
_PLACEHOLDERS = {Field.SERVICE_PORT: "0", Field.INGRESS_DOMAIN: ""}
"""What stands for none in a list that has an element for each: port 0, domain ""."""


def prepare() -> None:
    """Import now what comparing two apps needs: a fifth of a second that the first upgrade would wait for."""
    import deepdiff  # noqa: F401, PLC0415


def _differences(before: _Comparable, after: _Comparable) -> Iterator[_Difference]:
    # Imported when two apps differ: until then it would cost a start a tenth of a second, and 10 MB.
    from deepdiff import DeepDiff  # noqa: PLC0415
    from deepdiff.helper import notpresent  # noqa: PLC0415

    tree = DeepDiff(before, after, view="tree", threshold_to_diff_deeper=0, ignore_private_variables=False)
    for levels in tree.values():
        for level in levels:
            section, item, *element = level.path(output_format="list")
            yield _Difference(
                field=Field(section),
                item=item.shown,
                rest=item.rest,
                element=element[0] if element else None,
                before=None if level.t1 is notpresent else level.t1,
                after=None if level.t2 is notpresent else level.t2,
            )


def _detail(one: _Difference) -> Detail:
    on_both_sides = one.before is not None and one.after is not None
    field = _VALUE_FIELDS.get(one.field, one.field) if on_both_sides else one.field
    if field is Field.POD or field is Field.RECORD_ROUTES:  # told by what identifies them
        what = str(one.rest[0])
        return Detail(field, one.item, _if(what, one.before), _if(what, one.after))
    return Detail(field, one.item, _text(one.before), _text(one.after))


def _if(what: str, there: object | None) -> str | None:
    return None if there is None else what


def _text(value: object | None) -> str | None:
    if isinstance(value, dict):
        return ", ".join(value)
    return None if value is None else str(value)


def _element_details(field: Field, item: str, some: Iterable[_Difference]) -> Iterator[Detail]:
    gone = [one.element for one in some if one.after is None]
    new = [one.element for one in some if one.before is None]
    none = _PLACEHOLDERS[field]
    if set(gone) | set(new) != {none}:
        gone, new = [e for e in gone if e != none], [e for e in new if e != none]
    if len(gone) == len(new) == 1:
        yield Detail(field, item, gone[0], new[0])
        return
    yield from (Detail(field, item, element, None) for element in gone)
    yield from (Detail(field, item, None, element) for element in new)


def _narrowed(before: _Comparable, after: _Comparable) -> tuple[_Comparable, _Comparable]:
    """Without the items that are equal, since DeepDiff makes an object of each leaf that it meets, and the
    sections of which nothing is left."""
    one, other = _without(before, after), _without(after, before)
    left = [section for section in one if one[section] or other[section]]
    return {section: one[section] for section in left}, {section: other[section] for section in left}


def _without(one: _Comparable, other: _Comparable) -> _Comparable:
    return {
        section: {item: value for item, value in items.items() if other[section].get(item) != value}
        for section, items in one.items()
    }


def _by_identity(app: App) -> _Comparable:
    """An app as nested dicts: field → item → value, or → port or host."""
    helm, who, info, record = app.helm, app.app_api_info, app.app_info, app.record

    def name(namespace: str, name: str) -> str:
        return name if namespace == helm.namespace else f"{namespace}/{name}"

    sections: dict[Field, Iterable[tuple[_Item, _Leaf]]] = {
        Field.REVISION: [
            (_Item(""), str(helm.revision)),
            (_Item("rolled_back_to"), str(record.rolled_back_to)),
        ],
        Field.STATUS: [(_Item(""), helm.status)],
        Field.UPDATED: [(_Item(""), helm.updated)],
        Field.CHART: [(_Item(""), helm.chart)],
        Field.CHART_VERSION: [(_Item(""), record.chart_version)],
        Field.APP_VERSION: [(_Item(""), helm.appVersion)],
        Field.APP_UUID: [
            (_Item(""), who.app_uuid),
            (_Item("hossted_helm"), str(who.hossted_helm).lower()),
            (_Item("cluster_uuid"), who.cluster_uuid),
            (_Item("app_name"), who.app_name),
        ],
        Field.POD: [(_Item(name(p.namespace, p.name), (p.image,)), p.status) for p in info.pod_info],
        Field.SERVICE: _grouped((name(s.namespace, s.name), str(s.port)) for s in info.service_info),
        Field.VOLUME: [(_Item(name(v.namespace, v.name)), str(v.size)) for v in info.volume_info],
        Field.INGRESS: _grouped((name(i.namespace, i.name), i.domain) for i in info.ingress_info),
        Field.RECORD_CONTAINERS: [
            (
                _Item(f"{c.pod}/{c.container}", (c.kind,)),
                f"{c.image} {c.digest}".strip(),
            )
            for c in record.containers
        ],
        Field.RECORD_SERVICES: [(_Item(s.name), s.type) for s in record.services],
        Field.RECORD_ROUTES: [(_Item(name(r.namespace, r.name), (r.kind,)), r.kind) for r in record.routes],
    }
    return {str(field): _numbered(items) for field, items in sections.items()}


def _grouped(elements: Iterable[tuple[str, str]]) -> Iterable[tuple[_Item, _Leaf]]:
    groups: defaultdict[str, dict[str, bool]] = defaultdict(dict)
    for shown, element in elements:
        groups[shown][element] = True
    return [(_Item(shown), group) for shown, group in groups.items()]


def _numbered(items: Iterable[tuple[_Item, _Leaf]]) -> dict[_Item, _Leaf]:
    """As a dict that loses nothing: same-named pods of two namespaces share a container's identity."""
    result: dict[_Item, _Leaf] = {}
    for item, value in items:
        unique, number = item, 1
        while unique in result:
            number += 1
            unique = _Item(item.shown, (*item.rest, number))
        result[unique] = value
    return result
