"""Which URLs name a state repository, and what is in one. Pure.

    file:///srv/state.git, /srv/state.git
    https://host[:port]/path
    ssh://[user@]host[:port]/path

A URL never holds a credential: it is in logs, in the status and in every process list.
"""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from reconciler.errors import SpecError

SSH_USER = "git"
"""Whom forges expect an ssh URL to name; taken where neither the URL nor the Secret names anybody."""

_NETWORK = re.compile(
    r"(?P<scheme>https|ssh)://(?:(?P<user>[^/@]*)@)?"
    r"(?P<host>[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^?#\s\\]+)"
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_SCP = re.compile(r"[^/:]+@[^/:]+:")  # user@host:path
_USER_INFORMATION = re.compile(r"(://)[^/@\s]+@")


class RemoteUrl(msgspec.Struct, frozen=True):
    """``text``: what git is given. ``scheme``: ``file``, ``https`` or ``ssh``. ``host`` is "" for a file;
    ``user`` is "" unless an ssh URL names one."""

    text: str
    scheme: str
    host: str = ""
    user: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def folder(self) -> Path | None:
        """Where it is, if it is on this machine."""
        if self.scheme != "file":
            return None
        return Path(unquote(urlsplit(self.text).path) if self.text.startswith("file:") else self.text)


def checked_url(text: str) -> RemoteUrl:
    """The URL's parts; SpecError, which holds nothing secret of it, when it cannot be used."""
    if text.startswith(("/", "file:///")) and text.isprintable():
        return RemoteUrl(text, "file")
    found = _NETWORK.fullmatch(text)
    if found is None or not text.isprintable():
        if _SCP.match(text):
            raise SpecError("the state's git URL cannot be used: write it as ssh://user@host/path")
        raise SpecError(
            "the state's git URL cannot be used: it must be file:// and an absolute path,"
            " https://host/path or ssh://user@host/path"
        )
    scheme, user = found["scheme"], found["user"]
    if user is not None and (scheme == "https" or ":" in user):
        raise SpecError(
            "the state's git URL holds credentials: keep them in a Secret, and name it in"
            " spec.state.git.secretRef"
        )
    if user is not None and not _USER.fullmatch(user):
        raise SpecError("the state's git URL cannot be used: the user's name has characters that none has")
    return RemoteUrl(text, scheme, found["host"].strip("[]").lower(), user or "")


def is_user(name: str) -> bool:
    """Whether it can be the user of an ssh URL."""
    return _USER.fullmatch(name) is not None


def redacted(text: str) -> str:
    """The text without the user information of any URL in it."""
    return _USER_INFORMATION.sub(r"\1", text)
