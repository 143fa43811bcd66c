"""What git, curl, ssh and forges say when a remote fails, and the sentence that it becomes.

The words of git, curl and ssh are what git 2.39 with GnuTLS and OpenSSH 9.2 print; those of forges and of
curl with OpenSSL are as they are known.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import (
    CredentialsError,
    DiskFullError,
    NoRepositoryError,
    RateLimitedError,
    RefusedError,
    StoreError,
    UntrustedError,
)
from reconciler.state.git.network.answers import (
    LONGEST_WAIT,
    USUAL_WAIT,
    Answer,
    To,
    Wait,
    last_response,
    meaning,
    no_room,
    quiet,
    read_only,
)
from reconciler.state.git.network.sentences import TABLE
from reconciler.state.git.network.url import checked_url

URL = "https://git.example/team/state.git"
SSH_URL = "ssh://git@git.example/team/state.git"
HTTPS = To(checked_url(URL), "the Secret ns/git")
ANONYMOUS = To(checked_url(URL))
SSH = To(checked_url(SSH_URL), "the Secret ns/git")
FILE = To(checked_url("file:///srv/state.git"))
THE = f"the state repository {URL}"
THE_SSH = f"the state repository {SSH_URL}"

NO_ACCESS = "\nPlease make sure you have the correct access rights\nand the repository exists.\n"
TAIL = f"fatal: Could not read from remote repository.\n{NO_ACCESS}"
UNABLE = f"fatal: unable to access '{URL}/': "
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!
Add correct host key in /proc/21911/fd/9 to get rid of this message.
Host key for [git.example]:22 has changed and you have requested strict checking.
Host key verification failed.
"""


def declined(*words: str, by: str = "pre-receive hook declined") -> str:
    """What git prints when a server's hook or rule says no."""
    said = "".join(f"remote: {line}        \n" for line in words)
    return (
        f"{said}To {URL}\n ! [remote rejected] f82879459e5fe639d10a377c69c9e86297475c04 -> main ({by})\n"
        f"error: failed to push some refs to '{URL}'\n"
    )


