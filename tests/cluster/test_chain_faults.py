"""What cannot be read: named, kept as it was last known, never taken for gone, and no burden to the rest."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from reconciler.model import AppKey
from tests.cluster.chain import ACCOUNT, USER, Chain, NewChain, Pushed, git
from tests.controlplane.cluster import CHARTS
from tests.controlplane.plane import ControlPlane

BARE, NETWORK = str(CHARTS / "bare"), str(CHARTS / "network")
TEST = "default/test"


def packed(content: bytes) -> bytes:
    """As Helm stores it in a Secret: the API's own base64 comes on top."""
    return base64.b64encode(gzip.compress(content))


def bomb() -> bytes:
    """A gzip of 640 MiB: the most of such that fits into a Secret."""
    squeeze = zlib.compressobj(level=9, wbits=zlib.MAX_WBITS | 16)
    mebibyte = b" " * 2**20
    return base64.b64encode(b"".join(squeeze.compress(mebibyte) for _ in range(640)) + squeeze.flush())


def without_chart(good: bytes) -> bytes:
    release = json.loads(gzip.decompress(base64.b64decode(good)))
    return packed(json.dumps({**release, "chart": {}}).encode())


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no-base64": (lambda _: b"%%% no base64 %%%", "is not base64, or truncated"),
    "no-gzip": (lambda _: base64.b64encode(b"this is no gzip at all, only text"), "is not gzip"),
    "no-json": (lambda _: packed(b'{"name": "no-json", '), "is not JSON: "),
    "truncated": (lambda good: good[: len(good) // 8 * 4], "is truncated"),
    "bomb": (lambda _: bomb(), "would inflate to 640 MiB, and more than 256 MiB is refused"),
    "no-chart": (without_chart, "is not a release of Helm's: "),
}
"""By the release's name: what becomes of its body, and what is said of it."""


def break_it(plane: ControlPlane, name: str, spoil: Callable[[bytes], bytes], version: str = "2") -> None:
    """A next revision, as a fault in Helm or in etcd would leave it."""
    good = plane.get("secret", f"sh.helm.release.v1.{name}.v1")
    body = spoil(base64.b64decode(good["data"]["release"]))
    labels = {**good["metadata"]["labels"], "version": version}
    broken = {
        **good,
        "metadata": {
            "name": f"sh.helm.release.v1.{name}.v{version}",
            "namespace": "default",
            "labels": labels,
        },
        "data": {"release": base64.b64encode(body).decode()},
    }
    plane.kubectl("create", "-f", "-", stdin=json.dumps(broken))


async def test_a_release_that_cannot_be_read_is_named_keeps_its_last_state_and_costs_nothing_else(
    chain: Chain,
) -> None:
    chain.agreement = False  # Helm shows the older revisions
    chain.edit(brake={"percent": 100})  # nearly all of them will go at once
    plane = chain.plane
    for name in (*BROKEN, "no-number", "good"):
        plane.helm("install", name, NETWORK)
    await chain.settle()
    assert len(chain.pushes()) == len(BROKEN) + 2
    await chain.commits()
    recorded = {name: chain.recorded(f"default/{name}") for name in (*BROKEN, "no-number")}

    for name, (spoil, _) in BROKEN.items():
        break_it(plane, name, spoil)
    break_it(plane, "no-number", lambda good: good, version="two")
    plane.helm("upgrade", "good", NETWORK)
    result = await chain.settle()

    assert await chain.subjects() == ["upgrade default/good: network 0.3.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed("default/good", 2, "deployed")]
    assert {name: chain.recorded(f"default/{name}") for name in recorded} == recorded
    assert result.inventory is not None
    assert result.inventory.unreadable == {AppKey("default", name) for name in recorded}
    said = {problem.subject: problem.message for problem in result.inventory.problems}
    for name, (_, message) in BROKEN.items():
        assert said.pop(f"Secret default/sh.helm.release.v1.{name}.v2").startswith(message)
    assert said == {
        "Secret default/sh.helm.release.v1.no-number.vtwo": (
            "has the label version='two', which is no revision number"
        )
    }
    status = await chain.status()
    collected = status.condition("Collected")
    assert collected
    assert (collected.status, collected.reason) == ("False", "Partial")
    assert collected.message.startswith("Secret default/sh.helm.release.v1.bomb.v2 would inflate to 640 MiB")
    assert collected.message.endswith("and 4 more")
    assert status.summary
    assert (status.summary.releases, status.summary.unreadable) == (8, 7)

    plane.kubectl("delete", "secrets", "-l", "owner=helm,name!=good")  # Helm cannot read them either
    await chain.settle()
    assert await chain.subjects() == ["7 apps uninstalled in default"]
    assert chain.pushes() == [Pushed(f"default/{name}", 1, "uninstalled") for name in sorted(recorded)]


MINUTES = 60.0


class Rights:
    """The operator's own rights, as somebody takes one away and gives it back."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._rules: list[dict[str, Any]] = plane.get("clusterrole", ACCOUNT)["rules"]

    def without(self, resource: str) -> None:
        rules = [{**one, "resources": [x for x in one["resources"] if x != resource]} for one in self._rules]
        self._set([rule for rule in rules if rule["resources"]], resource, allowed="false")

    def whole(self, resource: str) -> None:
        self._set(self._rules, resource, allowed="true")

    def _set(self, rules: list[dict[str, Any]], resource: str, allowed: str) -> None:
        patch = json.dumps([{"op": "replace", "path": "/rules", "value": rules}])
        self._plane.kubectl("patch", "clusterrole", ACCOUNT, "--type=json", "-p", patch)
        group = "networking.k8s.io" if resource == "ingresses" else ""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": USER,
                "resourceAttributes": {"verb": "list", "group": group, "resource": resource},
            },
        }
        ask = ("create", "-o", "jsonpath={.status.allowed}", "-f", "-")
        self._plane.wait(  # the authorizer hears of a role a moment later
            lambda: self._plane.kubectl(*ask, stdin=json.dumps(review)) == allowed,
            f"the authorizer knowing of {resource}",
        )


async def test_a_forbidden_kind_is_named_comes_with_the_permission_and_stays_when_it_is_taken_away(
    operated: ControlPlane, new_chain: NewChain
) -> None:
    rights = Rights(operated)
    rights.without("ingresses")
    chain = await new_chain(push={"on": "AnyChange"})
    operated.helm("install", "test", NETWORK)
    result = await chain.settle()
    assert await chain.subjects() == ["install default/test: network 0.3.0"]
    assert chain.pushes() == [Pushed(TEST, 1, "deployed")]
    assert chain.emitted(TEST)["ingress_info"] == []
    assert result.recorded is not None
    assert result.recorded.snapshot.cluster.unreadable == ("ingresses",)
    collected = (await chain.status()).condition("Collected")
    assert collected
    assert (collected.status, collected.reason) == ("False", "Partial")
    assert collected.message.startswith("cannot read ingresses: ")

    rights.whole("ingresses")
    chain.clock.advance(11 * MINUTES)  # what is forbidden is asked for again after ten
    result = await chain.settle()
    assert await chain.subjects() == [
        "can read ingresses again",
        "change default/test: new ingress test-any-host, new ingress test-default and 2 more changes",
    ]
    assert chain.pushes() == [Pushed(TEST, 1, "deployed")]
    complete = chain.emitted(TEST)["ingress_info"]
    assert {one["name"] for one in complete} == {
        "test-any-host",
        "test-default",
        "test-hosts",
        "test-no-rules",
    }
    assert result.recorded is not None
    assert result.recorded.snapshot.cluster.unreadable == ()
    ready = (await chain.status()).condition("Collected")
    assert ready
    assert ready.status == "True"

    rights.without("ingresses")
    result = await chain.settle()
    (commit,) = await chain.commits()
    assert (commit.subject, commit.files) == ("cannot read ingresses", ("cluster.yaml",))
    await chain.restart()  # what was seen is forgotten; what was recorded is not
    await chain.settle()
    assert await chain.commits() == []
    assert chain.pushes() == []
    assert [one.domain for one in chain.recorded(TEST).app_info.ingress_info] == [
        one["domain"] for one in complete
    ]
    operated.helm("upgrade", "test", NETWORK)
    await chain.settle()
    assert await chain.subjects() == ["upgrade default/test: network 0.3.0, revision 1 → 2"]
    assert chain.pushes() == [Pushed(TEST, 2, "deployed")]
    assert chain.emitted(TEST)["ingress_info"] == complete


@pytest.mark.parametrize(
    ("resource", "subject"),
    [
        ("secrets", "cannot read secrets and 1 more change"),
        ("namespaces", "cannot read namespaces"),
    ],
)
async def test_no_permission_to_list_releases_never_reads_as_uninstalled(
    operated: ControlPlane, chain: Chain, resource: str, subject: str
) -> None:
    chain.agreement = False  # we cannot see what Helm sees
    operated.helm("install", "test", BARE)
    operated.rolled_out()
    await chain.settle()
    assert len(await chain.commits()) == len(chain.pushes()) == 1
    rights = Rights(operated)
    rights.without(resource)
    operated.helm("uninstall", "test", "--wait")
    await chain.settle()
    assert await chain.subjects() == [subject]
    await chain.restart()
    await chain.settle()
    assert (await chain.commits(), chain.pushes()) == ([], [])
    assert f"{TEST}.yaml" in git(chain.repository, "ls-tree", "-r", "--name-only", "main")
    rights.whole(resource)
    chain.clock.advance(11 * MINUTES)
    await chain.settle()
    assert chain.pushes() == [Pushed(TEST, 1, "uninstalled")]
