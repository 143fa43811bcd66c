"""What must be so after a kill, and at the end: pure functions of what was found, that say what is not so."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tests.chain.cluster import Release


class Found(msgspec.Struct, frozen=True):
    """What disk and API server have. ``complaints``: git's, and of digests; ``revisions``: of this cluster,
    newest first; ``branch``: all commits of the branch; ``subjects``: of ours, oldest first; ``apps``: as
    recorded last, in the emitted form; ``doubted``: bodies by key that the ledger says are being sent;
    ``acked``: by app the key that was acknowledged, of those of which nothing is being sent."""

    complaints: tuple[str, ...]
    revisions: tuple[str, ...]
    branch: tuple[str, ...]
    subjects: tuple[str, ...]
    apps: Mapping[str, bytes]
    doubted: Mapping[str, bytes]
    acked: Mapping[str, str]
    leftovers: tuple[str, ...] = ()


class Told(msgspec.Struct, frozen=True):
    """What the receiver had: every request, and by app the newest key that it accepted and its push."""

    requests: tuple[tuple[str, bytes], ...]
    newest: Mapping[str, tuple[str, Any]]


class Kill(msgspec.Struct, frozen=True):
    """What was found after a kill, and how many requests there had been."""

    found: Found
    requests: int


def always(found: Found, announced: Iterable[str], seen: Iterable[str]) -> Iterator[str]:
    """At every moment at which nobody writes. ``announced``: revisions that the program knew to be
    recorded; ``seen``: commits that the branch had before."""
    yield from found.complaints
    for revision in announced:
        if revision not in found.revisions:
            yield f"the revision {revision} was recorded, and is not in the track"
    for commit in seen:
        if commit not in found.branch:
            yield f"the commit {commit} has vanished from the branch"
    repeated = [subject for subject, times in Counter(found.revisions).items() if times > 1]
    if repeated:
        yield f"revisions that are there twice: {repeated}"


def at_rest(found: Found, told: Told, releases: Mapping[str, Release]) -> Iterator[str]:
    """When nothing is left to be recorded or told."""
    yield from _record(found, releases)
    yield from _receiver(found, told)
    if found.doubted:
        yield f"still in doubt: {sorted(found.doubted)}"
    # The lock of the one ref that is only our cache's is removed by the next commit that meets it.
    locks = (path for path in found.leftovers if path.endswith(".lock"))
    yield from (f"left behind: {path}" for path in locks if not path.endswith("refs/hossted/pending.lock"))


def left_behind(found: Found, kills: int) -> Iterator[str]:
    """A kill may leave a file or two that it was writing, never a lock that others would wait for."""
    if len(found.leftovers) > 2 * kills:
        yield f"{len(found.leftovers)} files left behind by {kills} kills: {found.leftovers[:5]}"


def _record(found: Found, releases: Mapping[str, Release]) -> Iterator[str]:
    for app in sorted(found.apps.keys() | releases.keys()):
        if app not in found.apps:
            yield f"{app} is in the cluster and not in the record"
        elif app not in releases:
            yield f"{app} is in the record and not in the cluster"
        else:
            release, info = releases[app], json.loads(found.apps[app])["app_info"]
            there = (info["helm_info"]["revision"], {pod["image"] for pod in info["pod_info"]})
            if there != (release.revision, {release.image}):
                yield f"{app} is recorded as {there}, and is {release}"


def _receiver(found: Found, told: Told) -> Iterator[str]:
    for app in sorted(found.apps.keys() | told.newest.keys()):
        if app not in told.newest:
            yield f"{app} is recorded, and the receiver knows nothing of it"
            continue
        key, push = told.newest[app]
        helm = push["app_info"]["helm_info"]
        if app in found.apps and push != json.loads(found.apps[app]):
            yield f"{app}: the receiver has {helm['status']} {helm['revision']}, not what is recorded"
        if app not in found.apps and helm["status"] != "uninstalled":
            yield f"{app} is gone, and the receiver has it as {helm['status']}"
        if app in found.acked and found.acked[app] != key:
            yield f"{app}: the ledger has the key {found.acked[app]}, the receiver {key}"


def requests(told: Told, kills: Iterable[Kill]) -> Iterator[str]:
    """One key, one content; and what was sent again was in doubt."""
    bodies: dict[str, bytes] = {}
    for key, body in told.requests:
        if bodies.setdefault(key, body) != body:
            yield f"the key {key} came with two contents"
    greatest: dict[str, str] = {}
    for key, body in told.requests:
        app = app_of(body)
        if key < greatest.get(app, ""):
            yield f"{app} was told under {key}, which is smaller than one before"
        greatest[app] = key
    for kill in kills:
        later = told.requests[kill.requests :]
        for key, body in later:
            if kill.found.doubted.get(key, body) != body:
                yield f"the key {key} was in doubt and came with another content"
        acknowledged = set(kill.found.acked.values())
        for key in sorted({key for key, _ in later} & acknowledged):
            yield f"the key {key} was acknowledged, and came again after a kill"


def once_only(told: Told) -> Iterator[str]:
    """Where no app comes back to what it was while something of it is in doubt: nothing comes twice under
    two keys."""
    last: dict[str, tuple[str, bytes]] = {}
    for key, body in told.requests:
        app = app_of(body)
        known = last.get(app)
        if known is not None and known[1] == body and known[0] != key:
            yield f"{app} was told the same twice, under {known[0]} and {key}"
        last[app] = (key, body)


def resent(told: Told, kill: Kill) -> Iterator[str]:
    """After a kill and a restart in which nothing else has happened: what was in doubt came again."""
    later = dict(told.requests[kill.requests :])
    for key, body in kill.found.doubted.items():
        if later.get(key) != body:
            yield f"the key {key} was in doubt, and did not come again with its content"


def app_of(body: bytes) -> str:
    helm = json.loads(body)["app_info"]["helm_info"]
    return f"{helm['namespace']}/{helm['name']}"
