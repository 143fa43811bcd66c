"""Kills, restarts and what came of them: at every effect of a short script, and at random moments of a
long one."""

from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random
from typing import Any

import msgspec

from tests.crash import checks
from tests.crash.checks import Found, Kill, Told
from tests.crash.outside import Lived, Outside
from tests.crash.points import Mode, Target

_STATUS = "PATCH hosstedprojects/status"


class Tally(msgspec.Struct):
    """``points``: how often each effect was died at; ``missed``: how often one did not come, since a status
    is written more or less often as pushes are answered sooner or later."""

    points: Counter[str]
    restarts: int = 0
    missed: int = 0
    violations: list[str] = msgspec.field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.points.total()

    def __str__(self) -> str:
        return (
            f"{len(self.points)} kinds of effects, {self.kills} kills, {self.restarts} restarts,"
            f" {self.missed} missed, {len(self.violations)} violations"
        )

    def add(self, when: object, found: Iterable[str]) -> None:
        self.violations += [f"killed {when}: {each}" for each in found]


class Chapter(msgspec.Struct):
    """A step as it goes when nobody is killed: where it begins, its effects, and how it ends."""

    begin: Any
    branch: tuple[str, ...]
    announced: tuple[str, ...]
    lived: Lived
    subjects: tuple[str, ...]
    told: Told


def modes(name: str) -> tuple[Mode, ...]:
    """When of an effect of that name it makes a difference to die. After a change of files is before the
    next effect."""
    verb, _, what = name.partition(" ")
    if name == "git push":
        return tuple(Mode)
    if verb == "git":
        return (Mode.BEFORE, Mode.DURING, Mode.AFTER)
    if verb == "open":
        return (Mode.BEFORE, Mode.DURING)
    if verb.startswith("os."):
        return (Mode.BEFORE,)
    assert verb in ("push", "POST", "PUT", "PATCH", "DELETE"), what
    return (Mode.BEFORE, Mode.AFTER)


def straight(lived: Lived) -> Iterator[str]:
    """What a life that nobody ended did wrong."""
    if lived.failed or lived.ended:
        yield f"it ended with {lived.ended}: {lived.failed}"
    if lived.gave_up:
        yield "it did not come to an end"
    yield from (f"an effect that nobody registered: {each}" for each in lived.unregistered)


async def told_straight(world: Outside) -> list[Chapter]:
    """The script, a life for each step."""
    chapters: list[Chapter] = []
    announced: list[str] = []
    branch: tuple[str, ...] = ()
    for _ in world.steps:
        begin = world.save()
        lived = world.live()
        found = await world.found()
        before = tuple(announced)
        announced += [revision for revision, _ in lived.recorded]
        wrong = [
            *straight(lived),
            *checks.always(found, announced, branch),
            *checks.at_rest(found, world.told(), world.releases),
            *checks.requests(world.told(), ()),
        ]
        assert not wrong, (wrong, world.zygote.said())
        chapters.append(Chapter(begin, branch, before, lived, found.subjects, world.told()))
        branch = found.branch
    return chapters


async def at_every_effect(world: Outside, *, but: tuple[str, ...] = ()) -> Tally:
    """Die at each effect of each step in turn, in each way, and start again; ``but`` at those whose names
    begin so."""
    tally = Tally(Counter())
    for chapter in await told_straight(world):
        for name, occurrence in chapter.lived.points:
            for mode in () if name.startswith(but) else modes(name):
                await survive(world, chapter, Target(name, occurrence, mode), tally)
    return tally


