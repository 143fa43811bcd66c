"""What one leadership does to ledger and store: who we are, what is ours, and the commits in our name.

A leadership lasts from getting the Lease to losing it. Its Instance, drawn anew, stands in every commit,
and in the ledger before the first, so that a second writer shows itself by an Instance that is not listed.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

import msgspec

from reconciler.changes.message import CommitText, message
from reconciler.errors import FormatError, LedgerError, SecondWriterError, StoreError
from reconciler.model import App, AppKey, PolicyInEffect
from reconciler.operator import delivered, facts
from reconciler.operator.clock import Clock
from reconciler.operator.continuity import Continuity, Course
from reconciler.operator.decide import Decision, happened
from reconciler.operator.gaps import Gaps
from reconciler.operator.identity import Whose, identify
from reconciler.policy.approval import REQUIRED
from reconciler.policy.entry import Entry, LedgerFacts, LedgerView
from reconciler.policy.protocol import REMEMBERED
from reconciler.policy.rules import rules_of
from reconciler.project import Project
from reconciler.state.ledger.contract import Ledger
from reconciler.state.store import DeliveredBranch, Message, Recorded, Store, Track, Trailer

TAKE_OVER = "hossted.com/take-over"
"""The annotation that accepts another writer's Instance."""

_LOG = logging.getLogger(__name__)


