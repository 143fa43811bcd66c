"""SSH signatures and allowed_signers, without any program: what is taken, and what is refused why."""

import base64
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import UsageError
from reconciler.state.signing.allowed_signers import (
    Signers,
    matches,
    of_key,
    parse_allowed_signers,
    signers_line,
)
from reconciler.state.signing.signature import (
    KeyUnusableError,
    SignatureWrongError,
    SigningKey,
    load_signing_key,
    parse_public_key,
    verify,
)

KEYS = {
    "ed25519": SigningKey(Ed25519PrivateKey.generate()),
    "nistp256": SigningKey(ec.generate_private_key(ec.SECP256R1())),
    "nistp384": SigningKey(ec.generate_private_key(ec.SECP384R1())),
    "nistp521": SigningKey(ec.generate_private_key(ec.SECP521R1())),
    "rsa": SigningKey(rsa.generate_private_key(65537, 2048)),
}
KEY, OTHER = KEYS["ed25519"], KEYS["nistp256"]
TEXT = b"tree 0\n\nA text\n"
SIGNATURES = {kind: key.sign(TEXT) for kind, key in KEYS.items()}
AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
JANE = "jane@example.org"


def body(armored: str) -> bytes:
    return base64.b64decode("".join(armored.split("\n")[1:-2]))


def armored(content: bytes) -> str:
    text = base64.b64encode(content).decode()
    lines = [text[start : start + 70] for start in range(0, len(text), 70)]
    return "\n".join(("-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----")) + "\n"


@given(st.binary(max_size=200), st.sampled_from(sorted(KEYS)))
def test_every_text_is_signed_so_that_it_verifies(text: bytes, kind: str) -> None:
    assert verify(KEYS[kind].sign(text), text) == KEYS[kind].public


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_no_bit_of_a_signature_can_be_changed(kind: str) -> None:
    good = body(SIGNATURES[kind])
    for bit in range(len(good) * 8):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureWrongError):
            verify(armored(bytes(content)), TEXT)


@given(st.text(max_size=300) | st.binary(max_size=300).map(armored))
def test_what_is_no_signature_is_refused_with_a_phrase(text: str) -> None:
    with pytest.raises(SignatureWrongError, match=r"^(is|does) "):
        verify(text, TEXT)


def test_a_signature_is_for_one_text_and_one_purpose() -> None:
    with pytest.raises(SignatureWrongError, match="does not fit the text"):
        verify(KEY.sign(TEXT), TEXT + b"\n")
    with pytest.raises(SignatureWrongError, match="is for 'file', not for 'git'"):
        verify(KEY.sign(TEXT, "file"), TEXT)
    assert verify(KEY.sign(TEXT, "file"), TEXT, "file") == KEY.public


def test_a_signature_of_another_kind_says_which() -> None:
    pgp = "-----BEGIN PGP SIGNATURE-----\n\niQ\n-----END PGP SIGNATURE-----\n"
    with pytest.raises(SignatureWrongError, match="is made with PGP, not with an SSH key"):
        verify(pgp, TEXT)


def test_the_armor_is_as_ssh_keygen_writes_it() -> None:
    first, *lines, last, end = KEYS["rsa"].sign(TEXT).split("\n")
    assert (first, last, end) == ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----", "")
    assert {len(line) for line in lines[:-1]} == {70}


def test_a_key_shows_nothing_of_itself() -> None:
    assert repr(KEY) == f"SigningKey({KEY.public.fingerprint})"
    assert KEY.public.fingerprint.startswith("SHA256:")


