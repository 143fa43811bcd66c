"""Which cluster this is, and what each of its apps is called: UUIDs that need no memory.

A cluster's UUID follows from the UID of its namespace kube-system, an app's from the cluster's and its
own name (DESIGN: ``K-`` and ``A-`` + uuid5). Older UUIDs, an upstream operator's random ones among them,
win when they are known to be this cluster's, so that a receiver never sees the same thing under two names.
"""

from collections.abc import Iterable
from uuid import NAMESPACE_URL, uuid5

import msgspec

from reconciler.errors import IdentityError

CHOICE = "hossted.com/cluster-uuid"
"""The annotation by which a person decides which cluster UUID is this cluster's."""


class Claim(msgspec.Struct, frozen=True):
    """A cluster UUID found somewhere. ``kube_system_uid`` is "" where none was recorded beside it.

    ``where``: for people (``the ledger``). ``exclusive``: the place can only be about this cluster, so
    another cluster's UID there needs a person; a directory of a shared repository is not such a place.
    """

    where: str
    cluster_uuid: str
    kube_system_uid: str = ""
    exclusive: bool = True


def derived_cluster_uuid(kube_system_uid: str) -> str:
    """The UUID of a cluster that has no older one."""
    return f"K-{uuid5(NAMESPACE_URL, f'hossted.com/cluster/{kube_system_uid}')}"


def cluster_uuid(kube_system_uid: str, claims: Iterable[Claim], chosen: str = "") -> str:
    """This cluster's UUID: the first claim that is ours, else the derived one.

    A claim is ours when the kube-system UID beside it is ours, or none is. ``chosen`` (the annotation's
    value) settles it before anything else: the claimed UUID to go on with, or the derived one to start
    anew. Raises IdentityError when an exclusive place speaks of another cluster and nobody has chosen.
    """
    derived = derived_cluster_uuid(kube_system_uid)
    claims = [claim for claim in claims if claim.cluster_uuid]
    known = {derived, *(claim.cluster_uuid for claim in claims)}
    if chosen:
        if chosen not in known:
            raise IdentityError(
                f"annotation {CHOICE} names {chosen}, which is none of the cluster UUIDs known here "
                f"({', '.join(sorted(known))}): set it to one of these"
            )
        return chosen
    ours = (claim for claim in claims if claim.kube_system_uid in ("", kube_system_uid))
    answer = next((claim.cluster_uuid for claim in ours), derived)
    for claim in claims:
        theirs = claim.kube_system_uid not in ("", kube_system_uid)
        if theirs and (claim.exclusive or claim.cluster_uuid == answer):
            raise IdentityError(
                f"{claim.where} belongs to another cluster: {claim.cluster_uuid} was recorded with the "
                f"kube-system UID {claim.kube_system_uid}, and this cluster's is {kube_system_uid}. To go on "
                f"as that cluster annotate the project with {CHOICE}={claim.cluster_uuid}; to start anew, "
                f"with {CHOICE}={derived}"
            )
    return answer
