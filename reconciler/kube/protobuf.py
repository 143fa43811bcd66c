"""The API's objects in protobuf, with only the fields that are needed, as the values that JSON gives too.

Core kinds, and the metadata of any, are asked for in this form: a third of the bytes, and less than half of
the server's time. Field numbers are those of ``generated.proto`` in ``k8s.io/api`` (core, apps, networking
v1) and ``k8s.io/apimachinery`` (meta v1, api/resource, runtime), which never change. The descriptors are
made by hand when first used; what they do not name is skipped, as ``wire`` skips it in JSON.

An answer is ``k8s``, a zero byte, and a ``runtime.Unknown`` whose ``raw`` is the object or list; what an
event of a watch is about is in such an envelope too.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from reconciler.kube import wire
from reconciler.kube.flow import Flow

MAGIC = b"k8s\0"
"""What an answer in protobuf begins with, and nothing in JSON does."""

Message = Any
"""A message of a type that is made while running; its fields are those of ``_MESSAGES``."""

_STRING, _BYTES, _MESSAGE = 9, 12, 11  # FieldDescriptorProto.Type
_SCALARS = {"string": _STRING, "bytes": _BYTES, "int32": 5, "int64": 3, "bool": 8}

_MESSAGES: dict[str, str] = {
    "Status": "message=3:string reason=4:string code=6:int32",
    "ListMeta": "resource_version=2:string token=3:string",
    "Time": "seconds=1:int64",
    "Owner": "kind=1:string name=3:string uid=4:string controller=6:bool",
    "Meta": (
        "name=1:string namespace=3:string uid=5:string resource_version=6:string created=8:Time"
        " deleted=9:Time labels=11:% annotations=12:% owners=13:*Owner"
    ),
    "Object": "metadata=1:Meta",
    "NameMeta": "name=1:string namespace=3:string resource_version=6:string",
    "Name": "metadata=1:NameMeta",  # of any object, as of what version it is
    "Unknown": "raw=2:bytes",
    "WatchEvent": "type=1:string object=2:RawExtension",
    "RawExtension": "raw=1:bytes",
    "Body": "metadata=1:Meta data=2:%",  # of a Secret and of a ConfigMap alike
    "Managed": "manager=1:string fields=7:FieldsV1",
    "FieldsV1": "raw=1:bytes",
    "ManagedMeta": (
        "name=1:string namespace=3:string uid=5:string resource_version=6:string labels=11:%"
        " managed_fields=17:*Managed"
    ),
    "ConfigMap": "metadata=1:ManagedMeta data=2:% binary=3:% immutable=4:bool",
    "Container": "name=1:string image=2:string",
    "PodSpec": "containers=2:*Container init_containers=20:*Container",
    "ContainerStatus": "name=1:string image_id=7:string",
    "PodStatus": (
        "phase=1:string container_statuses=8:*ContainerStatus init_container_statuses=10:*ContainerStatus"
    ),
    "Pod": "metadata=1:Meta spec=2:PodSpec status=3:PodStatus",
    "ServicePort": "port=3:int32",
    "ServiceSpec": "ports=1:*ServicePort type=4:string",
    "Service": "metadata=1:Meta spec=2:ServiceSpec",
    "Quantity": "string=1:string",
    "Amount": "key=1:bytes value=2:Quantity",
    "Resources": "requests=2:*Amount",
    "ClaimSpec": "resources=2:Resources",
    "Claim": "metadata=1:Meta spec=2:ClaimSpec",
    "IngressRule": "host=1:string",
    "IngressSpec": "rules=3:*IngressRule",
    "Ingress": "metadata=1:Meta spec=2:IngressSpec",
    "StatefulSetSpec": "volume_claim_templates=4:*Object",
    "StatefulSet": "metadata=1:Meta spec=2:StatefulSetSpec",
}  # fmt: skip
"""Fields as ``name=number:type``, a star for repeated ones. ``%`` is a map from strings to bytes, for values
that are not needed may be anything."""


class Listed(NamedTuple):
    """A list, or a page of one; its items are decoded as they are asked for."""

    items: Iterator[Message]
    resource_version: str
    token: str


def listed(name: str, body: bytes) -> Listed:
    """A list whose items are of the message of that name. ValueError for what is none."""
    metadata, items = None, []
    for number, value in _parts(_raw(body)):
        if number == 1:
            metadata = value
        elif number == 2:
            items.append(value)
    if metadata is None:
        raise ValueError("it is no list in protobuf")
    found = _parsed("ListMeta", metadata)
    # One by one: of a page that is parsed as a whole, all that is not needed is kept as well meanwhile.
    return Listed((_parsed(name, item) for item in items), found.resource_version, found.token)


def flowing(name: str, pieces: Iterable[bytes]) -> Listed:
    """As ``listed``, of an answer that is read while it comes, to its end: an object is let go when the next
    is asked for."""
    flow = Flow(pieces)
    if flow.take(len(MAGIC)) != MAGIC:
        raise ValueError("it is not in protobuf")
    number, length = flow.head()
    while number != 2:
        flow.take(length)
        number, length = flow.head()
    end = flow.at + length
    number, length = flow.head()
    if number != 1:
        raise ValueError("it is no list in protobuf")
    found = _parsed("ListMeta", flow.take(length))

    def items() -> Iterator[Message]:
        while flow.at < end:
            number, length = flow.head()
            item = flow.take(length)
            if number == 2:
                yield _parsed(name, item)
        flow.end()

    return Listed(items(), found.resource_version, found.token)


def token(body: bytes) -> str:
    """The token of the page after this one, "" where it is the last: the metadata of a list comes first, so
    nothing else is looked at. ValueError for what is no list."""
    for number, value in _parts(_raw(body)):
        return str(_parsed("ListMeta", value).token) if number == 1 else ""
    return ""


def one(name: str, body: bytes) -> Message:
    """An object. ValueError for what is none."""
    envelope = _parsed("Unknown", _enveloped(body))
    if not envelope.HasField("raw"):
        raise ValueError("it has nothing in it")
    return _parsed(name, envelope.raw)


def packed(name: str, **fields: object) -> bytes:
    """An object of core/v1, of the message of that name, in the form in which the server takes it.

    A field that is a message is given by a mapping of its fields.
    """
    types, _ = _types()
    kind = _field(1, b"v1") + _field(2, name.encode())
    return MAGIC + _field(1, kind) + _field(2, types[name](**fields).SerializeToString())


def event(frame: bytes) -> tuple[str, bytes]:
    """The type and the object, in its envelope, of a ``WatchEvent``. ValueError for what is none."""
    found = _parsed("WatchEvent", frame)
    return found.type, found.object.raw


def value(item: Message, key: str) -> bytes | None:
    """What a Secret or ConfigMap has under a key; None when it has no such key."""
    found: bytes | None = item.data.get(key)
    return found


def is_protobuf(body: bytes) -> bool:
    return body.startswith(MAGIC)


def object_meta(meta: Message) -> wire.ObjectMeta:
    annotations = _entries(meta.annotations, _RELEASE) if meta.annotations else ()
    labels = _entries(meta.labels, _LABELS) if meta.labels else ()
    return wire.ObjectMeta(  # by position: there are as many as there are objects
        meta.name,
        meta.namespace,
        meta.uid,
        meta.resource_version,
        wire.Annotations(*annotations) if any(annotations) else None,
        wire.Labels(*labels) if any(labels) else None,
        [wire.OwnerReference(one.kind, one.name, one.uid, one.controller) for one in meta.owners],
    )


def _object(item: Message) -> wire.Object:
    return wire.Object(object_meta(item.metadata))


def _namespace(item: Message) -> wire.Namespace:
    meta = item.metadata
    deleted = str(meta.deleted.seconds) if meta.HasField("deleted") else ""
    return wire.Namespace(wire.NamespaceMeta(meta.name, meta.uid, deleted, meta.resource_version))


def _name(item: Message) -> wire.Name:
    meta = item.metadata
    return wire.Name(wire.NameMeta(meta.name, meta.namespace, meta.resource_version))


def _release(item: Message) -> wire.Release:
    meta = item.metadata
    created = datetime.fromtimestamp(meta.created.seconds, UTC)
    labels = wire.ReleaseLabels(*_entries(meta.labels, _HELM))
    return wire.Release(
        wire.ReleaseMeta(meta.name, meta.namespace, meta.uid, meta.resource_version, created, labels)
    )


def _pod(item: Message) -> wire.Pod:
    # The messages of its spec and status have what the wire's types have, by the same names: to make those of
    # them takes half as long as all the rest, and there are more pods than anything else.
    return wire.Pod(object_meta(item.metadata), item.spec, item.status)


def _service(item: Message) -> wire.Service:
    ports = [wire.ServicePort(each.port) for each in item.spec.ports]
    return wire.Service(object_meta(item.metadata), wire.ServiceSpec(item.spec.type, ports))


def _claim(item: Message) -> wire.Claim:
    requests = item.spec.resources.requests
    storage = next((each.value.string for each in requests if each.key == b"storage"), "")
    resources = wire.Resources(wire.Requests(storage))
    return wire.Claim(object_meta(item.metadata), wire.ClaimSpec(resources))


def _ingress(item: Message) -> wire.Ingress:
    rules = [wire.IngressRule(each.host) for each in item.spec.rules]
    return wire.Ingress(object_meta(item.metadata), wire.IngressSpec(rules))


def _stateful_set(item: Message) -> wire.StatefulSet:
    templates = [
        wire.ClaimTemplate(wire.TemplateMeta(each.metadata.name)) for each in item.spec.volume_claim_templates
    ]
    return wire.StatefulSet(object_meta(item.metadata), wire.StatefulSetSpec(templates))


FORMS: dict[type[wire.Wire], tuple[str, Callable[[Message], Any]]] = {
    wire.Object: ("Object", _object),
    wire.Name: ("Name", _name),
    wire.Namespace: ("Object", _namespace),
    wire.Release: ("Object", _release),
    wire.Pod: ("Pod", _pod),
    wire.Service: ("Service", _service),
    wire.Claim: ("Claim", _claim),
    wire.Ingress: ("Ingress", _ingress),
    wire.StatefulSet: ("StatefulSet", _stateful_set),
}
"""Of each form in JSON the message that has the same, and how it becomes that. Others have none."""


_RELEASE, _LABELS, _HELM = (
    form.__struct_encode_fields__ for form in (wire.Annotations, wire.Labels, wire.ReleaseLabels)
)


def _entries(entries: Message, wanted: tuple[str, ...]) -> list[str]:
    """The values of these keys of a map, "" for those that it has not."""
    return [str(found, "utf-8", "replace") if (found := entries.get(key)) else "" for key in wanted]


def _raw(body: bytes) -> memoryview:
    """What an answer has in its ``runtime.Unknown`` (raw is 2)."""
    for number, value in _parts(_enveloped(body)):
        if number == 2:
            return value
    raise ValueError("it has nothing in it")


def _enveloped(body: bytes) -> memoryview:
    if not is_protobuf(body):
        raise ValueError("it is not in protobuf")
    return memoryview(body)[len(MAGIC) :]


def _parts(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The fields of a message that have none but such as have a length, and their numbers (1 to 15)."""
    at, end = 0, len(data)
    try:
        while at < end:
            tag, length, shift = data[at], data[at + 1] & 127, 7
            at += 1
            while data[at] > 127:
                at += 1
                length |= (data[at] & 127) << shift
                shift += 7
            at += 1
            if tag & 135 != 2 or at + length > end:
                raise ValueError("it is not what it should be in protobuf")
            yield tag >> 3, data[at : at + length]
            at += length
    except IndexError:
        raise ValueError("it ends too early") from None


