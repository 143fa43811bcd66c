"""A project's own rules through the whole chain: what is recorded, what is told, and what a change of the
rules itself records and tells."""

import pytest

from reconciler.project import Duration, Match, PushSpec, Rule
from tests.chain.world import World


def rule(action: str, **match: str) -> Rule:
    return Rule(action=action, match=Match(**{name: (value,) for name, value in match.items()}))


async def told_by(world: World, *rules: Rule, on: str | None = None) -> list[str]:
    """What these rules have told, once everything is quiet."""
    before = len(world.told)
    world.spec(rules=rules, push=PushSpec(on=on))
    await world.converge()
    return sorted(world.told[before:])


async def foreseen(world: World) -> dict[str, str]:
    """What ``once --dry-run`` would push, and why."""
    process = world.process or await world.start()
    preview = await process.reconciler.preview(world.project)
    return {str(push.key): push.why for push in preview.plan.pushes}


def images(world: World, number: int = -1) -> list[str]:
    """The images that a request told of."""
    return [pod["image"] for pod in world.requests[number][1]["app_info"]["pod_info"]]


@pytest.fixture
async def running(in_configmaps: World) -> World:
    """An app in shop and one in dev, recorded and told."""
    world = in_configmaps
    world.cluster.install("shop/web", "dev/web")
    await world.converge()
    return world


class TestAChangeOfTheRules:
    @pytest.mark.parametrize("action", ["Ignore", "Defer"])
    async def test_adding_and_removing_one_that_hides_pushes_nothing_and_is_a_commit_each(
        self, action: str, either: World
    ) -> None:
        world = either
        world.cluster.install("shop/web", "dev/web")
        await world.converge()
        assert await told_by(world, rule(action, namespaces="dev")) == []
        await world.start()  # what is in effect is read back as it was written
        assert await told_by(world, rule(action, namespaces="dev")) == []
        assert await told_by(world) == []
        assert (await world.subjects())[1:] == [
            f"policy: new rule 1: {action} everything in dev",
            f"policy: rule 1 gone: {action} everything in dev",
        ]
        await world.check()

    async def test_what_was_hidden_is_judged_like_any_other_change_once_the_rule_is_gone(
        self, running: World
    ) -> None:
        """Recorded by its own action and told by its own action: the API is not left with an old state."""
        world = running
        assert await told_by(world, rule("Ignore", fields="pod_info.image"), on="AnyChange") == []
        world.cluster.change("dev/web", image="web:hand")
        assert await told_by(world, rule("Ignore", fields="pod_info.image"), on="AnyChange") == []
        assert await foreseen(world) == {}
        world.spec(rules=())
        assert await foreseen(world) == {"dev/web": "AnyChange pushes a change of pod_info.image"}
        assert await told_by(world, on="AnyChange") == ["dev/web 1 deployed"]
        assert images(world) == ["web:hand"]
        await world.check()

    async def test_what_was_hidden_and_is_only_recorded_is_not_told(self, running: World) -> None:
        world = running
        await told_by(world, rule("Ignore", fields="pod_info.image"))
        world.cluster.change("dev/web", image="web:hand")
        await world.converge()
        assert await told_by(world) == []
        assert (await world.subjects())[-1] == "change dev/web: image web 1 → hand"

    async def test_loosening_pushes_what_differs_and_a_dry_run_shows_it_first(self, running: World) -> None:
        world = running
        assert await told_by(world, rule("Record", namespaces="dev")) == []
        world.cluster.upgrade("shop/web", "dev/web")
        assert await told_by(world, rule("Record", namespaces="dev")) == ["shop/web 2 deployed"]
        world.spec(rules=(rule("Push", namespaces="dev"),))
        why = "rule 1 pushes a change of helm_info.revision, helm_info.updated, chart_version, pod_info.image"
        assert {key: text.startswith(why) for key, text in (await foreseen(world)).items()} == {
            "dev/web": True
        }
        assert len(world.told) == 3, "a dry run tells nothing"
        assert await told_by(world, rule("Push", namespaces="dev")) == ["dev/web 2 deployed"]
        await world.check()

    async def test_a_rule_that_pushes_comes_before_never_and_its_end_pushes_nothing(
        self, running: World
    ) -> None:
        world = running
        assert await told_by(world, on="Never") == []
        world.cluster.upgrade("shop/web", "dev/web")
        world.cluster.install("dev/new", "shop/new")
        assert await told_by(world, on="Never") == []
        world.spec(rules=(rule("Push", namespaces="dev"),))
        assert sorted(await foreseen(world)) == ["dev/new", "dev/web"]
        told = await told_by(world, rule("Push", namespaces="dev"), on="Never")
        assert told == ["dev/new 1 deployed", "dev/web 2 deployed"]
        assert world.said("Delivered") == "True UpToDate"
        world.cluster.uninstall("dev/new")
        assert await told_by(world, rule("Push", namespaces="dev"), on="Never") == ["dev/new 1 uninstalled"]
        assert await told_by(world, on="Never") == []
        assert await told_by(world) == ["shop/new 1 deployed", "shop/web 2 deployed"]
        await world.check()

    async def test_tightening_pushes_nothing_and_drops_what_was_to_be_told(self, running: World) -> None:
        world = running
        await told_by(world, on="AnyChange")
        world.cluster.change("shop/web", hosts=("a.example",))
        result = await world.look()
        assert result.delivery is not None
        assert result.delivery.pending == 1
        assert await told_by(world, rule("Record", fields="ingress_info"), on="AnyChange") == []
        assert await told_by(world, rule("Record"), on="AnyChange") == []
        assert await told_by(world, on="Never") == []

    async def test_moving_a_rule_is_told_as_what_it_is(self, running: World) -> None:
        world = running
        one, other = rule("Ignore", fields="pod_info.status"), rule("Record", namespaces="dev")
        await told_by(world, one, other)
        assert (await world.revisions())[-1].message.body.splitlines() == [
            "policy: new rule 1: Ignore pod_info.status",
            "policy: new rule 2: Record everything in dev",
        ]
        await told_by(world, other, one)
        assert (await world.revisions())[-1].message.body.splitlines() == [
            "policy: new rule 1: Record everything in dev",
            "policy: rule 2 gone: Record everything in dev",
        ]


