"""One life of the reconciler, put together as the operator puts it together."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import UUID

from reconciler.delivery.deliver import Delivery
from reconciler.delivery.endpoint import endpoint_of
from reconciler.demo.parts import RecordedCluster, VirtualClock, Wire
from reconciler.operator.gaps import Gaps
from reconciler.operator.leadership import Leadership
from reconciler.operator.reconcile import Reconciler
from reconciler.policy import keys
from reconciler.project import GitState, Spec
from reconciler.settings import ApiSettings
from reconciler.state.git.store import open_git_store
from reconciler.state.ledger.file import FileLedger
from reconciler.state.store import Store

PUSH_TIMEOUT = 10.0
"""Seconds of real time: the receiver is on this machine."""


class Process:
    """What is alive here ends with it; what stays is in the repository and in the ledger's file.

    ``clone``: where the store keeps its copy of the repository, which may be lost; ``random``: what keys,
    the Instance and the jitter are drawn from.
    """

    def __init__(
        self,
        cluster: RecordedCluster,
        clock: VirtualClock,
        random: Random,
        *,
        api: ApiSettings,
        ledger: Path,
        clone: Path,
    ) -> None:
        draw = keys.source(clock.now, random.randbytes)
        self.ledger = FileLedger(ledger)
        leadership = Leadership(
            self.ledger,
            clock,
            instance=str(UUID(int=random.getrandbits(128), version=4)),
            endpoint=endpoint_of(api.url),
            email_id=api.email_id,
            draw=draw,
            gaps=Gaps(),
        )
        self.wire = Wire(api, clock.now)
        self.delivery = Delivery(
            self.wire,
            self.ledger,
            email_id=api.email_id,
            draw=draw,
            now=clock.now,
            timeout=lambda: PUSH_TIMEOUT,
            random=random,
        )
        self.reconciler = Reconciler(cluster, _opener(clone), leadership, clock)

    async def end(self) -> None:
        """Let go of sockets and files; nothing is written."""
        await self.reconciler.close()
        await self.wire.close()
        await self.ledger.close()


def _opener(clone: Path) -> Callable[[Spec], Store]:
    def open_store(spec: Spec) -> Store:
        state = spec.state
        assert isinstance(state, GitState), "the demo's state is in git"  # noqa: S101 - for the type checker
        author = f"{state.author.name} <{state.author.email}>"
        return open_git_store(path=clone, url=state.url, branch=state.branch, author=author)

    return open_store
