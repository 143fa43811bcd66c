"""A signed record in a repository, as the reconciler makes it; and ways to tamper with it afterwards."""

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reconciler.model import Snapshot
from reconciler.state.git.objects import make_commit
from reconciler.state.git.plumbing import Repository
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.signing.allowed_signers import parse_allowed_signers, signers_line
from reconciler.state.signing.key import Signing
from reconciler.state.signing.signature import SigningKey
from reconciler.state.store import Message, Recorded
from reconciler.state.verify.chain import Rules
from reconciler.state.verify.commits import parse_commit
from reconciler.state.verify.git_track import Wanted, verify_track
from reconciler.state.verify.report import Report
from tests.builders import CLUSTER_UUID, changes_between, make_app, make_snapshot
from tests.git.factory import BRANCH, edits, git

START = datetime(2026, 11, 1, 9, tzinfo=UTC)
EMAIL = "records@example.org"
DIRECTORY = f"clusters/{CLUSTER_UUID}"
INSTANCE = "0d5a7b9e-6f0b-4a57-9f39-2c5f3c2d5a01"

KEY, OTHER_KEY = SigningKey(Ed25519PrivateKey.generate()), SigningKey(Ed25519PrivateKey.generate())

WEB = make_app("shop", "web", chart="web")
STORY = (
    make_snapshot(make_app()),
    make_snapshot(make_app(), WEB),
    make_snapshot(make_app(revision=2), WEB),
    make_snapshot(make_app(revision=2), WEB, make_app("shop", "db", chart="postgresql")),
    make_snapshot(make_app(revision=3), WEB, make_app("shop", "db", chart="postgresql")),
    make_snapshot(make_app(revision=3), make_app("shop", "db", chart="postgresql")),
)


class History:
    """A record with one commit an hour; the newest ``Recorded`` is ``tip``, all commits are ``ids``."""

    def __init__(self, folder: Path, key: SigningKey | None = KEY) -> None:
        self.path = folder / "record.git"
        self.key = key
        self.store = open_git_store(
            path=self.path, url=None, branch=BRANCH, author=f"Records <{EMAIL}>", signing=_signing(key)
        )
        self.tip: Recorded | None = None
        self.ids: list[str] = []
        self.time = START

    async def append(
        self,
        snapshot: Snapshot,
        *,
        instance: str = INSTANCE,
        gaps: Sequence[str] = (),
        trailers: Mapping[str, str | None] | None = None,
        after: timedelta = timedelta(hours=1),
    ) -> str:
        """The next commit's hash. ``trailers``: other values than the right ones; None: left out."""
        made: dict[str, str | None] = {
            "Cluster-UUID": CLUSTER_UUID,
            "Snapshot": snapshot.digest,
            "Instance": instance,
            **(trailers or {}),
        }
        told = [(name, value) for name, value in made.items() if value is not None]
        message = Message("Record", "", (*told, *(("Gap", gap) for gap in gaps)))
        before = self.tip.snapshot if self.tip else None
        self.tip = await self.store.track(CLUSTER_UUID).append(
            snapshot, changes_between(before, snapshot), message,
            on=self.tip, happened=self.time, recorded=self.time,
        )  # fmt: skip
        self.time += after
        self.ids.append(self.tip.revision.id)
        return self.ids[-1]

    async def tell(self, story: Sequence[Snapshot] = STORY) -> "History":
        for snapshot in story:
            await self.append(snapshot)
        return self

    def append_by_hand(self, snapshot: Snapshot, files: Mapping[str, bytes | None]) -> str:
        """A commit with a right text, and with these files changed and no others: a faulty reconciler's."""
        trailers = (
            ("Cluster-UUID", CLUSTER_UUID), ("Snapshot", snapshot.digest), ("Instance", INSTANCE),
        )  # fmt: skip
        commit = make_commit(
            Repository(self.path),
            parent=git(self.path, "rev-parse", BRANCH).strip(),
            files={f"{DIRECTORY}/{path}": content for path, content in files.items()},
            message=Message("Record", "", trailers),
            author=f"Records <{EMAIL}>",
            happened=self.time,
            recorded=self.time,
            sign=None if self.key is None else self.key.sign,
        ).oid
        git(self.path, "update-ref", f"refs/heads/{BRANCH}", commit)
        self.ids.append(commit)
        return commit

    async def look(self) -> None:
        """The tip as the store has it, after somebody else wrote there."""
        self.tip = await self.store.track(CLUSTER_UUID).tip()


def reopened(made: History, folder: Path) -> History:
    """A copy of the same record, to be tampered with."""
    shutil.copytree(made.path, folder / made.path.name)
    copy = History(folder, made.key)
    copy.tip, copy.ids, copy.time = made.tip, list(made.ids), made.time
    return copy


