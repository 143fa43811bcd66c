"""Signed commits: what the real git and the real ssh-keygen say of ours, and we of theirs."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from reconciler.errors import ForbiddenError, NotFoundError, StoreError
from reconciler.policy.entry import Acked
from reconciler.state.git.layout import delivered_ref
from reconciler.state.git.store import GitStore, open_git_store
from reconciler.state.signing.allowed_signers import signers_line
from reconciler.state.signing.key import Signing
from reconciler.state.signing.signature import SignatureWrongError, load_signing_key, parse_public_key, verify
from tests.builders import CLUSTER_UUID, make_app, make_snapshot
from tests.git.actions import RECORDED, append, is_clean
from tests.git.factory import git, refs

EMAIL = "records@example.org"
KINDS = (("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521"), ("rsa", "2048"))
FIRST = make_snapshot(make_app())
SECOND = make_snapshot(make_app(revision=2))


@pytest.fixture(scope="module")
def new_key(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a key with ssh-keygen, once for each kind and name; the file, beside which is its public half."""
    folder = tmp_path_factory.mktemp("keys")

    def make(kind: str = "ed25519", bits: str = "256", passphrase: str = "", name: str = "a") -> Path:
        path = folder / f"{kind}-{bits}-{name}-{passphrase}"
        if not path.exists():
            ssh_keygen("-q", "-t", kind, "-b", bits, "-N", passphrase, "-C", "a comment", "-f", str(path))
        return path

    return make


def ssh_keygen(*words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["ssh-keygen", *words], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


class Secrets:
    """Stands for the operator's namespace."""

    def __init__(self, **data: bytes) -> None:
        self.data: Mapping[str, bytes] = data
        self.trouble: Exception | None = None

    async def read(self, name: str) -> Mapping[str, bytes]:
        assert name == "signing"
        if self.trouble is not None:
            raise self.trouble
        return self.data


def open_signed(folder: Path, secrets: Secrets) -> GitStore:
    return open_git_store(
        path=folder / "state.git",
        url=None,
        branch="main",
        author=f"Records <{EMAIL}>",
        signing=Signing(secrets.read, "signing"),
    )


def verified_by_git(repository: Path, signers: Path, commit: str) -> str:
    """What ``git verify-commit`` prints; it fails the test when git does not take the signature."""
    trust = ("-c", "gpg.format=ssh", "-c", f"gpg.ssh.allowedSignersFile={signers}")
    git(repository, *trust, "verify-commit", commit)
    return git(repository, *trust, "log", "-1", "--format=%G?|%GS|%GF|%an <%ae>|%cn <%ce>", commit).strip()


def signed_parts(repository: Path, commit: str) -> tuple[bytes, str]:
    """The text that a commit's signature is about, and the signature, cut out as git does it."""
    headers, _, text = git(repository, "cat-file", "commit", commit).partition("\n\n")
    kept: list[str] = []
    signature: list[str] = []
    inside = False
    for line in headers.split("\n"):
        inside = line.startswith("gpgsig ") or (inside and line.startswith(" "))
        (signature if inside else kept).append(
            line.removeprefix("gpgsig").removeprefix(" ") if inside else line
        )
    return ("\n".join(kept) + "\n\n" + text).encode(), "\n".join(signature) + "\n"


@pytest.mark.parametrize(("kind", "bits"), KINDS)
async def test_git_takes_our_signatures_for_good(
    tmp_path: Path, new_key: Callable[..., Path], kind: str, bits: str
) -> None:
    store = open_signed(tmp_path, Secrets(identity=new_key(kind, bits).read_bytes()))
    first = await append(store.track(CLUSTER_UUID), FIRST, None)
    second = await append(store.track(CLUSTER_UUID), SECOND, first)
    signers = tmp_path / "signers"
    signers.write_text(signers_line(EMAIL, parse_public_key(store.signing_key)) + "\n")
    fingerprint = ssh_keygen("-l", "-f", f"{new_key(kind, bits)}.pub").split()[1]
    for commit in (first.revision.id, second.revision.id):
        shown = verified_by_git(store_path(tmp_path), signers, commit)
        assert shown == f"G|{EMAIL}|{fingerprint}|Records <{EMAIL}>|Records <{EMAIL}>"
    assert is_clean(store_path(tmp_path))
    assert await store.track(CLUSTER_UUID).tip() == second
    await store.close()


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_ssh_keygen_takes_our_signatures_and_we_take_its(
    tmp_path: Path, new_key: Callable[..., Path], kind: str, bits: str
) -> None:
    path = new_key(kind, bits)
    key = load_signing_key(path.read_bytes())
    (tmp_path / "signers").write_text(f"me {key.public.text}\n")
    (tmp_path / "ours.sig").write_text(key.sign(b"a text"))
    words = ("-f", str(tmp_path / "signers"), "-I", "me", "-n", "git", "-s", str(tmp_path / "ours.sig"))
    assert 'Good "git" signature' in ssh_keygen("-Y", "verify", *words, stdin=b"a text")
    theirs = ssh_keygen("-Y", "sign", "-q", "-f", str(path), "-n", "git", stdin=b"a text")
    assert verify(theirs, b"a text") == key.public == parse_public_key(Path(f"{path}.pub").read_text())


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_what_git_signs_with_ssh_is_taken_and_an_altered_text_is_not(
    tmp_path: Path, new_key: Callable[..., Path], kind: str, bits: str
) -> None:
    key = new_key(kind, bits)
    git(tmp_path, "init", "--quiet", str(tmp_path))
    sign = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}")
    git(tmp_path, *sign, "commit", "--quiet", "--allow-empty", "-S", "-m", "By a person\n\nAnd more")
    text, signature = signed_parts(tmp_path, "HEAD")
    assert verify(signature, text) == parse_public_key(Path(f"{key}.pub").read_text())
    with pytest.raises(SignatureWrongError, match="does not fit the text"):
        verify(signature, text.replace(b"person", b"parson"))


