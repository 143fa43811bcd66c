"""The program with one thing wrong, on purpose: what the harness must find. In the killed process only."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.model import AppKey
from reconciler.policy import protocol
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.state.git.network import remote as git_remote
from reconciler.state.ledger.configmaps import ConfigMapLedger
from tests.crash.edges import put


def install(name: str) -> None:
    """One of ``WAYS``, or "" for none."""
    if name:
        WAYS[name]()


def _ledger_that_forgets_marks() -> None:
    """What is being sent is in memory only."""
    write, marks = ConfigMapLedger.write, {}

    async def written(
        self: ConfigMapLedger, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        marks.update({key: entry for key, entry in entries.items() if entry and entry.sending})
        kept = {key: entry for key, entry in entries.items() if not (entry and entry.sending)}
        view = await write(self, kept, facts)
        return LedgerView(view.facts, {**view.entries, **{k: e for k, e in marks.items() if k in entries}})

    put(ConfigMapLedger, "write", written)


def _ledger_that_forgets_answers() -> None:
    """What was acknowledged is in memory only."""
    put(protocol, "acknowledge", lambda entry, at, status=0: entry)


def _append_without_compare_and_swap() -> None:
    ask = git_remote.Remote._ask

    def asked(self: git_remote.Remote, *arguments: str, **options: Any) -> str:
        forced = ["--force" if word.startswith("--force-with-lease") else word for word in arguments]
        return ask(self, *forced, **options)

    put(git_remote.Remote, "_ask", asked)


def _an_effect_that_nobody_knows() -> None:
    write = ConfigMapLedger.write

    async def written(
        self: ConfigMapLedger, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        import socket  # noqa: PLC0415 - only for this

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"hello", ("127.0.0.1", 9))
        return await write(self, entries, facts)

    put(ConfigMapLedger, "write", written)


def _a_file_that_is_new() -> None:
    write = ConfigMapLedger.write

    async def written(
        self: ConfigMapLedger, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        (Path(os.environ["HOME"]) / "news").write_text("news " * 200)
        return await write(self, entries, facts)

    put(ConfigMapLedger, "write", written)


WAYS: Mapping[str, Callable[[], None]] = {
    "marks": _ledger_that_forgets_marks,
    "answers": _ledger_that_forgets_answers,
    "no compare-and-swap": _append_without_compare_and_swap,
    "unknown effect": _an_effect_that_nobody_knows,
    "new file": _a_file_that_is_new,
}
