"""Which cluster a look is of: what ledger, status and store say of it, put to the policy. Pure."""

from collections.abc import Iterable

import msgspec

from reconciler.errors import KubernetesError
from reconciler.policy.entry import LedgerFacts
from reconciler.policy.identity import CHOICE, Claim, cluster_uuid
from reconciler.project import Project
from reconciler.state.store import ClusterDirectory


class Whose(msgspec.Struct, frozen=True):
    """The cluster that a record is of. Both are "" while nothing was ever looked at."""

    cluster_uuid: str = ""
    kube_system_uid: str = ""


def identify(
    project: Project, kube_system_uid: str, known: LedgerFacts, directories: Iterable[ClusterDirectory]
) -> Whose:
    """The cluster that has this UID of kube-system.

    ``directories``: the clusters that the store knows, oldest first. Raises IdentityError when a person
    must decide, KubernetesError when the UID is "": a cluster that could not be asked is not another one.
    """
    if not kube_system_uid:
        raise KubernetesError("the UID of namespace kube-system, by which a cluster is known, cannot be read")
    status = project.status
    claims = [
        Claim("the ledger", known.cluster_uuid, known.kube_system_uid),
        Claim("the status", status.clusterUUID, status.kubeSystemUID),
        *(
            Claim(f"the directory {one.cluster_uuid}", one.cluster_uuid, one.kube_system_uid, exclusive=False)
            for one in directories
        ),
    ]
    chosen = project.annotations.get(CHOICE, "")
    return Whose(cluster_uuid(kube_system_uid, claims, chosen), kube_system_uid)
