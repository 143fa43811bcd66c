"""A delivery with real parts: a receiver behind a socket, a ledger in a file; the clock and what is approved
are the test's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from examples.receiver.receiver import Receiver, Reply, serving
from reconciler.delivery.api import Api
from reconciler.delivery.deliver import Delivered, Delivery, Ledger
from reconciler.model import App, AppKey, PolicyInEffect, encode
from reconciler.policy import keys
from reconciler.policy.entry import Entry, LedgerView
from reconciler.policy.plan import Plan, plan
from reconciler.policy.rules import rules_of
from reconciler.settings import ApiSettings
from reconciler.state.ledger.file import FileLedger

TOKEN = "t0ken-that-nobody-may-see"
START = datetime(2026, 11, 21, 12, tzinfo=UTC)


class RecordingReceiver(Receiver):
    """The example's receiver, which also remembers every request that reached it."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, bytes]] = []

    def receive(self, key: str, body: bytes) -> Reply:
        self.requests.append((key, body))
        return super().receive(key, body)

    def bodies(self, app: App) -> list[bytes]:
        """The bodies that came of an app, in the order in which they came."""
        helm = f'"helm_info":{encode(app.helm).decode().partition(",")[0]}'.encode()
        return [body for _, body in self.requests if helm in body]

    def has(self, app: App) -> str:
        """The status that it knows of an app and its revision, "" for what it does not know."""
        known = self.apps.get((app.app_api_info.cluster_uuid, *app.key))
        if known is None:
            return ""
        helm = known.push["app_info"]["helm_info"]
        return f"{helm['status']} {helm['revision']}"


class LedgerAround:
    """A ledger around another: what the tests of failures and of counting build on."""

    def __init__(self, inner: Ledger) -> None:
        self._inner = inner

    async def write(self, entries: Mapping[AppKey, Entry | None], /) -> LedgerView:
        return await self._inner.write(entries)

    def shard_of(self, key: AppKey) -> str:
        return self._inner.shard_of(key)


class World:
    """One cluster's delivery. What is alive here survives a restart only through the ledger's file."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.path = folder / "ledger.json"
        self.now = START
        self.clock_error = timedelta(0)
        self.approved: Mapping[AppKey, App] = {}
        self.gone: set[AppKey] = set()
        self.policy = PolicyInEffect()
        self.seconds_left = 30.0
        self.random = Random(3)
        self.restart()

    def restart(
        self,
        ledger: Callable[[FileLedger], Ledger] = lambda ledger: ledger,
        api: Callable[[ApiSettings], Api] = Api,
    ) -> None:
        """A new process with the same file."""
        self.started = self.now
        self.ledger = FileLedger(self.path)
        self.api = api(ApiSettings(url=self.url, token=TOKEN))
        self.delivery = Delivery(
            self.api,
            ledger(self.ledger),
            email_id="a@b.c",
            draw=self.draw,
            now=lambda: self.now,
            timeout=lambda: self.seconds_left,
            random=self.random,
        )

    def draw(self, after: str) -> str:
        return keys.source(lambda: self.now + self.clock_error, self.random.randbytes)(after)

    def cluster_has(self, *apps: App) -> None:
        """A complete look found just these, and it is recorded."""
        known = set(self.approved) | self.gone
        self.approved = {app.key: app for app in apps}
        self.gone = known - set(self.approved)

    def plan(self, view: LedgerView) -> Plan:
        return plan(
            self.approved,
            view.entries,
            policy=self.policy,
            is_gone=self.gone.__contains__,
            worth=rules_of(self.policy).worth,
            unsettled={},
            retry_rejected_before=max(self.started, self.now - timedelta(hours=24)),
        )

    async def deliver(self) -> Delivered:
        return await self.delivery.deliver(self.plan)

    async def deliver_all(self) -> None:
        """Deliver until nothing is left, waiting as long as each call says (on the test's clock)."""
        for _ in range(20):
            delivered = await self.deliver()
            if delivered.next_try is None:
                assert not delivered.plan.pushes
                return
            self.now = max(self.now, delivered.next_try)
        raise AssertionError(f"it does not end: {delivered.trouble}")


@contextmanager
def receiving(faults: Iterable[str] = ()) -> Iterator[tuple[RecordingReceiver, str]]:
    """A receiver that wants the token, and its URL."""
    receiver = RecordingReceiver()
    for fault in faults:
        receiver.fail(fault)
    with serving(receiver, token=TOKEN) as url:
        yield receiver, url