# What was said; to whom; whether it was a push; the error; the sentence, or how it begins.
CASES = {
    "https: wrong password": (
        "fatal: could not read Username for 'https://git.example': terminal prompts disabled\n",
        HTTPS, False, CredentialsError,
        f"{THE} does not accept the credentials of the Secret ns/git: put valid ones there",
    ),
    "https: none given": (
        "fatal: could not read Username for 'https://git.example': terminal prompts disabled\n",
        ANONYMOUS, False, CredentialsError,
        f"{THE} wants credentials, and there are none: put them in a Secret, and name it in",
    ),
    "GitHub: a password instead of a token": (
        "remote: Support for password authentication was removed on August 13, 2021.\n"
        f"fatal: Authentication failed for '{URL}/'\n",
        HTTPS, True, CredentialsError, f"{THE} does not accept the credentials of the Secret ns/git",
    ),
    "GitLab: wrong token": (
        "remote: HTTP Basic: Access denied. If a password was provided for Git authentication, the password\n"
        f"fatal: Authentication failed for '{URL}/'\n",
        HTTPS, False, CredentialsError, f"{THE} does not accept the credentials of the Secret ns/git",
    ),
    "ssh: wrong key": (
        f"git@git.example: Permission denied (publickey).\n{TAIL}", SSH, False, CredentialsError,
        f"{THE_SSH} does not accept the key of the Secret ns/git: add its public key there, with the right",
    ),
    "ssh: wrong key, other methods": (
        f"git@git.example: Permission denied (publickey,gssapi-keyex).\n{TAIL}", SSH, True, CredentialsError,
        f"{THE_SSH} does not accept the key of the Secret ns/git",
    ),
    "https: no such repository": (
        f"fatal: repository '{URL}/' not found\n", HTTPS, False, NoRepositoryError,
        f"{THE} does not exist, or is not shown to the credentials of the Secret ns/git: make it, correct",
    ),
    "GitHub over ssh: no such repository": (
        f"ERROR: Repository not found.\n{TAIL}", SSH, False, NoRepositoryError,
        f"{THE_SSH} does not exist, or is not shown to the key of the Secret ns/git: make it, correct",
    ),
    "GitLab over ssh: no such project": (
        "remote: \nremote: =====\nremote: \nremote: ERROR: The project you were looking for could not"
        f" be found or you don't have permission to view it.\nremote: \n{TAIL}",
        SSH, False, NoRepositoryError, f"{THE_SSH} does not exist, or is not shown to the key of",
    ),
    "plain ssh: no such directory": (
        f"fatal: '/team/state.git' does not appear to be a git repository\n{TAIL}", SSH, False,
        NoRepositoryError, f"{THE_SSH} does not exist, or is not shown to",
    ),
    "file: no such directory": (
        f"fatal: '/srv/state.git' does not appear to be a git repository\n{TAIL}", FILE, False,
        NoRepositoryError,
        "the state repository file:///srv/state.git cannot be found: make it with `git init --bare`, or",
    ),
    "https: may not write": (
        f"remote: Permission to team/x.git denied to jo.\n{UNABLE}The requested URL returned error: 403\n",
        HTTPS, True, RefusedError,
        "the credentials of the Secret ns/git may not write to"
        f" {THE} (Permission to team/x.git denied to jo): allow it there",
    ),
    "https: may not read": (
        f"{UNABLE}The requested URL returned error: 403\n", HTTPS, False, CredentialsError,
        "the credentials of the Secret ns/git may not read"
        f" {THE} (The requested URL returned error: 403): allow it there, and to write as well",
    ),
    "GitHub: a deploy key that may only read": (
        f"ERROR: The key you are authenticating with has been marked as read only.\n{TAIL}",
        SSH, True, RefusedError,
        "the key of the Secret ns/git may not write to"
        f" {THE_SSH} (The key you are authenticating with has been marked as read only): allow it there",
    ),
    "GitLab: a deploy key that may only read": (
        f"remote: ERROR: This deploy key does not have write access to this project.\n{TAIL}",
        SSH, True, RefusedError, "the key of the Secret ns/git may not write to",
    ),
    "GitLab: not allowed": (
        "remote: You are not allowed to push code to this project.\n"
        f"{UNABLE}The requested URL returned error: 403\n",
        HTTPS, True, RefusedError, "the credentials of the Secret ns/git may not write to",
    ),
    "GitHub: a token without the right": (
        f"remote: Write access to repository not granted.\n{UNABLE}The requested URL returned error: 403\n",
        HTTPS, True, RefusedError, "the credentials of the Secret ns/git may not write to",
    ),
    "GitHub: protected branch": (
        declined(
            "error: GH006: Protected branch update failed for refs/heads/main.",
            "error: Changes must be made through a pull request.",
            by="protected branch hook declined",
        ),
        HTTPS, True, RefusedError,
        f"the branch main of {THE} is protected (GH006: Protected branch update failed for refs/heads/main):"
        " let the credentials of the Secret ns/git push to it, or name another one in spec.state.git.branch",
    ),
    "GitHub: rule": (
        declined("error: GH013: Repository rule violations found for refs/heads/main.",
                 by="push declined due to repository rule violations"),
        HTTPS, True, RefusedError, f"the branch main of {THE} is protected",
    ),
    "GitLab: protected branch": (
        declined("GitLab: You are not allowed to push code to protected branches on this project."),
        HTTPS, True, RefusedError, f"the branch main of {THE} is protected",
    ),
    "Gitea: protected branch": (
        declined("Gitea: Not allowed to push to protected branch main"), SSH, True, RefusedError,
        f"the branch main of {THE_SSH} is protected",
    ),
    "Azure DevOps: protected branch": (
        declined("TF402455: Pushes to this branch are not permitted; you must use a pull request",
                 by="TF402455: Pushes to this branch are not permitted"),
        HTTPS, True, RefusedError, f"the branch main of {THE} is protected",
    ),
    "Bitbucket: protected branch": (
        declined("Permission denied to update branch main.", "To https://bitbucket.example"),
        HTTPS, True, RefusedError, f"the branch main of {THE} is protected",
    ),
    "a hook of the house": (
        declined("no ticket number"), HTTPS, True, RefusedError,
        f"{THE} did not take the commit: no ticket number: let the rules there allow the credentials of the"
        " Secret ns/git to push to the branch main",
    ),
    "a hook without a word": (
        declined(by="hook declined"), HTTPS, True, RefusedError, f"{THE} did not take the commit: ",
    ),
    "ssh: host key not known": (
        "No ED25519 host key is known for git.example and you have requested strict checking.\n"
        f"Host key verification failed.\n{TAIL}",
        SSH, False, UntrustedError,
        "the host key of git.example is not in known_hosts of the Secret ns/git: add its line there, once it"
        " is sure that it is the host's",
    ),
    "ssh: host key changed": (
        CHANGED + TAIL, SSH, False, UntrustedError,
        "git.example has another host key than known_hosts in the Secret ns/git says: somebody may be in",
    ),
    "GnuTLS: not trusted, or expired": (
        f"{UNABLE}server certificate verification failed. CAfile: /proc/7/fd/5 CRLfile: none\n",
        HTTPS, False, UntrustedError,
        "the certificate of git.example is not trusted here: add its authority's to the Secret ns/git, under"
        " the key ca.crt, or have it renewed if it has expired",
    ),
    "OpenSSL: not trusted": (
        f"{UNABLE}SSL certificate problem: unable to get local issuer certificate\n",
        ANONYMOUS, False, UntrustedError,
        "the certificate of git.example is not trusted here: add its authority's to the Secret that spec.",
    ),
    "OpenSSL: self-signed": (
        f"{UNABLE}SSL certificate problem: self-signed certificate\n", HTTPS, False, UntrustedError,
        "the certificate of git.example is not trusted here",
    ),
    "OpenSSL: expired": (
        f"{UNABLE}SSL certificate problem: certificate has expired\n", HTTPS, False, UntrustedError,
        "the certificate of git.example has expired: have it renewed there",
    ),
    "GnuTLS: another name": (
        f"{UNABLE}SSL: certificate subject name (other) does not match target host name 'git.example'\n",
        HTTPS, False, UntrustedError, "the certificate of git.example is for another name: use that one in",
    ),
    "OpenSSL: another name": (
        f"{UNABLE}SSL: no alternative certificate subject name matches target host name 'git.example'\n",
        HTTPS, False, UntrustedError, "the certificate of git.example is for another name",
    ),
    "TLS with what does not speak it": (
        f"{UNABLE}gnutls_handshake() failed: The TLS connection was non-properly terminated.\n",
        HTTPS, False, UntrustedError, "git.example and we find no way to speak TLS (gnutls_handshake()",
    ),
    "https: host not known": (
        f"{UNABLE}Could not resolve host: git.example\n", HTTPS, False, StoreError,
        "the host git.example is not known: correct spec.state.git.url, or see to the name service",
    ),
    "ssh: host not known": (
        f"ssh: Could not resolve hostname git.example: Name or service not known\n{TAIL}",
        SSH, False, StoreError, "the host git.example is not known",
    ),
    "https: refused": (
        f"{UNABLE}Failed to connect to git.example port 443 after 0 ms: Couldn't connect to server\n",
        HTTPS, False, StoreError,
        f"{THE} cannot be reached: Failed to connect to git.example port 443 after 0 ms: Couldn't connect to"
        " server; see that it is up, and that the way there is open",
    ),
    "ssh: refused": (
        f"ssh: connect to host git.example port 22: Connection refused\n{TAIL}", SSH, False, StoreError,
        f"{THE_SSH} cannot be reached: git.example port 22: Connection refused; see that it is up",
    ),
    "ssh: no answer to connecting": (
        f"ssh: connect to host git.example port 22: Connection timed out\n{TAIL}", SSH, False, StoreError,
        f"{THE_SSH} cannot be reached: git.example port 22: Connection timed out",
    ),
    "proxy: wants credentials": (
        f"{UNABLE}CONNECT tunnel failed, response 407\n", HTTPS, False, CredentialsError,
        "the proxy on the way to git.example does not accept us: put its user and password into HTTPS_PROXY",
    ),
    "proxy: wants credentials, older curl": (
        f"{UNABLE}Received HTTP code 407 from proxy after CONNECT\n", HTTPS, False, CredentialsError,
        "the proxy on the way to git.example does not accept us",
    ),
    "proxy: says no": (
        f"{UNABLE}CONNECT tunnel failed, response 403\n", HTTPS, False, StoreError,
        "the proxy gives no way to git.example (CONNECT tunnel failed, response 403): let it, or name the",
    ),
    "proxy: not known": (
        f"{UNABLE}Could not resolve proxy: proxy.invalid\n", HTTPS, False, StoreError,
        "the proxy proxy.invalid is not known: correct HTTPS_PROXY",
    ),
    "https: hangs": (
        f"{UNABLE}Operation too slow. Less than 1 bytes/sec transferred the last 60 seconds\n",
        HTTPS, False, StoreError,
        f"{THE} does not answer: nothing came for 60 seconds; see that it is up, and that nothing on the way",
    ),
    "ssh: hangs": (
        f"Connection timed out during banner exchange\nConnection to 10.0.0.1 port 22 timed out\n{TAIL}",
        SSH, False, StoreError, f"{THE_SSH} does not answer: nothing came for 60 seconds",
    ),
    "ssh: dies": (
        f"Timeout, server git.example not responding.\n{TAIL}", SSH, True, StoreError,
        f"{THE_SSH} does not answer",
    ),
    "full disk there": (
        "remote: fatal: write error: No space left on device        \n"
        "error: remote unpack failed: unpack-objects abnormal exit\n" + declined(by="unpacker error"),
        HTTPS, True, DiskFullError,
        f"{THE} has no room left (write error: No space left on device): make some there, or raise its quota",
    ),
    "a file size limit there": (
        "remote: fatal: unable to write loose object file: File too large        \n"
        "error: remote unpack failed: unpack-objects abnormal exit\n" + declined(by="unpacker error"),
        SSH, True, DiskFullError, f"{THE_SSH} has no room left",
    ),
    "quota there": (
        declined("GL: quota exceeded"), HTTPS, True, DiskFullError, f"{THE} has no room left (GL: quota exc",
    ),
    "GitLab: size limit": (
        declined("Your push to this repository cannot be completed because this repository has exceeded the"
                 " allocated storage quota / its size limit"),
        HTTPS, True, DiskFullError, f"{THE} has no room left",
    ),
    "a bad disk there": (
        "error: remote unpack failed: index-pack abnormal exit\n" + declined(by="unpacker error"),
        HTTPS, True, StoreError, f"{THE} cannot store what it is sent (remote unpack failed: index-pack",
    ),
    "read-only there": (
        "error: remote unpack failed: unable to create temporary object directory\n"
        + declined(by="unpacker error"),
        HTTPS, True, RefusedError,
        f"{THE} is read-only (remote unpack failed: unable to create temporary object directory): make it",
    ),
    "GitHub: archived": (
        "remote: This repository was archived so it is read-only.\n"
        f"{UNABLE}The requested URL returned error: 403\n",
        HTTPS, True, RefusedError, f"{THE} is read-only (This repository was archived so it is read-only):",
    ),
    "GitLab: read-only for now": (
        declined("The repository is temporarily read-only. Please try again later."),
        HTTPS, True, RefusedError, f"{THE} is read-only",
    ),
    "too large for a proxy": (
        "error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413\n"
        "fatal: the remote end hung up unexpectedly\n",
        HTTPS, True, RefusedError, f"{THE} does not take so much at once (RPC failed; HTTP 413",
    ),
    "too large a pack": (
        "remote: fatal: pack exceeds maximum allowed size        \n"
        "error: remote unpack failed: index-pack abnormal exit\n" + declined(by="unpacker error"),
        SSH, True, RefusedError, f"{THE_SSH} does not take so much at once (pack exceeds maximum allowed",
    ),
    "GitHub: too large a file": (
        declined("error: GH001: Large files detected. You may want to try Git Large File Storage."),
        HTTPS, True, RefusedError, f"{THE} does not take so much at once (GH001: Large files detected",
    ),
    "push options": (
        "fatal: the receiving end does not support push options\n"
        f"fatal: the remote end hung up unexpectedly\nerror: failed to push some refs to '{URL}'\n",
        HTTPS, True, RefusedError,
        f"{THE} takes no push options: remove spec.state.git.pushOptions, or set receive.advertise",
    ),
    "a branch in the way": (
        "remote: error: cannot lock ref 'refs/heads/main': 'refs/heads/main/x' exists; cannot create"
        " 'refs/heads/main'        \n" + declined(by="failed to update ref"),
        HTTPS, True, RefusedError, f"{THE} has the branch main/x, beside which there can be no main: rename",
    ),
    "out of order": (
        f"{UNABLE}The requested URL returned error: 502\n", HTTPS, False, StoreError,
        f"{THE} is out of order (The requested URL returned error: 502): it is tried again",
    ),
    "cut short over https": (
        "error: RPC failed; curl 56 GnuTLS recv error (-110): The TLS connection was not ended.\n"
        "send-pack: unexpected disconnect while reading sideband packet\n"
        "fatal: the remote end hung up unexpectedly\n",
        HTTPS, True, StoreError, f"the connection to {THE} broke (",
    ),
    "cut short over ssh": (
        "Connection to git.example closed by remote host.\n"
        "send-pack: unexpected disconnect while reading sideband packet\n"
        "fatal: the remote end hung up unexpectedly\n",
        SSH, True, StoreError, f"the connection to {THE_SSH} broke (",
    ),
    "no ssh here": (
        "error: cannot run ssh: No such file or directory\nfatal: unable to fork\n", SSH, False, StoreError,
        f"git cannot speak to {THE_SSH}, because a program is missing here: install openssh-client",
    ),
    "no https here": (
        "git: 'remote-https' is not a git command. See 'git --help'.\n", HTTPS, False, StoreError,
        f"git cannot speak to {THE}, because a program is missing here",
    ),
    "nobody here": (
        f"No user exists for uid 65532\n{TAIL}", SSH, False, StoreError,
        "ssh refuses to run as user 65532, who has no entry in /etc/passwd: add one",
    ),
}  # fmt: skip

