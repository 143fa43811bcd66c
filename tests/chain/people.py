"""People who approve in the course of a week, by git alone, and what that comes to by the contract.

What is approved is read from the branches as git shows them: an app is approved when its file on the approved
branch has changed since approval began, and is one that the record had.
"""

from random import Random

from reconciler.model import AppKey
from tests.chain.approvers import Approver, ReviewedDisk
from tests.chain.audit import Audit
from tests.chain.expected import Content
from tests.chain.world import World
from tests.git.factory import git

Files = dict[AppKey, str]
"""The blob of each app's file."""


class People:
    """``acted``: how often they did what."""

    def __init__(self, world: World, audit: Audit, random: Random) -> None:
        self.world, self.audit, self.random = world, audit, random
        self.acted: dict[str, int] = {}
        self._contents: dict[tuple[AppKey, str], Content] = {}
        self._revisions: list[str] = []
        self._tip, self._since = "", Files()
        self._approver: Approver | None = None

    @property
    def approver(self) -> Approver:
        """Somebody with a clone; there must be a record."""
        if self._approver is None:
            self._approver = Approver(self.world)
        return self._approver

    def begin(self) -> None:
        """From now on approval is required."""
        self._tip = self.approver.tip
        self._since = self._files(self._tip)
        self._count("require")
        self.understand()

    def end(self) -> None:
        """It is not any more."""
        self._count("require no more")
        self.audit.approved, self.audit.approved_lately, self.audit.unusable = {}, set(), set()

    def act(self) -> None:
        """Approve something, or take it back; not before the process knows that they may."""
        self._learn()
        if self.audit.facts.required != self._tip:
            return
        deeds = [
            self.some,
            self.some,
            self.some,
            self.all,
            self.older,
            self.ends,
            self.no_branch,
            self.nonsense,
        ]
        deed = self.random.choice(deeds)
        if deed():
            self._count(deed.__name__)
        self.understand()

    # What they do

    def some(self) -> bool:
        return self._approve(self._sample(self._differing(self.approver.revision), 20))

    def all(self) -> bool:
        return self._approve(self._differing(self.approver.revision)) | self.ends()

    def older(self) -> bool:
        """As they were recorded once."""
        revision = self.random.choice(self._revisions)
        return self._approve(self._sample(self._differing(revision), 5), revision)

    def ends(self) -> bool:
        """Of apps that left the record."""
        left = self._files(self.approver.tip).keys() - self._files(self.approver.revision).keys()
        if left:
            self.approver.approve_end(*map(str, left))
        return bool(left)

    def no_branch(self) -> bool:
        there = self.approver.tip != "" and self.random.random() < 0.3
        if there:
            self.approver.delete_branch()
        return there

    def nonsense(self) -> bool:
        """Somebody edits a file by hand."""
        app = str(self.random.choice(sorted(self._files(self.approver.revision))))
        text = self.approver.text(app).replace("status: deployed", "status: wonderful")
        self.approver.write({self.approver.path(app): text})
        return True

    # What that means

    def understand(self) -> None:
        """What is approved by now."""
        now = self._files(self.approver.tip)
        approved: dict[AppKey, Content | None] = {}
        self.audit.unusable = set()
        for app in now.keys() | self._since.keys() if now else ():
            blob = now.get(app)
            if blob == self._since.get(app):
                continue
            if blob is None:
                approved[app] = None
            elif (app, blob) in self._contents:
                approved[app] = self._contents[app, blob]
            else:
                self.audit.unusable.add(app)
        before = self.audit.approved
        apps = before.keys() | approved.keys()
        self.audit.approved_lately = {app for app in apps if before.get(app) != approved.get(app)}
        self.audit.approved = approved

    def _learn(self) -> None:
        """Which blob says what, as the record has it now."""
        revision = self.approver.revision
        if revision not in self._revisions:
            self._revisions.append(revision)
            for app, blob in self._files(revision).items():
                self._contents[app, blob] = self.audit.recorded[app]

    def _files(self, commit: str) -> Files:
        if not commit:
            return {}
        directory = f"{self.approver.directory}/"
        disk = self.world.disk
        assert isinstance(disk, ReviewedDisk)
        lines = git(disk.remote, "ls-tree", "-r", commit, directory).splitlines()
        found = {}
        for line in lines:
            described, path = line.split("\t")
            app, _, _ = path.removeprefix(directory).rpartition(".yaml")
            if "/" in app:
                found[AppKey.parse(app)] = described.split(" ")[2]
        return found

    def _differing(self, revision: str) -> list[AppKey]:
        """The apps whose file there is not what is approved."""
        there, approved = self._files(revision), self._files(self.approver.tip)
        return sorted(app for app, blob in there.items() if approved.get(app) != blob)

    def _sample(self, apps: list[AppKey], most: int) -> list[AppKey]:
        return self.random.sample(apps, min(self.random.randint(1, most), len(apps)))

    def _approve(self, apps: list[AppKey], revision: str = "") -> bool:
        if apps:
            self.approver.approve(*map(str, apps), at=revision)
        return bool(apps)

    def _count(self, what: str) -> None:
        self.acted[what] = self.acted.get(what, 0) + 1