def public_half(key: Path) -> str:
    return " ".join(Path(f"{key}.pub").read_text().split()[:2])


def files_with(folder: Path, pieces: list[bytes]) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    return [file for file in files if any(piece in file.read_bytes() for piece in pieces)]


def store_path(folder: Path) -> Path:
    return folder / "state.git"


async def test_what_was_delivered_is_signed_with_the_key_of_now(
    tmp_path: Path, new_key: Callable[..., Path]
) -> None:
    keys = [new_key(), new_key(name="b")]
    secrets = Secrets()
    store = open_signed(tmp_path, secrets)
    branch, app = store.delivered(CLUSTER_UUID, "https://api.example.com/apps"), make_app()
    seen = []
    for number, key in enumerate(keys):
        secrets.data = {"identity": key.read_bytes()}
        told = Acked(f"019a1e1{number}-0000-7000-8000-000000000000", app.app_uuid, RECORDED, app, 200)
        await branch.follow({app.key: told}, {app.key}, instance="i1", at=RECORDED)
        text, signature = signed_parts(store_path(tmp_path), delivered_ref(CLUSTER_UUID))
        seen.append(verify(signature, text).text)
    assert seen == [public_half(key) for key in keys]
    await store.close()


async def test_a_replaced_key_signs_the_next_commit(tmp_path: Path, new_key: Callable[..., Path]) -> None:
    one, other = new_key(), new_key(name="b")
    secrets = Secrets(identity=one.read_bytes())
    store = open_signed(tmp_path, secrets)
    track = store.track(CLUSTER_UUID)
    first = await append(track, FIRST, None)
    secrets.data = {"ssh-privatekey": other.read_bytes()}
    second = await append(track, SECOND, first)
    keys = [
        verify(signature, text).text
        for text, signature in (
            signed_parts(store_path(tmp_path), each.revision.id) for each in (first, second)
        )
    ]
    assert keys == [public_half(key) for key in (one, other)]
    assert store.signing_key == keys[1]
    await store.close()


async def test_the_key_is_known_before_the_first_commit(tmp_path: Path, new_key: Callable[..., Path]) -> None:
    store = open_signed(tmp_path, Secrets(identity=new_key().read_bytes()))
    assert store.signing_key == ""
    assert await store.track(CLUSTER_UUID).tip() is None
    assert store.signing_key == load_signing_key(new_key().read_bytes()).public.text
    await store.close()


@pytest.mark.parametrize("name", ["identity", "ssh-privatekey", "sshPrivateKey"])
async def test_an_encrypted_key_is_opened_with_the_secrets_password(
    tmp_path: Path, new_key: Callable[..., Path], name: str
) -> None:
    key = new_key(passphrase="the passphrase")
    store = open_signed(tmp_path, Secrets(**{name: key.read_bytes(), "password": b"the passphrase\n"}))
    await append(store.track(CLUSTER_UUID), FIRST, None)
    assert store.signing_key == public_half(key)
    await store.close()


