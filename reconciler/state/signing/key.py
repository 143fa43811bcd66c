"""The key that signs the commits, from its Secret. It stays in this process: no file, no other program.

The Secret is read anew before each append, so that a key that was replaced signs the next commit. When it
cannot be had nothing is recorded: a record that is signed now and then proves nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Final

from reconciler.errors import KubernetesError, NotFoundError, StoreError
from reconciler.state.signing.signature import KeyUnusableError, SigningKey, load_signing_key

PRIVATE_KEYS: Final = ("identity", "ssh-privatekey", "sshPrivateKey")
"""Where in a Secret an SSH private key is looked for: as Flux, Kubernetes and Argo CD name it."""

PASSPHRASE: Final = "password"  # noqa: S105 - the name of the Secret's key, not a password

ReadSecret = Callable[[str], Awaitable[Mapping[str, bytes]]]
"""From a Secret's name to its data; NotFoundError when there is none, KubernetesError for all else."""


class Signing:
    """Signs commits with the key of one Secret."""

    def __init__(self, read: ReadSecret, secret: str) -> None:
        """``secret``: its name, in the operator's own namespace."""
        self._read = read
        self._secret = secret
        self._key: SigningKey | None = None
        self._seen = b""

    @property
    def public_key(self) -> str:
        """``ssh-ed25519 AAAA…``; "" until the Secret was read."""
        return "" if self._key is None else self._key.public.text

    async def prepare(self) -> None:
        """Read the Secret. StoreError, with what to do, when there is no key in it that can sign."""
        try:
            data = await self._read(self._secret)
        except NotFoundError as error:
            raise StoreError(
                f"the commits cannot be signed: there is no Secret {self._secret}, which"
                " spec.state.git.signing.secretRef names: make it, with the private key as identity"
            ) from error
        except KubernetesError as error:
            raise StoreError(
                f"the commits cannot be signed: the Secret {self._secret} cannot be read: {error}"
            ) from error
        seen = _digest(data)
        if self._key is None or seen != self._seen:  # a passphrase is made slow to try
            self._key = None
            self._key, self._seen = _key_of(data, self._secret), seen

    def sign(self, commit: bytes) -> str:
        """The armored signature of a commit. StoreError before ``prepare``."""
        if self._key is None:
            raise StoreError(f"the commits cannot be signed: the Secret {self._secret} was not read")
        return self._key.sign(commit)


def _key_of(data: Mapping[str, bytes], secret: str) -> SigningKey:
    found = next((name for name in PRIVATE_KEYS if data.get(name, b"").strip()), None)
    if found is None:
        raise StoreError(
            f"the commits cannot be signed: the Secret {secret} has no private key: put it in as"
            f" {PRIVATE_KEYS[0]} (or {', '.join(PRIVATE_KEYS[1:])})"
        )
    try:
        return load_signing_key(data[found], data.get(PASSPHRASE, b"").rstrip(b"\r\n") or None)
    except KeyUnusableError as error:
        # No cause: a library's words on a key may hold some of it.
        raise StoreError(
            f"the commits cannot be signed: the key {found} of the Secret {secret} {error}"
        ) from None


def _digest(data: Mapping[str, bytes]) -> bytes:
    """Tells whether the Secret has changed, without keeping what is in it."""
    digest = sha256()
    for name in (*PRIVATE_KEYS, PASSPHRASE):
        content = data.get(name, b"")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.digest()
