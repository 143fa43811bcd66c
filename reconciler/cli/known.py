"""What the API knows of an app, as far as whoever asks may read it: the ledger, or why there is none."""

from reconciler.cli.output import note
from reconciler.cli.target import Target
from reconciler.errors import ForbiddenError, LedgerError, UsageError
from reconciler.model import AppKey
from reconciler.policy.entry import LedgerFacts, LedgerView


def key_of(text: str) -> AppKey:
    """The app that a person names; UsageError for what is no name of one."""
    try:
        return AppKey.parse(text)
    except ValueError as error:
        raise UsageError(f"{error}, as in default/test") from error


async def ledger_of(target: Target, *, quiet: bool = False) -> LedgerView | None:
    """The ledger of the cluster whose record is meant. None, with a note of why, where it may not be read
    or is another cluster's, and where there is none (``quiet``: without the note)."""
    try:
        ledger = await target.ledger()
    except LedgerError as error:
        if not isinstance(error.__cause__, ForbiddenError):
            raise
        note(f"the ledger may not be read, so it is not known what the API knows ({error})")
        return None
    if ledger.facts == LedgerFacts() and not ledger.entries:
        if not quiet:
            note("there is no ledger here, so it is not known what the API knows")
        return None
    cluster_uuid = await target.cluster_uuid()
    if ledger.facts.cluster_uuid != cluster_uuid:
        note(f"the ledger is about cluster {ledger.facts.cluster_uuid}, not {cluster_uuid}, and left aside")
        return None
    return ledger
