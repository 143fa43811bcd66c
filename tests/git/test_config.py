"""The configurations for git and ssh: read back by the programs themselves, whatever is put into them."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.state.git.network.config import config_text, setting, ssh_config_text

URL = "https://git.example/team/state.git"


def read_by_git(text: str, *question: str) -> list[str]:
    """What git finds in a configuration: ``name\\nvalue`` for each setting."""
    done = subprocess.run(
        ["git", "config", "--null", "--file", "-", *question],
        input=text.encode(), capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or (done.returncode == 1 and not done.stderr), done.stderr
    return done.stdout.decode().split("\0")[:-1]


def read_by_ssh(folder: Path, text: str) -> dict[str, str]:
    """What ssh makes of a configuration for a host."""
    file = folder / "config"
    file.write_text(text)
    done = subprocess.run(
        ["ssh", "-G", "-F", str(file), "git.example"], capture_output=True, check=True, text=True
    )
    return dict(line.partition(" ")[::2] for line in done.stdout.splitlines())


def test_git_reads_what_is_meant_for_one_url() -> None:
    text = config_text(
        URL,
        scheme="https",
        authorization="Basic Z2l0OngK",
        authority="/proc/1/fd/5",
        proxy="http://u:p@proxy.example:3128",
        silence=59.5,
    )
    assert read_by_git(text, "--get-urlmatch", "http", URL) == [
        "http.extraheader\nAuthorization: Basic Z2l0OngK",
        "http.followredirects\nfalse",
        "http.lowspeedlimit\n1",
        "http.lowspeedtime\n60",
        "http.proxy\nhttp://u:p@proxy.example:3128",
        "http.sslcainfo\n/proc/1/fd/5",
        "http.sslverify\ntrue",
    ]
    assert read_by_git(text, "--get-regexp", "^protocol") == ["protocol.https.allow\nalways"]


@pytest.mark.parametrize(
    "other",
    [
        "https://elsewhere.example/team/state.git",
        "https://git.example/team/other.git",
        "https://git.example:8443/team/state.git",
        "http://git.example/team/state.git",
        "https://git.example/",
    ],
)
def test_the_header_is_for_no_other_url(other: str) -> None:
    text = config_text(URL, scheme="https", authorization="Basic Z2l0OngK", silence=60)
    assert read_by_git(text, "--get-urlmatch", "http", other) == []


def test_git_gets_ssh_with_a_configuration_and_nothing_else() -> None:
    text = config_text("ssh://git@git.example/x", scheme="ssh", silence=60, ssh_config="/proc/1/fd/5")
    assert read_by_git(text, "--list") == [
        "protocol.ssh.allow\nalways",
        "core.sshcommand\nssh -F /proc/1/fd/5",
        "ssh.variant\nssh",
    ]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r")))
def test_any_value_stays_one_value(value: str) -> None:
    text = f"[a]\n{setting('b', value)}\n\tlast = here\n"
    assert read_by_git(text, "--list") == [f"a.b\n{value}", "a.last\nhere"]


@pytest.mark.parametrize("value", ["a\0b", "a\rb"])
def test_what_no_line_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="no NUL and no carriage return"):
        setting("b", value)


def test_ssh_trusts_whom_it_is_told_to_and_asks_nobody(tmp_path: Path) -> None:
    text = ssh_config_text(
        identity="/proc/1/fd/5", known_hosts="/proc/1/fd/6", user="git", connect=29.5, silence=60
    )
    found = read_by_ssh(tmp_path, text)
    assert {name: found[name] for name in _MEANT} == _MEANT


_MEANT = {
    "user": "git",
    "identityfile": "/proc/1/fd/5",
    "userknownhostsfile": "/proc/1/fd/6",
    "globalknownhostsfile": "/dev/null",
    "identitiesonly": "yes",
    "identityagent": "none",
    "stricthostkeychecking": "true",
    "batchmode": "yes",
    "forwardagent": "no",
    "updatehostkeys": "false",
    "connecttimeout": "30",
    "serveraliveinterval": "20",
    "serveralivecountmax": "3",
}


def test_a_proxy_command_is_taken_word_for_word(tmp_path: Path) -> None:
    command = """nc -X connect -x 'proxy "a":3128' %h %p"""
    text = ssh_config_text(
        identity="", known_hosts="", user="git", proxy_command=command, connect=30, silence=60
    )
    assert read_by_ssh(tmp_path, text)["proxycommand"] == command
