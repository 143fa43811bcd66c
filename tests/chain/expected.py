"""What should be told, by a model that is written from the contract alone and shares nothing with the code.

What an app should say at the API is a dict of JSON; the rules are spelled out here once more, for the lists
that the long runs use. It knows what was recorded, what was approved, what looks proved and what the API
answered, all of which it is told; it never asks the code what it thinks.
"""

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

import msgspec

from examples.receiver.receiver import Receiver
from reconciler.model import App, AppKey
from tests.chain.cluster import Release

Content = dict[str, Any]
"""The body of a push, as JSON gives it."""


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """One of the project's rules, of those that these runs have: by namespaces and by fields."""

    action: str
    namespaces: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    def matches(self, namespace: str) -> bool:
        return not self.namespaces or any(fnmatchcase(namespace, glob) for glob in self.namespaces)

    @property
    def spec(self) -> dict[str, object]:
        """As it stands in the project."""
        match = {"namespaces": list(self.namespaces), "fields": list(self.fields)}
        return {"action": self.action, "match": {name: some for name, some in match.items() if some}}


class Policy(msgspec.Struct, frozen=True):
    """What of a project's spec decides whether something is told."""

    on: str = "HelmUpdate"
    stop: bool = False
    deny: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    required: bool = False

    def holds(self, key: AppKey) -> bool:
        """Whether nothing at all may be told of an app."""
        ours = [rule for rule in self.rules if rule.action == "Push" and rule.matches(key.namespace)]
        return self.stop or (self.on == "Never" and not ours) or self.denies(key.namespace)

    def denies(self, namespace: str) -> bool:
        return any(fnmatchcase(namespace, pattern) for pattern in self.deny)

    def pushes(self, namespace: str, field: str) -> bool:
        """Whether a difference in a field is pushed: by the first rule that matches, else by the list."""
        for rule in self.rules:
            if rule.matches(namespace) and (not rule.fields or field in rule.fields):
                return rule.action == "Push"
        if self.on == "Never" or field in DEFERRED:
            return False
        return self.on == "AnyChange" or field in HELM


COMES_OR_GOES = ""
"""Stands for an install and an uninstall where otherwise there is a field: no rule's fields name it."""
HELM = frozenset({COMES_OR_GOES, "helm_info", "app_uuid"})
"""What HelmUpdate pushes; all of ``helm_info.*`` by one name, since no rule here names a part of it."""
DEFERRED = frozenset({"pod_info", "pod_info.status"})


def content_of(app: App, email_id: str) -> Content:
    """What a push of a recorded app says."""
    stored = json.loads(msgspec.json.encode(app))
    who = stored["app_api_info"]
    names = ("cluster_uuid", "app_uuid", "app_name", "hossted_helm")
    return {
        "app_api_info": {**{name: who[name] for name in names}, "email_id": email_id},
        "app_info": stored["app_info"],
    }


def key_of(content: Content) -> AppKey:
    helm = content["app_info"]["helm_info"]
    return AppKey(helm["namespace"], helm["name"])


def app_of(body: bytes) -> AppKey:
    return key_of(json.loads(body))


def ended(content: Content) -> Content:
    """What is told when the app is gone."""
    helm = {**content["app_info"]["helm_info"], "status": "uninstalled"}
    empty: dict[str, list[object]] = {name: [] for name in content["app_info"] if name != "helm_info"}
    return {"app_api_info": content["app_api_info"], "app_info": {"helm_info": helm, **empty}}


def is_ended(content: Content) -> bool:
    return bool(content["app_info"]["helm_info"]["status"] == "uninstalled")


def uuid_of(content: Content) -> str:
    uuid: str = content["app_api_info"]["app_uuid"]
    return uuid


def digest(content: Content) -> str:
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()


