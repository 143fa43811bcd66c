"""The test servers themselves: what they let through, what they refuse, and what they remember."""

import os
import socket
import ssl
import subprocess
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.git.factory import BRANCH, commit_as_a_person, git, refs
from tests.git.servers import states
from tests.git.servers.certificates import Authority
from tests.git.servers.hosting import Answer, Cut, Fault, Hosted, Key, Login, Rules, Token
from tests.git.servers.https import HttpsServer
from tests.git.servers.proxy import ConnectProxy, silence
from tests.git.servers.ssh import ALGORITHMS, KeyPair, SshServer

Answered = tuple[int, str]


class Person:
    """Somebody with a repository of their own, who pushes it to a server."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.repository = folder / "own.git"
        git(folder, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.repository))
        self.settings = settings

    def work(self, text: str = "text\n") -> str:
        return commit_as_a_person(self.repository, {"README.md": text})

    def git(self, *arguments: str, **settings: str) -> Answered:
        """Exit status and what git complained of."""
        options = [
            word
            for name, value in {**self.settings, **settings}.items()
            for word in ("-c", f"{name.replace('__', '.')}={value}")
        ]
        done = subprocess.run(
            ["git", *options, "-C", str(self.repository), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_TERMINAL_PROMPT": "0",
            },
        )
        return done.returncode, done.stderr

    def push(self, url: str, *options: str, **settings: str) -> Answered:
        return self.git("push", "--quiet", *options, url, f"{BRANCH}:{BRANCH}", **settings)


@pytest.fixture
def person(tmp_path: Path, authority: Authority, ssh_server: SshServer) -> Person:
    known = tmp_path / "known_hosts"
    known.write_text(ssh_server.known_hosts)
    key = ssh_server.client.write(tmp_path / "id")
    return Person(
        tmp_path,
        {
            "http.sslCAInfo": str(authority.file),
            "http.followRedirects": "false",
            "core.sshCommand": "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes"
            f" -o IdentitiesOnly=yes -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none -i {key}",
        },
    )


@pytest.fixture(params=["https", "ssh"])
def hosted(request: pytest.FixtureRequest) -> Hosted:
    """A repository on each of the servers."""
    repository: Hosted = request.getfixturevalue(f"{request.param}_repository")
    return repository


class TestBoth:
    def test_what_is_pushed_is_there_and_can_be_fetched(self, hosted: Hosted, person: Person) -> None:
        first = person.work()
        assert person.push(hosted.url) == (0, "")
        assert refs(hosted.path) == {f"refs/heads/{BRANCH}": first}
        second = commit_as_a_person(hosted.path, {"other.md": "x\n"})
        assert person.git("fetch", "--quiet", hosted.url, f"{BRANCH}:there") == (0, "")
        assert refs(person.repository)["refs/heads/there"] == second

    def test_a_push_is_remembered_with_its_objects_and_bytes(self, hosted: Hosted, person: Person) -> None:
        person.work()
        person.push(hosted.url)
        (push,) = hosted.pushes
        assert hosted.attempts == 1
        assert push.objects == 3  # a commit, a tree, a blob
        assert 150 < push.size < 1000
        assert push.status == (200 if hosted.url.startswith("https") else 0)

    def test_a_large_push_and_a_large_fetch_arrive_whole(self, hosted: Hosted, person: Person) -> None:
        size = 3 << 20  # more than git sends in one piece
        person.work(os.urandom(size // 2).hex())
        assert person.push(hosted.url) == (0, "")
        git(person.repository, "update-ref", "-d", f"refs/heads/{BRANCH}")
        git(person.repository, "gc", "--quiet", "--prune=now")
        assert person.git("fetch", "--quiet", hosted.url, f"{BRANCH}:{BRANCH}") == (0, "")
        assert git(person.repository, "cat-file", "-s", f"{BRANCH}:README.md").strip() == str(size)

    def test_a_request_that_is_long_enough_to_be_compressed_is_understood(
        self, hosted: Hosted, person: Person
    ) -> None:
        for number in range(25):
            commit_as_a_person(hosted.path, {"README.md": f"{number}\n"}, branch=f"b{number}")
        assert person.git("fetch", "--quiet", hosted.url, "refs/heads/*:refs/heads/*") == (0, "")
        assert len(refs(person.repository)) == 25
        if hosted.url.startswith("https"):
            assert "gzip" in {request.headers.get("content-encoding") for request in hosted.requests}

    def test_the_second_version_of_the_protocol_is_spoken(self, hosted: Hosted, person: Person) -> None:
        assert person.git("ls-remote", hosted.url)[0] == 0
        asked = hosted.requests[0].headers
        assert asked.get("git-protocol", asked.get("GIT_PROTOCOL")) == "version=2"

    def test_a_protected_branch_is_refused_in_the_forge_s_words(self, hosted: Hosted, person: Person) -> None:
        person.work()
        states.protect(hosted, 'It\'s protected.\nAsk "somebody".')
        status, said = person.push(hosted.url)
        assert status == 1
        assert "remote: It's protected." in said
        assert 'remote: Ask "somebody".' in said
        assert "[remote rejected] main -> main (hook declined)" in said
        assert refs(hosted.path) == {}
        states.allow_pushes(hosted)
        assert person.push(hosted.url) == (0, "")

    def test_a_quota_is_refused_before_anything_is_taken(self, hosted: Hosted, person: Person) -> None:
        person.work()
        states.refuse_pushes(hosted, "over quota")
        status, said = person.push(hosted.url)
        assert status == 1
        assert "remote: over quota" in said
        assert "pre-receive hook declined" in said

    def test_a_forced_push_is_refused_where_that_is_denied(self, hosted: Hosted, person: Person) -> None:
        person.work()
        person.push(hosted.url)
        states.deny_non_fast_forwards(hosted)
        git(person.repository, "update-ref", "-d", f"refs/heads/{BRANCH}")
        person.work("else\n")
        status, said = person.push(hosted.url, "--force")
        assert status == 1
        assert "non-fast-forward" in said

    def test_a_full_disk_takes_nothing_and_stays_sound(self, hosted: Hosted, person: Person) -> None:
        person.work()
        person.push(hosted.url)
        before = refs(hosted.path)
        person.work("more\n")
        states.fill_disk(hosted)
        status, said = person.push(hosted.url)
        assert status != 0
        assert "File too large" in said
        assert person.git("ls-remote", hosted.url)[0] == 0
        assert refs(hosted.path) == before
        states.empty_disk(hosted)
        git(hosted.path, "fsck", "--strict")
        assert person.push(hosted.url) == (0, "")

    def test_a_repository_that_is_read_only_can_be_read(self, hosted: Hosted, person: Person) -> None:
        person.work()
        person.push(hosted.url)
        states.make_read_only(hosted)
        person.work("more\n")
        status, said = person.push(hosted.url)
        assert status != 0
        assert "unable to create temporary object directory" in said
        assert person.git("ls-remote", hosted.url)[0] == 0
        states.make_writable(hosted)
        assert person.push(hosted.url) == (0, "")

    def test_a_shallow_repository_takes_what_builds_on_it(
        self, hosted: Hosted, person: Person, tmp_path: Path
    ) -> None:
        for text in ("1\n", "2\n", "3\n"):
            person.work(text)
        states.make_shallow(hosted, person.repository)
        assert git(hosted.path, "rev-list", "--count", BRANCH).strip() == "1"
        person.work("4\n")
        assert person.push(hosted.url) == (0, "")

    def test_push_options_arrive(self, hosted: Hosted, person: Person) -> None:
        file = states.take_push_options(hosted)
        person.work()
        options = ["ci.skip", 'it\'s="quoted" $HOME']
        assert person.push(hosted.url, *(f"--push-option={option}" for option in options)) == (0, "")
        assert file.read_text().splitlines() == options

    def test_a_push_that_is_cut_in_its_middle_changes_nothing(self, hosted: Hosted, person: Person) -> None:
        person.work()
        hosted.rules = Rules(cut=Cut.BEFORE)
        assert person.push(hosted.url)[0] != 0
        assert refs(hosted.path) == {}
        hosted.rules = Rules()
        assert person.push(hosted.url) == (0, "")

    def test_a_push_that_is_cut_at_its_end_has_happened(self, hosted: Hosted, person: Person) -> None:
        made = person.work()
        hosted.rules = Rules(cut=Cut.AFTER)
        assert person.push(hosted.url)[0] != 0
        assert refs(hosted.path) == {f"refs/heads/{BRANCH}": made}

    def test_a_fault_comes_to_one_request_that_it_is_for(self, hosted: Hosted, person: Person) -> None:
        hosted.faults.append(Fault("cut", Rules(cut=Cut.BEFORE), lambda asked: asked.is_push))
        made = person.work()
        while person.push(hosted.url)[0] != 0:  # over HTTPS git itself tries once more
            assert refs(hosted.path) == {}
        assert len(hosted.pushes) == 2
        assert refs(hosted.path) == {f"refs/heads/{BRANCH}": made}
        assert hosted.done == {"cut": 1}
        assert hosted.faults == []

    def test_a_server_that_hangs_says_nothing_until_it_is_released(
        self, hosted: Hosted, person: Person
    ) -> None:
        hosted.rules = Rules(hangs=True)
        process = subprocess.Popen(
            ["git", "ls-remote", hosted.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                "PATH": os.environ["PATH"],
                "GIT_SSL_CAINFO": person.settings["http.sslCAInfo"],
                "GIT_SSH_COMMAND": person.settings["core.sshCommand"],
            },
        )
        with process:
            assert process.stdout is not None
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(0.3)  # it fails for no other reason
            hosted.close()
            assert process.wait() != 0


class TestHttps:
    def test_a_push_that_a_hook_declines_changes_nothing(
        self, https_repository: Hosted, person: Person
    ) -> None:
        person.work()
        https_repository.rules = Rules(declines="Not before it's Monday.")
        status, said = person.push(https_repository.url)
        assert status != 0
        assert "Not before it's Monday." in said
        assert refs(https_repository.path) == {}

    def test_an_authority_that_is_not_known_is_not_trusted(
        self, https_repository: Hosted, person: Person
    ) -> None:
        status, said = person.git("ls-remote", https_repository.url, http__sslCAInfo=os.devnull)
        assert status == 128
        assert "certificate" in said
        assert https_repository.requests == []

    @pytest.mark.parametrize("wrong", ["expired", "another name"])
    def test_a_certificate_that_is_expired_or_another_s_is_not_taken(
        self, tmp_path: Path, authority: Authority, person: Person, wrong: str
    ) -> None:
        tls = authority.server(
            "127.0.0.1" if wrong == "expired" else "else.example", expired=wrong == "expired"
        )
        with HttpsServer(tmp_path, tls) as server:
            hosted = server.repository()
            assert person.git("ls-remote", hosted.url)[0] == 128
            assert hosted.requests == []

    def test_a_client_that_only_connects_holds_up_nobody(
        self, https_repository: Hosted, https_server: HttpsServer, person: Person
    ) -> None:
        with socket.create_connection(("127.0.0.1", https_server.port)):
            assert person.git("ls-remote", https_repository.url)[0] == 0

    @pytest.mark.parametrize(
        ("header", "status"),
        [
            ("", 128),
            ("Authorization: Basic am9lOnNlY3JldA==", 0),
            ("Authorization: Basic am9lOndyb25n", 128),
            ("Authorization: Bearer s3cret", 0),
            ("Authorization: Bearer wrong", 128),
        ],
    )
    def test_accounts_are_let_in_and_nobody_else(
        self, https_repository: Hosted, person: Person, header: str, status: int
    ) -> None:
        https_repository.rules = Rules(accounts=(Login("joe", "secret"), Token("s3cret")))
        assert person.git("ls-remote", https_repository.url, http__extraHeader=header)[0] == status
        last = https_repository.requests[-1]
        assert (last.status == 200) == (status == 0)
        assert last.headers.get("authorization", "") == header.removeprefix("Authorization: ")

    @pytest.mark.parametrize("challenge", [True, False])
    def test_a_refusal_says_how_to_log_in_unless_told_not_to(
        self, https_repository: Hosted, https_server: HttpsServer, authority: Authority, challenge: bool
    ) -> None:
        https_repository.rules = Rules(accounts=(Token("t"),), challenge=challenge)
        context = ssl.create_default_context(cafile=authority.file)
        connection = HTTPSConnection("127.0.0.1", https_server.port, context=context)
        with closing(connection):
            connection.request("GET", f"{urlsplit(https_repository.url).path}/info/refs")
            answer = connection.getresponse()
            assert answer.status == 401
            assert ("WWW-Authenticate" in answer.headers) == challenge

    def test_a_reader_reads_and_does_not_write(self, https_repository: Hosted, person: Person) -> None:
        https_repository.rules = Rules(accounts=(Token("t", may_push=False),))
        header = "Authorization: Bearer t"
        person.work()
        assert person.git("ls-remote", https_repository.url, http__extraHeader=header)[0] == 0
        status, said = person.push(https_repository.url, http__extraHeader=header)
        assert status != 0
        assert "403" in said
        assert refs(https_repository.path) == {}

    def test_a_repository_that_is_not_there_is_not_found(
        self, https_server: HttpsServer, person: Person
    ) -> None:
        status, said = person.git("ls-remote", f"{https_server.url}/team/none.git")
        assert status == 128
        assert "not found" in said
        assert https_server.strays[-1].path == "/team/none.git/info/refs"

    def test_what_it_is_told_to_answer_it_answers(self, https_repository: Hosted, person: Person) -> None:
        https_repository.rules = Rules(answer=Answer(429, (("Retry-After", "30"),), "Slow down."))
        said = person.git("ls-remote", https_repository.url)[1]
        assert "429" in said
        assert "remote: Slow down." in said

    def test_a_redirect_leads_to_another_repository(
        self, https_repository: Hosted, https_server: HttpsServer, person: Person
    ) -> None:
        person.work()
        person.push(https_repository.url)
        moved = https_server.repository()
        moved.rules = Rules(redirect=https_repository.url)
        assert person.git("ls-remote", moved.url)[0] == 128
        assert person.git("ls-remote", moved.url, http__followRedirects="true")[0] == 0


class TestSsh:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_host_key_of_each_kind_is_known_and_a_changed_one_refused(
        self, ssh_server: SshServer, ssh_repository: Hosted, person: Person, tmp_path: Path, algorithm: str
    ) -> None:
        before = ssh_server.host_keys
        try:
            ssh_server.use_host_keys(KeyPair(algorithm))
            status, said = person.git("ls-remote", ssh_repository.url)
            assert status == 128
            assert "Host key verification failed" in said
            (tmp_path / "known_hosts").write_text(ssh_server.known_hosts)
            assert person.git("ls-remote", ssh_repository.url)[0] == 0
        finally:
            ssh_server.use_host_keys(*before)

    def test_a_key_that_nobody_has_is_refused(
        self, ssh_server: SshServer, ssh_repository: Hosted, person: Person, tmp_path: Path
    ) -> None:
        stranger = KeyPair()
        stranger.write(tmp_path / "id")
        status, said = person.git("ls-remote", ssh_repository.url)
        assert status == 128
        assert "Permission denied (publickey)" in said
        assert ssh_server.offered[-1] == stranger.public

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_a_reader_s_key_reads_and_does_not_write(
        self, ssh_repository: Hosted, person: Person, tmp_path: Path, algorithm: str
    ) -> None:
        reader = KeyPair(algorithm)
        reader.write(tmp_path / "id")
        ssh_repository.rules = Rules(accounts=(Key(f"{reader.public} a comment", may_push=False),))
        person.work()
        assert person.git("ls-remote", ssh_repository.url)[0] == 0
        status, said = person.push(ssh_repository.url)
        assert status == 128
        assert "not write to it" in said

    def test_another_s_repository_is_as_one_that_is_not_there(
        self, ssh_server: SshServer, ssh_repository: Hosted, person: Person
    ) -> None:
        ssh_repository.rules = Rules(accounts=(Key(KeyPair().public),))
        for url in (ssh_repository.url, f"{ssh_server.url}/team/none.git"):
            status, said = person.git("ls-remote", url)
            assert status == 128
            assert "no such repository" in said

    def test_no_other_program_is_run(self, ssh_server: SshServer, person: Person, tmp_path: Path) -> None:
        command = [*person.settings["core.sshCommand"].split(), "-p", str(ssh_server.port), "git@127.0.0.1"]
        done = subprocess.run([*command, "touch x"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert ssh_server.strays[-1].path == "touch x"


class TestProxy:
    def test_what_goes_through_it_is_remembered(
        self, https_repository: Hosted, https_server: HttpsServer, proxy: ConnectProxy, person: Person
    ) -> None:
        proxy.routes["git.example:443"] = https_server.port
        url = https_repository.url.replace(https_server.url, "https://git.example")
        assert person.git("ls-remote", url, http__proxy=proxy.url)[0] == 0
        assert {tunnel.target for tunnel in proxy.tunnels} == {"git.example:443"}

    def test_who_has_no_login_is_refused(
        self, https_repository: Hosted, proxy: ConnectProxy, person: Person
    ) -> None:
        proxy.login = Login("joe", "secret")
        assert person.git("ls-remote", https_repository.url, http__proxy=proxy.url)[0] == 128
        with_login = proxy.url.replace("://", "://joe:secret@")
        assert person.git("ls-remote", https_repository.url, http__proxy=with_login)[0] == 0
        assert [tunnel.opened for tunnel in proxy.tunnels].count(True) == 1

    def test_a_proxy_that_cannot_reach_the_target_says_so(self, proxy: ConnectProxy, person: Person) -> None:
        with silence() as port:
            pass
        status, said = person.git("ls-remote", f"https://127.0.0.1:{port}/x.git", http__proxy=proxy.url)
        assert status == 128
        assert "502" in said
