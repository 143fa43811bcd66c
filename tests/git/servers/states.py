"""What a forge's rules, a person or a bad disk make of a repository on a server. No root is needed."""

import os
from pathlib import Path

from tests.git.factory import BRANCH, git
from tests.git.servers.hosting import NOBODY, Hosted

# git is told of the limit (EFBIG) instead of being killed for it: as with ENOSPC, a write fails.
_WITHOUT_A_DISK = ("sh", "-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh")


def protect(
    hosted: Hosted, says: str = "main is protected: open a pull request", branch: str = BRANCH
) -> None:
    """Nobody may push to a branch. ``says``: what the forge tells them (its last line is git's own)."""
    lines = "".join(f"echo {_quoted(line)} >&2\n" for line in says.splitlines())
    _hook(hosted, "update", f'[ "$1" = refs/heads/{branch} ] || exit 0\n{lines}exit 1\n')


def refuse_pushes(hosted: Hosted, says: str) -> None:
    """A ``pre-receive`` hook that takes nothing, as for a quota or an archived repository."""
    _hook(hosted, "pre-receive", f"echo {_quoted(says)} >&2\nexit 1\n")


def allow_pushes(hosted: Hosted) -> None:
    """Take back ``protect`` and ``refuse_pushes``."""
    for name in ("update", "pre-receive"):
        (hosted.path / "hooks" / name).unlink(missing_ok=True)


def deny_non_fast_forwards(hosted: Hosted) -> None:
    git(hosted.path, "config", "receive.denyNonFastForwards", "true")
    git(hosted.path, "config", "receive.denyDeletes", "true")


def fill_disk(hosted: Hosted) -> None:
    """From now on no byte can be written by the server's git."""
    hosted.wrapper = _WITHOUT_A_DISK


def empty_disk(hosted: Hosted) -> None:
    hosted.wrapper = ()


def make_read_only(hosted: Hosted) -> None:
    """The repository can be read and not written (where tests run as root, its git runs as nobody)."""
    for folder in (hosted.path, *(path for path in hosted.path.rglob("*") if path.is_dir())):
        folder.chmod(0o555)
    if os.geteuid() == 0:
        hosted.user = NOBODY


def make_writable(hosted: Hosted) -> None:
    for folder in (hosted.path, *(path for path in hosted.path.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    hosted.user = None


def make_shallow(hosted: Hosted, source: Path) -> None:
    """The repository has the newest commit of ``source``'s branch, and none before it."""
    git(hosted.path, "fetch", "--quiet", "--depth=1", f"file://{source}", f"{BRANCH}:{BRANCH}")
    # What a shallow repository says to a push that builds on commits that it does not have.
    git(hosted.path, "config", "receive.shallowUpdate", "false")


def take_push_options(hosted: Hosted) -> Path:
    """The file in which a hook writes the push options that arrive, one on a line."""
    git(hosted.path, "config", "receive.advertisePushOptions", "true")
    file = hosted.path / "push-options"
    _hook(
        hosted,
        "pre-receive",
        'n=0\nwhile [ "$n" -lt "${GIT_PUSH_OPTION_COUNT:-0}" ]; do\n'
        f'eval "printf \'%s\\\\n\' \\"\\$GIT_PUSH_OPTION_$n\\"" >> {_quoted(str(file))}\n'
        "n=$((n + 1))\ndone\n",
    )
    return file


def _hook(hosted: Hosted, name: str, script: str) -> None:
    file = hosted.path / "hooks" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}")
    file.chmod(0o755)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