def differences(one: Content, other: Content) -> set[str]:
    """The fields in which two states of an app differ, by the names that rules have for them.

    The apps of these runs have no pods of Jobs.
    """
    before, after = one["app_info"], other["app_info"]
    found = {"helm_info"} if before["helm_info"] != after["helm_info"] else set()
    if one["app_api_info"] != other["app_api_info"]:
        found.add("app_uuid")
    if _images(one) != _images(other):
        found.add("pod_info.image")
    for block, part, value in (
        ("pod_info", "status", "status"),
        ("service_info", "port", "port"),
        ("volume_info", "size", "size"),
        ("ingress_info", "domain", "domain"),
    ):
        was, now = _by_item(before[block], value), _by_item(after[block], value)
        if was.keys() != now.keys():
            found.add(block)
        if any(was[item] != now[item] for item in was.keys() & now.keys()):
            found.add(f"{block}.{part}")
    return found


def is_worth_it(policy: Policy, known: Content, now: Content) -> bool:
    """Whether a difference is worth a push, section 5.1 of the contract."""
    namespace = key_of(now).namespace
    return any(policy.pushes(namespace, field) for field in differences(known, now))


def completes(known: Content, now: Content) -> bool:
    """Whether this is the first quiet state of a Helm change that was told while a pod was Pending."""
    same = known["app_info"]["helm_info"]["revision"] == now["app_info"]["helm_info"]["revision"]
    return same and known != now and "Pending" in _phases(known) and "Pending" not in _phases(now)


def wanted(
    policy: Policy, approved: Content | None, known: Content | None, doubted: Content | None, *, gone: bool
) -> Content | None:
    """What the API should be told next of an app that nothing holds; None when it should be left alone.

    ``known``: what it acknowledged last, None when that was nothing or the end; ``doubted``: what was sent
    since, and nobody answered; ``gone``: a complete look says that the cluster does not have the app.
    """
    if approved is None:
        last = doubted or known
        told = last is not None and (doubted is not None or _comes_or_goes(policy, last))
        return ended(last) if last is not None and told and gone else None
    if gone:
        return None
    for former in (doubted, known):
        if former is not None and uuid_of(former) != uuid_of(approved):
            return ended(former)
    if doubted is not None:
        due = True
    elif known is None:
        due = _comes_or_goes(policy, approved)
    else:
        due = known != approved and (is_worth_it(policy, known, approved) or completes(known, approved))
    return approved if due else None


def differing(known: Mapping[AppKey, Content], approved: Mapping[AppKey, Content]) -> set[AppKey]:
    """The apps of which the API has not exactly what is approved, whatever the rules say."""
    return {key for key in known.keys() | approved.keys() if known.get(key) != approved.get(key)}


def present(receiver: Receiver) -> dict[AppKey, Content]:
    """What the API has of the apps of which it knows no end."""
    apps = {AppKey(*app[1:]): known.push for app, known in receiver.apps.items()}
    return {key: push for key, push in apps.items() if not is_ended(push)}


def shown(content: Content) -> tuple[object, ...]:
    """What a push says of the things that a cluster has: revision, status, time, images, number of pods,
    ports, sizes, hosts."""
    info = content["app_info"]
    helm = info["helm_info"]
    return (
        helm["revision"],
        helm["status"],
        helm["updated"],
        _images(content),
        len(info["pod_info"]),
        {service["port"] for service in info["service_info"]},
        sorted(volume["size"] for volume in info["volume_info"]),
        {ingress["domain"] for ingress in info["ingress_info"]},
    )


def shown_of(release: Release) -> tuple[object, ...]:
    """The same of a release in the cluster, which a push should say of it."""
    return (
        release.revision,
        release.status,
        release.updated,
        {release.image} if release.pods else set(),
        release.pods,
        set(release.ports),
        sorted(release.sizes),
        set(release.hosts),
    )


def _comes_or_goes(policy: Policy, content: Content) -> bool:
    return policy.pushes(key_of(content).namespace, COMES_OR_GOES)


def _by_item(items: Iterable[Mapping[str, Any]], value: str) -> dict[tuple[object, ...], set[object]]:
    """The values of each item: the ports of a service, the hosts of an ingress."""
    found: dict[tuple[object, ...], set[object]] = {}
    for item in items:
        rest = tuple(part for name, part in item.items() if name != value)
        found.setdefault(rest, set()).add(item[value])
    return found


def _images(content: Content) -> set[str]:
    return {pod["image"] for pod in content["app_info"]["pod_info"]}


def _phases(content: Content) -> Iterable[str]:
    return [pod["status"] for pod in content["app_info"]["pod_info"]]
