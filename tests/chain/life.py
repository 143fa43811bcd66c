"""What happens in a cluster in the course of a week, drawn from a seed: Helm's deeds, and all the others."""

from collections.abc import Callable
from random import Random

import msgspec

from reconciler.model import AppKey
from tests.chain.cluster import Release, StandInCluster

Deed = Callable[[], bool]


class Life:
    """``changes``: how many there were; ``by``: of what kind.

    There are always about ``apps`` releases, in a tenth as many namespaces, all of which stay when they are
    empty.
    """

    def __init__(self, cluster: StandInCluster, random: Random, apps: int) -> None:
        self.cluster = cluster
        self.random = random
        self.names = [
            f"ns-{number % max(2, apps // 10):02}/app-{number}" for number in range(apps * 11 // 10)
        ]
        self.namespaces = sorted({name.partition("/")[0] for name in self.names})
        self.by: dict[str, int] = {}
        self._before: dict[AppKey, Release] = {}
        self._deeds: dict[Deed, int] = {
            self.upgrade: 26, self.change_images: 12, self.scale: 12, self.change_service: 7,
            self.change_volumes: 6, self.change_ingress: 6, self.roll_back: 7, self.uninstall: 6,
            self.install: 9, self.fail: 2, self.change_uuid: 1,
        }  # fmt: skip
        cluster.empty |= set(self.namespaces)

    @property
    def changes(self) -> int:
        return sum(self.by.values())

    def begin(self, apps: int) -> None:
        """The first installs, all at once."""
        for name in self.names[:apps]:
            self.cluster.install(name, pods=self.random.randint(1, 3))
            self._count("install")

    def happen(self) -> None:
        """One change."""
        deeds = list(self._deeds)
        while not self._do(self.random.choices(deeds, list(self._deeds.values()))[0]):
            pass

    def begin_slowly(self) -> None:
        """One that ends with ``end``."""
        self._do(self.random.choice([self.be_on_its_way, self.start_slowly]))

    def _do(self, deed: Deed) -> bool:
        done = deed()
        if done:
            self._count(deed.__name__)
        return done

    def end(self) -> None:
        """What is on its way arrives, and what was slow has started."""
        for key, release in self.cluster.releases.items():
            if release.status not in ("deployed", "failed") or release.phase != "Running":
                self.cluster.change(str(key), status="deployed", phase="Running")
                self._count("end")

    def _count(self, what: str) -> None:
        self.by[what] = self.by.get(what, 0) + 1

    def _one(self) -> str:
        return str(self.random.choice(list(self.cluster.releases)))

    # What Helm does

    def install(self) -> bool:
        absent = [name for name in self.names if AppKey.parse(name) not in self.cluster.releases]
        if absent:
            self.cluster.install(self.random.choice(absent), pods=self.random.randint(1, 3))
        return bool(absent)

    def upgrade(self) -> bool:
        name = self._one()
        self._before[AppKey.parse(name)] = self.cluster[name]
        self.cluster.upgrade(name)
        return True

    def roll_back(self) -> bool:
        name = self._one()
        to = self._before.get(AppKey.parse(name))
        if to is None or to.revision >= self.cluster[name].revision:
            return False
        self.cluster.roll_back(name, msgspec.structs.replace(to, status="deployed", phase="Running"))
        return True

    def uninstall(self) -> bool:
        few = len(self.cluster.releases) < len(self.names) * 8 // 10
        if not few:
            name = self._one()
            self._before.pop(AppKey.parse(name), None)
            self.cluster.uninstall(name)
        return not few

    def be_on_its_way(self) -> bool:
        """An upgrade or an uninstall that takes its time."""
        if self.random.random() < 0.3:
            self.cluster.change(self._one(), status="uninstalling")
        else:
            self.cluster.upgrade(self._one(), status="pending-upgrade")
        return True

    def leave(self, some: int) -> None:
        """So many uninstalls at once."""
        for name in self.random.sample(sorted(self.cluster.releases), some):
            self.cluster.uninstall(str(name))
            self._before.pop(name, None)
            self._count("uninstall")

    def fail(self) -> bool:
        self.cluster.upgrade(self._one(), status="failed")
        return True

    # What happens without it

    def start_slowly(self) -> bool:
        """Pods that cannot be scheduled yet, after an upgrade."""
        self.cluster.upgrade(self._one(), phase="Pending")
        return True

    def change_images(self) -> bool:
        self.cluster.change(self._one(), image=f"web:by-hand-{self.random.randint(1, 5)}")
        return True

    def scale(self) -> bool:
        self.cluster.change(self._one(), pods=self.random.randint(1, 6))
        return True

    def change_service(self) -> bool:
        ports = self.random.sample([80, 443, 8080, 9090], self.random.randint(1, 3))
        self.cluster.change(self._one(), ports=tuple(ports))
        return True

    def change_volumes(self) -> bool:
        sizes = [self.random.choice([1, 5, 10]) * 2**30 for _ in range(self.random.randint(0, 3))]
        self.cluster.change(self._one(), sizes=tuple(sizes))
        return True

    def change_ingress(self) -> bool:
        hosts = self.random.sample(
            ["a.example.com", "b.example.com", "c.example.com"], self.random.randint(0, 2)
        )
        self.cluster.change(self._one(), hosts=tuple(hosts))
        return True

    def change_uuid(self) -> bool:
        """The Secret of a namespace comes, changes or goes: all its apps have another app UUID."""
        namespace = self.random.choice(self.namespaces)
        if namespace in self.cluster.secrets and self.random.random() < 0.3:
            del self.cluster.secrets[namespace]
        else:
            self.cluster.uuid(namespace, f"uuid-{self.random.randint(1, 9)}")
        return True
