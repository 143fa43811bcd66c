"""SSH signatures of texts, as OpenSSH's PROTOCOL.sshsig has them; what git makes of an SSH key. Pure.

    "SSHSIG"  version 1  public key  namespace  reserved  hash algorithm  signature

in base64 between two lines; what is signed is the same without version and key, and with the text's hash.
Ed25519, ECDSA on NIST's curves and RSA. Keys that live in a security token (``sk-…``) are refused.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

NAMESPACE: Final = "git"
"""What git signs with an SSH key is signed for this purpose and no other."""

LEAST_RSA_BITS: Final = 2048

_Private = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_Public = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_MAGIC = b"SSHSIG"
_VERSION = 1
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_WIDTH = 70  # characters of base64 in a line, as ssh-keygen writes them
_HASHES: Final[dict[str, Callable[[bytes], bytes]]] = {
    "sha512": lambda data: hashlib.sha512(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}
_RSA_HASHES: Final[dict[str, hashes.HashAlgorithm]] = {
    "rsa-sha2-512": hashes.SHA512(),
    "rsa-sha2-256": hashes.SHA256(),
}
_CURVES: Final[dict[str, tuple[str, hashes.HashAlgorithm]]] = {
    "secp256r1": ("ecdsa-sha2-nistp256", hashes.SHA256()),
    "secp384r1": ("ecdsa-sha2-nistp384", hashes.SHA384()),
    "secp521r1": ("ecdsa-sha2-nistp521", hashes.SHA512()),
}
_KINDS = "an Ed25519, ECDSA (nistp256, nistp384, nistp521) or RSA key"
_TOKEN_KEY = re.compile(r"sk-(ssh-ed25519|ecdsa-sha2-nistp256)(-cert-v01)?@openssh\.com")


class KeyUnusableError(ValueError):
    """A key that cannot be used. The text is a phrase that follows the key's name: ``is not …``."""


class SignatureWrongError(ValueError):
    """A signature that does not prove anything. The text is a phrase: ``is not …``, ``does not …``."""


