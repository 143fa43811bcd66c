"""What people make of the project in the course of a week: its policy and rules, and whether they approve."""

from collections.abc import Awaitable, Callable, Mapping
from random import Random

import msgspec

from reconciler.project import GitState
from tests.chain.audit import Audit
from tests.chain.expected import Policy, Rule
from tests.chain.operating import Operator
from tests.chain.people import People

RULES = (
    (),
    (Rule("Push", ("ns-0*",), ("pod_info.image",)),),
    (
        Rule("Record", ("ns-*",), ("service_info.port", "volume_info")),
        Rule("Push", fields=("volume_info.size",)),
    ),
    (Rule("Ignore", fields=("volume_info", "volume_info.size")), Rule("Push", ("ns-1*",))),
    (Rule("Defer", fields=("ingress_info", "ingress_info.domain")),),
)
"""The lists of rules that a project may have."""

EVERYTHING = (Rule("Push"),)

Deed = Callable[[], Awaitable[None]]


class Decisions:
    """``policy``: the one in force; ``denials``: how often namespaces were denied."""

    def __init__(self, operator: Operator, audit: Audit, people: People | None, random: Random) -> None:
        self.policy = Policy()
        self.denials = 0
        self._operator, self._audit, self._people, self._random = operator, audit, people, random
        self._spec: dict[str, object] = {"settle": "0s", "interval": "20m"}
        if isinstance(state := operator.world.disk.state, GitState):
            self._spec["state"] = {"git": {"url": state.url, "branch": state.branch}}

    def decide(self, policy: Policy, **spec: object) -> None:
        """Edit the project; nobody need notice yet."""
        self._audit.policy = self.policy = policy
        self._spec |= {
            **spec,
            "stop": policy.stop,
            "denyNamespaces": list(policy.deny),
            "push": {"on": policy.on, "approval": "Required" if policy.required else "Automatic"},
            "rules": [rule.spec for rule in policy.rules],
        }
        self._operator.server.edit("hossted", self._spec)

    async def change(self, namespaces: list[str], later: Callable[[Deed], None]) -> None:
        """Change something. What tells less is taken back ``later``, even if the process dies of it."""
        some = self._random.sample(namespaces, 2)
        changes: list[tuple[Mapping[str, object], Mapping[str, object]]] = [
            ({"stop": True}, {"stop": False}),
            ({"deny": (some[0], f"{some[1][:-1]}*")}, {"deny": ()}),
            ({"on": "Never"}, {"on": "AnyChange"}),
            ({"on": "HelmUpdate"}, {}),
            ({"on": "AnyChange"}, {}),
            ({"rules": self._random.choice(RULES)}, {}),
            ({"rules": self._random.choice(RULES)}, {}),
        ]
        change, back = self._random.choice(changes)
        self.denials += "deny" in change
        if back:
            later(self._changed(back))
        await self._changed(change)()
        if self._people is not None:
            await self._change_approval(self._people)

    async def end_approval(self) -> None:
        """From now on what is recorded is approved."""
        if self._people is not None and self.policy.required:
            self._people.end()

    def _changed(self, change: Mapping[str, object]) -> Deed:
        async def decide() -> None:
            self.decide(
                msgspec.structs.replace(self.policy, **change),
                settle=self._random.choice(["0s", "0s", "5s"]),
                interval=self._random.choice(["20m", "30m"]),
            )
            await self._operator.notice()

        return decide

    async def _change_approval(self, people: People) -> None:
        """Required or not any more, if the process knows what was decided last and can learn of this."""
        required, known = self.policy.required, self._audit.facts.required is not None
        if self._audit.troubles() or required != known or self.policy.stop or not self._audit.recorded:
            return
        self.decide(msgspec.structs.replace(self.policy, required=not required))
        (people.end if required else people.begin)()
        await self._operator.notice()
