"""What the ledger must know before the first commit and the first push of a leadership. Pure.

It names our Instance before a commit carries it, knows which cluster and which endpoint it is about, and
holds the app UUIDs that were adopted. A ledger that was just made, or restored from a backup, or is not
the only one because another writer was accepted, may know less than the API was told: what it says, what
is recorded, and what left the record lately, is put in doubt, so that it is told again rather than lost.
"""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from reconciler.inventory.app_uuid import derived
from reconciler.model import App, AppKey
from reconciler.policy.entry import EMPTY, Entry, LedgerFacts, LedgerView
from reconciler.policy.protocol import in_doubt, told
from reconciler.project import Status
from reconciler.state.ledger.contract import bounded
from reconciler.state.store import Recorded, Trailer


def facts_of(
    view: LedgerView,
    *,
    cluster_uuid: str,
    kube_system_uid: str,
    instance: str,
    endpoint: str,
    adopted: Mapping[AppKey, str],
    author: str = "",
    accepted: Iterable[str] = (),
    gaps: Iterable[str] = (),
) -> LedgerFacts:
    """The ledger's facts for this leadership.

    ``author``: the Instance that wrote the newest revision: it is remembered however often we start without
    writing one. ``accepted``: Instances of others that count as ours. An ``endpoint`` of "" (no API) leaves
    the old one, so that taking the URL away for a while changes nothing. What was adopted stays. As another
    cluster, which has an approved branch of its own, approval begins anew.
    """
    known = view.facts
    listed = [each for each in known.instances if each != author]
    written = [author] if author in known.instances else []
    instances = dict.fromkeys((*listed, *written, *accepted, instance))
    wanted = msgspec.structs.replace(
        known,
        cluster_uuid=cluster_uuid,
        kube_system_uid=kube_system_uid,
        adopted={**{str(key): value for key, value in sorted(adopted.items())}, **known.adopted},
        instances=tuple(instances),
        endpoint=endpoint or known.endpoint,
        gaps=tuple(dict.fromkeys((*known.gaps, *gaps))),
        required=known.required if known.cluster_uuid in ("", cluster_uuid) else None,
    )
    return bounded(wanted)


def adoptions(status: Status, recorded: Iterable[App], cluster_uuid: str) -> dict[AppKey, str]:
    """App UUIDs that are older than ours and must go on.

    An upstream operator's status (a cluster UUID without a kube-system UID) tells those that it drew at
    random. Our own, and what is ``recorded`` or was lately, tell those that were adopted before the ledger
    was lost: neither derived nor from a Secret. The record counts first, since it is what the API was told.
    """
    found: dict[AppKey, str] = {}
    if status.clusterUUID == cluster_uuid:
        found = status.app_uuids()
        if status.kubeSystemUID:
            from_secret = {AppKey(one.namespace, one.name) for one in status.helmStatus if one.hossted_helm}
            found = {
                key: uuid
                for key, uuid in found.items()
                if key not in from_secret and uuid != derived(cluster_uuid, key)
            }
    for app in recorded:
        if not app.app_api_info.hossted_helm and app.app_uuid != derived(cluster_uuid, app.key):
            found[app.key] = app.app_uuid
    return found


def doubts(
    view: LedgerView, recorded: Mapping[AppKey, App], draw: Callable[[str], str], email_id: str
) -> dict[AppKey, Entry]:
    """Entries for a ledger that may know less than was told: each will be told again.

    ``recorded``: the apps of the record, and those that left it lately as it last had them; ``draw``: a
    new key, greater than the one given. Those that the ledger knows nothing of, or only the end, are
    among them: since then they may have come, been told, and gone again.
    """
    doubted = {key: view.entries.get(key, EMPTY) for key in sorted(view.entries.keys() | recorded.keys())}
    return {
        key: in_doubt(entry, recorded.get(key), draw(entry.last_key), email_id)
        for key, entry in doubted.items()
        if told(entry) is not None or key in recorded
    }


_NO_BRANCH = "none"


def approved_since(facts: LedgerFacts) -> tuple[tuple[str, str], ...]:
    """The trailer from which a later ledger knows from where on approvals count, where they do."""
    return () if facts.required is None else ((Trailer.APPROVED_SINCE, facts.required or _NO_BRANCH),)


def required_since(tip: Recorded | None) -> str | None:
    """From where on approvals count, as the record has it; None where it says nothing of it."""
    said = tip.revision.message.trailer(Trailer.APPROVED_SINCE) if tip is not None else ""
    return None if not said else said.replace(_NO_BRANCH, "")


def other_endpoint(view: LedgerView, endpoint: str) -> dict[AppKey, Entry | None] | None:
    """What to write when the API is another one than the ledger is about, so that it starts empty; None
    when it is the same."""
    if not endpoint or not view.facts.endpoint or view.facts.endpoint == endpoint:
        return None
    return dict.fromkeys(view.entries)
