"""What a Secret's data is for a URL, and what is said when it is not enough or too much."""

import base64
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from reconciler.errors import CredentialsError
from reconciler.state.git.network.credentials import Credentials, credentials_of
from reconciler.state.git.network.url import checked_url

WHERE = "the Secret hossted-system/git"
HTTPS = checked_url("https://git.example/state.git")
SSH = checked_url("ssh://git@git.example/state.git")
PASSPHRASE = b"canary-passphrase"

_ED = ed25519.Ed25519PrivateKey.generate()
_RSA = rsa.generate_private_key(65537, 2048)
_EC = ec.generate_private_key(ec.SECP256R1())
_OPENSSH, _PKCS8, _PKCS1 = (
    serialization.PrivateFormat.OpenSSH,
    serialization.PrivateFormat.PKCS8,
    serialization.PrivateFormat.TraditionalOpenSSL,
)


def pem(
    key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    form: serialization.PrivateFormat,
    passphrase: bytes = b"",
) -> bytes:
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, how)


KEY = pem(_ED, _OPENSSH)
KNOWN = b"git.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n"
AUTHORITY = b"""-----BEGIN CERTIFICATE-----
MIIBUTCB+aADAgECAhQLyGHV6eCKlTLbP1fLxCBEm7wjFTAKBggqhkjOPQQDAjAQ
-----END CERTIFICATE-----
"""


def of(data: Mapping[str, bytes], url: str = "https") -> Credentials:
    return credentials_of(data, SSH if url == "ssh" else HTTPS, WHERE)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("data", "header"),
    [
        ({}, ""),
        ({"username": b"jo", "password": b"hunter2"}, basic("jo", "hunter2")),
        ({"username": b"jo\n", "password": b"hunter2\r\n"}, basic("jo", "hunter2")),
        ({"username": b"jo", "password": b"a:b c"}, basic("jo", "a:b c")),
        ({"username": "jö".encode(), "password": "pässword".encode()}, basic("jö", "pässword")),
        ({"password": b"ghp_token"}, basic("git", "ghp_token")),
        ({"bearerToken": b"abc.def\n"}, "Bearer abc.def"),
        ({"username": b"jo", "bearerToken": b"abc.def"}, "Bearer abc.def"),
        ({"username": b"jo", "password": b"hunter2", "url": b"\xff", "type": b"git", "project": b"x"},
         basic("jo", "hunter2")),
        ({"username": b"jo", "password": b"hunter2", "identity": KEY}, basic("jo", "hunter2")),
    ],
)  # fmt: skip
def test_https_has_the_header_that_the_secret_gives(data: Mapping[str, bytes], header: str) -> None:
    assert of(data).authorization == header


@pytest.mark.parametrize("key", ["identity", "sshPrivateKey"])
def test_ssh_has_the_key_of_flux_and_of_argo_cd(key: str) -> None:
    found = of({key: KEY, "known_hosts": KNOWN, "identity.pub": b"ssh-ed25519 AAAA"}, "ssh")
    assert found.key == KEY.decode()
    assert found.known_hosts == KNOWN.decode()
    assert found.user == "git"
    assert found.authorization == ""


@pytest.mark.parametrize(
    ("url", "data", "user"),
    [
        ("ssh://jo@git.example/x", {"username": b"other"}, "jo"),
        ("ssh://git.example/x", {"username": b"other\n"}, "other"),
        ("ssh://git.example/x", {}, "git"),
    ],
)
def test_the_user_of_ssh_is_the_urls_or_the_secrets_or_git(
    url: str, data: Mapping[str, bytes], user: str
) -> None:
    found = credentials_of({"identity": KEY, "known_hosts": KNOWN, **data}, checked_url(url), WHERE)
    assert found.user == user


@pytest.mark.parametrize(
    "mangled",
    [KEY.rstrip(b"\n"), KEY.replace(b"\n", b"\r\n"), b"\n\n" + KEY, KEY.replace(b"\n", b"  \n")],
    ids=["no last line end", "Windows", "empty lines before", "spaces"],
)
def test_a_key_that_an_editor_changed_is_put_right(mangled: bytes) -> None:
    assert of({"identity": mangled, "known_hosts": KNOWN}, "ssh").key == KEY.decode()


