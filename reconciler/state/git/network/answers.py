"""What git's words mean: an error with one sentence, and how long a remote wants to be left alone. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import msgspec

from reconciler.errors import NoRepositoryError, RateLimitedError, StoreError
from reconciler.state.git.network import sentences
from reconciler.state.git.network.url import RemoteUrl, redacted

LONGEST_WAIT: Final = 24 * 3600.0
"""Seconds: longer than this nobody is left alone, whatever was asked."""

USUAL_WAIT: Final = 60.0
"""Seconds that a remote is left alone which says that it is asked too often, and not for how long."""

_LONGEST_WORDS = 200  # characters of the other side's own that are passed on
_RECEIVED = re.compile(r"<= Recv header: (.*)")
_STATUS = re.compile(r"HTTP/\S+ (\d{3})\b")


class To(msgspec.Struct, frozen=True):
    """Whom it was asked of. ``secret``: where the credentials are from, "" when there are none; ``silence``:
    seconds without a byte after which it was given up."""

    url: RemoteUrl
    secret: str = ""
    silence: float = 60.0

    @property
    def the(self) -> str:
        return f"the state repository {self.url}"


class Answer(msgspec.Struct, frozen=True):
    """``said``: git's words, without credentials; ``trace``: curl's, with headers; ``ended_after``: seconds
    until we ended it, 0 if we did not; ``branch``: the one that was pushed, "" when something was asked."""

    said: str
    trace: str = ""
    ended_after: float = 0.0
    branch: str = ""


class Wait(msgspec.Struct, frozen=True):
    """A remote asks to be left alone: the HTTP status, and its ``Retry-After`` (seconds, a date, or "")."""

    status: int
    retry_after: str = ""

    def seconds(self, now: datetime) -> float:
        """For how long: at least a second, at most a day. ``now`` is aware of its zone."""
        text = self.retry_after
        if text.isascii() and text.isdigit():
            return min(max(float(text[:12]), 1.0), LONGEST_WAIT)
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return USUAL_WAIT
        until = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        return min(max((until - now).total_seconds(), 1.0), LONGEST_WAIT)


class Meaning(msgspec.Struct, frozen=True):
    """``settled``: what was to be written was not taken, for sure. ``wait``: leave the remote alone. ``row``:
    of the table, -1 when it was known by something else."""

    error: StoreError
    settled: bool = True
    wait: Wait | None = None
    row: int = -1


def no_room(said: str, path: Path) -> str:
    """The sentence for a full disk of this machine, by what git said of a repository in ``path``; else ""."""
    if not sentences.NO_ROOM.search(_our_own(said)):
        return ""
    return f"there is no room left for {path}: make some, or give it a larger volume"


def read_only(said: str, path: Path) -> str:
    """As ``no_room``, for a volume of this machine that cannot be written."""
    if not sentences.READ_ONLY.search(_our_own(said)):
        return ""
    return f"{path} is on a volume that is read-only: mount it so that it can be written"


def meaning(answer: Answer, to: To) -> Meaning | None:
    """What a failure means, or None when its words are not known."""
    if answer.ended_after:
        return Meaning(StoreError(_fill(sentences.ENDED, answer, to)), settled=False)
    status, headers = last_response(answer.trace)
    retry_after = headers.get("retry-after", "")
    if status == 429 or (status in (403, 503) and retry_after):
        wait = Wait(status, retry_after)
        return Meaning(RateLimitedError(f"{to.the} asks to be left alone"), wait=wait)
    if 300 <= status < 400:
        there = redacted(headers.get("location", "").partition("?")[0].removesuffix("/info/refs"))
        named = f" now: {there}" if re.fullmatch(r"https://[\x21-\x7e]{1,200}", there) else " now"
        return Meaning(NoRepositoryError(_fill(sentences.MOVED, answer, to, there=named)))
    now = {sentences.WRITING if answer.branch else sentences.READING}
    now |= {sentences.FILE if to.url.scheme == "file" else "" if to.secret else sentences.ANONYMOUS}
    for index, row in enumerate(sentences.TABLE):
        found = row.pattern.search(answer.said) if not row.only or row.only in now else None
        if found is not None:
            sentence = _fill(row.sentence, answer, to, found)
            return Meaning(row.error(sentence), settled=row.settled, row=index)
    return None


def quiet(to: To, wait: Wait, until: datetime) -> RateLimitedError:
    """The error for as long as a remote is left alone."""
    moment = f"{until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return RateLimitedError(sentences.QUIET.format(the=to.the, status=wait.status, until=moment))


def last_response(trace: str) -> tuple[int, Mapping[str, str]]:
    """The last HTTP status in curl's trace and its headers (lower-case names); 0 when there was none."""
    status = 0
    headers: dict[str, str] = {}
    for line in _RECEIVED.findall(trace):
        if first := _STATUS.match(line):
            status, headers = int(first[1]), {}
        else:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
    return status, headers


def _fill(sentence: str, answer: Answer, to: To, found: re.Match[str] | None = None, **more: str) -> str:
    given = found.groupdict("") if found is not None else {}
    given = {name: _short(value) for name, value in given.items()}
    return sentence.format(
        **{
            **given,
            "the": to.the,
            "host": to.url.host,
            "secret": to.secret or "the Secret that spec.state.git.secretRef names",
            "them": _them(to),
            "branch": answer.branch,
            "silence": to.silence,
            "ended_after": answer.ended_after,
            "words": _words(answer.said, found),
            **more,
        }
    )


def _them(to: To) -> str:
    if to.url.scheme == "file":
        return "this program"
    thing = "the key" if to.url.scheme == "ssh" else "the credentials"
    return f"{thing} of {to.secret}" if to.secret else "anybody without credentials"


def _our_own(said: str) -> str:
    return "\n".join(line for line in said.splitlines() if not line.startswith("remote:"))


def _words(said: str, found: re.Match[str] | None) -> str:
    """The other side's own words if there are any, else the line by which the failure was known."""
    theirs = [
        line.partition(":")[2].strip().removeprefix("error:").removeprefix("fatal:").strip(" =*-.\t")
        for line in said.splitlines()
        if line.startswith(("remote:", "ERROR:"))
    ]
    words = next((line for line in theirs if line), "")
    if not words and found is not None:
        start = said.rfind("\n", 0, found.start()) + 1
        line = said[start:].partition("\n")[0]
        # git's own line names the repository once more, before what is new.
        words = line.rpartition("': ")[2].removeprefix("fatal:").removeprefix("error:").strip(" .")
    return _short(words)


def _short(words: str) -> str:
    """Somebody else's words, fit for a sentence of ours."""
    words = "".join(letter if letter.isprintable() else "\ufffd" for letter in words.strip())
    return words if len(words) <= _LONGEST_WORDS else words[: _LONGEST_WORDS - 1] + "…"