def _parsed(name: str, data: memoryview | bytes) -> Message:
    types, error = _types()
    try:
        return types[name].FromString(data)
    except error as failure:
        raise ValueError(f"it is no {name} in protobuf") from failure


_Types = tuple[dict[str, Any], type[Exception]]

_MAKING = threading.Lock()


@cache
def _types() -> _Types:
    """Classes of the messages, and what they raise."""
    with _MAKING:  # the first lists of all kinds come at one time, each in its thread
        return _made_types()


@cache
def _made_types() -> _Types:
    # Not all commands speak to a cluster, and it costs some megabytes.
    from google.protobuf import (  # type: ignore[import-untyped]  # noqa: PLC0415 - ships no types
        descriptor_pool,
        message,
        message_factory,
    )

    pool = descriptor_pool.DescriptorPool()
    described = b"".join(_field(4, _described(name, fields)) for name, fields in _MESSAGES.items())
    pool.AddSerializedFile(_field(1, b"kube.proto") + _field(2, b"kube") + described)
    types = {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"kube.{name}"))
        for name in _MESSAGES
    }
    return types, message.DecodeError


def _described(name: str, fields: str) -> bytes:
    """A DescriptorProto, in protobuf (descriptor.proto: name 1, field 2, nested_type 3)."""
    described = _field(1, name.encode())
    for field in fields.split():
        label, _, form = field.partition(":")
        called, _, number = label.partition("=")
        if form == "%":
            entry = f"{called.title()}Entry"  # what a map's must be called, and have
            key, value = _described_field("key", 1, "string"), _described_field("value", 2, "bytes")
            # MessageOptions 7: map_entry 7.
            described += _field(3, _field(1, entry.encode()) + key + value + _field(7, _number(7, 1)))
            form = f"*{name}.{entry}"
        described += _described_field(called, int(number), form.removeprefix("*"), many=form.startswith("*"))
    return described


def _described_field(called: str, number: int, kind: str, *, many: bool = False) -> bytes:
    """A field 2 of a DescriptorProto.

    FieldDescriptorProto: name 1, number 3, label 4 (optional 1, repeated 3), type 5, type_name 6.
    """
    return _field(
        2,
        _field(1, called.encode())
        + _number(3, number)
        + _number(4, 3 if many else 1)
        + _number(5, _SCALARS.get(kind, _MESSAGE))
        + (b"" if kind in _SCALARS else _field(6, f".kube.{kind}".encode())),
    )


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    head = b""
    while value > 127:
        head += bytes([value & 127 | 128])
        value >>= 7
    return head + bytes([value])