# Not known to have been taken, and not known not to: the tips must be compared.
OPEN = {
    "https: hangs",
    "ssh: hangs",
    "ssh: dies",
    "out of order",
    "cut short over https",
    "cut short over ssh",
}


@pytest.mark.parametrize("name", CASES)
def test_a_failure_is_one_sentence_that_says_what_to_do(name: str) -> None:
    said, to, is_push, kind, sentence = CASES[name]
    found = meaning(Answer(said, branch="main" if is_push else ""), to)
    assert found is not None
    assert str(found.error).startswith(sentence)
    assert type(found.error) is kind
    assert "\n" not in str(found.error)
    assert "{" not in str(found.error)
    assert found.settled == (name not in OPEN)
    assert found.wait is None


def test_every_row_of_the_table_is_the_one_that_some_case_is_known_by() -> None:
    used = set()
    for said, to, is_push, _, _ in CASES.values():
        found = meaning(Answer(said, branch="main" if is_push else ""), to)
        assert found is not None
        used.add(found.row)
    assert set(range(len(TABLE))) - used == {
        index
        for index, row in enumerate(TABLE)
        if "revoked" in row.sentence or "Too many" in row.pattern.pattern
    }


@pytest.mark.parametrize(
    "said",
    [
        "",
        "fatal: something new\n",
        f"To {URL}\n ! [rejected]        f828794 -> main (stale info)\nerror: failed to push some refs\n",
        f"To {URL}\n ! [rejected]        f828794 -> main (fetch first)\nerror: failed to push some refs\n",
        "remote: error: cannot lock ref 'refs/heads/main': is at 1111 but expected 2222        \n"
        f"To {URL}\n ! [remote rejected] f828794 -> main (failed to update ref)\n",
        f"To {URL}\n ! [remote rejected] f828794 -> main (incorrect old value provided)\n",
    ],
)
def test_a_lost_race_and_what_is_not_known_mean_nothing(said: str) -> None:
    assert meaning(Answer(said, branch="main"), HTTPS) is None


