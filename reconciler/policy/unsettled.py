"""Helm changes that were recorded before the app was quiet: which of them are still unfinished.

An install whose image takes minutes to pull is recorded as it stands, so that the record is never far
behind; its first quiet state then belongs to the same Helm change, and is recorded and told with it. The
mark that remembers this is the digest of what was recorded, kept with the ledger's facts.
"""

from collections.abc import Callable, Mapping

from reconciler.model import App, AppKey, tells_the_same
from reconciler.policy.entry import Entry


def unfinished(
    marks: Mapping[AppKey, str],
    recorded: Mapping[AppKey, App],
    entries: Mapping[AppKey, Entry],
    *,
    telling: Callable[[App], bool],
) -> dict[AppKey, str]:
    """The marks that still mean something.

    A mark ends with its app; and once a later state is recorded, when the API acknowledged that state, or
    at once where nothing of the app is told (``telling`` says so: there is no API, or no rule that pushes).
    """
    return {
        key: digest
        for key, digest in marks.items()
        if (app := recorded.get(key)) is not None
        and (app.digest == digest or (telling(app) and not _acknowledged(entries.get(key), app)))
    }


def _acknowledged(entry: Entry | None, app: App) -> bool:
    return (
        entry is not None
        and entry.sending is None
        and entry.acked is not None
        and entry.acked.app is not None
        and tells_the_same(entry.acked.app, app)
    )
