"""What fails in the course of a week: the API, the store, the ledger, and the cluster itself."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from random import Random

from reconciler.errors import ConflictError, KubernetesError, LedgerError, LostRaceError, StoreError
from reconciler.inventory.objects import Gap, Kind
from reconciler.model import AppKey
from tests.chain.endpoint import Endpoint, Mode
from tests.chain.faults import When
from tests.chain.world import World

STORE = ("tip", "append", "clusters", "departed", "rescue", "withdraw", "keys", "follow")
LEDGER = ("load", "known", "write", "settle")
REQUESTS = ("get", "list", "create", "replace", "delete")

Errors = Mapping[str, tuple[When, Exception]]

FAULTS: dict[str, Errors] = {
    "the store is away": dict.fromkeys(STORE, (When.BEFORE, StoreError("no answer"))),
    "the store takes and does not answer": dict.fromkeys(STORE, (When.AFTER, StoreError("no answer"))),
    "races of the store are lost": {"append": (When.BEFORE, LostRaceError("it has moved"))},
    "the ledger is away": dict.fromkeys(LEDGER, (When.BEFORE, LedgerError("no answer"))),
    "the ledger takes and does not answer": {"write": (When.AFTER, LedgerError("no answer"))},
    "ConfigMaps are away": dict.fromkeys(REQUESTS, (When.BEFORE, KubernetesError("no answer"))),
    "ConfigMaps are taken without an answer": dict.fromkeys(
        ("create", "replace", "delete"), (When.AFTER, KubernetesError("no answer"))
    ),
    "somebody else writes ConfigMaps": {"replace": (When.BEFORE, ConflictError("at another version", 409))},
}
OUTAGES = tuple(mode for mode in Mode if mode is not Mode.OPEN)
SILENCE = 0.05
"""Seconds, by the real clock, after which a push gives up on an API that says nothing."""

CLUSTER_AWAY, PARTIAL = "the cluster is away", "looks are partial"
LYING = "looks find nothing"
REFUSALS, NEW_TOKEN = "some apps are refused", "the token is another one"

Change = Callable[[], Awaitable[None]]


class Weather:
    """``now``: what fails at present; ``seen``: how often what failed."""

    def __init__(self, world: World, site: Endpoint, random: Random) -> None:
        self.world = world
        self.site = site
        self.random = random
        self.now: set[str] = set()
        self.seen: Counter[str] = Counter()
        self.refusing: dict[AppKey, int] = {}

    async def api_fails(self) -> None:
        mode = self.random.choice(OUTAGES)
        self.begins(f"API: {mode.value}")
        self.site.retry_after = self.random.choice([1, 30, 600])
        self.world.push_timeout = SILENCE if mode is Mode.SILENT else 10.0
        await self.site.set(mode)

    async def api_is_well(self) -> None:
        self.world.push_timeout = 10.0
        await self.site.set(Mode.OPEN)
        self.now -= {f"API: {mode.value}" for mode in Mode}

    async def something_fails(self) -> None:
        """Of store, ledger, cluster: one thing at a time."""
        await self.everything_is_well()
        what = self.random.choice([*FAULTS, CLUSTER_AWAY, PARTIAL])
        self.begins(what)
        if what == CLUSTER_AWAY:
            self.world.cluster.away = True
        elif what == PARTIAL:
            self.world.cluster.gaps = tuple(self._gap() for _ in range(self.random.randint(1, 4)))
        else:
            self.world.faults.errors.update(FAULTS[what])

    async def everything_is_well(self) -> None:
        self.world.faults.errors.clear()
        self.world.cluster.away, self.world.cluster.gaps = False, ()
        self.now -= {*FAULTS, CLUSTER_AWAY, PARTIAL}

    async def apps_are_refused(self) -> None:
        self.begins(REFUSALS)
        some = self.random.sample(sorted(self.world.cluster.releases), 6)
        self.refusing.update((app, self.random.choice([400, 413, 422])) for app in some)

    async def apps_are_taken(self) -> None:
        self.now.discard(REFUSALS)
        self.refusing.clear()

    async def token_changes(self) -> None:
        """The API wants another token, which the process does not have yet."""
        self.begins(NEW_TOKEN)
        self.site.token = f"token-{self.seen[NEW_TOKEN]}"

    async def token_is_known(self) -> None:
        """It is in the file where the process looks for it."""
        self.now.discard(NEW_TOKEN)
        assert self.world.token_file is not None
        self.world.token_file.write_text(self.site.token)

    def begins(self, what: str) -> None:
        self.now.add(what)
        self.seen[what] += 1

    def _gap(self) -> Gap:
        namespaces = sorted({key.namespace for key in self.world.cluster.releases})
        where = self.random.choice(["", *self.random.sample(namespaces, min(3, len(namespaces)))])
        return Gap(self.random.choice(list(Kind)), where, self.random.random() < 0.5)
