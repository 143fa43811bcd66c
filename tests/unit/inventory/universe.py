"""A small universe of objects for properties, in which names meet.

Owners come and go, change sides, own each other, are of another UID; StatefulSets have templates that make
claims of the same name; releases have revisions by both drivers, some of which cannot be read.
"""

from typing import Any

from hypothesis import strategies as st

from reconciler.inventory.index import part_ref
from reconciler.inventory.objects import (
    OWNER_KINDS,
    Claim,
    Gap,
    Ingress,
    Kind,
    Meta,
    Owner,
    Part,
    Pod,
    RouteKind,
    Service,
    StoredRelease,
    UuidSecret,
    Workload,
)
from reconciler.inventory.ownership import Ref, workload_ref
from tests.unit.inventory.looks import release

NAMESPACES = st.sampled_from(["shop", "ops"])
NAMES = st.sampled_from(["a", "b", "a-b"])
OWNERS = st.none() | st.builds(
    Owner, st.sampled_from([*OWNER_KINDS, "Rollout"]), NAMES, st.sampled_from(["u1", "u2", ""])
)
RELEASES = st.sampled_from(["", "", "web", "web-db"])
METAS = st.builds(
    Meta,
    namespace=NAMESPACES,
    name=NAMES,
    uid=st.sampled_from(["u1", "u2"]),
    release_name=RELEASES,
    release_namespace=st.sampled_from(["shop", "ops"]),
    instance=RELEASES,
    helm_managed=st.booleans(),
    owner=OWNERS,
)
CLAIM_METAS = st.builds(
    lambda at, name: Meta(**{**fields(at), "name": name}),
    METAS,
    st.sampled_from(["t-a-0", "t-a-b-1", "t-b", "x"]),
)
ITEMS = (
    st.builds(Pod, METAS, st.sampled_from(["Running", "Pending"]))
    | st.builds(Service, METAS)
    | st.builds(Claim, CLAIM_METAS, st.integers(0, 2))
    | st.builds(Ingress, METAS, kind=st.sampled_from(RouteKind))
    | st.builds(
        Workload,
        st.sampled_from(list(OWNER_KINDS)),
        METAS,
        st.sampled_from([(), ("t",), ("t", "t-a")]),
    )
)


DRIVERS = st.sampled_from([Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS])
REVISIONS = st.builds(
    lambda name, namespace, version, status, driver, problem: release(
        name, namespace, version, status, driver=driver, problem=problem
    ),
    st.sampled_from(["web", "web-db", ""]),
    NAMESPACES,
    st.sampled_from([1, 2, 10, "x"]),
    st.sampled_from(["deployed", "superseded", "uninstalled", "pending-upgrade", "uninstalling", ""]),
    DRIVERS,
    st.sampled_from(["", "", "", "is not gzip"]),
)
SECRETS = st.builds(
    UuidSecret,
    NAMESPACES,
    st.sampled_from(["0d9771b2", "no uuid"]),
    st.sampled_from(["", "", "has no key uuid"]),
)
GAPS = st.lists(
    st.builds(Gap, st.sampled_from(list(Kind)), st.sampled_from(["", "shop", "ops"]), st.booleans()),
    max_size=3,
).map(lambda gaps: tuple(sorted(gaps)))
"""What a look could not see."""

Object = Part | Workload | StoredRelease | UuidSecret


def fields(at: Meta) -> dict[str, Any]:
    return {name: getattr(at, name) for name in Meta.__struct_fields__}


def ref_of(item: Object) -> Ref:
    if isinstance(item, StoredRelease):
        return Ref(item.driver, item.namespace, item.object_name)
    if isinstance(item, UuidSecret):
        return Ref(Kind.UUID_SECRETS, item.namespace, "uuid")
    if isinstance(item, Workload):
        return workload_ref(item)
    return part_ref(item)
