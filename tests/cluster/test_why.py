"""``why`` and ``blame`` on a real cluster: what a person who may only read is told while things happen."""

from __future__ import annotations

import json

import pytest

from tests.cluster.chain import NewChain, StoreKind, git
from tests.cluster.commands import Hossted, install, user
from tests.controlplane.cluster import CHARTS

IMAGE = "docker.io/bitnami/keycloak:99"


@pytest.mark.parametrize("store", ["git", "configmap"])
async def test_why_follows_an_app_from_its_install_to_its_end(
    store: StoreKind, new_chain: NewChain, hossted: Hossted
) -> None:
    chain = await new_chain(store=store)
    plane = chain.plane

    async def why(app: str = "default/test") -> tuple[str, int, str]:
        """In a word, the exit status, and the answer."""
        await chain.status()
        done = await hossted("why", app, "-o", "json")
        assert done.err == ""
        document = json.loads(done.out)
        assert (await hossted("why", app)).out.startswith(document["answer"])
        return document["standing"], done.status, document["answer"]

    install(plane, "test", "keycloak")
    await chain.look()
    assert (await why())[:2] == ("Settle", 1)
    await chain.settle()
    assert await why() == ("Told", 0, "the API knows default/test as it is recorded")

    plane.kubectl("set", "image", "statefulset/test-keycloak", f"keycloak={IMAGE}")
    plane.rolled_out("default")
    assert (await why())[:2] == ("Settle", 1)
    await chain.settle()
    standing, status, answer = await why()
    assert (standing, status) == ("Recorded", 0)
    assert answer.startswith(
        "default/test is recorded and not told: HelmUpdate does not push a change of pod_"
    )
    document = json.loads((await hossted("blame", "default/test", "-o", "json")).out)
    told = [(one["line"].strip(), one["told"]) for one in document["lines"]]
    assert ("revision: 1", "told") in told
    assert [mark for line, mark in told if line == f"image: {IMAGE}"] == ["not told", "-"]

    chain.receiver.fail("503:9")
    plane.helm("upgrade", "test", str(CHARTS / "keycloak"), "--set", "replicaCount=1")
    plane.rolled_out("default")
    await chain.settle()
    standing, status, answer = await why()
    assert (standing, status) == ("Api", 1)
    assert "answered 503" in answer
    assert "; next try at 20" in answer
    chain.receiver.heal()
    await chain.wait(600)
    assert (await why())[0] == "Told"

    plane.helm("uninstall", "test")
    plane.rolled_out("default")
    assert (await why())[0] == "Settle"
    await chain.settle()
    assert await why() == ("Told", 0, "the API knows that default/test is uninstalled")

    unknown = await hossted("why", "default/tset")
    assert (unknown.status, unknown.out) == (2, "")
    assert unknown.err == (
        "hossted-reconciler: default/tset is neither in the cluster nor on record nor known to the API."
        " Did you mean default/test?\n"
    )


async def test_what_is_held_by_the_policy_is_told_by_its_name(new_chain: NewChain, hossted: Hossted) -> None:
    chain = await new_chain()
    install(chain.plane, "test", "bare")
    await chain.settle()
    for spec, standing in (
        ({"denyNamespaces": ["default"]}, "Denied"),
        ({"denyNamespaces": None, "stop": True}, "Stopped"),
    ):
        chain.edit(**spec)
        await chain.settle()
        await chain.status()
        done = await hossted("why", "default/test", "-o", "json")
        assert (json.loads(done.out)["standing"], done.status) == (standing, 0)
    chain.agreement = False  # nothing is listed any more


async def test_removals_that_are_too_many_and_a_store_that_is_away_are_told_as_the_operator_has_them(
    new_chain: NewChain, hossted: Hossted
) -> None:
    chain = await new_chain()
    names = [f"app-{number}" for number in range(6)]
    for name in names:
        install(chain.plane, name, "bare")
    await chain.settle()
    chain.plane.helm("uninstall", *names)
    await chain.settle()
    await chain.status()
    held = await hossted("why", "default/app-3")
    assert (held.status, held.err) == (1, "")
    answer, *_ = held.out.splitlines()
    assert answer.startswith(
        "default/app-3 is gone from the cluster, and still on record: 6 of 6 apps are gone at once"
    )
    assert "or you confirm it: kubectl annotate hosstedproject hossted hossted.com/confirm-remov" in answer

    chain.repository.rename(chain.repository.with_name("elsewhere"))
    await chain.look()
    await chain.status()
    away = await hossted("why", "default/app-3")
    assert away.status == 1
    assert away.err.startswith("note: the record cannot be read (")
    assert away.out.startswith(
        "default/app-3 waits for the record, and nothing is told before it is recorded: "
    )
    chain.repository.with_name("elsewhere").rename(chain.repository)
    await chain.look()


async def test_what_people_must_approve_waits_for_them_and_is_told_then(
    new_chain: NewChain, hossted: Hossted
) -> None:
    chain = await new_chain()
    state = {
        "url": f"file://{chain.repository}",
        "branch": "observed/{cluster_uuid}",
        "approvedBranch": "approved/{cluster_uuid}",
    }
    chain.edit(state={"git": state}, push={"approval": "Required"})
    install(chain.plane, "test", "bare")
    await chain.settle()
    await chain.status()
    waits = await hossted("why", "default/test")
    assert (waits.status, waits.err) == (1, "")
    answer, *_ = waits.out.splitlines()
    assert "default/test is not told: it was never told, and waits for approval on the branch" in answer
    branch = answer.split()[-1]
    assert branch.startswith("approved/K-")
    git(chain.repository, "branch", branch, branch.replace("approved/", "observed/"))
    await chain.settle()
    assert (await hossted("why", "default/test")).out.startswith("the API knows default/test as it is")


async def test_what_may_not_be_read_is_said_beside_the_answer(new_chain: NewChain, hossted: Hossted) -> None:
    chain = await new_chain()
    install(chain.plane, "test", "bare")
    await chain.settle()
    await chain.status()
    some = user(chain.plane, "some", (["hosstedprojects"], "hossted.com"))
    done = await hossted("why", "default/test", kubeconfig=some)
    assert done.status == 2
    ledger, cluster = done.err.splitlines()
    assert ledger.startswith("note: the ledger may not be read, so it is not known what the API knows")
    assert cluster.startswith("note: the cluster cannot be seen, so what it has is left aside (")
    answer, _, on_record = done.out.splitlines()
    assert answer.startswith("how default/test stands cannot be told: the ledger cannot be read")
    assert on_record.startswith("On record  bare ")