async def survive(
    world: Outside, chapter: Chapter, target: Target, tally: Tally, *, broken: str = ""
) -> None:
    """Die there, start again, and end as the chapter does; what is otherwise is in the tally."""
    world.restore(chapter.begin)
    died = world.live(target=(target.name, target.occurrence, target.mode.value), broken=broken)
    if not died.killed and target.name == _STATUS and not died.failed:
        tally.missed += 1
        return
    tally.points[target.name] += 1
    if not died.killed:
        tally.add(target, [f"it did not die: {died.ended} {died.failed}"])
    announced = [*chapter.announced, *(revision for revision, _ in died.recorded)]
    kill = Kill(await world.found(), len(world.receiver.requests))
    tally.add(target, checks.always(kill.found, announced, chapter.branch))
    lived = world.live(broken=broken)
    tally.restarts += 1
    found, told = await world.found(), world.told()
    announced += [revision for revision, _ in lived.recorded]
    wrong = [
        *straight(lived),
        *checks.always(found, announced, kill.found.branch),
        *checks.at_rest(found, told, world.releases),
        *checks.requests(told, [kill]),
        *checks.resent(told, kill),
        *checks.once_only(told),
        *checks.left_behind(found, 1),
        *_same(found, told, chapter),
    ]
    tally.add(target, wrong)


def _same(found: Found, told: Told, chapter: Chapter) -> Iterator[str]:
    """Each change is recorded exactly once, and the receiver ends as if nothing had happened."""
    if found.subjects != chapter.subjects:
        yield f"the track reads {found.subjects[len(chapter.subjects) - 2 :]}, not {chapter.subjects[-2:]}"
    ends = [{app: push for app, (_, push) in each.newest.items()} for each in (told, chapter.told)]
    if ends[0] != ends[1]:
        yield "the receiver ends otherwise than without the kill"


async def at_random(world: Outside, kills: int, seed: int) -> Tally:
    """Die at random moments of a long script, which goes on after each; what git runs at that moment dies
    as well, or goes on to its end. Now and then all is let come to rest.
    """
    random, tally = Random(seed), Tally(Counter())
    announced: list[str] = []
    all_kills: list[Kill] = []
    branch: tuple[str, ...] = ()
    # The first three lives go to their end, and the last two of them say how many moments a life has. The
    # first does not: it imports what all of them need.
    lengths: list[int] = []
    while tally.kills < kills:
        assert world.step < len(world.steps) - 5, f"the script is too short: {tally}"
        moment = 0 if len(lengths) < 3 else random.randrange(1, max(lengths[1:3]))
        lived = world.live(
            end=world.step + 4, die_at_event=moment, orphans_live=random.random() < 0.5, seconds=30.0
        )
        announced += [revision for revision, _ in lived.recorded]
        when = f"at event {moment} of step {lived.step}"
        if lived.killed:
            last = lived.points[-1][0] if lived.points else "its start"
            when = f"{when} (after {last})"
            tally.points[last] += 1
        else:
            tally.add(when, straight(lived))
            lengths.append(lived.events)
        found = await world.found()
        if lived.killed:
            all_kills.append(Kill(found, len(world.receiver.requests)))
            tally.restarts += 1
        tally.add(when, checks.always(found, announced, branch))
        branch = found.branch
        if lived.killed and random.random() < 0.3:
            world.step += 1  # the cluster went on meanwhile
        if lived.killed and tally.kills % 25 == 0:
            await _rest(world, tally, announced, all_kills, branch)
    world.step = len(world.steps) - 1
    await _rest(world, tally, announced, all_kills, branch)
    return tally


async def _rest(
    world: Outside, tally: Tally, announced: list[str], kills: list[Kill], branch: tuple[str, ...]
) -> None:
    spec = world.api.project["spec"] | world.steps[world.step].spec
    quiet = world.step == len(world.steps) - 1
    if not quiet and (spec.get("stop") or spec.get("denyNamespaces")):
        return
    lived = world.live(settled=1500.0)
    announced += [revision for revision, _ in lived.recorded]
    found, told = await world.found(), world.told()
    wrong = [
        *straight(lived),
        *checks.always(found, announced, branch),
        *checks.at_rest(found, told, world.releases),
        *checks.requests(told, kills),
        *checks.left_behind(found, len(kills)),
    ]
    tally.add(f"{len(kills)} times, and come to rest", wrong)