@pytest.mark.parametrize(
    ("plain", "protected"),
    [
        (_ED, pem(_ED, _OPENSSH, PASSPHRASE)),
        (_RSA, pem(_RSA, _PKCS8, PASSPHRASE)),
        (_RSA, pem(_RSA, _PKCS1, PASSPHRASE)),
        (_EC, pem(_EC, _OPENSSH, PASSPHRASE)),
    ],
    ids=["ed25519", "RSA in PKCS 8", "RSA in PKCS 1", "ECDSA"],
)
def test_a_key_with_a_passphrase_is_decrypted_with_the_password(
    plain: ed25519.Ed25519PrivateKey, protected: bytes
) -> None:
    data = {"identity": protected, "known_hosts": KNOWN, "password": PASSPHRASE + b"\n"}
    loaded = serialization.load_ssh_private_key(of(data, "ssh").key.encode(), None)
    assert loaded.public_key() == plain.public_key()
    for wrong, says in ((b"no", "cannot be decrypted with the key password"), (b"", "is protected by a")):
        with pytest.raises(CredentialsError, match=f"the key identity of {WHERE} {says}"):
            of({**data, "password": wrong}, "ssh")


@pytest.mark.parametrize(
    ("url", "data", "says"),
    [
        ("ssh", {}, "has no key, and the URL is ssh://: add the private key under the key identity"),
        ("ssh", {"username": b"jo", "password": b"hunter2"}, "has a password, and the URL is ssh://: add"),
        ("ssh", {"identity": KEY}, "has no known_hosts: add the host's line under that key, as `ssh"),
        ("ssh", {"identity": KEY, "known_hosts": b"# hunter2\n\n"}, "has no known_hosts"),
        ("ssh", {"identity": KEY, "sshPrivateKey": pem(_EC, _OPENSSH)}, "has identity and sshPrivateKey"),
        ("ssh", {"identity": b"hunter2", "known_hosts": KNOWN}, "is no private key: give one as `ssh"),
        ("ssh", {"sshPrivateKey": KEY[:-60], "known_hosts": KNOWN}, "the key sshPrivateKey of"),
        ("ssh", {"identity": b"\xff\xfe", "known_hosts": KNOWN}, "is no text: encode it once, not twice"),
        ("ssh", {"identity": b"a\0b", "known_hosts": KNOWN}, "is no text"),
        ("https", {"identity": KEY, "known_hosts": KNOWN}, "has an ssh key, and the URL is https://: add"),
        ("https", {"username": b"jo"}, "has a username without a password: add the key password"),
        ("https", {"password": b"hunter2", "bearerToken": b"hunter3"}, "has password and bearerToken, which"),
        ("https", {"username": b"a:b", "password": b"hunter2"}, "the key username of .* has a colon"),
        ("https", {"username": b"jo", "password": b"hunter2\nX-Evil: 1"}, "the key password of .* has line"),
        ("https", {"bearerToken": b"hunter2 x"}, "the key bearerToken of .* has characters that no HTTP"),
        ("https", {"bearerToken": "hünter2".encode()}, "the key bearerToken of .* has characters"),
        ("https", {"password": b"\xff"}, "the key password of .* is no text"),
        ("https", {"ca.crt": b"hunter2"}, "the key ca.crt of .* holds no certificate in PEM"),
        ("https", {"ca.crt": AUTHORITY}, "the key ca.crt of .* holds no certificate in PEM"),
        ("https", {"caFile": b"hunter2"}, "holds no certificate in PEM"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_said_in_one_sentence_that_shows_nothing(
    url: str, data: Mapping[str, bytes], says: str
) -> None:
    with pytest.raises(CredentialsError, match=says) as refusal:
        of(data, url)
    text = str(refusal.value)
    assert WHERE in text
    assert "\n" not in text
    assert "hunter" not in text
    assert refusal.value.__cause__ is None
    assert refusal.value.reason == "CredentialsRefused"


def test_credentials_are_not_shown() -> None:
    data = {"username": b"jo", "password": b"canary-password"}
    found = of(data)
    assert repr(found) == f"Credentials({WHERE!r}: authorization)" == str(found)
    key = of(
        {"identity": pem(_ED, _OPENSSH, PASSPHRASE), "known_hosts": KNOWN, "password": PASSPHRASE}, "ssh"
    )
    assert repr(key) == f"Credentials({WHERE!r}: key, known_hosts)"


def test_what_is_secret_is_taken_out_of_texts() -> None:
    found = of({"username": b"jo", "password": b"canary-password"})
    header = found.authorization.removeprefix("Basic ")
    text = f"remote: you sent jo with canary-password as {header}"
    assert found.scrub(text) == "remote: you sent jo with [hidden] as [hidden]"
    assert of({"bearerToken": b"canary-token"}).scrub("canary-token!") == "[hidden]!"
    key = of(
        {"identity": pem(_ED, _OPENSSH, PASSPHRASE), "known_hosts": KNOWN, "password": PASSPHRASE}, "ssh"
    )
    for line in [*key.key.splitlines()[1:-1], PASSPHRASE.decode()]:
        assert line not in key.scrub(f"said {line}.")


@pytest.mark.parametrize("short", [b"a", b"git"])
def test_a_secret_too_short_to_be_one_does_not_hide_every_sentence(short: bytes) -> None:
    assert of({"username": b"jo", "password": short}).scrub("a git repository") == "a git repository"
