"""ConfigMaps, as the state store and the ledger keep them: read, compare and swap.

They go and come in protobuf, and what answers a write is the metadata alone: what was written is known, and
the server takes half as long for it. What a server or a proxy sends in JSON instead is read as well.
"""

from collections.abc import Iterable, Mapping

import msgspec

from reconciler.errors import NotFoundError
from reconciler.kube import protobuf
from reconciler.kube.client import (
    EITHER,
    METADATA_EITHER,
    METADATA_WATCH_EITHER,
    PROTOBUF,
    Client,
    Page,
    segment,
)

LARGE_A_PAGE = 100
"""ConfigMaps a page, with what they hold: of the ledger's up to 32 KiB each, held until it is decoded."""


class ConfigMap(msgspec.Struct, frozen=True):
    """One ConfigMap. ``binary_data`` is decoded; ``data`` and ``binary_data`` share their key space.

    ``managers``: who owns ``data`` or ``binaryData`` by the server's account (``managedFields``), each
    once and sorted; our own writes are ``client.FIELD_MANAGER``. ``uid``, ``resource_version`` and
    ``managers`` are the server's: "" and () in what is to be created.
    """

    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    data: Mapping[str, str] = {}
    binary_data: Mapping[str, bytes] = {}
    labels: Mapping[str, str] = {}
    managers: tuple[str, ...] = ()
    immutable: bool = False


class ConfigMaps:
    """The ConfigMaps of a cluster. All methods raise KubernetesError and its kinds."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        """The ConfigMap of that name, or None."""
        try:
            return await self._client.read(_path(namespace, name), read_config_map, accept=EITHER)
        except NotFoundError:
            return None

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        """The ConfigMaps of a namespace that match a label selector (``app=x,part in (a,b)``)."""
        params = {"labelSelector": label_selector}
        path = _path(namespace)
        return (await self._client.list_all(path, _page, params, EITHER, page_size=LARGE_A_PAGE)).items

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        """As ``list_config_maps``, without what they hold: ``data`` and ``binary_data`` are empty, and
        ``immutable`` is not told."""
        params = {"labelSelector": label_selector}
        return (await self._client.list_all(_path(namespace), _page, params, METADATA_EITHER)).items

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        """Create it; what was wanted, as the server knows it now. ConflictError when it is there,
        TooLargeError when it is too much for one."""
        path, body = _path(wanted.namespace), _body(wanted)
        answer = await self._client.create(path, body, read_config_map, PROTOBUF, METADATA_WATCH_EITHER)
        return _written(wanted, answer)

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        """Replace the version that ``resource_version`` names; what was wanted, as the server knows it now.

        ConflictError when that is not the newest any more, or ``uid`` is another's; NotFoundError when it
        is gone; TooLargeError when it is too much for one. ValueError without a version.
        """
        if not wanted.resource_version:
            raise ValueError(f"ConfigMap {wanted.namespace}/{wanted.name}: a replacement names a version")
        path, body = _path(wanted.namespace, wanted.name), _body(wanted)
        answer = await self._client.replace(path, body, read_config_map, PROTOBUF, METADATA_WATCH_EITHER)
        return _written(wanted, answer)

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        """Delete it, if ``uid`` is its own or ""; ConflictError if not. Gone already is as good."""
        options = msgspec.json.encode({"preconditions": {"uid": uid}}) if uid else None
        try:
            await self._client.delete(_path(namespace, name), options)
        except NotFoundError:
            return


class _FieldsOwned(msgspec.Struct, frozen=True):
    data: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="f:data")
    binary: msgspec.Raw = msgspec.field(default=msgspec.Raw(), name="f:binaryData")

    @property
    def has_data(self) -> bool:
        return bool(self.data or self.binary)


class _Managed(msgspec.Struct, frozen=True):
    manager: str = ""
    fields: _FieldsOwned = msgspec.field(default=_FieldsOwned(), name="fieldsV1")


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str
    uid: str
    resource_version: str
    labels: dict[str, str] = {}
    managed_fields: list[_Managed] = []


class _Wire(msgspec.Struct, frozen=True, rename="camel"):
    metadata: _Meta
    data: dict[str, str] = {}
    binary_data: dict[str, bytes] = {}
    immutable: bool = False


class _ListMeta(msgspec.Struct, frozen=True, rename="camel"):
    resource_version: str = ""
    token: str = msgspec.field(default="", name="continue")


class _WireList(msgspec.Struct, frozen=True):
    metadata: _ListMeta
    items: list[_Wire] | None = None  # null in an empty list of metadata


_ONE = msgspec.json.Decoder(_Wire)
_MANY = msgspec.json.Decoder(_WireList)
_OWNED = msgspec.json.Decoder(_FieldsOwned)


def _path(namespace: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{segment(namespace)}/configmaps"
    return f"{path}/{segment(name)}" if name else path


def read_config_map(body: bytes) -> ConfigMap:
    """A ConfigMap in either form. ValueError for what is none."""
    if protobuf.is_protobuf(body):
        return _from_message(protobuf.one("ConfigMap", body))
    return _from_wire(_ONE.decode(body))


def _page(body: bytes) -> Page[ConfigMap]:
    if protobuf.is_protobuf(body):
        listed = protobuf.listed("ConfigMap", body)
        return Page([_from_message(item) for item in listed.items], listed.resource_version, listed.token)
    page = _MANY.decode(body)
    items = [_from_wire(item) for item in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.token)


def _from_wire(wire: _Wire) -> ConfigMap:
    meta = wire.metadata
    return ConfigMap(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        data=wire.data,
        binary_data=wire.binary_data,
        labels=meta.labels,
        managers=_managers((one.manager, one.fields) for one in meta.managed_fields),
        immutable=wire.immutable,
    )


def _from_message(item: protobuf.Message) -> ConfigMap:
    meta = item.metadata
    return ConfigMap(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        data={key: str(value, "utf-8") for key, value in item.data.items()},
        binary_data=dict(item.binary),
        labels={key: str(value, "utf-8") for key, value in meta.labels.items()},
        managers=_managers(
            (one.manager, _OWNED.decode(one.fields.raw or b"{}")) for one in meta.managed_fields
        ),
        immutable=item.immutable,
    )


def _managers(owned: Iterable[tuple[str, _FieldsOwned]]) -> tuple[str, ...]:
    return tuple(sorted({manager for manager, fields in owned if fields.has_data}))


def _written(wanted: ConfigMap, answer: ConfigMap) -> ConfigMap:
    """What was written, with what the server made of its metadata."""
    return msgspec.structs.replace(
        answer, data=wanted.data, binary_data=wanted.binary_data, immutable=wanted.immutable
    )


def _body(wanted: ConfigMap) -> bytes:
    # What is "" or empty is left out: an empty resourceVersion or uid would be a claim.
    return protobuf.packed(
        "ConfigMap",
        metadata={
            "name": wanted.name,
            "namespace": wanted.namespace,
            "uid": wanted.uid or None,
            "resource_version": wanted.resource_version or None,
            "labels": _encoded(wanted.labels),
        },
        data=_encoded(wanted.data),
        binary=wanted.binary_data,
        immutable=wanted.immutable or None,
    )


def _encoded(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode() for key, text in texts.items()}
