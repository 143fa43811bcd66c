"""What state kept in ConfigMaps needs of the Kubernetes API, and how it marks and packs what is its own.

``ConfigMapAccess`` is the whole of it: six requests on the ConfigMaps of one namespace. Everything that
is kept carries the two labels below and no annotation, no ownerReference and no label of the project:
Argo CD prunes what carries its marks, and Kubernetes collects what its owner leaves behind.
"""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from reconciler.errors import KubernetesError, StoreError
from reconciler.kube.configmaps import ConfigMap

MANAGER: Final = "hossted-reconciler"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
STATE: Final = "hossted.com/state"
"""The label that marks state; its value says which part: ``head``, ``apps``, ``history``, ``ledger``."""

CLUSTER: Final = "hossted.com/cluster"
"""The label with the hash of the cluster's UUID, on the parts of one cluster's snapshots."""

PACKED_LIMIT: Final = 900 * 1024
"""Bytes of data in one ConfigMap. Kubernetes allows 1 MiB; the rest is for keys and what is around them."""

INFLATED_LIMIT: Final = 256 * 1024 * 1024
"""Bytes that a packed document may grow to; nothing that we pack comes near it."""

PACKED_QUICKLY: Final = 512 * 1024
"""Bytes up to which packing is quick rather than small."""


class ConfigMapAccess(Protocol):
    """The requests, as ``reconciler.kube.configmaps.ConfigMaps`` makes them; KubernetesError if one fails."""

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None: ...

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]: ...

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]: ...

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap: ...

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap: ...

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None: ...


def labels(part: str) -> dict[str, str]:
    """The labels of a ConfigMap that keeps this part of the state."""
    return {MANAGED_BY: MANAGER, STATE: part}


def selector(**wanted: str) -> str:
    """A label selector for our ConfigMaps: ``state`` and ``cluster`` name the labels above."""
    terms = {MANAGED_BY: MANAGER} | {{"state": STATE, "cluster": CLUSTER}[k]: v for k, v in wanted.items()}
    return ",".join(f"{label}={value}" for label, value in terms.items())


def pack(data: bytes) -> bytes:
    """gzip (RFC 1952) without a time or a name in it, so that the same bytes pack to the same bytes.

    What is written with every change is packed in a third of the time, to a fifth more. What is large is
    rare, and must fit.
    """
    packer = zlib.compressobj(level=1 if len(data) <= PACKED_QUICKLY else -1, wbits=31)
    return packer.compress(data) + packer.flush()


def unpack(data: bytes, where: str) -> bytes:
    """The inverse of ``pack``; StoreError naming ``where`` for what is no gzip, or grows beyond reason."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(data, INFLATED_LIMIT)
    except zlib.error as error:
        raise StoreError(f"{where} is damaged: not gzip; restore it from a backup") from error
    if not unpacker.eof:
        raise StoreError(f"{where} is damaged: cut short, or too large; restore it from a backup")
    return plain


@asynccontextmanager
async def store_errors(where: str) -> AsyncIterator[None]:
    """Turn what the Kubernetes API raises into what a store raises."""
    try:
        yield
    except KubernetesError as error:
        raise StoreError(f"{where}: {error}") from error