class TestIgnore:
    async def test_what_is_ignored_is_emitted_as_it_was_recorded_when_something_else_is_told(
        self, running: World
    ) -> None:
        world = running
        await told_by(world, rule("Ignore", fields="pod_info.image"), on="AnyChange")
        world.cluster.upgrade("dev/web")
        assert await told_by(world, rule("Ignore", fields="pod_info.image"), on="AnyChange") == [
            "dev/web 2 deployed"
        ]
        assert images(world) == ["web:1"]
        revisions = len(await world.revisions())
        for _ in range(2):
            await world.start()
            await world.converge()
        assert len(await world.revisions()) == revisions, "it is recorded once"

    async def test_installs_and_uninstalls_are_recorded_and_never_told(self, running: World) -> None:
        world = running
        everything = rule("Ignore", namespaces="dev")
        await told_by(world, everything)
        world.cluster.install("dev/new", image="web:9")
        world.cluster.uninstall("dev/web")
        assert await told_by(world, everything) == []
        assert (await world.subjects())[-1] == "2 apps: 1 installed, 1 uninstalled"
        tip = await world.tip()
        assert [str(key) for key in tip.snapshot.apps] == ["dev/new", "shop/web"]
        assert await told_by(world) == ["dev/new 1 deployed", "dev/web 1 uninstalled"]
        await world.check()

    async def test_it_is_neither_waited_for_nor_does_it_begin_the_wait_anew(self, running: World) -> None:
        world = running
        world.spec(settle=Duration(seconds=5), rules=(rule("Ignore", fields="pod_info.status"),))
        await world.converge()
        began = world.clock.monotonic()
        world.cluster.upgrade("dev/web", image="web:1", phase="Pending")
        for phase in ("Running", "Pending", "Failed", "Pending"):
            await world.step()
            world.clock.advance(1.5)
            world.cluster.change("dev/web", phase=phase)
        await world.step()
        assert world.told[2:] == ["dev/web 2 deployed"]
        assert world.clock.monotonic() - began < 10
        assert world.result.waiting == {}

    async def test_a_new_app_is_waited_for_and_taken_as_it_is(self, running: World) -> None:
        world = running
        world.spec(settle=Duration(seconds=5), rules=(rule("Ignore", fields="pod_info.status"),))
        world.cluster.install("dev/new", phase="Pending")
        await world.step()
        world.clock.advance(10)
        await world.step()
        assert world.told[2:] == []
        world.cluster.change("dev/new", phase="Running")
        await world.converge()
        assert world.told[2:] == ["dev/new 1 deployed"]
        assert world.requests[-1][1]["app_info"]["pod_info"][0]["status"] == "Running"


