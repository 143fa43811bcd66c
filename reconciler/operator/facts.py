"""What the ledger must know before the first commit and the first push of a leadership. Pure.

It names our Instance before a commit carries it, knows which cluster and which endpoint it is about, and
holds the app UUIDs that were adopted. A ledger that was just made, or restored from a backup, may know
less than the API was told: what it says, and what left the record lately, is put in doubt, so that it is
told again rather than lost.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from reconciler.inventory.app_uuid import derived
from reconciler.model import App, AppKey, Snapshot
from reconciler.policy.entry import EMPTY, Entry, LedgerFacts, LedgerView
from reconciler.policy.protocol import in_doubt, told
from reconciler.project import Status
from reconciler.state.ledger import bounded


def facts_of(
    view: LedgerView,
    *,
    cluster_uuid: str,
    kube_system_uid: str,
    instance: str,
    endpoint: str,
    adopted: Mapping[AppKey, str],
    accepted: Iterable[str] = (),
    gaps: Iterable[str] = (),
) -> LedgerFacts:
    """The ledger's facts for this leadership.

    ``accepted``: Instances of others that count as ours. An ``endpoint`` of "" (no API) leaves the old
    one, so that taking the URL away for a while changes nothing. What was adopted stays.
    """
    known = view.facts
    instances = dict.fromkeys((*known.instances, *accepted, instance))
    wanted = msgspec.structs.replace(
        known,
        cluster_uuid=cluster_uuid,
        kube_system_uid=kube_system_uid,
        adopted={**{str(key): value for key, value in sorted(adopted.items())}, **known.adopted},
        instances=tuple(instances),
        endpoint=endpoint or known.endpoint,
        gaps=tuple(dict.fromkeys((*known.gaps, *gaps))),
    )
    return bounded(wanted)


def adoptions(status: Status, snapshot: Snapshot | None, cluster_uuid: str) -> dict[AppKey, str]:
    """App UUIDs that are older than ours and must go on.

    An upstream operator's status (a cluster UUID without a kube-system UID) tells those that it drew at
    random. The record tells those that were adopted before the ledger was lost: neither derived nor from
    a Secret. The record comes first, since it is what the API was told.
    """
    found: dict[AppKey, str] = {}
    if status.clusterUUID and not status.kubeSystemUID:
        found.update(status.app_uuids())
    for key, app in (snapshot.apps if snapshot is not None else {}).items():
        if not app.app_api_info.hossted_helm and app.app_uuid != derived(cluster_uuid, key):
            found[key] = app.app_uuid
    return found


def doubts(
    view: LedgerView, departed: Iterable[App], draw: Callable[[str], str], email_id: str
) -> dict[AppKey, Entry]:
    """Entries for a ledger that may be older than what was told: each will be told again.

    ``departed``: apps that left the record lately, as it last had them; ``draw``: a new key, greater than
    the one given. What the ledger says has ended, and is not recorded again, stays ended.
    """
    doubted = {key: entry for key, entry in view.entries.items() if told(entry) is not None}
    for app in departed:
        if app.key not in view.entries:
            doubted[app.key] = EMPTY
    last = {app.key: app for app in departed}
    return {
        key: in_doubt(entry, last.get(key), draw(entry.last_key), email_id) for key, entry in doubted.items()
    }


def other_endpoint(view: LedgerView, endpoint: str) -> dict[AppKey, Entry | None]:
    """What to write when the API is another one than the ledger is about: it starts empty."""
    if not endpoint or not view.facts.endpoint or view.facts.endpoint == endpoint:
        return {}
    return dict.fromkeys(view.entries)
