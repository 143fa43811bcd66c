"""The ledger in ConfigMaps: what is read and written when. The layout is in ``shards``.

``suspect`` is kept in the facts, and written there before anything that would cover the evidence: that a
ConfigMap has another UID than it says (restored from a backup), that another field manager owns some of
its data (edited), or that one is missing.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import msgspec

from reconciler.errors import ConflictError, KubernetesError, LedgerError, NotFoundError
from reconciler.kept import kept_once
from reconciler.kube.client import FIELD_MANAGER
from reconciler.kube.configmaps import ConfigMap
from reconciler.model import FORMAT, AppKey, encode
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.state.configmap.access import ConfigMapAccess, labels, pack, selector, unpack
from reconciler.state.ledger import shards
from reconciler.state.ledger.contract import bounded, updated
from reconciler.state.ledger.shards import FACTS_KEY, SHARD_KEY, FactsDocument, ShardDocument

_log = logging.getLogger(__name__)

MOVED_KEY = "moved.json.gz"
"""The key in ``binaryData`` under which data is while it is taken from other field managers."""

_DATA = msgspec.json.Decoder(dict[str, str])


class _Node(msgspec.Struct, frozen=True):
    """A shard as it was read or written. ``at`` is None for one that is missing: an empty leaf."""

    name: str
    document: ShardDocument
    at: ConfigMap | None
    data: Mapping[str, str]
    suspect: bool

    @property
    def texts(self) -> dict[str, str]:
        """The entries, encoded, by ConfigMap key."""
        return {key: text for key, text in self.data.items() if key != SHARD_KEY}


class _State(msgspec.Struct):
    """The ledger as we know it. ``dead``: leftovers of splits that came to nothing."""

    facts_at: ConfigMap | None
    facts: FactsDocument
    leaves: dict[str, _Node]
    branches: list[_Node]
    entries: dict[AppKey, Entry]
    dead: list[ConfigMap]
    evidence: bool

    @property
    def suspect(self) -> bool:
        return self.evidence or self.facts.suspect

    @property
    def view(self) -> LedgerView:
        return LedgerView(facts=self.facts.facts, entries=self.entries, suspect=self.suspect)


class ConfigMapLedger:
    """A Ledger in the ConfigMaps of ``namespace`` whose names begin with ``name``."""

    def __init__(self, access: ConfigMapAccess, namespace: str, name: str = "hossted-ledger") -> None:
        self._access = access
        self._namespace = namespace
        self._name = name
        self._root = f"{name}-shard"
        self._state: _State | None = None
        self._writing: _State | None = None
        self._lock = asyncio.Lock()

    @property
    def location(self) -> str:
        return f"ConfigMaps {self._name}* in namespace {self._namespace}"

    @property
    def known(self) -> LedgerView | None:
        state = self._state or self._writing
        return None if state is None else state.view

    async def load(self) -> LedgerView:
        """One list of all ConfigMaps of the ledger: the server's state at one moment."""
        async with self._lock:
            self._state = await self._read()
            return self._state.view

    async def write(
        self, entries: Mapping[AppKey, Entry | None], facts: LedgerFacts | None = None
    ) -> LedgerView:
        """As ``Ledger.write``: one request a shard, and some more when a shard is made or split."""
        async with self._taken() as state:
            wanted = bounded(facts) if facts is not None else state.facts.facts
            changed = {key: entry for key, entry in entries.items() if state.entries.get(key) != entry}
            if changed or wanted != state.facts.facts:
                with self._converted():
                    await self._clear_away(state)
                    document = msgspec.structs.replace(state.facts, facts=wanted, suspect=state.suspect)
                    if state.facts_at is None or document != state.facts:
                        await self._put_facts(state, document)
                    for bits, some in _by_leaf(state, changed).items():
                        await self._put_entries(state, bits, some)
            return state.view

    async def settle_suspicion(self) -> LedgerView:
        """As ``Ledger.settle_suspicion``: UIDs are written anew, and data is taken from other managers."""
        async with self._taken() as state:
            if state.suspect:
                with self._converted():
                    if state.facts_at is None or not state.facts.suspect:
                        await self._put_facts(state, msgspec.structs.replace(state.facts, suspect=True))
                    for node in [*state.branches, *state.leaves.values()]:
                        if node.suspect:
                            await self._restore(state, node)
                    settled = msgspec.structs.replace(
                        state.facts, suspect=False, settled=state.facts.settled + 1
                    )
                    await self._put_facts(state, settled, own=True)
                    state.evidence = False
            return state.view

    def shard_of(self, key: AppKey) -> str:
        """The bits of the leaf that has the key; "" before the ledger was loaded."""
        state = self._state or self._writing
        return shards.leaf_of(state.leaves, key) if state else ""

    async def close(self) -> None:
        """Nothing to let go of: the requests are the client's."""

    # Reading

    @asynccontextmanager
    async def _taken(self) -> AsyncIterator[_State]:
        """What we know, for a write, during which it is what is durable so far: after one that fails nothing
        is known, and it is read again."""
        async with self._lock:
            state, self._state = self._state, None
            state = self._writing = state or await self._read()
            try:
                yield state
            finally:
                self._writing = None
            self._state = state

    async def _read(self) -> _State:
        with self._converted():
            found = await self._access.list_config_maps(self._namespace, selector(state="ledger"))
        by_name = {item.name: item for item in found}
        facts_at = by_name.get(self._name)
        facts = self._facts_in(facts_at) if facts_at else FactsDocument(FORMAT)
        state = _State(
            facts_at=facts_at,
            facts=facts,
            leaves={},
            branches=[],
            entries={},
            dead=[],
            evidence=facts_at is None or facts.uid != facts_at.uid or _is_foreign(facts_at),
        )
        self._walk(state, by_name, self._root, ShardDocument(FORMAT))
        if not shards.covers(state.leaves):
            raise shards.not_ours(f"the tree of shards in {self.location}")
        named = {node.name for node in (*state.branches, *state.leaves.values())}
        state.dead = [
            item
            for item in found
            if item.name.startswith(f"{self._root}-")
            and item.name not in named
            and self._is_dead(item, by_name)
        ]
        return state

    def _walk(
        self, state: _State, found: Mapping[str, ConfigMap], name: str, expected: ShardDocument
    ) -> None:
        node = self._node(found.get(name), name, expected)
        bits = node.document.bits
        if bits != expected.bits or not shards.descend(bits, node.document.children):
            raise shards.not_ours(f"ConfigMap {self._namespace}/{name}")
        state.evidence = state.evidence or node.suspect
        if node.document.children:
            state.branches.append(node)
            for bits, child in sorted(node.document.children.items()):
                self._walk(state, found, child, ShardDocument(FORMAT, bits=bits))
            return
        state.leaves[node.document.bits] = node
        for key, text in node.texts.items():
            where = f"ConfigMap {self._namespace}/{name}, data {key!r},"
            state.entries[shards.app_key(key)] = _kept(shards.decode_entry(text, where))

    def _node(self, at: ConfigMap | None, name: str, expected: ShardDocument) -> _Node:
        if at is None:
            return _Node(name, expected, None, {}, suspect=True)
        data = _data_in(at)
        document = self._shard_in(at)
        return _Node(name, document, at, data, suspect=document.uid != at.uid or _is_foreign(at))

    def _facts_in(self, at: ConfigMap) -> FactsDocument:
        where = f"ConfigMap {at.namespace}/{at.name}"
        data = _data_in(at)
        return shards.decode_facts(data.get(FACTS_KEY, ""), where)

    def _shard_in(self, at: ConfigMap) -> ShardDocument:
        return shards.decode_shard(_data_in(at).get(SHARD_KEY, ""), f"ConfigMap {at.namespace}/{at.name}")

    def _is_dead(self, item: ConfigMap, found: Mapping[str, ConfigMap]) -> bool:
        document = self._shard_in(item)
        parent = found.get(document.of)
        return parent is None or parent.resource_version != document.version

    # Writing

    async def _clear_away(self, state: _State) -> None:
        while state.dead:
            item = state.dead.pop()
            await self._access.delete_config_map(self._namespace, item.name, item.uid)
            _log.info(
                "deleted ConfigMap %s/%s, left by a split that was not finished", item.namespace, item.name
            )

    async def _put_facts(self, state: _State, document: FactsDocument, *, own: bool = False) -> None:
        at = state.facts_at or await self._create(
            self._name, {FACTS_KEY: shards.encode_facts(FactsDocument(FORMAT))}
        )
        document = msgspec.structs.replace(document, uid=at.uid)
        if own and _is_foreign(at):
            at = await self._take_over(at, {FACTS_KEY: shards.encode_facts(state.facts)})
        state.facts_at = await self._replace(at, {FACTS_KEY: shards.encode_facts(document)})
        state.facts = document

    async def _put_entries(self, state: _State, bits: str, entries: Mapping[AppKey, Entry | None]) -> None:
        leaf = state.leaves[bits]
        texts = {key: shards.packed(text) for key, text in leaf.texts.items()}
        for key, entry in entries.items():
            if entry is None:
                texts.pop(shards.data_key(key), None)
            else:
                texts[shards.data_key(key)] = shards.encode_entry(entry)
        parts = shards.divide(bits, texts)
        at = leaf.at or await self._create_shard(leaf.name, leaf.document)
        if list(parts) == [bits]:
            state.leaves[bits] = await self._replace_shard(at, leaf.document, texts)
        else:
            await self._split(state, leaf, at, parts)
        state.entries = updated(state.entries, entries.items())

    async def _split(
        self, state: _State, leaf: _Node, at: ConfigMap, parts: Mapping[str, Mapping[str, str]]
    ) -> None:
        children = {}
        for bits, texts in parts.items():
            name = f"{self._root}-{bits}-{secrets.token_hex(4)}"
            document = ShardDocument(FORMAT, bits=bits, of=leaf.name, version=at.resource_version)
            children[bits] = await self._replace_shard(
                await self._create_shard(name, document), document, texts
            )
        names = {bits: child.name for bits, child in children.items()}
        branch = await self._replace_shard(at, msgspec.structs.replace(leaf.document, children=names), {})
        del state.leaves[leaf.document.bits]
        state.leaves |= children
        state.branches.append(branch)

    async def _restore(self, state: _State, node: _Node) -> None:
        """Write a shard that is missing, or not known to be ours, as one that is."""
        at = node.at or await self._create_shard(node.name, node.document)
        if _is_foreign(at):
            at = await self._take_over(at, node.data)
        restored = await self._replace_shard(at, node.document, node.texts)
        if restored.document.children:
            state.branches[state.branches.index(node)] = restored
        else:
            state.leaves[node.document.bits] = restored

    async def _take_over(self, at: ConfigMap, data: Mapping[str, str]) -> ConfigMap:
        """Make other field managers own nothing of the data, so that the next edit will be noticed.

        The server lets an owner keep a value that a PUT does not change, and keep the map around the
        values whatever a PUT does to them. So everything moves to another map, and then back.
        """
        moved = msgspec.structs.replace(at, data={}, binary_data={MOVED_KEY: pack(encode(data))})
        return await self._access.replace_config_map(moved)

    async def _create(self, name: str, data: Mapping[str, str]) -> ConfigMap:
        """Create it without entries: its UID, which what is written tells, is known only then."""
        return await self._access.create_config_map(
            ConfigMap(name=name, namespace=self._namespace, data=data, labels=labels("ledger"))
        )

    async def _create_shard(self, name: str, document: ShardDocument) -> ConfigMap:
        return await self._create(
            name, {SHARD_KEY: shards.encode_shard(msgspec.structs.replace(document, uid=""))}
        )

    async def _replace_shard(self, at: ConfigMap, document: ShardDocument, texts: Mapping[str, str]) -> _Node:
        document = msgspec.structs.replace(document, uid=at.uid)
        data = {SHARD_KEY: shards.encode_shard(document), **texts}
        replaced = await self._replace(at, data)
        return _Node(at.name, document, replaced, data, suspect=_is_foreign(replaced))

    async def _replace(self, at: ConfigMap, data: Mapping[str, str]) -> ConfigMap:
        wanted = msgspec.structs.replace(at, data=data, binary_data={}, labels=labels("ledger"))
        replaced = await self._access.replace_config_map(wanted)
        return msgspec.structs.replace(replaced, data=data)  # kept once, not as it was answered as well

    @contextmanager
    def _converted(self) -> Iterator[None]:
        """Turn what the Kubernetes API raises into what a ledger raises."""
        try:
            yield
        except (ConflictError, NotFoundError) as error:
            raise LedgerError(f"{self.location}: somebody else wrote in between ({error})") from error
        except KubernetesError as error:
            raise LedgerError(f"{self.location}: {error}") from error


def _by_leaf(state: _State, entries: Mapping[AppKey, Entry | None]) -> dict[str, dict[AppKey, Entry | None]]:
    grouped: dict[str, dict[AppKey, Entry | None]] = {}
    for key, entry in sorted(entries.items()):
        grouped.setdefault(shards.leaf_of(state.leaves, key), {})[key] = entry
    return grouped


def _data_in(at: ConfigMap) -> Mapping[str, str]:
    if at.data or MOVED_KEY not in at.binary_data:
        return at.data
    return _DATA.decode(unpack(at.binary_data[MOVED_KEY], f"ConfigMap {at.namespace}/{at.name}"))


def _kept(entry: Entry) -> Entry:
    """The same with what was acknowledged kept once: nearly always the record has it as well."""
    acked = entry.acked
    if acked is None or acked.app is None:
        return entry
    return msgspec.structs.replace(entry, acked=msgspec.structs.replace(acked, app=kept_once(acked.app)))


def _is_foreign(at: ConfigMap) -> bool:
    return bool(set(at.managers) - {FIELD_MANAGER})
