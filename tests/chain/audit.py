"""What must hold at every moment of a long run, checked as things happen, and what happened, counted.

An audit sees what was looked at, what became durable in store and ledger, each request as it leaves and
whether the API answered it. It judges by ``expected``, and decides nothing.
"""

import json
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import msgspec

from reconciler.inventory.objects import Kind, Look
from reconciler.model import AppKey, Snapshot
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.state.store import Recorded
from tests.chain import expected
from tests.chain.clock import VirtualClock
from tests.chain.expected import Content, Policy, content_of, digest, ended, is_ended, key_of, uuid_of

PROVING = {Kind.NAMESPACES, Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS}
"""What must have been listed completely before a release that is not there counts as gone."""


class Sight(msgspec.Struct, frozen=True):
    """What one look could know. ``hidden``: namespaces of which it could not know what is gone."""

    present: frozenset[AppKey]
    hidden: frozenset[str]

    def proves_gone(self, key: AppKey) -> bool:
        return key not in self.present and self.hidden.isdisjoint(("", key.namespace))


@dataclass
class Counts:
    """``whole``: looks after which the ledger was read again; ``outside``: requests while nothing failed;
    ``needed``: the keys of those that were needed; ``minutes``: requests by what failed meanwhile, and by
    minute; ``wrong``: how often what went wrong."""

    looks: int = 0
    whole: int = 0
    revisions: int = 0
    requests: int = 0
    accepted: int = 0
    outside: int = 0
    needed: set[str] = field(default_factory=set)
    minutes: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    """The first violations, in words."""


