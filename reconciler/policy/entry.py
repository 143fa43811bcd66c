"""The ledger's values: per app, what the API acknowledged and what is being told it.

An entry is machine state: small, strongly consistent, apart from the snapshots. The transitions on it
are in ``protocol``; keeping it is the work of ``reconciler.state.ledger.contract``.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from reconciler.model import App, AppKey


class Sending(msgspec.Struct, frozen=True, omit_defaults=True):
    """What may have reached the API: durable before the request leaves, kept until it is answered.

    ``key``: the Idempotency-Key (a UUIDv7); ``body``: the request's bytes as text, retried as they are.
    """

    key: str
    app: App
    body: str


class Acked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the API acknowledged. ``app`` is None once that was an uninstall; ``status``: of HTTP, 0 when
    it is not known."""

    key: str
    app_uuid: str
    at: datetime
    app: App | None = None
    status: int = 0


class Rejected(msgspec.Struct, frozen=True, omit_defaults=True):
    """The API refused this content (400, 413, 422). ``digest``: of the emitted form without email_id;
    ``what``: what it said, cut and without secrets, "" when nothing."""

    digest: str
    status: int
    at: datetime
    what: str = ""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One app's line of the ledger. ``last_key``: no key that is drawn may be smaller."""

    acked: Acked | None = None
    sending: Sending | None = None
    rejected: Rejected | None = None
    last_key: str = ""


EMPTY = Entry()


class LedgerFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ledger knows besides the apps.

    ``adopted``: app UUIDs taken over, by ``namespace/name``; ``instances``: Instances of ours, newest
    last; ``endpoint``: scheme, host and path that the entries are about. ``unsettled``: by
    ``namespace/name`` the digest of an app as it was recorded while not quiet in the wake of a Helm change
    (its first quiet state belongs to that change). ``gaps``: times without a look that no revision tells
    of yet, each as the text of a ``Gap`` trailer. ``location``, ``revision``: where the last revision was
    recorded, for people and without credentials, and its id. ``protest``: the Instance under which word of
    a second writer was left in the store, while it stands. ``required``: while approval is required, the
    newest commit that the approved branch had when that began ("" for none); None while it is not.
    ``removals``: what the brake holds back since when, "" while it holds nothing. The reconcile writes these,
    delivery the entries.
    """

    cluster_uuid: str = ""
    kube_system_uid: str = ""
    adopted: Mapping[str, str] = {}
    instances: tuple[str, ...] = ()
    endpoint: str = ""
    unsettled: Mapping[str, str] = {}
    gaps: tuple[str, ...] = ()
    location: str = ""
    revision: str = ""
    protest: str = ""
    required: str | None = None
    removals: str = ""


class LedgerView(msgspec.Struct, frozen=True):
    """The ledger at one moment.

    ``suspect``: it was just made, or may be older than it was (restored from a backup): what it says was
    acknowledged is in doubt.
    """

    facts: LedgerFacts
    entries: Mapping[AppKey, Entry]
    suspect: bool = False