@given(st.text(), st.booleans(), st.sampled_from([HTTPS, ANONYMOUS, SSH, FILE]))
def test_whatever_is_said_gives_one_line(said: str, is_push: bool, to: To) -> None:
    for words in (f"remote: {said}\nfatal: Authentication failed", f"ssh: connect to host x{said}"):
        found = meaning(Answer(words, branch="x" * is_push), to)
        assert found is not None
        assert str(found.error).isprintable()
        assert len(str(found.error)) < 600


def test_what_we_ended_ourselves_did_not_answer() -> None:
    found = meaning(Answer("", ended_after=60.0, branch="main"), HTTPS)
    assert found is not None
    assert str(found.error).startswith(f"{THE} did not answer within 60 seconds: see that it is up")
    assert not found.settled


def headers(*lines: str) -> str:
    """As curl's trace has them."""
    return "".join(
        f"14:53:35.533978 http.c:672              <= Recv header, 0000000017 bytes (0x00000011)\n"
        f"14:53:35.533996 http.c:684              <= Recv header: {line}\n"
        for line in lines
    )


LIMITED = f"{UNABLE}The requested URL returned error: 429\n"


@pytest.mark.parametrize(
    ("trace", "wait"),
    [
        (headers("HTTP/1.1 429 Too Many Requests", "Retry-After: 120"), Wait(429, "120")),
        (headers("HTTP/2 429", "retry-after: 120"), Wait(429, "120")),
        (headers("HTTP/1.1 200 OK", "Retry-After: 1") + headers("HTTP/2 429"), Wait(429, "")),
        (headers("HTTP/1.1 503 Busy", "Retry-After: Sat, 21 Nov 2026 12:00:00 GMT"),
         Wait(503, "Sat, 21 Nov 2026 12:00:00 GMT")),
        (headers("HTTP/1.1 403 Forbidden", "retry-after: 9"), Wait(403, "9")),
    ],
)  # fmt: skip
def test_a_remote_that_wants_to_be_left_alone_says_for_how_long(trace: str, wait: Wait) -> None:
    found = meaning(Answer(LIMITED, trace), HTTPS)
    assert found is not None
    assert found.wait == wait
    assert isinstance(found.error, RateLimitedError)


