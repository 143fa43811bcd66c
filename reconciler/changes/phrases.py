"""One difference in words: a fragment that names the object, the old value and the new."""

from collections.abc import Callable, Iterable, Mapping

from reconciler.changes.change import Detail, Field
from reconciler.changes.wording import arrow, clean, count, image, image_change, size

_FOLLOWED = {Field.RECORD_SERVICES: Field.SERVICE, Field.RECORD_ROUTES: Field.INGRESS}


def phrase(detail: Detail) -> str:
    """One difference in words; "" for what another one says already."""
    item = clean(detail.item)
    special = _SPECIAL.get(detail.field)
    if special is not None:
        return special(item, detail.before, detail.after)
    if detail.field is Field.REVISION and item:
        return "" if detail.after in (None, "0") else f"rolled back to revision {clean(detail.after)}"
    if detail.field is Field.APP_UUID and item:
        return _changed(item.replace("_", " "), detail.before, detail.after)
    return _changed(f"{_NOUNS[detail.field]} {item}".strip(), detail.before, detail.after)


_NOUNS: Mapping[Field, str] = {
    Field.REVISION: "revision",
    Field.STATUS: "status",
    Field.UPDATED: "updated",
    Field.CHART: "chart",
    Field.CHART_VERSION: "chart version",
    Field.APP_VERSION: "app version",
    Field.APP_UUID: "app UUID",
    Field.POD_STATUS: "pod",
    Field.RECORD_CONTAINERS: "container",
    Field.RECORD_SERVICES: "type of service",
}


def _changed(what: str, before: str | None, after: str | None) -> str:
    return f"{what} {arrow(clean(before or ''), clean(after or ''))}"


def _image(_: str, before: str | None, after: str | None) -> str:
    if before and after:
        return f"image {image_change(before, after)}"
    return f"new image {image(after)}" if after else f"image {image(before or '')} gone"


def _pod(item: str, before: str | None, after: str | None) -> str:
    return _came_or_went(f"pod {item}", before, after, image)


def _service(item: str, before: str | None, after: str | None) -> str:
    return _came_or_went(f"service {item}", before, after, _ports)


def _ports(ports: str) -> str:
    return "" if ports == "0" else clean(ports)  # port 0 stands for none


def _volume(item: str, before: str | None, after: str | None) -> str:
    return _came_or_went(f"volume {item}", before, after, size)


def _ingress(item: str, before: str | None, after: str | None) -> str:
    return _came_or_went(f"ingress {item}", before, after, clean)


def _route(item: str, before: str | None, after: str | None) -> str:
    return _came_or_went(f"route {item}", before, after, clean)


def _came_or_went(what: str, before: str | None, after: str | None, words: Callable[[str], str]) -> str:
    value = words((after if before is None else before) or "")
    told = f"{what} ({value})" if value else what
    return f"new {told}" if before is None else f"{told} gone"


def _volume_size(item: str, before: str | None, after: str | None) -> str:
    return f"volume {item} {arrow(size(before or ''), size(after or ''))}"


def _port(item: str, before: str | None, after: str | None) -> str:
    return f"service {item}: {_element('port', before, after)}"


def _host(_: str, before: str | None, after: str | None) -> str:
    return _element("host", before, after)


def _element(noun: str, before: str | None, after: str | None) -> str:
    if before is not None and after is not None:
        return _changed(noun, before, after)
    if after is not None:
        return f"new {noun} {clean(after) or 'none'}"
    return f"{noun} {clean(before or '') or 'none'} gone"


_SPECIAL: Mapping[Field, Callable[[str, str | None, str | None], str]] = {
    Field.POD_IMAGE: _image,
    Field.POD: _pod,
    Field.SERVICE_PORT: _port,
    Field.SERVICE: _service,
    Field.VOLUME_SIZE: _volume_size,
    Field.VOLUME: _volume,
    Field.INGRESS_DOMAIN: _host,
    Field.INGRESS: _ingress,
    Field.RECORD_ROUTES: _route,
}


def pod_phrases(details: Iterable[Detail]) -> list[str]:
    """What pods did, in numbers where they are many; at most one phrase for each thing they do."""
    details = tuple(details)
    phrases = []
    statuses = [d for d in details if d.field is Field.POD_STATUS]
    if len(statuses) == 1:
        phrases.append(phrase(statuses[0]))
    elif statuses:
        same = len({(d.before, d.after) for d in statuses}) == 1
        pods = count(len(_names(statuses)), "pod")
        phrases.append(
            _changed(pods, statuses[0].before, statuses[0].after) if same else f"{pods} changed status"
        )
    moved = [d for d in details if d.field is Field.POD]
    if len(moved) == 1:
        phrases.append(phrase(moved[0]))
    elif moved:
        if new := _names(d for d in moved if d.before is None):
            phrases.append(count(len(new), "new pod"))
        if gone := _names(d for d in moved if d.after is None):
            phrases.append(f"{count(len(gone), 'pod')} gone")
    if not phrases and (containers := [d for d in details if d.field is Field.RECORD_CONTAINERS]):
        phrases.append(f"{count(len(_names(containers)), 'container')} changed")
    return phrases


def _names(details: Iterable[Detail]) -> set[str]:
    return {detail.item for detail in details}


def unfollowed(details: tuple[Detail, ...]) -> list[Detail]:
    """Without what the record only repeats: a new service's type, a new pod's containers."""
    told = {(d.field, d.item) for d in details}

    def repeats(detail: Detail) -> bool:
        if detail.field is Field.RECORD_CONTAINERS:
            return (Field.POD, detail.item.partition("/")[0]) in told
        followed = _FOLLOWED.get(detail.field)
        return followed is not None and (followed, detail.item) in told

    return [detail for detail in details if not repeats(detail)]