def _signing(key: SigningKey | None) -> Signing | None:
    return None if key is None else _Fixed(key)


class _Fixed(Signing):
    """A key that needs no Secret."""

    def __init__(self, key: SigningKey) -> None:
        super().__init__(_never, "none")
        self._key = key

    async def prepare(self) -> None:
        pass


async def _never(_: str) -> Mapping[str, bytes]:
    raise AssertionError


def signers_file(*keys: SigningKey, options: str = "", email: str = EMAIL) -> str:
    lines = [signers_line(email, key.public) for key in keys]
    return "\n".join(line.replace('namespaces="git"', f'namespaces="git"{options}') for line in lines)


def rules(*keys: SigningKey, options: str = "", since: datetime | None = None) -> Rules:
    signers = parse_allowed_signers(signers_file(*keys, options=options), "signers") if keys else None
    return Rules(signers=signers, signed_since=since)


SIGNED = rules(KEY)


async def verify(
    where: History | GitStore,
    rule: Rules = SIGNED,
    *,
    memory: Path | None = None,
    approved_branch: str = "",
    approvers: str = "",
    expected: str = "",
    again: bool = False,
    location: str = "here",
) -> Report:
    store = where.store if isinstance(where, History) else where
    wanted = Wanted(
        cluster_uuid=CLUSTER_UUID,
        location=location,
        branch=BRANCH,
        approved_branch=approved_branch,
        rules=rule,
        approvers=parse_allowed_signers(approvers, "approvers") if approvers else None,
        expected=expected,
        memory=memory,
        again=again,
        now=START,
    )
    return await store.examine(lambda repository, branches: verify_track(repository, branches, wanted))


# Tampering: the commits are made anew, as somebody without the key can.

Change = Callable[[bytes], bytes]


def raw(repository: Path, commit: str) -> bytes:
    return git(repository, "cat-file", "commit", commit).encode()


def write(repository: Path, commit: bytes) -> str:
    return git(repository, "hash-object", "-t", "commit", "-w", "--stdin", stdin=commit.decode()).strip()


def remake(
    repository: Path, commits: Sequence[str], changes: Mapping[str, Change] | None = None
) -> list[str]:
    """These commits one upon another, each otherwise as it was (its signature, too); the branch at the last.

    ``changes``: by the commit's old hash what else is done to it.
    """
    made: list[str] = []
    for commit in commits:
        content = (changes or {}).get(commit, bytes)(raw(repository, commit))
        head, _, text = content.partition(b"\n\n")
        lines = [line for line in head.split(b"\n") if not line.startswith(b"parent ")]
        if made:
            lines.insert(1, b"parent " + made[-1].encode())
        made.append(write(repository, b"\n".join(lines) + b"\n\n" + text))
    git(repository, "update-ref", f"refs/heads/{BRANCH}", made[-1])
    return made


def unsigned(content: bytes) -> bytes:
    return re.sub(rb"\ngpgsig .*\n(?: .*\n)*", b"\n", content, count=1)


def signed_by(key: SigningKey) -> Change:
    """Signs the commit again; only as good as the key is."""

    def sign(content: bytes) -> bytes:
        bare = unsigned(content)
        head, _, text = bare.partition(b"\n\n")
        signature = key.sign(bare).rstrip("\n").replace("\n", "\n ").encode()
        return head + b"\ngpgsig " + signature + b"\n\n" + text

    return sign


def with_signature_of(repository: Path, other: str) -> Change:
    donor = parse_commit(other, raw(repository, other)).signatures[0]

    def swap(content: bytes) -> bytes:
        head, _, text = unsigned(content).partition(b"\n\n")
        return head + b"\ngpgsig " + donor.replace("\n", "\n ").encode() + b"\n\n" + text

    return swap


def with_files(repository: Path, commit: str, files: Mapping[str, str | None]) -> Change:
    """The tree with other contents at these paths below the cluster's directory."""
    tree = git(repository, "rev-parse", f"{commit}^{{tree}}").strip()
    stream = edits({f"{DIRECTORY}/{path}": text for path, text in files.items()})
    git(
        repository, "fast-import", "--quiet", "--force",
        stdin=f"commit refs/scratch\ncommitter x <x> 1 +0000\ndata 0\nfrom {commit}\n{stream}\n",
    )  # fmt: skip
    new = git(repository, "rev-parse", "refs/scratch^{tree}").strip()
    git(repository, "update-ref", "-d", "refs/scratch")
    assert new != tree
    return lambda content: content.replace(tree.encode(), new.encode(), 1)


def replacing(old: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return change
