"""A stand-in for the ConfigMaps of an API server, and faults for it or for the real one.

The stand-in knows what the state relies on: resourceVersions, UIDs, immutability, the size limit, and
selectors by equality. What it says of field managers is not the server's: that is tested on a real one.
"""

import itertools
from collections.abc import Mapping

import msgspec

from reconciler.errors import ConflictError, KubernetesError, NotFoundError, TooLargeError
from reconciler.kube.configmaps import ConfigMap
from reconciler.state.configmap.access import ConfigMapAccess

SIZE_LIMIT = 1024 * 1024
MANAGERS = ("hossted-reconciler",)


class StandIn:
    """ConfigMaps in memory."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], ConfigMap] = {}
        self._versions = itertools.count(1)

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        return self.items.get((namespace, name))

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        terms = dict(term.split("=") for term in label_selector.split(","))
        return [
            item
            for item in self.items.values()
            if item.namespace == namespace and terms.items() <= item.labels.items()
        ]

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        found = await self.list_config_maps(namespace, label_selector)
        return [msgspec.structs.replace(item, data={}, binary_data={}, immutable=False) for item in found]

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        if (wanted.namespace, wanted.name) in self.items:
            raise ConflictError(f"{wanted.name} is there", 409)
        return self._keep(msgspec.structs.replace(wanted, uid=self.new_uid()))

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        there = self.items.get((wanted.namespace, wanted.name))
        if there is None:
            raise NotFoundError(f"{wanted.name} is not there", 404)
        if wanted.resource_version != there.resource_version or wanted.uid not in ("", there.uid):
            raise ConflictError(f"{wanted.name} is at another version", 409)
        if there.immutable:
            raise KubernetesError(f"{wanted.name} is immutable", 422)
        return self._keep(msgspec.structs.replace(wanted, uid=there.uid))

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        there = self.items.get((namespace, name))
        if there and uid not in ("", there.uid):
            raise ConflictError(f"{name} has another UID", 409)
        self.items.pop((namespace, name), None)

    def new_uid(self) -> str:
        return f"uid-{next(self._versions)}"

    def put(self, item: ConfigMap) -> None:
        """Have an item there as it is, whatever the server would have said."""
        self.items[item.namespace, item.name] = msgspec.structs.replace(
            item, resource_version=str(next(self._versions))
        )

    def _keep(self, item: ConfigMap) -> ConfigMap:
        values: list[bytes] = [text.encode() for text in item.data.values()] + list(item.binary_data.values())
        if sum(map(len, values)) > SIZE_LIMIT:
            raise TooLargeError(f"{item.name} is too large")
        kept = msgspec.structs.replace(item, resource_version=str(next(self._versions)), managers=MANAGERS)
        self.items[kept.namespace, kept.name] = kept
        return kept


class CrashError(Exception):
    """The process died here."""


class Faulty:
    """Makes a write (counted from 0) the process's last: it is not made, or made and never answered.

    ``error``: it is answered with that instead, and the process goes on. ``log``: the requests that were
    made, as verb and name.
    """

    def __init__(
        self, access: ConfigMapAccess, at: int = -1, *, made: bool = False, error: Exception | None = None
    ) -> None:
        self._access = access
        self._at = at
        self._made = made
        self._error = error or CrashError()
        self.writes = 0
        self.reads = 0
        self.log: list[tuple[str, str]] = []

    async def get_config_map(self, namespace: str, name: str) -> ConfigMap | None:
        self._read("get", name)
        return await self._access.get_config_map(namespace, name)

    async def list_config_maps(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        self._read("list", label_selector)
        return await self._access.list_config_maps(namespace, label_selector)

    async def list_config_map_metadata(self, namespace: str, label_selector: str) -> list[ConfigMap]:
        self._read("list", label_selector)
        return await self._access.list_config_map_metadata(namespace, label_selector)

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        last = self._count("create", wanted.name)
        done = await self._access.create_config_map(wanted)
        self._end(last)
        return done

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        last = self._count("replace", wanted.name)
        done = await self._access.replace_config_map(wanted)
        self._end(last)
        return done

    async def delete_config_map(self, namespace: str, name: str, uid: str = "") -> None:
        last = self._count("delete", name)
        await self._access.delete_config_map(namespace, name, uid)
        self._end(last)

    def made(self, verb: str, part: str = "") -> list[str]:
        """The names, with that in them, that a verb was used on."""
        return [name for made, name in self.log if made == verb and part in name]

    def _read(self, verb: str, name: str) -> None:
        self.reads += 1
        self.log.append((verb, name))

    def _count(self, verb: str, name: str) -> bool:
        last = self.writes == self._at
        if isinstance(self._error, CrashError) and self.writes > self._at >= 0:
            raise self._error  # the dead make no requests
        self.writes += 1
        self.log.append((verb, name))
        if last and not self._made:
            raise self._error
        return last

    def _end(self, last: bool) -> None:
        if last:
            raise self._error


def names(items: Mapping[tuple[str, str], ConfigMap]) -> list[str]:
    return sorted(name for _, name in items)
