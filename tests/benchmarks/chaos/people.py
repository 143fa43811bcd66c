"""What people do to a cluster with Helm and kubectl, drawn, one thing after the other."""

from collections import Counter, deque
from collections.abc import Awaitable, Callable
from random import Random

from reconciler.model import AppKey
from tests.benchmarks.chaos.witness import Witness
from tests.cluster.under_faults import UnderFaults

NAMESPACES = ("default", "ops", "shop")
REMEMBERED = 20
"""Operations that a failure tells of."""

_NO_CLAIM = ("--set", "storage=")  # the cluster's few volumes are not given back


class People:
    """``done``: how often what; ``lately``: what they did last; ``most``: apps that are there at once.

    The apps are all of one chart with a Deployment, a Service and an Ingress.
    """

    def __init__(self, faults: UnderFaults, witness: Witness, random: Random, most: int) -> None:
        self.done: Counter[str] = Counter()
        self.lately: deque[str] = deque(maxlen=REMEMBERED)
        self.most = most
        self._faults = faults
        self._witness = witness
        self._random = random
        self._apps: dict[AppKey, int] = {}  # what is installed, and its revision
        self._names = [f"app-{number}" for number in range(most)]

    async def act(self) -> None:
        """Do one of the things that can be done."""
        actions: dict[str, Callable[[AppKey], Awaitable[None]]] = {
            "helm upgrade": self._upgrade,
            "helm rollback": self._rollback,
            "helm uninstall": self._uninstall,
            "kubectl scale": self._scale,
            "kubectl delete pods": self._delete_pods,
        }
        # As many as may be are there most of the time.
        if self._random.random() > len(self._apps) / self.most:
            name, key = "helm install", self._free()
        else:
            name, key = self._random.choice(sorted(actions)), self._random.choice(sorted(self._apps))
        self.tell(f"{name} {key}")
        await (self._install if name == "helm install" else actions[name])(key)
        self.done[name] += 1

    def tell(self, what: str) -> None:
        """Remember for a failure's message."""
        self.lately.append(what)

    def _free(self) -> AppKey:
        keys = [AppKey(where, name) for where in NAMESPACES for name in self._names]
        return self._random.choice([key for key in keys if key not in self._apps])

    async def _install(self, key: AppKey) -> None:
        self._witness.begins(key)
        await self._faults.install(key.name, "web", key.namespace, *_NO_CLAIM)
        self._apps[key] = 1

    async def _upgrade(self, key: AppKey) -> None:
        replicas = f"replicas={self._random.randrange(4)}"
        await self._faults.upgrade(key.name, "web", key.namespace, *_NO_CLAIM, "--set", replicas)
        self._apps[key] += 1

    async def _rollback(self, key: AppKey) -> None:
        if self._apps[key] == 1:
            await self._upgrade(key)
        await self._faults.do("helm", "rollback", key.name, namespace=key.namespace)
        self._apps[key] += 1

    async def _uninstall(self, key: AppKey) -> None:
        self._witness.ends(key)
        await self._faults.uninstall(key.name, key.namespace)
        del self._apps[key]

    async def _scale(self, key: AppKey) -> None:
        wanted = ("deployment", f"{key.name}-web", f"--replicas={self._random.randrange(4)}")
        await self._faults.do("kubectl", "scale", *wanted, "-n", key.namespace)

    async def _delete_pods(self, key: AppKey) -> None:
        which = ("-l", f"app.kubernetes.io/instance={key.name}", "-n", key.namespace, "--wait=false")
        await self._faults.do("kubectl", "delete", "pods", *which)
