"""What a server echoes of a request must not be quoted, in whatever form it comes."""

import base64
import html
import json
import string
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.echo import forms_of, has_echo

TOKEN = 'eyJ-t0ken_/+="that\\nobody<may>&see~'

FORMS = {
    "as it is": TOKEN,
    "in the header": f"Authorization: Bearer {TOKEN}",
    "in capitals": TOKEN.upper(),
    "in JSON": json.dumps({"got": TOKEN}),
    "in JSON in JSON": json.dumps(json.dumps({"got": TOKEN})),
    "in JSON, all of it escaped": "".join(f"\\u{ord(c):04x}" for c in TOKEN),
    "in JSON, with more backslashes": TOKEN.replace("/", "\\/").replace("-", "\\-"),
    "in a log's escapes": "".join(f"\\x{ord(c):02x}" for c in TOKEN),
    "in a URL": quote(TOKEN, safe=""),
    "in a URL, in lower case": quote(TOKEN, safe="").lower(),
    "in a URL in a URL": quote(quote(TOKEN, safe=""), safe=""),
    "in HTML": html.escape(TOKEN),
    "in HTML, all of it escaped": "".join(f"&#{ord(c)};" for c in TOKEN),
    "in hexadecimal": TOKEN.encode().hex(),
    "in base64": base64.b64encode(TOKEN.encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(TOKEN.encode()).decode().rstrip("="),
    "the header in base64": base64.b64encode(f"Authorization: Bearer {TOKEN}\r\n".encode()).decode(),
    "broken over lines": "\n".join(TOKEN[n : n + 8] for n in range(0, len(TOKEN), 8)),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_token_is_found(form: str) -> None:
    assert has_echo(f"the request had {FORMS[form]} in it", [TOKEN])


@pytest.mark.parametrize("text", ["", "no such cluster", "the token is wrong", '{"error": "Bearer"}'])
def test_nothing_is_found_where_there_is_nothing(text: str) -> None:
    assert not has_echo(text, [TOKEN])


def test_what_is_too_short_to_be_a_secret_is_in_every_sentence() -> None:
    assert not has_echo("the token is wrong", ["", "t", "the"])


@given(
    secret=st.text(string.ascii_letters + string.digits + "-._~+/=", min_size=8, max_size=60),
    before=st.binary(max_size=40),
    after=st.binary(max_size=40),
)
def test_base64_of_whatever_a_secret_is_in_has_it(secret: str, before: bytes, after: bytes) -> None:
    whole = before + secret.encode() + after
    assert has_echo(base64.b64encode(whole).decode(), [secret])
    assert has_echo(base64.urlsafe_b64encode(whole).decode(), [secret])


@pytest.mark.parametrize(
    ("token", "forms"),
    [
        ("abc", ("abc",)),
        ("am86c2VjcmV0", ("am86c2VjcmV0", "jo:secret", "secret")),
        ("YWJjZA==", ("YWJjZA==",)),
    ],
    ids=["no base64", "user and password", "base64 of something else"],
)
def test_a_basic_token_hides_a_password(token: str, forms: tuple[str, ...]) -> None:
    assert forms_of(token) == forms
