"""``verify`` and ``signers`` as they are typed: what they print, and with which exit status."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from reconciler.cli.main import main
from tests.builders import CLUSTER_UUID
from tests.git.factory import BRANCH, commit_as_a_person, git
from tests.git.history import (
    DIRECTORY,
    KEY,
    OTHER_KEY,
    STORY,
    History,
    remake,
    reopened,
    replacing,
    signers_file,
)

GAP = "2026-11-01T12:30:00Z/2026-11-01T13:10:00Z down"


class Done(NamedTuple):
    status: int
    out: str
    err: str


Hossted = Callable[..., Done]


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> History:
    async def record() -> History:
        history = await History(tmp_path_factory.mktemp("once")).tell()
        await history.append(STORY[0], gaps=[GAP])
        return history

    return asyncio.run(record())


@pytest.fixture
def history(recorded_once: History, tmp_path: Path) -> History:
    (tmp_path / "signers").write_text(f"# who may sign\n{signers_file(KEY)}\n")
    return reopened(recorded_once, tmp_path)


@pytest.fixture
def hossted(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Hossted:
    """Runs a command in the folder of the repository, with no cluster to be asked."""
    for name in ("HOSSTED_API_URL", "HOSSTED_AUTH_TOKEN", "POD_NAMESPACE", "EMAIL_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Done:
        place = ["--repo", str(history.path)] if words[0] == "verify" else []
        try:
            status = main([*words, *place])
        except SystemExit as end:  # argparse
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return run


def test_a_good_record_tells_what_it_covers(hossted: Hossted, history: History) -> None:
    head = f"7 revisions of main of file://{history.path}, cluster {CLUSTER_UUID}\n"
    rest = (
        "  7 signatures by those whom signers allows\n"
        "  from 2026-11-01 09:00:00 UTC to 2026-11-01 15:00:00 UTC\n"
        "  covered 5 h 20 min, not covered 40 min\n"
        "    2026-11-01 12:30:00 UTC to 2026-11-01 13:10:00 UTC: down, 40 min\n"
        "good\n"
    )
    assert hossted("verify", "--signers", "signers") == Done(0, head + rest, "")
    again = "  0 new ones checked, the others were before\n"
    assert hossted("verify", "--signers", "signers") == Done(0, head + again + rest, "")
    assert hossted("verify", "--signers", "signers", "--all") == Done(0, head + rest, "")


def test_without_signers_it_says_that_signatures_were_not_judged(hossted: Hossted) -> None:
    done = hossted("verify")
    assert done.status == 0
    assert (
        "  7 signatures; whose they are was not judged: name who may sign with --signers FILE\n" in done.out
    )


def test_the_first_bad_commit_is_named_with_what_that_means(hossted: Hossted, history: History) -> None:
    made = remake(history.path, history.ids, {history.ids[2]: replacing(b"Record\n", b"Rekord\n")})
    done = hossted("verify", "--signers", "signers")
    assert done.status == 1
    assert (
        f"bad: {made[2][:12]} has a signature that does not fit the text: either of them was changed, or is"
        " another's\n  whoever made the commit does not have the reconciler's key, or the commit was altered"
        f" later\nalso: {made[3][:12]} has a signature"
    ) in done.out


def test_for_programs_it_is_a_document(hossted: Hossted, history: History) -> None:
    edit = commit_as_a_person(history.path, {f"{DIRECTORY}/shop/web.yaml": "hello\n"})
    done = hossted("verify", "--signers", "signers", "-o", "json", "--tz", "Europe/Paris")
    assert done.status == 1
    assert json.loads(done.out) == {
        "good": False,
        "track": f"main of file://{history.path}, cluster {CLUSTER_UUID}",
        "revisions": 7,
        "checked": 7,
        "signatures": {"good": 7, "judgedBy": "signers"},
        "first": "2026-11-01T10:00:00+01:00",
        "last": "2026-11-01T16:00:00+01:00",
        "coveredSeconds": 19_200,
        "uncoveredSeconds": 2_400,
        "gaps": [{"from": "2026-11-01T13:30:00+01:00", "to": "2026-11-01T14:10:00+01:00", "reason": "down"}],
        "bad": [
            {
                "revision": edit,
                "what": "by A Person changed shop/web.yaml,"
                " and no commit of the reconciler has put that right",
                "means": "the newest files are not what the reconciler recorded",
            }
        ],
        "badCount": 1,
        "warnings": [],
        "rescued": [],
    }


def test_the_approved_branch_is_the_usual_one_or_the_one_that_is_named(
    hossted: Hossted, history: History
) -> None:
    for branch in (f"approved/{CLUSTER_UUID}", "release"):
        git(history.path, "update-ref", f"refs/heads/{branch}", history.ids[0])
        commit_as_a_person(
            history.path, {f"{DIRECTORY}/shop/web.yaml": f"by hand: {branch}\n"}, branch=branch
        )
    assert "approves a shop/web.yaml that was never observed" in hossted("verify").out
    git(history.path, "update-ref", "-d", f"refs/heads/approved/{CLUSTER_UUID}")
    assert hossted("verify").status == 0
    assert hossted("verify", "--approved-branch", "release").status == 1


def test_approving_commits_are_judged_when_approvers_are_named(
    hossted: Hossted, history: History, tmp_path: Path
) -> None:
    (tmp_path / "approvers").write_text(signers_file(OTHER_KEY))
    branch = f"approved/{CLUSTER_UUID}"
    git(history.path, "update-ref", f"refs/heads/{branch}", history.ids[0])
    text = git(history.path, "show", f"{BRANCH}~1:{DIRECTORY}/shop/db.yaml")
    commit_as_a_person(history.path, {f"{DIRECTORY}/shop/db.yaml": text}, branch=branch)
    assert hossted("verify").status == 0
    done = hossted("verify", "--approvers", "approvers")
    assert done.status == 1
    assert "approves, by A Person, and is not signed\n  it is not proven who approved\n" in done.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--signers", "nothing"], "nothing cannot be read: No such file or directory"),
        (["--signers", "."], ". cannot be read: Is a directory"),
        (["--branch", "other"], "has no record of any cluster yet"),
        (["--signed-since", "soon"], "--signed-since soon: write 2026-11-21, or 2026-11-21T09:00Z"),
        (["--cluster", "K-0"], "has 0 clusters that begin with K-0"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_status_2(
    hossted: Hossted, words: list[str], says: str
) -> None:
    done = hossted("verify", *words)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1


def test_a_repository_that_cannot_be_read_is_trouble_and_not_bad(hossted: Hossted, history: History) -> None:
    oid = git(history.path, "rev-parse", f"{history.ids[3]}^{{tree}}").strip()
    (history.path / "objects" / oid[:2] / oid[2:]).unlink()
    done = hossted("verify")
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1


def test_signers_prints_the_line_that_git_wants(hossted: Hossted, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"{KEY.public.text} a comment\n")
    done = hossted("signers", "--key", "key.pub", "--email", "records@example.org")
    assert done == Done(0, f'records@example.org namespaces="git" {KEY.public.text}\n', "")
    (tmp_path / "signers").write_text(done.out)
    assert hossted("verify", "--signers", "signers").status == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("hello\n", "--key key.pub: the key is not a public key as ssh-keygen writes it"),
        ("sk-ssh-ed25519@openssh.com AAAA\n", "--key key.pub: the key lives in a security token"),
        (None, "key.pub cannot be read: No such file or directory"),
    ],
)
def test_signers_refuses_what_is_no_key(
    hossted: Hossted, tmp_path: Path, content: str | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "key.pub").write_text(content)
    done = hossted("signers", "--key", "key.pub")
    assert (done.status, done.out) == (2, "")
    assert says in done.err