class Leadership:
    """``endpoint``: of the API, "" where there is none; ``draw``: an idempotency key greater than the one
    given; ``gaps``: the times in which nobody looked."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        *,
        instance: str,
        endpoint: str,
        email_id: str,
        draw: Callable[[str], str],
        gaps: Gaps,
    ) -> None:
        self.ledger = ledger
        self.endpoint = endpoint
        self.gaps = gaps
        self._clock = clock
        self._instance = instance
        self._email_id = email_id
        self._draw = draw
        self._prepared: tuple[object, ...] = ()
        self._protest: tuple[Track, str] | None = None
        self._at_peace: Track | None = None
        self.entries_lock = asyncio.Lock()
        """Held by whoever writes the ledger's entries: delivery, or, now and then, ``prepare``."""

    def tells(self, policy: PolicyInEffect, app: App) -> bool:
        """Whether anything of an app is pushed at all."""
        return bool(self.endpoint) and rules_of(policy).pushes_some_of(app)

    async def identify(self, project: Project, kube_system_uid: str, view: LedgerView, store: Store) -> Whose:
        """Which cluster this is; the store's directories, which may be many, are searched at first and when
        the ledger was lost.

        Raises what ``identity.identify`` raises.
        """
        searched = bool(self._prepared) and self._prepared[0] is store and view.facts.cluster_uuid != ""
        directories = () if searched else await store.clusters()
        return identify(project, kube_system_uid, view.facts, directories)

    async def prepare(
        self, project: Project, whose: Whose, store: Store, tip: Recorded | None, view: LedgerView
    ) -> LedgerView:
        """Make the ledger right: once, and again for another store, another cluster or a take-over.

        Raises SecondWriterError when the tip is by an Instance that is not ours, word of which is left in
        the store for the other one to see.
        """
        this = (store, whose, project.annotations.get(TAKE_OVER, ""))
        if self._prepared != this or view.suspect:
            async with self.entries_lock:
                view = await self._prepare(project, whose, store, tip)
            self._prepared = this
        track = store.track(whose.cluster_uuid)
        try:
            _check_writer(project, tip, view.facts)
        except SecondWriterError as error:
            await self._object(track, error.instance, view)
            raise
        return await self._at_peace_with(track, view)

    async def _object(self, track: Track, against: str, view: LedgerView) -> None:
        """Protest, once against each, and under one name however often we start; that it cannot be done is
        less than what it is about."""
        if self._protest == (track, against):
            return
        wanted = msgspec.structs.replace(view.facts, protest=view.facts.protest or self._instance)
        try:
            if wanted != view.facts:
                await self.ledger.write({}, wanted)
            await track.protest(wanted.protest, against)
        except (StoreError, LedgerError) as error:
            _LOG.warning("the other reconciler (Instance %s) cannot be told of us yet: %s", against, error)
        else:
            self._protest, self._at_peace = (track, against), None

    async def _at_peace_with(self, track: Track, view: LedgerView) -> LedgerView:
        """Take our protest back, be it an earlier process': a person has decided."""
        if self._at_peace is track:
            return view
        try:
            await track.withdraw(view.facts.protest)
        except StoreError as error:
            _LOG.warning("our word of another reconciler cannot be taken back yet: %s", error)
            return view
        self._protest, self._at_peace = None, track
        if not view.facts.protest:
            return view
        return await self.ledger.write({}, msgspec.structs.replace(view.facts, protest=""))

    async def _prepare(
        self, project: Project, whose: Whose, store: Store, tip: Recorded | None
    ) -> LedgerView:
        view = await self.ledger.write({})  # as it is known: delivery may have written since it was read
        recorded = dict(tip.snapshot.apps) if tip is not None else {}
        doubtful = view.suspect or _accepted(project, tip, view.facts) != ""
        if doubtful:
            since = self._clock.now() - REMEMBERED
            departed = await store.track(whose.cluster_uuid).departed(since)
            recorded = {app.key: app for app in departed} | recorded
        wanted = self.facts(project, whose, tip, view, recorded)
        # What is recorded may not have been told, where people approve: only what is shown as delivered was.
        told = {} if project.spec.push.approval == REQUIRED else recorded
        dropped = facts.other_endpoint(view, self.endpoint)
        entries: dict[AppKey, Entry | None] = dict(dropped or {})
        if doubtful:  # of another endpoint too, which an earlier copy may not have heard of yet
            known = view if dropped is None else msgspec.structs.replace(view, entries={})
            entries |= facts.doubts(known, told, self._draw, self._email_id)
            if told is not recorded:
                entries |= await self._outrun(store, whose, known, told)
        if entries:  # before the facts: a new endpoint must not find the old one's entries
            view = await self.ledger.write(entries)
        if wanted != view.facts:
            view = await self.ledger.write({}, wanted)
        if view.suspect:
            view = await self.ledger.settle_suspicion()
        outrun = await self._outrun(store, whose, view, told)
        if outrun:
            _LOG.warning("the ledger is older than what was delivered: %d apps are told again", len(outrun))
            since_then = msgspec.structs.replace(view.facts, required=facts.required_since(tip))
            view = await self.ledger.write(outrun, since_then)
        return view

    async def _outrun(
        self, store: Store, whose: Whose, view: LedgerView, told: Mapping[AppKey, App]
    ) -> dict[AppKey, Entry]:
        """What to write so that nothing is believed that only an earlier copy of the ledger would."""
        branch = self.delivered(store, whose)
        if branch is None:
            return {}
        try:
            return await delivered.overtaken(branch, view, told, self._draw, self._email_id)
        except FormatError as error:
            _LOG.warning("what was delivered cannot be compared with the ledger: %s", error)
            return {}

    def delivered(self, store: Store, whose: Whose) -> DeliveredBranch | None:
        """What shows to people what was delivered; None where there is no API, or the store has no place."""
        if not self.endpoint or not whose.cluster_uuid:
            return None
        return store.delivered(whose.cluster_uuid, self.endpoint)

    async def show_delivered(self, store: Store, whose: Whose) -> bool:
        """Show more of what was delivered; whether there is still more. Raises StoreError, LedgerError."""
        branch = self.delivered(store, whose)
        if branch is None:
            return False
        view = await self.ledger.write({})
        if view.suspect:  # then the branch may know better
            return False
        return await delivered.follow(branch, view, instance=self._instance, at=self._clock.now())

    def facts(
        self,
        project: Project,
        whose: Whose,
        tip: Recorded | None,
        view: LedgerView,
        recorded: Mapping[AppKey, App],
    ) -> LedgerFacts:
        """What the ledger should know besides the apps. ``recorded``: the tip's apps, and others that left
        the record lately."""
        author = tip.revision.message.trailer(Trailer.INSTANCE) if tip is not None else ""
        accepted = _accepted(project, tip, view.facts)
        if view.suspect:  # nobody knows any more which Instances were ours
            accepted = author
        known = view
        if view.suspect:  # nor from where on approvals count
            since = msgspec.structs.replace(view.facts, required=facts.required_since(tip))
            known = msgspec.structs.replace(view, facts=since)
        return facts.facts_of(
            known,
            cluster_uuid=whose.cluster_uuid,
            kube_system_uid=whose.kube_system_uid,
            instance=self._instance,
            endpoint=self.endpoint,
            adopted=facts.adoptions(project.status, recorded.values(), whose.cluster_uuid),
            author=author,
            accepted=(accepted,) if accepted else (),
            gaps=self.gaps.down,
        )

    async def keep(self, marks: Mapping[AppKey, str] | None, removals: str, view: LedgerView) -> LedgerView:
        """Keep exactly these marks (None: those that there are) and what the brake must remember; durable on
        return."""
        unsettled = view.facts.unsettled
        if marks is not None:
            unsettled = {str(key): digest for key, digest in sorted(marks.items())}
        wanted = msgspec.structs.replace(view.facts, unsettled=unsettled, removals=removals)
        return view if wanted == view.facts else await self.ledger.write({}, wanted)

    async def remember(self, tip: Recorded, view: LedgerView, course: Continuity) -> LedgerView:
        """Keep which revision is the last one, where it is not a commit that must tell of it first."""
        if course.course is Course.MOVED:
            return view
        wanted = msgspec.structs.replace(view.facts, location=course.place, revision=tip.revision.id)
        return view if wanted == view.facts else await self.ledger.write({}, wanted)

    async def commit(
        self, track: Track, tip: Recorded | None, decision: Decision, view: LedgerView, course: Continuity
    ) -> Recorded:
        """Append the decision's snapshot in our name. Raises what ``Track.append`` raises."""
        now, snapshot = self._clock.now(), decision.snapshot
        subject, body = text_of(decision, tip, course)
        gaps = self.gaps.trailers(tip, snapshot, view.facts.gaps, now)
        trailers = (
            (Trailer.CLUSTER_UUID, snapshot.cluster_uuid),
            (Trailer.SNAPSHOT, snapshot.digest),
            (Trailer.INSTANCE, self._instance),
            *((Trailer.GAP, gap) for gap in gaps),
            *facts.approved_since(view.facts),
            *course.trailers(),
        )
        recorded = await track.append(
            snapshot,
            decision.changes,
            Message(subject, body, trailers),
            on=tip,
            happened=happened(decision.words, now),
            recorded=now,
        )
        self.gaps.told()
        known = msgspec.structs.replace(
            view.facts, gaps=(), location=course.place, revision=recorded.revision.id
        )
        await self.ledger.write({}, known)
        return recorded


