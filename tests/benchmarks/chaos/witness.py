"""Who sees what became durable in the ledger and what arrived at the receiver, and judges it as it comes.

The ledger is seen where its writes come through the faulty way, after the server has answered and before
the operator hears of it: what is marked there may be told from then on, and nothing else may.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from reconciler.kube.configmaps import read_config_map
from reconciler.model import UNINSTALLED, AppKey
from reconciler.state.ledger import shards
from tests.cluster.agreement import instant
from tests.cluster.chain import SYSTEM
from tests.cluster.faulty_way import Asked

LEDGER = f"/api/v1/namespaces/{SYSTEM}/configmaps"
MOST_TOLD = 20


class Span(msgspec.Struct):
    """A time for which an app was there: from before its install to when its uninstall began."""

    began: Fraction
    ended: Fraction | None = None


class Witness:
    """``wrong``: what was done that must not be, in words; ``judged``: requests, and those of them that had
    not been seen marked since the server was killed over a write (``unknown``: how often it was)."""

    def __init__(self, unknown: Callable[[], int]) -> None:
        self.wrong: list[str] = []
        self.judged: Counter[str] = Counter()
        self._unknown = unknown
        self._lock = threading.Lock()  # requests arrive in threads
        self._spans: dict[AppKey, list[Span]] = {}
        self._marks: dict[AppKey, dict[str, bytes]] = {}
        self._last: dict[AppKey, tuple[str, bytes]] = {}

    def begins(self, key: AppKey) -> None:
        """Somebody is about to install it."""
        self._spans.setdefault(key, []).append(Span(_now()))

    def ends(self, key: AppKey) -> None:
        """Somebody is about to uninstall it."""
        self._spans[key][-1].ended = _now()

    def was_gone(self, key: AppKey, updated: str, at: Fraction) -> bool:
        """Whether the app that was last deployed then might be gone at a moment."""
        deployed = instant(updated)
        span = next(one for one in reversed(self._spans[key]) if one.began <= deployed)
        return span.ended is not None and span.ended <= at

    def wrote(self, asked: Asked, body: bytes, code: int) -> None:
        """``FaultyWay.acted``: keep what the ledger has marked."""
        if not asked.path.startswith(LEDGER) or not 200 <= code < 300 or asked.method not in ("POST", "PUT"):
            return
        data = read_config_map(body).data
        if shards.SHARD_KEY not in data:
            return
        for name, text in data.items():
            if name != shards.SHARD_KEY:
                sending = shards.decode_entry(text, name).sending
                if sending is not None:
                    marks = self._marks.setdefault(shards.app_key(name), {})
                    marks[sending.key] = sending.body.encode()

    def arrived(self, key: str, body: bytes) -> None:
        """A request is there, and will be taken."""
        with self._lock:
            content = json.loads(body)
            helm: Mapping[str, Any] = content["app_info"]["helm_info"]
            app = AppKey(helm["namespace"], helm["name"])
            self.judged["requests"] += 1
            self._judge_key(app, key, body)
            if helm["status"] == UNINSTALLED:
                self.judged["uninstalled"] += 1
                if not self.was_gone(app, helm["updated"], _now()):
                    self.found("told uninstalled while it was there", app)
            self._last[app] = (key, body)

    def found(self, what: str, about: object) -> None:
        if len(self.wrong) < MOST_TOLD:
            self.wrong.append(f"{what}: {about}")

    def _judge_key(self, app: AppKey, key: str, body: bytes) -> None:
        marks = self._marks.get(app, {})
        if key not in marks and self._unknown():
            self.judged["not seen marked, as the server was killed over a write"] += 1
        elif marks.get(key) != body:
            self.found("sent before it was marked so", app)
        last_key, last_body = self._last.get(app, ("", b""))
        if key == last_key:
            self.judged["again under the same key"] += 1
            if body != last_body:
                self.found("other bytes under one key", app)
        elif key < last_key:
            self.found("a key that is older than the last", app)
        elif body == last_body:
            between = {mark for mark, other in marks.items() if last_key < mark < key and other != body}
            if not between and not self._unknown():
                self.found("the same again under another key", app)


def _now() -> Fraction:
    return Fraction(time.time_ns(), 10**9)
