"""A cluster of many releases: some by the real Helm, and copies of all that became of them.

The copies are written below the API server, in the form in which it had stored the originals, with other
namespaces and UIDs; only release Secrets go through the API, since their payload names the namespace as
well. So every object is as Helm, the controllers and kwok made its original, status included.
"""

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import UUID, uuid5

import msgspec
from rich.progress import track

from tests.benchmarks.live.http import Http
from tests.controlplane.cluster import CHARTS, large_values
from tests.controlplane.etcd import Entry
from tests.controlplane.plane import ControlPlane

PREFIX = "bench-"
IN_A_NAMESPACE = 10
HELMS = 2 * (os.cpu_count() or 1)
WRITERS = 4


def _replicas(count: int) -> tuple[str, ...]:
    return ("--set", f"replicas={count}")


CHART_CYCLE: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("web", 12, _replicas(12)),
    ("tiny", 19, _replicas(19)),
    ("keycloak", 2, ()),  # its Ingress has one name: one in a namespace
    ("web", 12, _replicas(12)),
    ("bare", 5, ()),
    ("web", 12, _replicas(12)),
    ("tiny", 19, _replicas(19)),
    ("web", 12, _replicas(12)),
    ("bare", 5, ()),
    ("tiny", 2, _replicas(2)),
)
"""Chart, how many pods come of it, and flags: 10 pods a release on average."""

VALUES = (60_000, 120_000, 240_000)
"""Bytes of values that releases carry, by turns: hard to compress, as the charts inside real ones are."""

_UID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_IP = re.compile(rb"10\.96\.\d{1,3}\.\d{1,3}")
_LEFT_OUT = ("events/", "leases/", "masterleases/", "ranges/")


class Scale(msgspec.Struct, frozen=True):
    """``by_helm``: releases that Helm installs; ``times``: how often they are there, copies included."""

    by_helm: int
    times: int

    @property
    def releases(self) -> int:
        return self.by_helm * self.times

    @property
    def pods(self) -> int:
        return sum(CHART_CYCLE[n % len(CHART_CYCLE)][1] for n in range(self.by_helm)) * self.times

    def __str__(self) -> str:
        return f"{self.releases:,} releases, {self.pods:,} pods"


def originals(count: int) -> list[tuple[str, str, str]]:
    """(namespace, name, chart) of the releases that Helm installs."""
    return [
        (f"{_prefix(0)}{n // IN_A_NAMESPACE:03}", f"app-{n:04}", CHART_CYCLE[n % len(CHART_CYCLE)][0])
        for n in range(count)
    ]


def install(plane: ControlPlane, count: int) -> None:
    """So many releases by the real Helm, with their pods Running."""
    releases = originals(count)
    spaces = sorted({where for where, _, _ in releases})
    plane.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in spaces))
    values = [large_values(plane.folder / f"values-{size}.yaml", size) for size in VALUES]

    def one(n: int) -> None:
        where, name, chart = releases[n]
        flags = CHART_CYCLE[n % len(CHART_CYCLE)][2]
        files = ("--values", str(values[n % len(values)]))
        plane.helm("install", name, str(CHARTS / chart), *flags, *files, namespace=where)

    with ThreadPoolExecutor(HELMS) as helms:
        _shown(helms.map(one, range(count)), f"installing {count} releases", count)
    for where in track(spaces, "waiting for their pods", transient=True):
        plane.rolled_out(where, timeout=600)


def copy(plane: ControlPlane, first: int, beyond: int) -> None:
    """Copies number ``first`` to ``beyond - 1`` of everything that Helm installed (number 0)."""
    with plane.without_controllers():  # which would act on what they see half of
        everything = plane.etcd.entries("/registry")
        mine = {key: value for key, value in everything.items() if _is_original(key, value)}
        taken = {one.rpartition("/")[2] for one in everything if one.startswith("/registry/ipaddresses/")}
        addresses = _Addresses(taken)
        for number in track(range(first, beyond), f"copying {len(mine):,} objects", transient=True):
            plane.etcd.put_all(dict(_copied(mine, number, addresses)))
        for number in range(first, beyond):
            _copy_secrets(plane, everything, number)


def _is_original(key: str, entry: Entry) -> bool:
    path = key.removeprefix("/registry/")
    if path.startswith(_LEFT_OUT) or "/sh.helm.release." in path:
        return False
    if path.startswith(("persistentvolumes/", "ipaddresses/")):
        return _prefix(0).encode() in base64.b64decode(entry.value)
    return _prefix(0) in path


def _copied(mine: Mapping[str, Entry], number: int, addresses: "_Addresses") -> Iterator[tuple[str, str]]:
    """The keys and values of one copy: everything keeps its length, so the stored form stays right."""
    copied = addresses.of_copy()
    space = UUID(int=number)
    uids: dict[bytes, bytes] = {}

    def uid(found: re.Match[bytes]) -> bytes:
        old = found[0]
        if old not in uids:
            uids[old] = str(uuid5(space, old.decode())).encode()
        return uids[old]

    for key, entry in mine.items():
        parts = (key.encode(), base64.b64decode(entry.value))
        moved = (part.replace(_prefix(0).encode(), _prefix(number).encode()) for part in parts)
        new_key, value = (_IP.sub(copied, _UID.sub(uid, part)) for part in moved)
        yield new_key.decode(), base64.b64encode(value).decode()


class _Addresses:
    """Addresses of services, each given once, and as long as the one that it stands for."""

    def __init__(self, taken: set[str]) -> None:
        free = (f"10.96.{a}.{b}" for a in range(256) for b in range(1, 255))
        self._free: dict[int, Iterator[str]] = {}
        by_length: dict[int, list[str]] = {}
        for one in free:
            if one not in taken:
                by_length.setdefault(len(one), []).append(one)
        self._free = {length: iter(ones) for length, ones in by_length.items()}

    def of_copy(self) -> Any:
        """A replacement of addresses, the same one each time."""
        given: dict[bytes, bytes] = {}

        def other(found: re.Match[bytes]) -> bytes:
            old = found[0]
            if old not in given:
                given[old] = next(self._free[len(old)]).encode()
            return given[old]

        return other


def _copy_secrets(plane: ControlPlane, everything: Mapping[str, Entry], number: int) -> None:
    paths = [
        key.removeprefix("/registry/secrets/").split("/")
        for key in everything
        if key.startswith(f"/registry/secrets/{_prefix(0)}") and "/sh.helm.release." in key
    ]
    http = Http(plane, WRITERS)

    def one(where: str, name: str) -> None:
        secret = json.loads(http.get(f"/api/v1/namespaces/{where}/secrets/{name}"))
        other = where.replace(_prefix(0), _prefix(number))
        body = gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"])))
        packed = gzip.compress(body.replace(_prefix(0).encode(), _prefix(number).encode()), mtime=0)
        metadata = {"name": name, "namespace": other, "labels": secret["metadata"]["labels"]}
        data = {"release": base64.b64encode(base64.b64encode(packed)).decode()}
        http.post(f"/api/v1/namespaces/{other}/secrets", {**secret, "metadata": metadata, "data": data})

    with ThreadPoolExecutor(WRITERS) as writers:
        done = writers.map(lambda path: partial(one, *path)(), paths)
        _shown(done, f"copying {len(paths)} release Secrets, time {number}", len(paths))


def _shown(done: Iterator[None], what: str, count: int) -> None:
    for _ in track(done, what, total=count, transient=True):
        pass


def _prefix(number: int) -> str:
    return f"{PREFIX}{number:02}-"