def text_of(decision: Decision, tip: Recorded | None, course: Continuity) -> CommitText:
    """What a commit of a decision says; empty where there is nothing to commit."""
    restored = tuple(repair.what for repair in tip.repairs) if tip is not None else ()
    if not decision.changes and not restored:
        return CommitText("", "")
    return message(decision.words, restored, course.notes(tip))


def _accepted(project: Project, tip: Recorded | None, known: LedgerFacts) -> str:
    """The Instance of the tip, if it is a stranger's that a person has accepted, else ""."""
    instance = tip.revision.message.trailer(Trailer.INSTANCE) if tip is not None else ""
    accepted = instance not in known.instances and instance == project.annotations.get(TAKE_OVER, "")
    return instance if accepted else ""


def _check_writer(project: Project, tip: Recorded | None, known: LedgerFacts) -> None:
    instance = tip.revision.message.trailer(Trailer.INSTANCE) if tip is not None else ""
    if tip is not None and instance and instance not in known.instances:
        raise SecondWriterError(
            f"revision {tip.revision.id[:12]} was written by another reconciler (Instance {instance}): "
            f"two of them keep the record of {tip.snapshot.cluster_uuid}. Stop one of them; to go on here "
            f"annotate {project.name} with {TAKE_OVER}={instance}",
            instance,
        )