class Audit:
    """``policy``: the one in force, which is the test's to say; ``troubles``: what fails at present;
    ``refused``: whether the API refuses an app at present; ``hidden``: whether the cluster has an app, and
    looks do not find it."""

    def __init__(self, clock: VirtualClock, email_id: str) -> None:
        self.counts = Counts()
        self.policy = Policy()
        self.troubles: Callable[[], Collection[str]] = tuple
        self.refused: Callable[[AppKey], bool] = lambda key: False
        self.hidden: Callable[[AppKey], bool] = lambda key: False
        self.snapshot: Snapshot | None = None
        self.facts = LedgerFacts()
        self.approved: dict[AppKey, Content | None] = {}
        """What people approved since they must, None for an app that is approved to be gone."""
        self.approved_lately: set[AppKey] = set()
        """Those of which the process may not know yet what is approved now."""
        self.unusable: set[AppKey] = set()
        """Apps of which people approved what was never recorded: nothing is told of them."""
        self.recorded: dict[AppKey, Content] = {}
        self.last_recorded: dict[AppKey, Content] = {}
        """The same, and those that left the record, as they were last."""
        self.known: dict[AppKey, Content] = {}
        self.doubted: dict[AppKey, Content] = {}
        self._clock = clock
        self._email_id = email_id
        self._once: dict[AppKey, set[str]] = {}
        self._looks: deque[Sight] = deque(maxlen=2)
        self._has_just_looked = False
        self._entries: dict[AppKey, Entry] = {}
        self._last: dict[AppKey, tuple[str, bytes]] = {}

    # What is told to it

    def seen(self, name: str, done: object) -> None:
        """``tests.chain.faults.Faults.seen``."""
        match done:
            case Look():
                self._looked(done)
            case Recorded():
                self._recorded(done)
            case LedgerView():
                self.counts.whole += name == "load" and self._has_just_looked
                self._has_just_looked = False
                self._kept(done)
            case (str(key), bytes(body)) if name == "request":
                self._leaves(key, body)

    def arrived(self, key: str, body: bytes, acknowledged: bool) -> None:
        """A request came to the API; ``acknowledged``: it says that it has it."""
        content = json.loads(body)
        app = key_of(content)
        if not acknowledged:
            return
        self.counts.accepted += 1
        self.doubted.pop(app, None)
        self.known.pop(app, None)
        if not is_ended(content):
            self.known[app] = content

    # What it knows

    def is_gone(self, app: AppKey) -> bool:
        """Whether the newest look proves it."""
        proven = bool(self._looks) and self._looks[-1].proves_gone(app)
        return proven and not self.policy.denies(app.namespace)

    def wanted(self, app: AppKey) -> Content | None:
        """What should be told next of an app, by the model."""
        if self.policy.holds(app) or app in self.unusable:
            return None
        known, doubted = self.known.get(app), self.doubted.get(app)
        recorded, gone = self.recorded.get(app), self.is_gone(app)
        approved = recorded
        if self.policy.required:
            approved = self.approved_of(app)
            gone = gone or recorded is None if approved is not None else gone and recorded is None
        return expected.wanted(self.policy, approved, known, doubted, gone=gone)

    def approved_of(self, app: AppKey) -> Content | None:
        """What people approved, else what was told last, or is marked to be; None for what is to be gone, or
        stay unknown."""
        if app in self.approved:
            return self.approved[app]
        entry = self._entries.get(app)
        marked = json.loads(entry.sending.body) if entry is not None and entry.sending else None
        last = marked or self.known.get(app)
        return None if last is None or is_ended(last) else last

    def owing(self) -> list[AppKey]:
        """The apps of which something should be told, and can be."""
        apps = self.recorded.keys() | self.known.keys() | self.doubted.keys()
        return sorted(app for app in apps if self.wanted(app) is not None and not self.refused(app))

    def is_told_as_recorded(self) -> bool:
        """Whether each app is known to the API, if it is, under the UUID that it was recorded with last."""
        told = [*self.known.items(), *self.doubted.items()]
        return all(uuid_of(content) == uuid_of(self.last_recorded[app]) for app, content in told)

    def wrong(self, what: str, about: object) -> None:
        self.counts.wrong[what] += 1
        if len(self.counts.told) < 20:
            self.counts.told.append(f"{self._clock.now():%a %H:%M:%S} {what}: {about}")

    # How it judges

    def _looked(self, look: Look) -> None:
        self.counts.looks += 1
        self._has_just_looked = True
        newest = {
            AppKey(release.namespace, release.name): release.status
            for release in sorted(look.releases, key=lambda release: int(release.version))
        }
        present = frozenset(key for key, status in newest.items() if status != "uninstalled")
        self._looks.append(Sight(present, frozenset(g.namespace for g in look.gaps if g.kind in PROVING)))

    def _recorded(self, recorded: Recorded) -> None:
        snapshot, before = recorded.snapshot, self.snapshot
        if before is not None and (snapshot is before or snapshot == before):
            return
        self.counts.revisions += 1
        self.snapshot = snapshot
        for key in self.recorded.keys() - snapshot.apps.keys():
            del self.recorded[key]
        for key, app in snapshot.apps.items():
            if before is None or before.apps.get(key) != app:
                content = self.recorded[key] = self.last_recorded[key] = content_of(app, self._email_id)
                self._once.setdefault(key, set()).update((digest(content), digest(ended(content))))

    def _kept(self, view: LedgerView) -> None:
        """A ledger that was lost, or may be older than it was, says again what it says under other keys."""
        for key, entry in view.entries.items() if not view.suspect else ():
            old = self._entries.get(key)
            if old is not None and old is not entry and old.sending and entry.sending:
                self._same_in_doubt(key, old, entry)
        self._entries, self.facts = dict(view.entries), view.facts

    def _same_in_doubt(self, app: AppKey, old: Entry, new: Entry) -> None:
        """What is in doubt goes again under its own key and as it was, or not at all."""
        was, now = old.sending, new.sending
        assert was is not None
        assert now is not None
        if was.key == now.key and was.body != now.body:
            self.wrong("other bytes under one key", app)
        answered = new.acked is not None and new.acked.key >= was.key
        if was.key != now.key and was.body == now.body and not answered and old.last_key == was.key:
            self.wrong("in doubt, and sent under another key", app)

    def _leaves(self, key: str, body: bytes) -> None:
        """A request leaves."""
        content = json.loads(body)
        app = key_of(content)
        self._check(app, key, body, content)
        want, troubled = self.wanted(app), bool(self.troubles()) or self.refused(app)
        self.counts.requests += 1
        for trouble in self.troubles():
            self.counts.minutes.setdefault(trouble, Counter())[int(self._clock.monotonic() // 60)] += 1
        if not troubled:
            self.counts.outside += 1
            if want == content:
                self.counts.needed.add(key)
        self._last[app] = (key, body)
        self.doubted[app] = content

    def _check(self, app: AppKey, key: str, body: bytes, content: Content) -> None:
        entry = self._entries.get(app)
        marked = entry.sending if entry is not None else None
        if marked is None or (marked.key, marked.body.encode()) != (key, body):
            self.wrong("sent before it was marked", app)
        last = self._last.get(app)
        if last is not None and (key < last[0] or (key == last[0] and body != last[1])):
            self.wrong("keys that do not grow", app)
        if digest(content) not in self._once.get(app, ()):
            self.wrong("told before it was recorded", app)
        if self.policy.holds(app):
            self.wrong("told while it was held", app)
        gone = any(sight.proves_gone(app) for sight in self._looks)
        recorded = self.recorded.get(app)
        should = self.approved_of(app) if self.policy.required else recorded
        renamed = should is not None and uuid_of(should) != uuid_of(content)
        if self.policy.required and not renamed and not self._is_approved(app, content):
            self.wrong("told before it was approved", app)
        if is_ended(content):
            if not renamed and (recorded is not None or not gone or self.hidden(app)):
                self.wrong("told uninstalled while it was there, or not proven gone", app)
            return
        if gone and self.is_gone(app):
            self.wrong("told as there while it was gone", app)
        for former in (self.known.get(app), self.doubted.get(app)):
            if former is not None and not is_ended(former) and uuid_of(former) != uuid_of(content):
                self.wrong("told under another UUID before the former ended", app)

    def _is_approved(self, app: AppKey, content: Content) -> bool:
        """Whether people approved that this is told, or it was told, or was to be, before they had to."""
        if content in (self.approved_of(app), self.doubted.get(app)) or app in self.approved_lately:
            return True
        return is_ended(content) and self.approved.get(app, content) is None
