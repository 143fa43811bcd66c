"""What lies under the API server: whole clusters as ranges of keys in etcd.

Putting a cluster back as it was is a few requests here and takes a fraction of a second; through
the API, finalizers and the namespace controller make seconds of it.
"""

from __future__ import annotations

import json
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# What controllers keep rewriting, so that no earlier value is worth putting back.
VOLATILE = ("leases/", "masterleases/", "ranges/", "events/")

MOST_AT_ONCE = 100  # operations of one transaction, of which etcd takes 128
LARGEST = 1_000_000  # bytes of base64 in one transaction: etcd takes 1.5 MiB


@dataclass(frozen=True)
class Entry:
    """A key's value, and the revision that wrote it."""

    value: str  # base64, as etcd's gateway speaks
    revision: str


@dataclass(frozen=True)
class Etcd:
    """A client of etcd's HTTP gateway."""

    url: str

    def ready(self) -> bool:
        """Whether it answers."""
        try:
            return bool(self._call("maintenance/status", {}))
        except OSError:
            return False

    def entries(self, prefix: str, *, values: bool = True) -> dict[str, Entry]:
        """All keys below the prefix."""
        answer = self._call("kv/range", _range(prefix) | {"keys_only": not values})
        return {
            b64decode(item["key"]).decode(): Entry(item.get("value", ""), item["mod_revision"])
            for item in answer.get("kvs", ())
        }

    def delete(self, keys: Iterable[str]) -> None:
        """Deletes the keys."""
        for key in keys:
            self._call("kv/deleterange", {"key": _base64(key)})

    def delete_all(self, prefix: str) -> None:
        """Deletes every key below the prefix."""
        self._call("kv/deleterange", _range(prefix))

    def put(self, key: str, value: str) -> None:
        """Writes one value, given in base64."""
        self._call("kv/put", {"key": _base64(key), "value": value})

    def put_all(self, entries: Mapping[str, str]) -> None:
        """Writes many values, given in base64, as many at once as a request may hold."""
        waiting: list[dict[str, Any]] = []
        size = 0
        for key, value in entries.items():
            if len(waiting) == MOST_AT_ONCE or size + len(value) > LARGEST:
                self._call("kv/txn", {"success": waiting})
                waiting, size = [], 0
            waiting.append({"request_put": {"key": _base64(key), "value": value}})
            size += len(value)
        if waiting:
            self._call("kv/txn", {"success": waiting})

    def compact(self) -> None:
        """Forgets everything but the values of now, of all clusters that live in it."""
        revision = self._call("maintenance/status", {})["header"]["revision"]
        self._call("kv/compaction", {"revision": revision, "physical": True})

    def put_back(self, prefix: str, before: dict[str, Entry]) -> bool:
        """Makes the range what it was before; whether anything had come since."""
        now = self.entries(prefix, values=False)
        added = [key for key in now if key not in before]
        self.delete(added)
        for key, entry in before.items():
            gone = key not in now
            changed = not gone and now[key].revision != entry.revision
            if key.removeprefix(f"{prefix}/").startswith(VOLATILE):
                continue
            if gone or changed:
                self.put(key, entry.value)
        return bool(added)

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}/v3/{path}",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            result = json.load(answer)
        assert isinstance(result, dict)
        return result


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def _range(prefix: str) -> dict[str, Any]:
    """Keys that start with `prefix/`: etcd wants the first key that does not."""
    return {"key": _base64(f"{prefix}/"), "range_end": _base64(f"{prefix}0")}