@pytest.mark.parametrize(
    "trace",
    [
        headers("HTTP/1.1 503 Busy"),
        headers("HTTP/1.1 403 Forbidden"),
        headers("HTTP/1.1 429 Too Many") + headers("HTTP/1.1 200 OK"),
        headers("HTTP/1.1 200 OK", "Retry-After: 120"),
        "Info: HTTP/1.1 429 Too Many Requests",
        "",
    ],
)
def test_nobody_else_is_left_alone(trace: str) -> None:
    found = meaning(Answer(f"{UNABLE}The requested URL returned error: 503\n", trace), HTTPS)
    assert found is not None
    assert found.wait is None


NOW = datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("120", 120.0),
        ("0", 1.0),
        ("", USUAL_WAIT),
        ("soon", USUAL_WAIT),
        ("-5", USUAL_WAIT),
        ("1.5", USUAL_WAIT),
        ("\u0661", USUAL_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("86401", LONGEST_WAIT),
        ("Sat, 21 Nov 2026 10:02:00 GMT", 120.0),
        ("Saturday, 21-Nov-26 10:02:00 GMT", 120.0),
        ("Sat, 21 Nov 2026 11:02:00 +0100", 120.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 1.0),
        ("Sat, 21 Nov 2099 09:00:00 GMT", LONGEST_WAIT),
        ("Sat, 99 Nov 2026 09:00:00 GMT", USUAL_WAIT),
    ],
)
def test_a_wait_is_seconds_or_a_date_and_bounded(retry_after: str, seconds: float) -> None:
    assert Wait(429, retry_after).seconds(NOW) == seconds


