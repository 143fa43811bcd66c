"""Who may sign: OpenSSH's ``allowed_signers`` files, read as ssh-keygen(1) describes them. Pure.

    jane@example.org,*@ops.example.org namespaces="git",valid-before="20270101Z" ssh-ed25519 AAAA… comment

A signature counts when one line has its key, and allows the signer's e-mail address, the purpose and the
moment. Certificates are refused.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import msgspec

from reconciler.errors import UsageError
from reconciler.model import rfc3339
from reconciler.state.signing.signature import NAMESPACE, KeyUnusableError, PublicKey, parse_public_key

_MOMENTS: Final = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_OPTION = re.compile(r'(?P<name>[A-Za-z-]+)(?:="(?P<value>(?:[^"\\]|\\.)*)")?(?:,|$)')
_WORD = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"])+')


class Signer(msgspec.Struct, frozen=True):
    """One line. ``namespaces``: empty for every purpose; the moments: None where there is no limit."""

    principals: str
    key: PublicKey
    namespaces: str = ""
    valid_after: datetime | None = None
    valid_before: datetime | None = None


class Signers(msgspec.Struct, frozen=True):
    """Those who may sign, and where that is said."""

    who: tuple[Signer, ...]
    source: str

    def objection(self, key: PublicKey, email: str, at: datetime) -> str:
        """Why a signature with this key, by this person, at this moment does not count; "" when it does.

        A clause that follows "the signature": ``is made with …``.
        """
        what = f"is made with {key.kind} {key.fingerprint}"
        own = [one for one in self.who if one.key == key]
        if not own:
            return f"{what}, a key that {self.source} does not have"
        objections = [_objection(one, email, at, self.source) for one in own]
        return "" if "" in objections else f"{what}, {objections[0]}"


def parse_allowed_signers(text: str, source: str) -> Signers:
    """The lines of a file; ``source`` names it. UsageError for a line that cannot be understood."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if words and not words.startswith("#"):
            try:
                found.append(_signer(words))
            except ValueError as error:
                raise UsageError(f"{source}, line {number}: {error}") from error
    if not found:
        raise UsageError(f"{source} names nobody: write a line as `hossted-reconciler signers` prints it")
    return Signers(tuple(found), source)


def signers_line(email: str, key: PublicKey) -> str:
    """The line that allows this key to sign commits by that address."""
    return f'{email} namespaces="{NAMESPACE}" {key.text}'


@lru_cache(maxsize=256)
def matches(patterns: str, text: str) -> bool:
    """Whether a list of patterns (``*``, ``?``, ``!`` to exclude; commas between) has the text."""
    found = False
    for pattern in patterns.split(","):
        wanted = pattern.removeprefix("!")
        parts = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in wanted)
        if re.fullmatch("".join(parts), text, re.DOTALL):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _objection(signer: Signer, email: str, at: datetime, source: str) -> str:
    if signer.namespaces and not matches(signer.namespaces, NAMESPACE):
        return f"which {source} allows for {signer.namespaces!r}, not for {NAMESPACE!r}"
    if not matches(signer.principals, email):
        return f"which {source} allows to {signer.principals}, and the committer is {email}"
    if signer.valid_after is not None and at < signer.valid_after:
        return f"which {source} allows from {rfc3339(signer.valid_after)} on, and this is of {rfc3339(at)}"
    if signer.valid_before is not None and at > signer.valid_before:
        return f"which {source} allows until {rfc3339(signer.valid_before)}, and this is of {rfc3339(at)}"
    return ""


def _signer(line: str) -> Signer:
    """ValueError, with a sentence, for a line that is none."""
    words = _WORD.findall(line)
    if len(words) < 3:
        raise ValueError("write a principal, options if any, and a public key")
    principals = words[0].strip('"')
    options: dict[str, str] = {}
    rest = words[1:]
    if not _is_kind(rest[0]):
        options = _options(rest[0])
        rest = rest[1:]
    try:
        key = parse_public_key(" ".join(rest[:2]))
    except KeyUnusableError as error:
        raise ValueError(f"the key of {principals} {error}") from error
    return Signer(
        principals=principals,
        key=key,
        namespaces=options.get("namespaces", ""),
        valid_after=_moment(options.get("valid-after")),
        valid_before=_moment(options.get("valid-before")),
    )


def _is_kind(word: str) -> bool:
    return re.match(r"(ssh|ecdsa|sk-ssh|sk-ecdsa|rsa)-[a-z0-9@.-]+$", word) is not None


def _options(text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    while position < len(text):
        found = _OPTION.match(text, position)
        if found is None:
            raise ValueError(f'the options {text} are not of the form NAME="VALUE",…')
        name, value = found["name"].lower(), found["value"]
        if name == "cert-authority":
            raise ValueError("certificates (cert-authority) cannot be judged: name the keys themselves")
        if name not in ("namespaces", "valid-after", "valid-before"):
            raise ValueError(f"the option {name} is not known")
        if value is None:
            raise ValueError(f'the option {name} has no value: write {name}="…"')
        if name in options:
            raise ValueError(f"the option {name} is there twice")
        options[name] = value
        position = found.end()
    return options


def _moment(text: str | None) -> datetime | None:
    """``YYYYMMDD[HHMM[SS]]`` and ``Z``; without ``Z`` in this machine's time zone, as OpenSSH has it."""
    if text is None:
        return None
    digits = text.removesuffix("Z")
    # A form that never fits, where the length is that of none: strptime takes fewer digits than two.
    form = _MOMENTS.get(len(digits), "")
    try:
        found = datetime.strptime(digits, form)  # noqa: DTZ007 - the zone is decided just below
    except ValueError as error:
        raise ValueError(f"{text!r} is no moment: write YYYYMMDD or YYYYMMDDHHMM, and Z for UTC") from error
    return found.replace(tzinfo=UTC) if text.endswith("Z") else found.astimezone(UTC)


def of_key(key: PublicKey, source: str, principals: Iterable[str] = ("*",)) -> Signers:
    """Only this key may sign, whatever the address."""
    return Signers((Signer(",".join(principals), key, NAMESPACE),), source)
