"""What the tests of the ConfigMap store share: tracks on a stand-in, snapshots, looks behind the scenes."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from reconciler.kube.configmaps import ConfigMap
from reconciler.model import App, Snapshot
from reconciler.state.configmap import documents
from reconciler.state.configmap.access import ConfigMapAccess
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.configmap.track import ConfigMapTrack
from reconciler.state.store import Message, Recorded
from tests.builders import CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.unit.state.configmap_standin import StandIn

NAMESPACE = "hossted"
START = datetime(2026, 11, 21, 9, 42, 49, tzinfo=UTC)
HEAD_NAME = documents.head_name("hossted-state", CLUSTER_UUID)
HEAD = (NAMESPACE, HEAD_NAME)
INSTANCE = "0a6f1c2e-7f0e-4c39-8f5c-7c3f1a2b3c4d"


def open_track(access: ConfigMapAccess, history: int = 200) -> ConfigMapTrack:
    """The track as a program that has just started finds it."""
    return ConfigMapStore(access, NAMESPACE, history=history).track(CLUSTER_UUID)


async def append(
    track: ConfigMapTrack, snapshot: Snapshot, on: Recorded | None, minutes: float = 0
) -> Recorded:
    now = START + timedelta(minutes=minutes)
    return await track.append(
        snapshot,
        changes_between(on.snapshot if on else None, snapshot),
        Message(
            subject=f"Record {len(snapshot.apps)} apps", body="a line", trailers=(("Instance", INSTANCE),)
        ),
        on=on,
        happened=now,
        recorded=now,
    )


async def append_all(
    track: ConfigMapTrack, snapshots: Sequence[Snapshot], on: Recorded | None = None
) -> list[Recorded]:
    made = []
    for snapshot in snapshots:
        on = await append(track, snapshot, on)
        made.append(on)
    return made


async def ids(track: ConfigMapTrack) -> list[str]:
    return [revision.id async for revision in track.history()]


def revisions(count: int, first: int = 1) -> list[Snapshot]:
    return [make_snapshot(make_app(revision=number)) for number in range(first, first + count)]


def head_of(access: StandIn) -> documents.Head:
    head = documents.decode_head(access.items[HEAD].data["head.json"], "the head")
    assert head is not None
    return head


def parts_of(access: StandIn) -> set[str]:
    return {name for _, name in access.items} - {HEAD_NAME}


def part(access: StandIn, name: str) -> ConfigMap:
    return access.items[NAMESPACE, name]


def edit(access: StandIn, name: str, **changes: object) -> None:
    """As somebody edits it: the UID stays, the version does not."""
    access.put(msgspec.structs.replace(part(access, name), **changes))


def recreate(access: StandIn, name: str, **changes: object) -> None:
    """As somebody deletes it and creates it again."""
    access.put(msgspec.structs.replace(part(access, name), uid=access.new_uid(), **changes))


def noisy(count: int, size: int = 600, revision: int = 1) -> list[App]:
    """Apps that pack badly: about twice their size in bytes each."""
    dice = random.Random(f"{count} {size} {revision}")
    return [
        make_app(name=f"app-{n}", revision=revision, image=dice.randbytes(size).hex(), digest="")
        for n in range(count)
    ]


def realistic(count: int) -> list[App]:
    """Apps of five pods each, whose names and digests pack as real ones do."""
    dice = random.Random(count)
    return [
        make_app(
            f"team-{n % 50}",
            f"app-{n}-{dice.randbytes(3).hex()}",
            image=f"registry.example/team-{n % 50}/app:{dice.randbytes(4).hex()}",
            digest=f"sha256:{dice.randbytes(32).hex()}",
            pods=5,
            hosts=[f"app-{n}.example"],
            volumes=[1 << 30],
        )
        for n in range(count)
    ]


ONE, TWO, THREE = revisions(3)