@pytest.mark.parametrize(
    "form", [PrivateFormat.OpenSSH, PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_a_private_key_is_read_in_every_form_that_it_has(form: PrivateFormat, end: str) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    text = private.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    given_ = text.rstrip("\n").replace("\n", end or "\n") + end
    assert load_signing_key(given_.encode()).public == SigningKey(private).public
    assert load_signing_key(given_.encode(), b"not needed").public == SigningKey(private).public


PUBLIC = {
    "with a comment": (f"{KEY.public.text} jane@laptop\n", ""),
    "without one": (KEY.public.text, ""),
    "of another kind than it says": (f"ssh-rsa {KEY.public.text.split()[1]}", "is not a public key"),
    "cut short": (KEY.public.text[:-8], "is not"),
    "no base64": ("ssh-ed25519 !!!", "is not a public key"),
    "nothing": ("", "is not a public key"),
    "of a security token": ("sk-ssh-ed25519@openssh.com AAAA", "lives in a security token"),
}


@pytest.mark.parametrize("case", PUBLIC)
def test_a_public_key_is_read_or_refused(case: str) -> None:
    text, why = PUBLIC[case]
    if why:
        with pytest.raises(KeyUnusableError, match=why):
            parse_public_key(text)
    else:
        assert parse_public_key(text) == KEY.public


# Who may sign


def signers(text: str) -> Signers:
    return parse_allowed_signers(text, "allowed")


LINES = {
    "the line that is printed": (signers_line(JANE, KEY.public), ""),
    "several principals": (f"joe@example.org,{JANE} {KEY.public.text}", ""),
    "a glob": (f"*@example.org {KEY.public.text} a comment", ""),
    "quoted": (f'"{JANE}" {KEY.public.text}', ""),
    "for another": (
        f"joe@example.org {KEY.public.text}",
        "allows to joe@example.org, and the committer is jane@",
    ),
    "excluded": (f"*@example.org,!jane@* {KEY.public.text}", "and the committer is jane@"),
    "of another key": (f"{JANE} {OTHER.public.text}", "a key that allowed does not have"),
    "for another purpose": (
        f'{JANE} namespaces="file" {KEY.public.text}',
        "allows for 'file', not for 'git'",
    ),
    "for this purpose, too": (f'{JANE} namespaces="file,git" {KEY.public.text}', ""),
    "valid": (f'{JANE} valid-after="20260101",valid-before="20270101" {KEY.public.text}', ""),
    "options in capitals": (f'{JANE} NameSpaces="git",VALID-AFTER="20260101Z" {KEY.public.text}', ""),
    "no longer": (
        f'{JANE} valid-before="202611211159Z" {KEY.public.text}',
        "allows until 2026-11-21T11:59:00Z",
    ),
    "to the last second": (f'{JANE} valid-before="20261121120000Z" {KEY.public.text}', ""),
    "not yet": (
        f'{JANE} valid-after="202611211201Z" {KEY.public.text}',
        "allows from 2026-11-21T12:01:00Z on",
    ),
    "one line of two": (f"joe@example.org {KEY.public.text}\n# no\n\n{JANE} {KEY.public.text}", ""),
}


@pytest.mark.parametrize("case", LINES)
def test_a_signature_counts_as_the_lines_allow_it(case: str) -> None:
    text, why = LINES[case]
    objection = signers(text).objection(KEY.public, JANE, AT)
    assert why in objection
    assert (objection == "") == (why == "")


WRONG = {
    f"{JANE} cert-authority {KEY.public.text}": "certificates (cert-authority) cannot be judged",
    f"{JANE} no-touch-required {KEY.public.text}": "the option no-touch-required is not known",
    f'{JANE} valid-after="soon" {KEY.public.text}': "'soon' is no moment",
    f'{JANE} valid-after="20261340" {KEY.public.text}': "'20261340' is no moment",
    f"{JANE} namespaces {KEY.public.text}": "the option namespaces has no value",
    f'{JANE} namespaces="git",namespaces="git" {KEY.public.text}': "the option namespaces is there twice",
    f"{JANE} ssh-ed25519 AAAA": f"the key of {JANE} is not a public key",
    f"{JANE} sk-ssh-ed25519@openssh.com AAAA": f"the key of {JANE} lives in a security token",
    JANE: "write a principal, options if any, and a public key",
    "# nobody\n": "names nobody",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_line_that_cannot_be_understood_is_named(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        signers(f"# a comment\n{line}")
    assert WRONG[line] in str(caught.value)
    assert str(caught.value).startswith(
        "allowed names nobody" if line.startswith("#") else "allowed, line 2: "
    )


def test_a_key_alone_may_sign_by_whatever_address() -> None:
    allowed = of_key(KEY.public, "the status")
    assert allowed.objection(KEY.public, "anybody@example.org", AT) == ""
    assert "which" not in allowed.objection(OTHER.public, JANE, AT)
    assert "a key that the status does not have" in allowed.objection(OTHER.public, JANE, AT)


@pytest.mark.parametrize(
    ("patterns", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("?", "a", True),
        ("a*", "abc", True),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a.c", "abc", False),
        ("!a,*", "a", False),
        ("*,!a", "b", True),
        ("!a", "b", False),
    ],
)
def test_patterns_are_those_of_openssh(patterns: str, text: str, expected: bool) -> None:
    assert matches(patterns, text) is expected
