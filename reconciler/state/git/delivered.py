"""The branch that shows what the API was told: ``hossted/delivered/<cluster_uuid>``, from the ledger.

For people, who can read and compare it as they do the record. It has a file for each app that the API
knows, where the record has it, and one that names those that it knows to be uninstalled::

    clusters/<cluster_uuid>/<namespace>/<release>.yaml
    clusters/<cluster_uuid>/uninstalled.yaml

The branch follows the ledger and decides nothing. It is read for one purpose: a key in it that is greater
than the ledger's says that the ledger is an older one. It is about one API, the trailer ``Endpoint``; with
another one it begins anew.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from reconciler.errors import FormatError, LostRaceError
from reconciler.model import App, AppKey, Record
from reconciler.policy.entry import Acked
from reconciler.state.documents import Ended, Told, dump_ended, dump_told, load_ended, load_told
from reconciler.state.git import layout, objects
from reconciler.state.git.branches import Branches
from reconciler.state.git.plumbing import Repository
from reconciler.state.signing.key import Signing
from reconciler.state.store import Message, Trailer

_Result = TypeVar("_Result")


class _Branch(msgspec.Struct, frozen=True):
    """What the branch has at ``tip``. ``anew``: it is about another API, and what it has is not ours."""

    tip: str | None
    keys: Mapping[AppKey, str] = {}
    ended: tuple[Ended, ...] = ()
    anew: bool = False


UNINSTALLED_FILE = "uninstalled.yaml"

_KEY = b"idempotency_key: "


class _Performer(Protocol):
    """What the branch needs of its store."""

    def perform(self, work: Callable[[], _Result]) -> Awaitable[_Result]: ...


class GitDelivered:
    """One cluster's delivered branch."""

    def __init__(
        self,
        store: _Performer,
        repository: Repository,
        branches: Branches,
        *,
        cluster_uuid: str,
        endpoint: str,
        author: str,
        signing: Signing | None = None,
        subject_suffix: str = "",
    ) -> None:
        self._store = store
        self._repository = repository
        self._branches = branches
        self._cluster_uuid = cluster_uuid
        self._directory = layout.directory(cluster_uuid)
        self._ref = layout.delivered_ref(cluster_uuid)
        self._endpoint = endpoint
        self._author = author
        self._subject_suffix = subject_suffix
        self._signing = signing
        self._read: _Branch | None = None

    async def keys(self) -> Mapping[AppKey, str]:
        """By app the Idempotency-Key under which the branch says that the API took it last.

        None of another endpoint. Raises StoreError when the branch cannot be read, FormatError when it is
        not what we wrote.
        """
        return await self._store.perform(lambda: self._look().keys)

    async def app(self, key: AppKey) -> App | None:
        """What the branch has of an app; its record block is empty. None if there is nothing."""
        return await self._store.perform(lambda: self._app(key))

    async def follow(
        self, changed: Mapping[AppKey, Acked], known: Collection[AppKey], *, instance: str, at: datetime
    ) -> None:
        """Append one commit that brings the branch to what was acknowledged of these apps.

        ``known``: the apps of the ledger; of others no end is remembered any more. Raises LostRaceError
        when somebody else moved the branch, StoreError when it cannot be written.
        """
        trailers = (
            (Trailer.CLUSTER_UUID, self._cluster_uuid),
            (Trailer.INSTANCE, instance),
            (Trailer.ENDPOINT, self._endpoint),
        )
        message = layout.tidy(message_of(changed, trailers), self._subject_suffix)
        if self._signing is not None:
            await self._signing.prepare()
        await self._store.perform(lambda: self._follow(changed, frozenset(known), message, at))

    def _look(self) -> _Branch:
        tip = self._branches.tip(self._ref)
        if self._read is None or self._read.tip != tip:
            self._read = self._branch_at(tip)
        return self._read

    def _branch_at(self, tip: str | None) -> _Branch:
        if tip is None:
            return _Branch(tip)
        newest = objects.last_revision(self._repository, tip, self._directory)
        if newest is None or newest.message.trailer(Trailer.ENDPOINT) != self._endpoint:
            return _Branch(tip, anew=True)
        uninstalled, files = self._files_in(tip)
        wanted = [*files.values(), *([uninstalled] if uninstalled else [])]
        contents = objects.read_blobs(self._repository, wanted)
        where = f"{self._directory}/{UNINSTALLED_FILE} in {self._ref}"
        ended = load_ended(contents[uninstalled], where) if uninstalled else ()
        keys = {each.key: each.idempotency_key for each in ended}
        for key, oid in files.items():
            first, _, _ = contents[oid].partition(b"\n")
            if not first.startswith(_KEY):
                where = f"{self._directory}/{layout.app_file(key)} in {self._ref}"
                raise FormatError(
                    f"{where} is not what the reconciler wrote: delete the branch, and it is made again"
                )
            keys[key] = first.removeprefix(_KEY).decode(errors="replace").strip("'\"")
        return _Branch(tip, keys, ended)

    def _files_in(self, tip: str) -> tuple[str | None, dict[AppKey, str]]:
        """The blob of the file of ended apps, and those of the others by app."""
        directory = objects.entry_at(self._repository, tip, self._directory)
        if directory is None:
            return None, {}
        entries = objects.entries_of(self._repository, directory.oid, recursive=True)
        ended = entries.get(UNINSTALLED_FILE)
        files = {
            key: entry.oid for path, entry in entries.items() if (key := layout.key_of(path)) is not None
        }
        return None if ended is None else ended.oid, files

    def _app(self, key: AppKey) -> App | None:
        tip = self._branches.tip(self._ref)
        path = f"{self._directory}/{layout.app_file(key)}"
        entry = None if tip is None else objects.entry_at(self._repository, tip, path)
        if entry is None:
            return None
        told = load_told(
            objects.read_blobs(self._repository, [entry.oid])[entry.oid], f"{path} in {self._ref}"
        )
        return App(told.app_api_info, told.app_info, Record(chart_version=""))

    def _follow(
        self, changed: Mapping[AppKey, Acked], known: frozenset[AppKey], message: Message, at: datetime
    ) -> None:
        # As it was seen last: the push tells whether it still is. What fails may be the cache.
        branch, self._read = self._read or self._look(), None
        after = _after(branch.ended, changed, known)
        files: dict[str, bytes | None] = {self._directory: None} if branch.anew else {}
        for key, acked in changed.items():
            if acked.app is not None or key in branch.keys:
                files[f"{self._directory}/{layout.app_file(key)}"] = _document(acked)
        files[f"{self._directory}/{UNINSTALLED_FILE}"] = dump_ended(after) if after else None
        made = objects.make_commit(
            self._repository,
            parent=branch.tip,
            files=files,
            message=message,
            author=self._author,
            happened=at,
            recorded=at,
            sign=None if self._signing is None else self._signing.sign,
        )
        if not self._branches.advance(self._ref, old=branch.tip, new=made.oid):
            raise LostRaceError(f"{self._ref} was moved by somebody else: it is the reconciler's own branch")
        forgotten = {each.key for each in branch.ended} - {each.key for each in after}
        left = {key: there for key, there in branch.keys.items() if key not in forgotten}
        self._read = _Branch(made.oid, left | {key: acked.key for key, acked in changed.items()}, after)