@given(st.text())
def test_any_header_gives_a_wait_within_bounds(retry_after: str) -> None:
    assert 1.0 <= Wait(429, retry_after).seconds(NOW) <= LONGEST_WAIT


def test_until_when_is_said_in_utc() -> None:
    error = quiet(HTTPS, Wait(429, "120"), NOW + timedelta(seconds=120))
    assert str(error) == (
        f"{THE} asks to be left alone (HTTP 429): nothing is asked of it until 2026-11-21 10:02:00 UTC"
    )
    assert error.reason == "RateLimited"


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("https://new.example/x.git/info/refs?service=git-upload-pack", " now: https://new.example/x.git"),
        ("https://jo:hunter2@new.example/x.git/info/refs", " now: https://new.example/x.git"),
        ("http://new.example/x.git/info/refs", " now"),
        ("javascript:alert(1)", " now"),
        ("https://new.example/a b", " now"),
        ("", " now"),
    ],
)
def test_a_redirect_is_not_followed_and_where_it_leads_is_said(location: str, there: str) -> None:
    trace = headers("HTTP/1.1 301 Moved Permanently", f"Location: {location}")
    found = meaning(Answer(f"{UNABLE}The requested URL returned error: 301\n", trace), HTTPS)
    assert found is not None
    assert isinstance(found.error, NoRepositoryError)
    assert str(found.error) == (
        f"{THE} is elsewhere, and credentials follow no redirect: set spec.state.git.url to where it"
        f" is{there}"
    )


