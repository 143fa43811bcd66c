"""The API server's audit log: every request that somebody made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class AuditEvent:
    """One request. `code` is 0 while the answer is not complete, as for a watch that is open."""

    verb: str
    uri: str
    user: str
    user_agent: str
    resource: str = ""
    namespace: str = ""
    name: str = ""
    code: int = 0

    @property
    def path(self) -> str:
        """The URI without its query."""
        return urlsplit(self.uri).path

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters."""
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.uri).query).items()}


def read_audit_log(path: Path, since: int = 0) -> list[AuditEvent]:
    """The requests logged from byte `since` on, in the order in which they arrived."""
    requests: dict[str, dict[str, object]] = {}
    codes: dict[str, int] = {}
    with path.open("rb") as file:
        file.seek(since)
        for line in file:
            if not line.endswith(b"\n"):
                break  # just being written: its answer is not out yet
            event = json.loads(line)
            if event["stage"] == "RequestReceived":
                requests[event["auditID"]] = event
            else:
                codes[event["auditID"]] = event.get("responseStatus", {}).get("code", 0)
    return [_event(event, codes.get(key, 0)) for key, event in requests.items()]


def _event(event: dict[str, object], code: int) -> AuditEvent:
    user = event.get("user")
    target = event.get("objectRef")
    subject = target if isinstance(target, dict) else {}
    resource = "/".join(filter(None, (subject.get("resource"), subject.get("subresource"))))
    return AuditEvent(
        verb=str(event["verb"]),
        uri=str(event["requestURI"]),
        user=str(user["username"]) if isinstance(user, dict) else "",
        user_agent=str(event.get("userAgent", "")),
        resource=resource,
        namespace=str(subject.get("namespace", "")),
        name=str(subject.get("name", "")),
        code=code,
    )
