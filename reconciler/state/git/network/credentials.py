"""What a Secret says of who we are to a remote, and whom we trust there. Pure.

The keys are those of Flux' and Argo CD's repository Secrets, so that one that exists already works::

    username, password, bearerToken, ca.crt (or caFile)                 for https
    identity (or sshPrivateKey), known_hosts, username, password        for ssh

For ssh ``password`` is the key's passphrase. All other keys are left alone. The library that knows keys and
certificates is imported when there is one: most commands do without.
"""

import base64
from collections.abc import Mapping

import msgspec

from reconciler.errors import CredentialsError
from reconciler.state.git.network.url import SSH_USER, RemoteUrl, is_user

BASIC_USER = "git"
"""The user's name beside a token that comes without one: forges look at the token alone."""

_LEAST_HIDDEN = 4  # characters: a shorter secret would hide half of every sentence


class Credentials(msgspec.Struct, frozen=True):
    """What one scheme needs; what it does not need is "".

    ``authorization``: the value of HTTP's header. ``authority``: PEM certificates. ``key``: a private key
    without a passphrase, as ssh reads it. ``known_hosts``: ssh's lines. ``user``: for ssh. ``where``: the
    Secret, for people. ``hidden``: what no text may show.
    """

    where: str = ""
    authorization: str = ""
    authority: str = ""
    key: str = ""
    known_hosts: str = ""
    user: str = ""
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        has = [name for name in ("authorization", "authority", "key", "known_hosts") if getattr(self, name)]
        return f"Credentials({self.where!r}: {', '.join(has) or 'nothing'})"

    __str__ = __repr__

    def scrub(self, text: str) -> str:
        """The text without anything of ours that is secret."""
        for secret in sorted(self.hidden, key=len, reverse=True):
            text = text.replace(secret, "[hidden]")
        return text


def credentials_of(data: Mapping[str, bytes], url: RemoteUrl, where: str) -> Credentials:
    """What a Secret's data is for a URL; CredentialsError, one sentence, when it is not enough or too much.

    ``where``: what the sentence calls it, ``the Secret hossted-system/git``.
    """
    found = _Data(data, where)
    return _for_ssh(found, url) if url.scheme == "ssh" else _for_https(found)


def _for_https(found: "_Data") -> Credentials:
    authority = found.text("ca.crt") or found.text("caFile")
    if authority:
        from cryptography import x509  # noqa: PLC0415 - see the module's docstring

        try:
            x509.load_pem_x509_certificates(authority.encode())
        except ValueError:
            raise found.wrong("ca.crt", "holds no certificate in PEM: give the authority's") from None
    user, password, token = found.line("username"), found.line("password"), found.line("bearerToken")
    if password and token:
        raise found.contradiction("password", "bearerToken")
    if user and not (password or token):
        raise found.problem("has a username without a password: add the key password, or bearerToken")
    if ":" in user:
        raise found.wrong("username", "has a colon, which HTTP cannot carry: give the name alone")
    if found.key() and not (password or token):
        raise found.problem(
            "has an ssh key, and the URL is https://: add username and password (or bearerToken),"
            " or write the URL as ssh://"
        )
    if token and not (token.isascii() and " " not in token):
        raise found.wrong("bearerToken", "has characters that no HTTP header can carry: give the token alone")
    basic = base64.b64encode(f"{user or BASIC_USER}:{password}".encode()).decode() if password else ""
    return Credentials(
        where=found.where,
        authorization=f"Basic {basic}" if basic else f"Bearer {token}" if token else "",
        authority=authority,
        hidden=_hidden(password, token, basic),
    )


def _for_ssh(found: "_Data", url: RemoteUrl) -> Credentials:
    name, key = found.key()[:1], found.key()[1:]
    if not key:
        has = "a password" if found.line("password") or found.line("bearerToken") else "no key"
        raise found.problem(f"has {has}, and the URL is ssh://: add the private key under the key identity")
    known_hosts = found.text("known_hosts")
    if not any(line.strip() and not line.lstrip().startswith("#") for line in known_hosts.splitlines()):
        raise found.problem(
            f"has no known_hosts: add the host's line under that key, as `ssh-keyscan {url.host}` prints it,"
            " once it is sure that it is the host's"
        )
    user = url.user or found.line("username") or SSH_USER
    if not is_user(user):
        raise found.wrong("username", "cannot be the name of an ssh user: give the name alone")
    passphrase = found.line("password")
    plain = _plain_key(found, name[0], key[0], passphrase)
    lines = [line for text in (key[0], plain) for line in text.splitlines() if "-----" not in line]
    return Credentials(
        where=found.where,
        key=plain,
        known_hosts="\n".join(known_hosts.splitlines()) + "\n",
        user=user,
        hidden=_hidden(passphrase, *(line.strip() for line in lines if len(line) >= 16)),
    )


def _plain_key(found: "_Data", name: str, key: str, passphrase: str) -> str:
    """The private key as ssh reads it without asking: decrypted, with plain line ends."""
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - see the module's docstring
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    text = "\n".join(line.strip() for line in key.strip().splitlines()) + "\n"
    load = (
        serialization.load_ssh_private_key
        if "BEGIN OPENSSH PRIVATE KEY" in text
        else serialization.load_pem_private_key
    )
    try:
        load(text.encode(), None)
    except UnsupportedAlgorithm:
        return text  # a kind that only ssh knows
    except TypeError:
        pass  # it wants a passphrase
    except ValueError:
        # Without its cause, here and below: a library's words on a key may hold some of it.
        raise found.wrong(name, "is no private key: give one as `ssh-keygen` writes it") from None
    else:
        return text
    if not passphrase:
        raise found.wrong(name, "is protected by a passphrase: add that under the key password")
    try:
        loaded = load(text.encode(), passphrase.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise found.wrong(name, "cannot be decrypted with the key password: give its passphrase") from None
    return loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


class _Data:
    """A Secret's data, with sentences about it."""

    def __init__(self, data: Mapping[str, bytes], where: str) -> None:
        self._data = data
        self.where = where

    def text(self, key: str) -> str:
        """The value as text, "" when there is none."""
        # Not by an exception, which would hold the bytes.
        text = self._data.get(key, b"").decode(errors="surrogateescape")
        if "\0" in text or any("\udc80" <= letter <= "\udcff" for letter in text):
            raise self.wrong(key, "is no text: encode it once, not twice")
        return text if text.strip() else ""

    def line(self, key: str) -> str:
        """A value on one line; line ends after it, as ``echo`` and editors leave them, do not count."""
        text = self.text(key).rstrip("\r\n")
        if not text.isprintable():
            raise self.wrong(key, "has line ends or other control characters: give it on one line")
        return text

    def key(self) -> tuple[str, ...]:
        """The private key's name and text, or nothing."""
        flux, argo = self.text("identity"), self.text("sshPrivateKey")
        if flux and argo and flux.strip() != argo.strip():
            raise self.contradiction("identity", "sshPrivateKey")
        if flux:
            return ("identity", flux)
        return ("sshPrivateKey", argo) if argo else ()

    def wrong(self, key: str, what: str) -> CredentialsError:
        return CredentialsError(f"the key {key} of {self.where} {what}")

    def problem(self, what: str) -> CredentialsError:
        return CredentialsError(f"{self.where} {what}")

    def contradiction(self, one: str, other: str) -> CredentialsError:
        return self.problem(f"has {one} and {other}, which cannot both be used: remove one of them")


def _hidden(*secrets: str) -> tuple[str, ...]:
    return tuple(secret for secret in secrets if len(secret) >= _LEAST_HIDDEN)
