"""ConfigMaps, as the state store and the ledger keep them: read, compare and swap."""

from collections.abc import Mapping

import msgspec

from reconciler.errors import NotFoundError
from reconciler.kube.client import METADATA_LIST, Client, Page, segment

LARGE_A_PAGE = 20
"""ConfigMaps a page, with what they hold: of the ledger's up to 256 KiB each, held until it is decoded."""


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
            return await self._client.read(_path(namespace, name), _read)
        except NotFoundError:
            return None

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        """The ConfigMaps of a namespace that match a label selector (``app=x,part in (a,b)``)."""
        params = {"labelSelector": label_selector}
        return (await self._client.list_all(_path(namespace), _page, params, page_size=LARGE_A_PAGE)).items

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        """As ``list_config_maps``, without what they hold: ``data`` and ``binary_data`` are empty, and
        ``immutable`` is not told."""
        params = {"labelSelector": label_selector}
        return (await self._client.list_all(_path(namespace), _page, params, METADATA_LIST)).items

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        """Create it; ConflictError when it is there, TooLargeError when it is too much for one."""
        return await self._client.create(_path(wanted.namespace), _body(wanted), _read)

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        """Replace the version that ``resource_version`` names.

        ConflictError when that is not the newest any more, or ``uid`` is another's; NotFoundError when it
        is gone; TooLargeError when it is too much for one. ValueError without a version.
        """
        if not wanted.resource_version:
            raise ValueError(f"ConfigMap {wanted.namespace}/{wanted.name}: a replacement names a version")
        return await self._client.replace(_path(wanted.namespace, wanted.name), _body(wanted), _read)

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


class _Managed(msgspec.Struct, frozen=True):
    manager: str = ""
    fields: _FieldsOwned = msgspec.field(default=_FieldsOwned(), name="fieldsV1")

    @property
    def owns_data(self) -> bool:
        return bool(self.fields.data or self.fields.binary)


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


def _path(namespace: str, name: str = "") -> str:
    path = f"/api/v1/namespaces/{segment(namespace)}/configmaps"
    return f"{path}/{segment(name)}" if name else path


def _read(body: bytes) -> ConfigMap:
    return _value(_ONE.decode(body))


def _page(body: bytes) -> Page[ConfigMap]:
    page = _MANY.decode(body)
    items = [_value(item) for item in page.items or ()]
    return Page(items, page.metadata.resource_version, page.metadata.token)


def _value(wire: _Wire) -> ConfigMap:
    meta = wire.metadata
    return ConfigMap(
        name=meta.name,
        namespace=meta.namespace,
        uid=meta.uid,
        resource_version=meta.resource_version,
        data=wire.data,
        binary_data=wire.binary_data,
        labels=meta.labels,
        managers=tuple(sorted({entry.manager for entry in meta.managed_fields if entry.owns_data})),
        immutable=wire.immutable,
    )


def _body(wanted: ConfigMap) -> bytes:
    # What is "" or empty is left out: an empty resourceVersion or uid would be a claim.
    meta = {
        "name": wanted.name,
        "namespace": wanted.namespace,
        "uid": wanted.uid,
        "resourceVersion": wanted.resource_version,
        "labels": wanted.labels,
    }
    return msgspec.json.encode(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {key: value for key, value in meta.items() if value},
            "data": wanted.data,
            "binaryData": wanted.binary_data,
            **({"immutable": True} if wanted.immutable else {}),
        }
    )