class PublicKey(msgspec.Struct, frozen=True):
    """A public key. ``kind``: ``ssh-ed25519``, …; ``blob``: its encoding in RFC 4253's form."""

    kind: str
    blob: bytes

    @property
    def text(self) -> str:
        """As in ``authorized_keys`` and ``allowed_signers``: kind and base64."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")


class SigningKey:
    """A private key that signs. It is shown nowhere, and its ``repr`` holds nothing of it."""

    def __init__(self, private: _Private) -> None:
        self._private = private
        self.public = _public_key(private.public_key())

    def __repr__(self) -> str:
        return f"SigningKey({self.public.fingerprint})"

    def sign(self, text: bytes, namespace: str = NAMESPACE) -> str:
        """The armored signature of a text, ending in a newline."""
        digest = "sha512"
        signed = _signed(namespace, digest, text)
        fields = (self.public.blob, namespace.encode(), b"", digest.encode(), self._raw(signed))
        whole = _MAGIC + _VERSION.to_bytes(4, "big") + b"".join(map(_string, fields))
        return _armor(whole)

    def _raw(self, data: bytes) -> bytes:
        key = self._private
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return _string(b"ssh-ed25519") + _string(key.sign(data))
        if isinstance(key, ec.EllipticCurvePrivateKey):
            kind, digest = _CURVES[key.curve.name]
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
            return _string(kind.encode()) + _string(_number(r) + _number(s))
        kind = "rsa-sha2-512"
        return _string(kind.encode()) + _string(key.sign(data, padding.PKCS1v15(), _RSA_HASHES[kind]))


def load_signing_key(data: bytes, password: bytes | None = None) -> SigningKey:
    """A private key as ``ssh-keygen`` writes it, or in PEM. ``password``: ignored for one without.

    Raises KeyUnusableError, whose text holds nothing of the key.
    """
    text = data.replace(b"\r\n", b"\n").strip() + b"\n"
    if text.startswith((b"ssh-", b"ecdsa-", b"sk-", b"---- BEGIN SSH2 PUBLIC", b"-----BEGIN PUBLIC")):
        raise KeyUnusableError("is a public key, and the private one is needed")
    is_openssh = text.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    if not is_openssh and not re.match(rb"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----", text):
        raise KeyUnusableError("is not a private key as ssh-keygen writes it")
    if is_openssh and _is_of_token(text):
        raise KeyUnusableError(f"lives in a security token (sk-…), and {_KINDS} is needed")
    load = load_ssh_private_key if is_openssh else load_pem_private_key
    try:
        try:
            private = load(text, password or None)
        except TypeError:
            if not password:
                raise KeyUnusableError("is encrypted, and its passphrase is not given") from None
            private = load(text, None)  # a password that is for something else
    # Never with the cause: what a library says of a key may hold some of it.
    except UnsupportedAlgorithm:
        raise KeyUnusableError(f"is of a kind that cannot be used: {_KINDS} is needed") from None
    except ValueError as error:
        if isinstance(error, KeyUnusableError):
            raise
        raise KeyUnusableError(
            "cannot be read: the passphrase is wrong, or the key is damaged"
            if password
            else "cannot be read: it is damaged"
        ) from None
    if not isinstance(
        private, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    ) or (isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name not in _CURVES):
        raise KeyUnusableError(f"is of a kind that cannot be used: {_KINDS} is needed")
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < LEAST_RSA_BITS:
        raise KeyUnusableError(_too_weak(private.key_size))
    return SigningKey(private)


def parse_public_key(text: str) -> PublicKey:
    """``ssh-ed25519 AAAA…``, with or without a comment; KeyUnusableError for what cannot be judged by."""
    kind, _, rest = text.strip().partition(" ")
    if _TOKEN_KEY.fullmatch(kind):
        raise KeyUnusableError(f"lives in a security token ({kind}), whose signatures cannot be judged")
    try:
        blob = base64.b64decode(rest.strip().partition(" ")[0], validate=True)
        if not blob or _Reader(blob).text() != kind:
            raise KeyUnusableError("is not a public key as ssh-keygen writes it")
    except (binascii.Error, _CutShortError) as error:
        raise KeyUnusableError("is not a public key as ssh-keygen writes it") from error
    _loaded(kind, blob)
    return PublicKey(kind, blob)


def verify(armored: str, text: bytes, namespace: str = NAMESPACE) -> PublicKey:
    """The key that made the signature of this text; whose key that is, is for the caller to judge.

    Raises SignatureWrongError.
    """
    if not armored.startswith(_BEGIN):
        kind = "PGP" if armored.startswith("-----BEGIN PGP") else "X.509" if "BEGIN" in armored else "any"
        raise SignatureWrongError(
            "is not in a form that is known" if kind == "any" else f"is made with {kind}, not with an SSH key"
        )
    try:
        blob, purpose, digest, kind, raw = _parse(armored)
        # The key's own name for itself: what is in the signature beside it must agree.
        key = PublicKey(_Reader(blob).text(), blob)
    except (binascii.Error, _CutShortError) as error:
        raise SignatureWrongError("is damaged") from error
    if purpose != namespace:
        raise SignatureWrongError(f"is for {purpose!r}, not for {namespace!r}")
    if digest not in _HASHES:
        raise SignatureWrongError(f"is over a hash that is not known ({digest!r})")
    if _TOKEN_KEY.fullmatch(key.kind):
        raise SignatureWrongError(f"is made with a security token ({key.kind}), which cannot be judged")
    try:
        public = _loaded(key.kind, blob)
    except KeyUnusableError as error:
        raise SignatureWrongError(f"is made with a key that {error}") from error
    if not _is_right(public, kind, raw, _signed(namespace, digest, text)):
        raise SignatureWrongError("does not fit the text: either of them was changed, or is another's")
    return key


def _is_right(key: _Public, kind: str, raw: bytes, signed: bytes) -> bool:
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            if kind != "ssh-ed25519":
                return False
            key.verify(raw, signed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            expected, digest = _CURVES[key.curve.name]
            reader = _Reader(raw)
            r, s = reader.number(), reader.number()
            if kind != expected or not reader.is_at_end or r < 0 or s < 0:
                return False
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
        else:
            if kind not in _RSA_HASHES:
                return False
            key.verify(raw, signed, padding.PKCS1v15(), _RSA_HASHES[kind])
    except (InvalidSignature, _CutShortError):
        return False
    return True


def _parse(armored: str) -> tuple[bytes, str, str, str, bytes]:
    """Public key, namespace, hash, kind of the raw signature, and it."""
    lines = armored.rstrip("\n").split("\n")
    if lines[0] != _BEGIN or lines[-1] != _END:
        raise _CutShortError
    reader = _Reader(base64.b64decode("".join(lines[1:-1]), validate=True))
    if reader.take(len(_MAGIC)) != _MAGIC or int.from_bytes(reader.take(4), "big") != _VERSION:
        raise SignatureWrongError("is of a version that is not known")
    blob, purpose, _, digest = reader.string(), reader.text(), reader.string(), reader.text()
    raw = _Reader(reader.string())
    kind, signature = raw.text(), raw.string()
    if not (reader.is_at_end and raw.is_at_end):
        raise _CutShortError
    return blob, purpose, digest, kind, signature


@lru_cache(maxsize=256)
def _loaded(kind: str, blob: bytes) -> _Public:
    """The key of a blob; KeyUnusableError. Few keys sign many commits, so they are kept."""
    try:
        key = load_ssh_public_key(f"{kind} {base64.b64encode(blob).decode()}".encode())
    except (ValueError, UnsupportedAlgorithm, NotImplementedError) as error:
        raise KeyUnusableError(f"is not {_KINDS}") from error
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise KeyUnusableError(_too_weak(key.key_size))
        return key
    if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise KeyUnusableError(f"is not {_KINDS}")
    return key


def _public_key(public: _Public) -> PublicKey:
    kind, _, blob = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode().partition(" ")
    return PublicKey(kind, base64.b64decode(blob))


def _too_weak(bits: int) -> str:
    return f"is too weak: RSA of {bits} bits, and at least {LEAST_RSA_BITS} are needed"


def _is_of_token(text: bytes) -> bool:
    """Whether the public half, which is never encrypted, names a token's key."""
    body = b"".join(text.split(b"\n")[1:-2])
    try:
        return b"sk-" in base64.b64decode(body)[:200]
    except binascii.Error:
        return False  # loading it will say so


def _signed(namespace: str, digest: str, text: bytes) -> bytes:
    fields = (namespace.encode(), b"", digest.encode(), _HASHES[digest](text))
    return _MAGIC + b"".join(map(_string, fields))


def _armor(data: bytes) -> str:
    text = base64.b64encode(data).decode()
    lines = [text[start : start + _WIDTH] for start in range(0, len(text), _WIDTH)]
    return "\n".join((_BEGIN, *lines, _END)) + "\n"


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _number(value: int) -> bytes:
    """RFC 4251's mpint: a leading zero where the first bit would say that it is negative."""
    return _string(value.to_bytes(value.bit_length() // 8 + 1, "big") if value else b"")


class _CutShortError(Exception):
    """The encoding ends too early, or too late."""


class _Reader:
    """Reads RFC 4251's encodings one after another."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise _CutShortError
        taken, self._at = self._data[self._at : end], end
        return taken

    def string(self) -> bytes:
        return self.take(int.from_bytes(self.take(4), "big"))

    def text(self) -> str:
        return self.string().decode("ascii", errors="replace")

    def number(self) -> int:
        return int.from_bytes(self.string(), "big", signed=True)