def test_the_last_answer_counts_with_its_own_headers() -> None:
    trace = headers("HTTP/1.1 401 Unauthorized", "X-A: 1", "") + headers("HTTP/2 403", "X-B: 2: 3", "")
    assert last_response(trace) == (403, {"x-b": "2: 3", "": ""})
    assert last_response("") == (0, {})


@pytest.mark.parametrize(
    ("said", "full", "ro"),
    [
        ("fatal: write error: No space left on device\n", True, False),
        ("error: unable to write file x: Disk quota exceeded\n", True, False),
        ("fatal: sha1 file '<stdout>' write error. Out of diskspace\n", True, False),
        ("error: cannot lock ref 'x': Unable to create '/c/x.lock': Read-only file system\n", False, True),
        ("remote: fatal: write error: No space left on device\n", False, False),
        ("remote: error: Read-only file system\n", False, False),
        ("fatal: something else\n", False, False),
    ],
)
def test_our_own_disk_is_told_from_that_of_the_remote(said: str, full: bool, ro: bool) -> None:
    path = Path("/cache/x.git")
    says_full = "there is no room left for /cache/x.git: make some, or give it a larger volume"
    says_ro = "/cache/x.git is on a volume that is read-only: mount it so that it can be written"
    assert no_room(said, path) == (says_full if full else "")
    assert read_only(said, path) == (says_ro if ro else "")