async def test_what_is_deferred_makes_no_commit_of_its_own_and_goes_with_the_next(running: World) -> None:
    world = running
    deferred = rule("Defer", fields="pod_info.image")
    await told_by(world, deferred, on="AnyChange")
    revisions = len(await world.revisions())
    world.cluster.change("dev/web", image="web:hand")
    assert await told_by(world, deferred, on="AnyChange") == []
    assert len(await world.revisions()) == revisions
    world.cluster.change("dev/web", hosts=("a.example",))
    assert await told_by(world, deferred, on="AnyChange") == ["dev/web 1 deployed"]
    assert images(world) == ["web:hand"]
    assert len(await world.revisions()) == revisions + 1


@pytest.mark.parametrize("on", ["HelmUpdate", "Never"])
async def test_what_is_told_before_it_had_settled_is_finished_by_a_rule_as_by_the_list(
    on: str, running: World
) -> None:
    world = running
    rules = (rule("Push", operations="upgrade"), rule("Record", operations="change"))
    world.spec(settle=Duration(seconds=5), rules=rules, push=PushSpec(on=on))
    await world.converge()
    world.cluster.upgrade("dev/web", phase="Pending")
    await world.step()
    world.clock.advance(61)
    await world.step()
    assert world.told[2:] == ["dev/web 2 deployed"]
    world.cluster.change("dev/web", phase="Running")
    await world.converge()
    assert world.told[2:] == ["dev/web 2 deployed"] * 2
    await world.converge()
    assert len(world.told) == 4
    assert (await world.disk.ledger().load()).facts.unsettled == {}


async def test_without_an_api_nothing_is_told_whatever_a_rule_says(in_configmaps: World) -> None:
    world = in_configmaps
    world.url = ""
    world.cluster.install("dev/web")
    world.spec(rules=(rule("Push"),))
    await world.converge()
    assert await world.subjects() == ["record 1 app of the cluster"]
    assert (await world.tip()).snapshot.cluster.policy.push.on == "Never"
    assert world.told == []
    assert world.said("Delivered") == "Unknown NotConfigured"
    assert world.project.status.summary is not None
    assert world.project.status.summary.pending == 0


async def test_what_is_pushed_says_which_rules_decided(running: World) -> None:
    world = running
    world.spec(rules=(rule("Push", fields="ingress_info"), rule("Record", fields="chart_version")))
    world.cluster.upgrade("dev/web")
    world.cluster.change("dev/web", hosts=("a.example",))
    await world.look()
    delivered = await world.deliver()
    assert delivered is not None
    assert [push.why for push in delivered.pushed] == [
        "HelmUpdate pushes a change of helm_info.revision, helm_info.updated; "
        "rule 1 pushes a change of ingress_info"
    ]