PEM_OF_ANOTHER_KIND = (
    b"-----BEGIN PRIVATE KEY-----\n"
    b"MC4CAQAwBQYDK2VuBCIEIIiyjq7L3C5xW3yZ0yYZ9xJkqJYb1nqyq1gHcTtmqv1X\n"
    b"-----END PRIVATE KEY-----\n"
)  # X25519

TROUBLE: dict[str, tuple[Callable[[Callable[..., Path]], Mapping[str, bytes] | Exception], str]] = {
    "no Secret": (
        lambda _: NotFoundError("there is none", 404),
        "there is no Secret signing, which spec.state",
    ),
    "no permission": (
        lambda _: ForbiddenError("may not get", 403),
        "Secret signing cannot be read: may not get",
    ),
    "no key in it": (
        lambda _: {"known_hosts": b"x", "identity": b" "},
        "has no private key: put it in as identity",
    ),
    "not a key": (
        lambda _: {"identity": b"hello"},
        "key identity of the Secret signing is not a private key as",
    ),
    "the public half": (
        lambda new: {"identity": Path(f"{new()}.pub").read_bytes()},
        "identity of the Secret signing is a public key, and the private one is needed",
    ),
    "damaged": (
        lambda new: {"identity": new().read_bytes().replace(b"b3BlbnNza", b"AAAAbnNza")},
        "cannot be read: it is damaged",
    ),
    "no passphrase": (
        lambda new: {"identity": new(passphrase="secret words").read_bytes()},
        "is encrypted, and its passphrase is not given",
    ),
    "a wrong passphrase": (
        lambda new: {"identity": new(passphrase="secret words").read_bytes(), "password": b"wrong"},
        "the passphrase is wrong, or the key is damaged",
    ),
    "too weak": (
        lambda new: {"sshPrivateKey": new("rsa", "1024").read_bytes()},
        "is too weak: RSA of 1024 bits, and at least 2048 are needed",
    ),
    "a kind that git does not sign with": (
        lambda _: {"identity": PEM_OF_ANOTHER_KIND},
        "is of a kind that cannot be used: an Ed25519, ECDSA",
    ),
}


@pytest.mark.parametrize("case", TROUBLE)
async def test_without_a_key_nothing_is_recorded_unsigned_and_one_sentence_says_why(
    tmp_path: Path, new_key: Callable[..., Path], case: str
) -> None:
    make, sentence = TROUBLE[case]
    secrets = Secrets(identity=new_key().read_bytes())
    store = open_signed(tmp_path, secrets)
    first = await append(store.track(CLUSTER_UUID), FIRST, None)
    before = refs(store_path(tmp_path))
    made = make(new_key)
    if isinstance(made, Exception):
        secrets.trouble = made
    else:
        secrets.data = made
    with pytest.raises(StoreError) as caught:
        await append(store.track(CLUSTER_UUID), SECOND, first)
    assert str(caught.value).startswith("the commits cannot be signed: ")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert refs(store_path(tmp_path)) == before
    assert await store.track(CLUSTER_UUID).tip() == first, "reading needs no key"
    await store.close()


async def test_no_trace_of_the_key_is_left(
    tmp_path: Path, new_key: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    key = new_key(passphrase="a-passphrase-that-is-looked-for")
    secrets = Secrets(identity=key.read_bytes(), password=b"a-passphrase-that-is-looked-for")
    store = open_signed(tmp_path, secrets)
    track = store.track(CLUSTER_UUID)
    first = await append(track, FIRST, None)
    secrets.data = {**secrets.data, "identity": key.read_bytes()[:200]}
    with pytest.raises(StoreError) as caught:
        await append(track, SECOND, first)
    told = [str(caught.value), repr(caught.value.__cause__), repr(store.signing_key), caplog.text]
    pieces = [b"a-passphrase-that-is-looked-for", *key.read_bytes().split(b"\n")[1:4]]
    assert not files_with(tmp_path, pieces)
    assert not any(piece.decode() in words for piece in pieces for words in told)
    await store.close()


async def test_the_key_of_a_security_token_is_refused() -> None:
    with pytest.raises(ValueError, match="lives in a security token"):
        load_signing_key(TOKEN_KEY)


TOKEN_KEY = (
    b"-----BEGIN OPENSSH PRIVATE KEY-----\n"
    b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAASgAAABpzay1zc2gtZWQy\n"
    b"NTUxOUBvcGVuc3NoLmNvbQAAACAZ\n"
    b"-----END OPENSSH PRIVATE KEY-----\n"
)
