"""A server's watches in protobuf: what a test says in JSON, in the frames in which a real one says it."""

from __future__ import annotations

from typing import Any

from tests.unit.kube.server import Reply
from tests.unit.kube.test_protobuf import answer, has, number

PROTOBUF = {"content-type": "application/vnd.kubernetes.protobuf;stream=watch"}


def framed(event: bytes) -> bytes:
    return len(event).to_bytes(4, "big") + event


def watch_event(type_: str, envelope: bytes) -> bytes:
    """A ``WatchEvent`` in its frame."""
    return framed(has(1, type_) + has(2, has(1, envelope)))


def in_protobuf(reply: Reply) -> Reply:
    """A watch of Services in JSON as one in protobuf; any other answer is as it was."""
    if not isinstance(reply.body, list):
        return reply
    frames = [watch_event(one["type"], answer(_object(one["object"]))) for one in reply.body]
    return Reply(reply.status, frames, {**reply.headers, **PROTOBUF}, reply.reset, reply.hang)


def _object(item: dict[str, Any]) -> bytes:
    if item.get("kind") == "Status":
        return has(1) + has(3, item.get("message", "")) + has(4, item["reason"]) + number(6, item["code"])
    if not all(isinstance(value, str) for value in item["metadata"].values()):
        return b"\xff"  # what cannot be understood in JSON cannot be understood in protobuf
    names = {"name": 1, "namespace": 3, "uid": 5, "resourceVersion": 6}
    found = [has(1, *(has(names[key], value) for key, value in item["metadata"].items()))]
    if "spec" in item:
        ports = [has(1, has(1, ""), number(3, one["port"])) for one in item["spec"]["ports"]]
        found.append(has(2, *ports, has(4, item["spec"]["type"])))
    return b"".join(found)