def _after(
    before: Iterable[Ended], changed: Mapping[AppKey, Acked], known: frozenset[AppKey]
) -> tuple[Ended, ...]:
    """The ended apps of the next commit."""
    left = [each for each in before if each.key in known and each.key not in changed]
    new = [Ended(*key, acked.key) for key, acked in changed.items() if acked.app is None]
    return tuple(sorted([*left, *new]))


def _document(acked: Acked) -> bytes | None:
    app = acked.app
    if app is None:
        return None
    return dump_told(Told(acked.key, acked.status, app.app_api_info, app.app_info))


def message_of(changed: Mapping[AppKey, Acked], trailers: tuple[tuple[str, str], ...]) -> Message:
    """What a commit of the branch says: an app as a sentence, several as a count, and a key for each."""
    ordered = sorted(changed.items())
    lines = [f"{key}: {_outcome(acked)}" for key, acked in ordered]
    subject = f"tell {lines[0]}" if len(lines) == 1 else f"tell the API of {len(lines):,} apps"
    keys = [pair for key, acked in ordered for pair in _trailers(key, acked)]
    return Message(subject, "" if len(lines) == 1 else "\n".join(lines), (*trailers, *keys))


def _outcome(acked: Acked) -> str:
    if acked.app is None:
        return "uninstalled"
    helm = acked.app.helm
    return f"{helm.chart} revision {helm.revision}, {helm.status}"


def _trailers(key: AppKey, acked: Acked) -> tuple[tuple[str, str], ...]:
    status = () if acked.status == 0 else ((Trailer.API_STATUS, f"{acked.status} {key}"),)
    return ((Trailer.IDEMPOTENCY_KEY, f"{acked.key} {key}"), *status)
