"""Whether a text has a secret in it, in any of the forms in which servers echo what they were sent.

An API that refuses a request may quote its headers: as they came, escaped for JSON, HTML or a URL, in
hexadecimal, or in base64 of any stretch around them. Whoever reads a message must not find the token in it.
"""

import base64
import html
import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_plus

LEAST = 4
"""Characters of a secret that is looked for: a shorter one would be found in every sentence."""

_ROUNDS = 3  # escapes within escapes: JSON in a URL in JSON
_UNICODE = re.compile(r"\\+u([0-9A-Fa-f]{4})")
_HEX = re.compile(r"\\+x([0-9A-Fa-f]{2})")


def has_echo(text: str, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets is in the text."""
    plain = _plain_forms(text)
    return any(_is_in(plain, secret) for secret in secrets if len(secret) >= LEAST)


def forms_of(token: str) -> tuple[str, ...]:
    """A token, and what it holds where it is itself ``user:password`` in base64, as Basic has it."""
    try:
        decoded = base64.b64decode(token, validate=True).decode()
    except ValueError:  # no base64, or no text in it
        return (token,)
    return (token, *([decoded, decoded.partition(":")[2]] if ":" in decoded else []))


def _is_in(texts: set[str], secret: str) -> bool:
    needles = {secret, secret.encode().hex(), *_within_base64(secret)}
    needles |= {_bare(needle) for needle in needles}
    folded = {needle.casefold() for needle in needles}
    return any(needle in text for text in texts for needle in folded)


def _plain_forms(text: str) -> set[str]:
    """The text, and what it says when its escapes are taken off. Case is folded: headers may be."""
    found = {text}
    for _ in range(_ROUNDS):
        for one in tuple(found):
            unescaped = _HEX.sub(_character, _UNICODE.sub(_character, one))
            found |= {unquote(one), unquote_plus(one), html.unescape(one), unescaped}
    return {one.casefold() for one in found} | {_bare(one).casefold() for one in found}


def _bare(text: str) -> str:
    """Without the backslashes of escapes, and the white space of lines that are broken."""
    return "".join(text.replace("\\", "").split())


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _within_base64(secret: str) -> set[str]:
    """What base64 of any text with the secret in it has, wherever in the text it begins.

    The characters that also depend on what stands before and after are left out.
    """
    found = set()
    for before in range(3):
        data = b"\0" * before + secret.encode()
        encoded = base64.b64encode(data).decode().rstrip("=")
        whole = encoded[(before * 8 + 5) // 6 : len(data) * 8 // 6]
        if len(whole) >= LEAST:
            found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return found
