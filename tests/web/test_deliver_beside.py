"""Another writer of the ledger's entries beside a delivery: a take-over, a repaired ledger, another endpoint.

It takes the same lock, and what it does happens while requests are under way: were the lock held then, the
requests would wait for the writer and the writer for them. In any order nothing is lost, no key goes with two
contents, and an app that was put in doubt is told again under the key of the doubt, or a later one.
"""

import asyncio
from contextlib import suppress
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.receiver.receiver import Receiver
from reconciler.model import App, AppKey, EmittedApp
from reconciler.operator import facts
from reconciler.policy.entry import Entry
from tests.builders import make_app
from tests.web.wire import Request, answer, wire
from tests.web.world import World

NAMES = ("a", "b", "c", "d")


class Meanwhile(Enum):
    """What happens between a request's arrival and its answer."""

    NOTHING = "nothing"
    DOUBTED = "a take-over or a repaired ledger puts all apps in doubt"
    EMPTIED = "another endpoint empties the ledger"
    CHANGED = "an app changes"
    GONE = "an app is uninstalled"


class Then(Enum):
    """How the request is answered."""

    RECEIVED = "as the receiver says"
    LOST = "it is received, and the answer is lost"
    REFUSED = "503, and it is not received"


STEPS = st.tuples(st.sampled_from(Meanwhile), st.sampled_from(NAMES), st.sampled_from(Then))


class Beside:
    """A world, and the other writer of its ledger."""

    def __init__(self, url: str, folder: Path, steps: list[tuple[Meanwhile, str, Then]]) -> None:
        self.world = World(url, folder)
        self.lock = asyncio.Lock()
        self.receiver = Receiver()
        self.steps = steps
        self.bodies: dict[str, set[bytes]] = {}
        self.doubted: dict[AppKey, str] = {}
        self.apps: dict[str, App] = {name: make_app(name=name) for name in NAMES}
        self.world.cluster_has(*self.apps.values())

    async def serve(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.bodies.setdefault(request.key, set()).add(request.body)
        meanwhile, name, then = self.steps.pop() if self.steps else (Meanwhile.NOTHING, "", Then.RECEIVED)
        await self.do(meanwhile, name)
        if then is Then.REFUSED:
            writer.write(answer(503))
            return
        reply = self.receiver.receive(request.key, request.body)
        assert reply.status != 422, reply.text
        if then is Then.RECEIVED:
            headers = {name.replace("-", "_"): value for name, value in reply.headers.items()}
            writer.write(answer(reply.status, reply.text, **headers))

    async def do(self, meanwhile: Meanwhile, name: str) -> None:
        match meanwhile:
            case Meanwhile.DOUBTED:  # as Leadership.prepare does it
                async with self.lock:
                    view = await self.world.ledger.load()
                    doubts = facts.doubts(view, self.world.approved, self.world.draw, "")
                    await self.world.ledger.write(doubts)
                self.doubted |= {key: entry.last_key for key, entry in doubts.items()}
            case Meanwhile.EMPTIED:
                async with self.lock:
                    view = await self.world.ledger.load()
                    nothing: dict[AppKey, Entry | None] = dict.fromkeys(view.entries)
                    await self.world.ledger.write(nothing)
                self.doubted.clear()
            case Meanwhile.CHANGED:
                revision = self.apps[name].helm.revision + 1 if name in self.apps else 1
                self.apps[name] = make_app(name=name, revision=revision)
                self.world.cluster_has(*self.apps.values())
            case Meanwhile.GONE:
                with suppress(KeyError):
                    del self.apps[name]
                self.world.cluster_has(*self.apps.values())
            case Meanwhile.NOTHING:
                pass

    async def deliver_all(self) -> None:
        for _ in range(200):
            delivered = await self.world.delivery.deliver(self.world.plan, self.lock)
            if delivered.next_try is None:
                assert not delivered.plan.pushes
                return
            self.world.now = max(self.world.now, delivered.next_try)
        raise AssertionError(delivered.trouble)

    async def check(self, emptied: bool) -> None:
        view = await self.world.ledger.load()
        assert [entry for entry in view.entries.values() if entry.sending is not None] == []
        assert {len(bodies) for bodies in self.bodies.values()} <= {1}, "one key, one content"
        known = {identity[2]: known.push for identity, known in self.receiver.apps.items()}
        for name, app in self.apps.items():
            assert msgspec.convert(known[name], EmittedApp).app_info.helm_info == app.helm
        if not emptied:  # the ledger of another endpoint does not know what this one was told
            for name in known.keys() - self.apps.keys():
                assert known[name]["app_info"]["helm_info"]["status"] == "uninstalled"
        for key, doubt in self.doubted.items():
            acked = view.entries[key].acked
            assert acked is not None
            assert acked.key >= doubt, "an answer to an older key ended the doubt"


async def run(steps: list[tuple[Meanwhile, str, Then]]) -> None:
    emptied = any(meanwhile is Meanwhile.EMPTIED for meanwhile, *_ in steps)
    with TemporaryDirectory() as folder:
        async with wire(b"") as api:
            beside = Beside(api.url, Path(folder), list(steps))
            api.answers = [beside.serve]
            await beside.deliver_all()
            await beside.world.api.close()
        await beside.check(emptied)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(STEPS, max_size=12))
def test_nothing_is_lost_between_a_delivery_and_another_writer_of_the_ledger(
    steps: list[tuple[Meanwhile, str, Then]],
) -> None:
    asyncio.run(run(steps))


async def test_an_answer_to_an_older_key_does_not_end_a_doubt() -> None:
    """The one order that matters most, by itself: the doubt comes while the request is under way."""
    await run([(Meanwhile.DOUBTED, "", Then.RECEIVED)] * 3)
