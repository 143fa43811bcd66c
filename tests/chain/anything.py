"""What happens in a cluster, for a machine that tries anything: by Helm, by hand, and to what is seen."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from reconciler.errors import LedgerError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from tests.chain import expected
from tests.chain.audit import Audit
from tests.chain.cluster import Release
from tests.chain.endpoint import Endpoint, Mode
from tests.chain.world import EMAIL, ConfigMapDisk, World
from tests.web.world import RecordingReceiver

NAMES = ["shop/web", "shop/db", "shop/mail", "ops/web", "ops/db", "ns-11/web"]
APPS = st.sampled_from(NAMES)
NAMESPACES = st.sampled_from(["shop", "ops", "ns-11"])
SEEN = st.sampled_from([True, True, False])
"""Whether somebody looks before the next thing happens."""
BY_HAND = st.sampled_from(
    [
        {"image": "web:a"}, {"image": "web:b"}, {"pods": 2}, {"pods": 1}, {"phase": "Pending"},
        {"phase": "Running"}, {"ports": (80, 443)}, {"ports": (80,)}, {"sizes": (5,)}, {"sizes": ()},
        {"hosts": ("a.example.com",)}, {"hosts": ("b.example.com",)}, {"hosts": ()},
        {"broken": "its body is no gzip"}, {"broken": ""},
    ]
)  # fmt: skip
WAYS = st.sampled_from(["deployed", "failed", "pending-upgrade", "uninstalling", "uninstalled"])
UNREADABLE = "its value is no text"


class Machine(RuleBasedStateMachine):
    """A world, who listens to it, and what happens in its cluster."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.site = Endpoint(RecordingReceiver())
        self.run(self.site.set(Mode.OPEN))
        self.disk = ConfigMapDisk()
        self.world = World(self.disk, RecordingReceiver(), self.site.url)
        self.world.cluster.empty |= {"shop", "ops", "ns-11"}
        self.folder = Path(mkdtemp())
        self.tokens = self.endpoints = 0
        self.world.token_file = self.folder / "token"
        self.know_the_token()
        self.backup: Any = None
        self.has_history = True
        self.refused: set[AppKey] = set()
        self.audit = Audit(self.world.clock, EMAIL)
        self.audit.refused = self.refused.__contains__
        self.audit.hidden = lambda key: self.world.cluster.lies and self.there(str(key))
        self.site.arrived, self.world.faults.seen = self.audit.arrived, self.audit.seen
        self.site.refuses = lambda body: 400 if expected.app_of(body) in self.refused else 0

    def run(self, work: Awaitable[object]) -> None:
        async def whole() -> object:
            return await work

        self.runner.run(whole())

    def know_the_token(self) -> None:
        (self.folder / "token").write_text(self.site.token)

    # The cluster

    def there(self, app: str) -> bool:
        return AppKey.parse(app) in self.world.cluster.releases

    def install(self, *apps: str) -> None:
        """Where there is no such namespace (any more), it is made."""
        namespaces = {AppKey.parse(app).namespace for app in apps}
        self.world.cluster.ending -= namespaces
        self.world.cluster.empty |= namespaces
        self.world.cluster.install(*apps)

    @rule(app=APPS, seen=SEEN)
    def install_or_upgrade(self, app: str, seen: bool) -> None:
        (self.world.cluster.upgrade if self.there(app) else self.install)(app)
        self.work_if(seen)

    @rule(app=APPS, seen=SEEN)
    def roll_back(self, app: str, seen: bool) -> None:
        if self.there(app):
            self.world.cluster.roll_back(app, Release())
            self.work_if(seen)

    @rule(seen=SEEN)
    def install_all(self, seen: bool) -> None:
        self.install(*(app for app in NAMES if not self.there(app)))
        self.work_if(seen)

    @rule(app=APPS, seen=SEEN)
    def uninstall(self, app: str, seen: bool) -> None:
        if self.there(app):
            self.world.cluster.uninstall(app)
            self.work_if(seen)

    @rule()
    def uninstall_all(self) -> None:
        self.world.cluster.uninstall(*map(str, self.world.cluster.releases))

    @rule(namespace=NAMESPACES, gone=st.booleans(), seen=SEEN)
    def delete_the_namespace(self, namespace: str, gone: bool, seen: bool) -> None:
        """``gone``: it is not there any more, else on its way to that."""
        cluster = self.world.cluster
        cluster.uninstall(*(str(key) for key in cluster.releases if key.namespace == namespace))
        cluster.secrets.pop(namespace, None)
        if gone:
            cluster.empty.discard(namespace)
        else:
            cluster.ending.add(namespace)
        self.work_if(seen)

    @rule(app=APPS, change=BY_HAND, seen=SEEN)
    def change_by_hand(self, app: str, change: dict[str, object], seen: bool) -> None:
        if self.there(app):
            self.world.cluster.change(app, **change)
            self.work_if(seen)

    @rule(app=APPS, status=WAYS)
    def be_on_its_way(self, app: str, status: str) -> None:
        if self.there(app):
            self.world.cluster.change(app, status=status)

    @rule(namespace=NAMESPACES, value=st.sampled_from(["", "one", "two", UNREADABLE]), seen=SEEN)
    def change_the_app_uuids(self, namespace: str, value: str, seen: bool) -> None:
        if value == UNREADABLE:
            self.world.cluster.uuid(namespace, problem=UNREADABLE)
        elif value:
            self.world.cluster.uuid(namespace, value)
        else:
            self.world.cluster.secrets.pop(namespace, None)
        self.work_if(seen)

    @rule(kind=st.sampled_from(list(Kind)), where=st.sampled_from(["", "shop"]), forbidden=st.booleans())
    def see_less(self, kind: Kind, where: str, forbidden: bool) -> None:
        self.world.cluster.gaps = (*self.world.cluster.gaps, Gap(kind, where, forbidden))

    @rule()
    def see_nothing(self) -> None:
        self.world.cluster.away = True

    # Looking at it

    def work_if(self, seen: bool) -> None:
        """Look, and look again when what has just changed has settled."""
        if seen:
            self.run(self._step())
            if settle := self.world.project.spec.settle.total_seconds():
                self.world.clock.advance(settle)
                self.run(self._step())

    async def _step(self) -> None:
        with suppress(LedgerError):  # as the loop does
            await self.world.step()

    async def tell(self) -> None:
        with suppress(LedgerError):
            await self.world.deliver()
