"""``python -m tests.benchmarks.live.poll SERVER CA SECONDS``: what the program that ours replaces does.

Each so many seconds: list the namespaces, list of each all release Secrets whole and decode them, and go
through the pods, services, claims and ingresses of a cache that watches keep. The token is read from stdin.
One line of JSON for each round: its seconds, its CPU seconds, and the peak of memory so far in bytes.
The API server is asked for the same as by the original; the CPU is that of this Python.
"""

import base64
import gzip
import json
import os
import sys
import threading
import time
from typing import Any

import urllib3

from tests.benchmarks.live.processes import peak_of
from tests.benchmarks.measure import cpu

CACHED = (
    "/api/v1/pods",
    "/api/v1/services",
    "/api/v1/persistentvolumeclaims",
    "/apis/networking.k8s.io/v1/ingresses",
)


class Poll:
    def __init__(self, server: str, ca: str, token: str) -> None:
        self._server = server
        self._pool = urllib3.PoolManager(ca_certs=ca, maxsize=8, headers={"authorization": f"Bearer {token}"})
        self._cache: dict[str, dict[tuple[str, str], Any]] = {}

    def fill(self) -> None:
        for path in CACHED:
            listed = self._get(path)
            items = {_key(item): item for item in listed["items"]}
            self._cache[path] = items
            version = listed["metadata"]["resourceVersion"]
            threading.Thread(target=self._follow, args=(path, version, items), daemon=True).start()

    def round(self) -> None:
        for namespace in self._get("/api/v1/namespaces")["items"]:
            name = namespace["metadata"]["name"]
            for secret in self._get(
                f"/api/v1/namespaces/{name}/secrets?labelSelector=owner%3Dhelm&fieldSelector=type%3Dhelm.sh%2Frelease.v1"
            )["items"]:
                packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
                release = json.loads(gzip.decompress(packed))
                assert release["name"]
            for items in self._cache.values():
                assert all(key[1] for key in list(items) if key[0] == name)

    def _get(self, path: str) -> Any:
        answer = self._pool.request("GET", self._server + path)
        assert answer.status == 200, (path, answer.status)
        return json.loads(answer.data)

    def _follow(self, path: str, version: str, items: dict[tuple[str, str], Any]) -> None:
        url = f"{self._server}{path}?watch=1&resourceVersion={version}&allowWatchBookmarks=true"
        answer = self._pool.request("GET", url, preload_content=False)
        pending = b""
        while chunk := answer.read1():
            *lines, pending = (pending + chunk).split(b"\n")
            for line in filter(None, lines):
                event = json.loads(line)
                if event["type"] == "DELETED":
                    items.pop(_key(event["object"]), None)
                elif event["type"] in ("ADDED", "MODIFIED"):
                    items[_key(event["object"])] = event["object"]


def _key(item: Any) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def main() -> None:
    server, ca, seconds = sys.argv[1:]
    poll = Poll(server, ca, sys.stdin.readline().strip())
    poll.fill()
    while True:
        began, before = time.perf_counter(), cpu()
        poll.round()
        took = time.perf_counter() - began
        told = {"seconds": took, "cpu": cpu() - before, "peak": peak_of(os.getpid())}
        print(json.dumps(told), flush=True)
        time.sleep(max(0.0, float(seconds) - took))


if __name__ == "__main__":
    main()
