"""The commands on a repository, without any cluster: what they print, and with which exit status."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.changes.diff import diff
from reconciler.changes.message import message
from reconciler.state.git.store import open_git_store
from reconciler.state.store import Message
from tests.builders import CLUSTER_UUID, OTHER_CLUSTER_UUID, make_app, make_snapshot
from tests.git.commands import STORY, V1, WEB, Done, Hossted, ids, record, write_ledger
from tests.git.factory import git
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Hosted, Login, Rules


def test_history_is_a_plain_line_per_revision_in_a_pipe_newest_first(hossted: Hossted) -> None:
    first, second, third = (one[:12] for one in ids(hossted))
    assert hossted("history") == Done(
        0,
        f"{third}  2026-11-21 23:30:00 UTC  install shop/web: web 2.0.0\n"
        f"{second}  2026-11-20 09:00:00 UTC  upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2\n"
        f"{first}  2026-11-19 09:00:00 UTC  record 1 app of cluster test\n",
        "",
    )


def test_history_shows_at_most_so_many_in_the_zone_asked_for(hossted: Hossted) -> None:
    (line,) = hossted("history", "--limit", "1", "--tz", "Europe/Paris").out.splitlines()
    assert "  2026-11-22 00:30:00 CET  install shop/web" in line


def test_history_of_an_app_is_what_changed_it(hossted: Hossted) -> None:
    assert len(hossted("history", "default/test").out.splitlines()) == 2
    assert len(hossted("history", "shop/web").out.splitlines()) == 1
    nothing = hossted("history", "shop/nothing")
    assert nothing == Done(0, "", "note: nothing has been recorded of shop/nothing\n")


def test_history_for_programs_has_whole_ids_both_times_and_the_text(hossted: Hossted) -> None:
    newest, *_ = json.loads(hossted("history", "-o", "json").out)
    assert len(newest["revision"]) == 40
    assert newest == {
        "revision": newest["revision"],
        "recorded": "2026-11-21T23:30:00Z",
        "happened": "2026-11-21T23:30:00Z",
        "subject": "install shop/web: web 2.0.0",
        "body": "",
        "trailers": [{"name": "Cluster-UUID", "value": CLUSTER_UUID}],
    }
    assert hossted("history", "shop/nothing", "-o", "json") == Done(0, "[]\n", "")


def test_history_is_a_table_in_colour_on_a_terminal(repository: Path, tmp_path: Path) -> None:
    assert "\x1b[1m" in (shown := on_a_terminal(repository, tmp_path, "history"))
    assert "REVISION" in shown
    assert "install shop/web: web 2.0.0" in shown


def test_diff_is_in_colour_on_a_terminal(repository: Path, tmp_path: Path) -> None:
    assert "\x1b[32minstall shop/web: web 2.0.0" in on_a_terminal(
        repository, tmp_path, "diff", "2026-11-20", "observed"
    )


def test_the_answer_to_why_is_bold_on_a_terminal(repository: Path, tmp_path: Path) -> None:
    write_ledger(repository, CLUSTER_UUID)
    shown = on_a_terminal(repository, tmp_path, "why", "default/test")
    assert "\x1b[1mdefault/test is recorded, and told with the next delivery\x1b[0m" in shown


def test_blame_is_a_table_on_a_terminal(repository: Path, tmp_path: Path) -> None:
    write_ledger(repository, CLUSTER_UUID)
    shown = on_a_terminal(repository, tmp_path, "blame", "default/test")
    assert "DOCUMENT" in shown
    (line,) = [line for line in shown.splitlines() if "revision: 2" in line]
    assert "not told      revision: 2" in line


def on_a_terminal(repository: Path, folder: Path, *words: str) -> str:
    """What a command shows on a terminal of 80 columns."""
    ours, theirs = os.openpty()
    environment = {
        "PATH": os.environ["PATH"],
        "XDG_CACHE_HOME": str(folder / "cache"),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "reconciler", *words, "--repo", str(repository)]
    with os.fdopen(ours, "rb") as screen:
        child = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE, env=environment)
        os.close(theirs)
        shown = b""
        try:
            while block := screen.read1(65536):
                shown += block
        except OSError:  # the terminal's last program has ended
            pass
        _, said = child.communicate()
    assert child.returncode in (0, 1), said
    return shown.decode()


def test_show_tells_the_message_the_times_and_the_changes_of_a_revision(hossted: Hossted) -> None:
    _, second, _ = ids(hossted)
    shown = hossted("show", second[:6])
    assert shown.status == 0
    head, _, changes = shown.out.partition("\n\n")
    assert head.splitlines() == [
        f"Revision      {second}",
        "Happened      2026-11-20 09:00:00 UTC",
        "Recorded      2026-11-20 09:00:00 UTC",
        f"Cluster-UUID  {CLUSTER_UUID}",
    ]
    assert changes.splitlines() == [
        "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2",
        "    revision 1 → 2",
        "    chart version 1.0.0 → 1.1.0",
    ]


def test_show_of_the_first_revision_tells_all_its_apps(hossted: Hossted) -> None:
    assert hossted("show", "2026-11-19").out.endswith(
        "\n\nrecord 1 app of cluster test\n\ninstall default/test: keycloak 1.0.0\n"
    )


def test_show_for_programs_has_the_revision_and_the_changeset(hossted: Hossted) -> None:
    document = json.loads(hossted("show", "observed", "-o", "json").out)
    assert (document["subject"], document["apps"]) == ("install shop/web: web 2.0.0", 2)
    assert [(one["name"], one["operation"]) for one in document["changes"]["apps"]] == [("web", "install")]


@pytest.mark.parametrize(
    ("form", "beginning"), [("markdown", "### `install shop"), ("html", "<!DOCTYPE html>")]
)
def test_show_is_also_for_pull_requests_and_browsers(hossted: Hossted, form: str, beginning: str) -> None:
    text = hossted("show", "observed", "-o", form).out
    assert text.startswith(beginning)
    assert "2026-11-21 23:30:00 UTC" in text


def test_show_tells_of_revisions_that_went_unseen(hossted: Hossted, tmp_path: Path) -> None:
    path = tmp_path / "unseen.git"

    async def write() -> None:
        await record(path, STORY[0])
        store = open_git_store(path=path, url=None, branch="main")
        track = store.track(CLUSTER_UUID)
        tip = await track.tip()
        assert tip is not None
        after = make_snapshot(make_app(revision=4, chart_version="1.1.0"))
        changes = diff(tip.snapshot, after, revisions={V1.key: [(2, "failed"), (3, "superseded")]})
        at = STORY[1][0]
        text = Message(*message(changes))
        await track.append(after, changes, text, on=tip, happened=at, recorded=at)
        await store.close()

    asyncio.run(write())
    shown = hossted("show", "observed", repo=path).out
    assert shown.count("revisions 2 (failed) and 3 (superseded) came and went unseen") == 1


@pytest.mark.parametrize(
    ("a", "b", "status"),
    [
        ("observed", "observed", 0),
        ("2026-11-21", "observed", 0),
        ("2026-11-21T23:29:59Z", "2026-11-20", 0),
        ("2026-11-20", "observed", 1),
        ("observed", "2026-11-20", 1),
        ("2026-11-18", "observed", 2),
        ("observed", "nothing", 2),
        ("observed", "./nothing", 2),
        ("observed", "0123456789", 2),
        ("observed", "2026-11-41", 2),
        ("observed", "delivered", 2),
        ("observed", "cluster", 2),
    ],
)
def test_diff_ends_as_diff_does_0_same_1_different_2_trouble(
    hossted: Hossted, a: str, b: str, status: int
) -> None:
    done = hossted("diff", a, b)
    assert done.status == status
    assert bool(done.err) == (status == 2)
    assert bool(done.out) == (status != 2)
    assert len(done.err.splitlines()) <= 1


def test_diff_says_what_is_compared_and_what_differs(hossted: Hossted) -> None:
    first, _, third = ids(hossted)
    assert hossted("diff", first[:7], "observed").out == (
        f"--- revision {first[:12]}, recorded 2026-11-19 09:00:00 UTC\n"
        f"+++ revision {third[:12]}, recorded 2026-11-21 23:30:00 UTC\n"
        "\n"
        "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2\n"
        "    revision 1 → 2\n"
        "    chart version 1.0.0 → 1.1.0\n"
        "install shop/web: web 2.0.0\n"
    )
    assert hossted("diff", third, third).out == "no differences\n"


@pytest.mark.parametrize(
    ("form", "what"),
    [("json", '"sentence": "install shop'), ("markdown", "- **install**"), ("html", "<h2>install")],
)
def test_diff_has_a_form_for_programs_pull_requests_and_browsers(
    hossted: Hossted, form: str, what: str
) -> None:
    done = hossted("diff", "2026-11-20", "observed", "-o", form)
    assert done.status == 1
    assert what in done.out


def test_a_day_ends_in_the_zone_that_is_asked_for(hossted: Hossted) -> None:
    assert hossted("diff", "2026-11-21", "observed", "--tz", "Europe/Paris").status == 1
    assert hossted("diff", "2026-11-21", "observed", "--tz", "UTC").status == 0


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_what_snapshot_printed_is_the_same_as_the_revision_it_was_printed_from(
    hossted: Hossted, tmp_path: Path, form: str
) -> None:
    path = tmp_path / f"before.{form}"
    path.write_text(hossted("snapshot", "--revision", "2026-11-20", "-o", form).out)
    assert hossted("diff", str(path), "2026-11-20").status == 0
    done = hossted("diff", str(path), "observed")
    assert done.status == 1
    assert done.out.startswith(f"--- file {path}\n")
    version = " 2.0.0" if form == "yaml" else ""  # it is not emitted
    assert done.out.endswith(f"\n\ninstall shop/web: web{version}\n")


def test_snapshot_of_a_repository_is_its_newest_revision(
    hossted: Hossted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMAIL_ID", "somebody@example.com")
    first, second = json.loads(hossted("snapshot").out)
    assert (first["app_info"]["helm_info"]["name"], second["app_info"]["helm_info"]["name"]) == (
        "test",
        "web",
    )
    assert first["app_api_info"]["email_id"] == "somebody@example.com"


def test_delivered_is_what_the_ledger_says_was_acknowledged(hossted: Hossted, repository: Path) -> None:
    write_ledger(repository, CLUSTER_UUID)
    done = hossted("diff", "delivered", "observed")
    assert done.status == 1
    assert done.out.splitlines()[3:] == [
        "upgrade default/test: keycloak 1.0.0 → 1.1.0, revision 1 → 2",
        "    revision 1 → 2",
        "    chart version 1.0.0 → 1.1.0",
        "install shop/web: web 2.0.0",
    ]


def test_what_was_delivered_of_another_cluster_is_not_taken_for_this_ones(
    hossted: Hossted, repository: Path
) -> None:
    write_ledger(repository, OTHER_CLUSTER_UUID)
    done = hossted("diff", "delivered", "observed")
    assert (done.status, done.out) == (2, "")
    assert f"the ledger is about cluster {OTHER_CLUSTER_UUID}, not {CLUSTER_UUID}" in done.err


def test_where_a_store_has_several_clusters_one_must_be_named(hossted: Hossted, repository: Path) -> None:
    other = make_snapshot(WEB, cluster_uuid=OTHER_CLUSTER_UUID)
    asyncio.run(record(repository, (STORY[0][0], other)))
    done = hossted("history")
    assert (done.status, done.out) == (2, "")
    assert CLUSTER_UUID in done.err
    assert OTHER_CLUSTER_UUID in done.err
    assert "say which with --cluster" in done.err
    assert len(hossted("history", "--cluster", OTHER_CLUSTER_UUID[:8]).out.splitlines()) == 1
    assert len(hossted("history", "--cluster", CLUSTER_UUID).out.splitlines()) == 3
    assert "2 clusters that begin with K-" in hossted("history", "--cluster", "K-").err
    assert "0 clusters that begin with K-nobody" in hossted("history", "--cluster", "K-nobody").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("history", "web"), "'web' is not of the form NAMESPACE/NAME, as in default/test"),
        (("history", "--limit", "-1"), "--limit -1: write a number of revisions, or 0 for all"),
        (("history", "--tz", "Mars"), "--tz Mars: no such time zone here; write one as Europe/Paris"),
        (("history", "--branch", "a..b"), "--repo: branch: "),
        (("snapshot", "-o", "text"), "apps are printed as json or yaml"),
        (("snapshot", "--unattributed", "-o", "yaml"), "--unattributed is printed as text or json"),
        (
            ("snapshot", "--unattributed", "--revision", "observed"),
            "--unattributed is about the cluster as it is",
        ),
        (("snapshot", "--from", "x", "--revision", "observed"), "--from names a recording and --revision"),
        (("show", "nothing"), "'nothing' is not a revision"),
    ],
)
def test_words_that_are_wrong_end_with_status_2_and_one_sentence(
    hossted: Hossted, words: tuple[str, ...], message: str
) -> None:
    done = hossted(*words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"hossted-reconciler: {message}")
    assert len(done.err.splitlines()) == 1


def test_a_repository_that_is_not_there_or_is_none_is_named(hossted: Hossted, tmp_path: Path) -> None:
    nowhere = hossted("history", repo=tmp_path / "nowhere")
    assert nowhere.status == 2
    assert f"--repo {tmp_path}/nowhere: there is no such directory" in nowhere.err
    (tmp_path / "empty").mkdir()
    done = hossted("history", repo=tmp_path / "empty")
    assert done.status == 1
    assert "cannot be found" in done.err
    assert hossted("diff", "observed", "observed", repo=tmp_path / "empty").status == 2


def test_an_empty_repository_has_nothing_on_record(hossted: Hossted, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "new.git"], check=True)
    done = hossted("history", repo=tmp_path / "new.git")
    assert done.status == 2
    assert "new.git has no record of any cluster yet" in done.err


def test_a_relative_path_names_a_repository_too(
    hossted: Hossted, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.parent)
    assert hossted("history", repo="record.git").status == 0


def test_yaml_is_a_document_per_app_in_the_stored_form(hossted: Hossted) -> None:
    text = hossted("snapshot", "-o", "yaml").out
    head, first, second = text.split("---\n")
    assert head == f"# 2 apps of cluster {CLUSTER_UUID}\n"
    assert "app_name: test" in first
    assert "app_name: web" in second
    assert "record:\n" in first


def test_a_repository_elsewhere_is_reached_with_a_folder_of_credentials(
    hossted: Hossted, repository: Path, tmp_path: Path, https_repository: Hosted, authority: Authority
) -> None:
    git(repository, "push", "--quiet", str(https_repository.path), "main")
    https_repository.rules = Rules(accounts=(Login("jo", "hunter2"),))
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, value in {"username": "jo", "password": "hunter2\n", "ca.crt": authority.pem}.items():
        (folder / name).write_text(value)
    elsewhere = hossted("history", "--credentials", str(folder), repo=https_repository.url)
    assert elsewhere == hossted("history")
    assert hossted("snapshot", "--revision", ids(hossted)[0][:12], "--credentials", str(folder),
                   repo=https_repository.url).status == 0  # fmt: skip
    (folder / "password").write_text("wrong")
    refused = hossted("history", "--credentials", str(folder), repo=https_repository.url)
    assert (refused.status, refused.out) == (1, "")
    assert f"does not accept the credentials of the folder {folder}: put valid ones there" in refused.err
    (folder / "password").unlink()
    assert "has a username without a password" in hossted(
        "history", "--credentials", str(folder), repo=https_repository.url
    ).err  # fmt: skip
