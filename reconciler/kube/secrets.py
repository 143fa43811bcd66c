"""Secrets that the project names, read one at a time: never listed, never watched, never kept."""

from collections.abc import Mapping

import msgspec

from reconciler.kube.client import Client, segment


class Secrets:
    """The Secrets of a cluster."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def read(self, namespace: str, name: str) -> Mapping[str, bytes]:
        """The data of one Secret, decoded. NotFoundError, ForbiddenError, KubernetesError."""
        path = f"/api/v1/namespaces/{segment(namespace)}/secrets/{segment(name)}"
        return await self._client.read(path, _data)


class _Wire(msgspec.Struct, frozen=True):
    data: dict[str, bytes] | None = None


_SECRET = msgspec.json.Decoder(_Wire)


def _data(body: bytes) -> Mapping[str, bytes]:
    return _SECRET.decode(body).data or {}
