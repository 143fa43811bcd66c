"""``make bench ARGS=delivery``: the first delivery of 5,000 apps, next to the same requests by httpx alone.

The receiver is a process of its own that answers at once, and the ledger's ConfigMaps are in memory, so what
is measured is this program. Each way runs in a fresh interpreter. Without a rate: by default they take 250 s.
"""

import asyncio
import multiprocessing
import time
from collections.abc import Callable
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from random import Random

import httpx
import msgspec
from rich.table import Table

from reconciler.delivery.api import Api
from reconciler.delivery.deliver import AT_ONCE, Delivery
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, PolicyInEffect
from reconciler.policy import keys
from reconciler.policy.entry import LedgerView
from reconciler.policy.plan import Plan, plan
from reconciler.policy.protocol import body_of
from reconciler.policy.rules import rules_of
from reconciler.settings import ApiSettings
from reconciler.state.ledger.configmaps import ConfigMapLedger
from tests.benchmarks.measure import Cost, alone
from tests.builders import make_app
from tests.unit.state.configmap_standin import StandIn

APPS = 5_000
TOKEN = "benchmark"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\naccepted"


class Counting(StandIn):
    """ConfigMaps that count what is written to them. ``sent``: bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = self.sent = 0

    async def create_config_map(self, wanted: ConfigMap) -> ConfigMap:
        self._count(wanted)
        return await super().create_config_map(wanted)

    async def replace_config_map(self, wanted: ConfigMap) -> ConfigMap:
        self._count(wanted)
        return await super().replace_config_map(wanted)

    def _count(self, wanted: ConfigMap) -> None:
        self.writes += 1
        self.sent += sum(len(key) + len(value) for key, value in wanted.data.items())


class Told(msgspec.Struct, frozen=True):
    """``plans``: how often it was worked out what is to be told."""

    seconds: float
    plans: int = 0
    writes: int = 0
    sent: int = 0


def table() -> Table:
    """A row for each way."""
    shown = Table("first delivery", "CPU, s", "peak, MB", "wall, s", "plans", "ledger writes", "MB written")
    ours, theirs = multiprocessing.get_context("spawn").Pipe(duplex=False)
    receiver = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs,), daemon=True)
    receiver.start()
    try:
        url = f"http://127.0.0.1:{ours.recv()}/apps"
        plain = alone(_plainly, url), asyncio.run(_send_plainly(url, _bodies()))
        told = alone(_prepared, url), asyncio.run(_deliver(url, _apps()))
    finally:
        receiver.terminate()
        receiver.join()
    _row(shown, "httpx alone", *plain)
    _row(shown, "delivery", *told)
    ratios = (told[0].cpu / plain[0].cpu, told[0].peak / plain[0].peak, told[1].seconds / plain[1].seconds)
    shown.add_row("times as much", *(f"{ratio:.2f}" for ratio in ratios))
    shown.title = f"{APPS:,} apps, {AT_ONCE} requests at once"
    return shown


def _row(shown: Table, name: str, cost: Cost, told: Told) -> None:
    counts = (str(told.plans), str(told.writes), f"{told.sent / 1e6:.1f}") if told.plans else ()
    shown.add_row(name, f"{cost.cpu:.2f}", f"{cost.peak / 1e6:.0f}", f"{told.seconds:.1f}", *counts)


def _apps() -> list[App]:
    return [
        make_app(f"team-{n % 50}", f"app-{n}", pods=5, hosts=["a.example"], volumes=[1 << 30])
        for n in range(APPS)
    ]


def _bodies() -> list[bytes]:
    return [body_of(app, "").encode() for app in _apps()]


def _plainly(url: str) -> Callable[[], object]:
    bodies = _bodies()
    return lambda: asyncio.run(_send_plainly(url, bodies))


def _prepared(url: str) -> Callable[[], object]:
    apps = _apps()
    return lambda: asyncio.run(_deliver(url, apps))


async def _send_plainly(url: str, bodies: list[bytes]) -> Told:
    began, left = time.perf_counter(), iter(bodies)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(headers=headers, trust_env=False) as client:

        async def work() -> None:
            for number, body in enumerate(left):
                response = await client.post(url, content=body, headers={"Idempotency-Key": str(number)})
                assert response.status_code == 200

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return Told(time.perf_counter() - began)


async def _deliver(url: str, apps: list[App]) -> Told:
    approved = {app.key: app for app in apps}
    counting, random, plans, policy = Counting(), Random(1), 0, PolicyInEffect()
    api = Api(ApiSettings(url=url, token=TOKEN))
    delivery = Delivery(
        api,
        ConfigMapLedger(counting, "hossted-system"),
        email_id="",
        draw=keys.source(lambda: datetime.now(UTC), random.randbytes),
        now=lambda: datetime.now(UTC),
        timeout=lambda: 30.0,
        random=random,
    )

    def plan_now(view: LedgerView) -> Plan:
        nonlocal plans
        plans += 1
        return plan(
            approved,
            view.entries,
            policy=policy,
            is_gone=lambda key: key not in approved,
            worth=rules_of(policy).worth,
            unsettled={},
            retry_rejected_before=datetime.min.replace(tzinfo=UTC),
        )

    began = time.perf_counter()
    delivered = await delivery.deliver(plan_now)
    seconds = time.perf_counter() - began
    await api.close()
    assert len(delivered.pushed) == APPS
    return Told(seconds, plans, counting.writes, counting.sent)


def _receive(port: Connection) -> None:
    """A receiver that answers at once."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, _, length = head.lower().partition(b"content-length:")
                await reader.readexactly(int(length.partition(b"\r")[0]))
                writer.write(OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
