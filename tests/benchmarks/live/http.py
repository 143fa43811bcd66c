"""The API server, for those that make its load: requests without any of the program's own code."""

import json
from collections.abc import Mapping
from typing import Any

import urllib3

from tests.controlplane.plane import ControlPlane


class Http:
    """As administrator. ``user``: whose requests they are; the audit log leaves out the probe's."""

    def __init__(self, plane: ControlPlane, connections: int = 1, user: str = "probe") -> None:
        self._server = plane.server
        self._pool = urllib3.PoolManager(
            ca_certs=str(plane.ca_file), maxsize=connections, block=True, retries=False
        )
        self._headers = {"authorization": f"Bearer {plane.tokens[user]}"}

    def get(self, path: str) -> bytes:
        return self._send("GET", path, None, "application/json")

    def post(self, path: str, body: Mapping[str, Any]) -> bytes:
        return self._send("POST", path, body, "application/json")

    def patch(self, path: str, body: Mapping[str, Any]) -> bytes:
        return self._send("PATCH", path, body, "application/merge-patch+json")

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, kind: str) -> bytes:
        answer = self._pool.request(
            method,
            f"{self._server}{path}",
            body=None if body is None else json.dumps(body).encode(),
            headers={**self._headers, "content-type": kind},
            timeout=60,
        )
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.data[:300]!r}")
        return answer.data
