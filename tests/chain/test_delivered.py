"""The branch that shows what the API was told: complete in the end, and wiser than an older ledger."""

import re

import pytest

from reconciler.operator import delivered
from tests.chain.world import GitDisk, World
from tests.git.factory import files, git


def branch_of(world: World) -> str:
    return f"hossted/delivered/{world.cluster_uuid}"


def remote_of(world: World) -> GitDisk:
    assert isinstance(world.disk, GitDisk)
    return world.disk


def shown(world: World) -> dict[str, str]:
    """What the branch shows of each app: its revision and status, or "uninstalled"."""
    remote, branch = remote_of(world).remote, branch_of(world)
    found = {}
    for path in files(remote, branch):
        text = git(remote, "show", f"{branch}:{path}")
        if path.endswith("/uninstalled.yaml"):
            for part in text.split("- namespace: ")[1:]:
                namespace, name = part.split("\n")[0], part.split("name: ")[1].split("\n")[0]
                found[f"{namespace}/{name}"] = "uninstalled"
        else:
            lines = dict(line.strip().partition(": ")[::2] for line in text.splitlines())
            found["/".join(path.split("/")[2:]).removesuffix(".yaml")] = (
                f"{lines['revision']} {text.split('status: ')[2].split()[0]}"
            )
    return found


def subjects(world: World) -> list[str]:
    return git(remote_of(world).remote, "log", "--reverse", "--format=%s", branch_of(world)).splitlines()


async def test_the_branch_has_what_the_api_acknowledged(world: World) -> None:
    world.cluster.install("shop/web")
    world.cluster.install("shop/db")
    await world.converge()
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    await world.converge()
    assert shown(world) == world.knows() | {"shop/db": "uninstalled"}
    assert subjects(world) == ["tell the API of 2 apps", "tell the API of 2 apps"]
    await world.check()


async def test_what_was_told_and_not_shown_is_shown_by_the_next_process(world: World) -> None:
    world.cluster.install("shop/web")
    await world.step()
    assert world.knows() == {"shop/web": "1 deployed"}
    await world.start()
    await world.converge()
    assert shown(world) == {"shop/web": "1 deployed"}


async def test_many_apps_come_in_batches_with_a_pause_between_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivered, "MOST", 3)
    for number in range(7):
        world.cluster.install(f"shop/web-{number}")
    await world.converge()
    *batches, last = subjects(world)
    assert batches == ["tell the API of 3 apps"] * 2
    assert re.fullmatch(r"tell shop/web-\d: web revision 1, deployed", last)
    assert len(shown(world)) == 7


async def test_nothing_is_shown_while_stopped_and_all_of_it_afterwards(world: World) -> None:
    world.cluster.install("shop/web")
    await world.step()
    world.spec(stop=True)
    await world.converge()
    assert branch_of(world) not in git(remote_of(world).remote, "branch", "--list")
    world.spec(stop=False)
    await world.converge()
    assert shown(world) == {"shop/web": "1 deployed"}


async def test_a_ledger_that_is_older_than_the_branch_is_found_and_everything_later_told_again(
    world: World,
) -> None:
    world.cluster.install("shop/web")
    world.cluster.install("shop/db")
    await world.converge()
    old = remote_of(world).file.read_bytes()
    world.cluster.upgrade("shop/web")
    world.cluster.uninstall("shop/db")
    await world.converge()
    before = dict(world.receiver.requests)
    await world.stop()
    remote_of(world).file.write_bytes(old)
    await world.start()
    await world.converge()
    again = [(key, body) for key, body in world.receiver.requests if key not in before]
    assert len(again) == 2
    assert min(key for key, _ in again) > max(before)
    assert world.knows() == {"shop/web": "2 deployed", "shop/db": "1 uninstalled"}
    assert shown(world) == {"shop/web": "2 deployed", "shop/db": "uninstalled"}
    await world.check()


async def test_a_ledger_that_is_as_it_was_is_not_doubted(world: World) -> None:
    world.cluster.install("shop/web")
    await world.converge()
    await world.start()
    await world.converge()
    assert len(world.receiver.requests) == 1


async def test_a_branch_that_somebody_spoiled_costs_nothing_but_itself(world: World) -> None:
    world.cluster.install("shop/web")
    await world.converge()
    remote = remote_of(world).remote
    git(remote, "update-ref", f"refs/heads/{branch_of(world)}", "refs/heads/main")
    world.cluster.upgrade("shop/web")
    await world.start()
    await world.step()
    assert world.knows() == {"shop/web": "2 deployed"}
