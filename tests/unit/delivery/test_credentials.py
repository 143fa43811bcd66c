"""Files of credentials, as Kubernetes and others change them."""

import ssl
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from reconciler.delivery.credentials import LARGEST, Credentials
from reconciler.errors import SettingsError
from reconciler.settings import ApiSettings
from tests.git.servers.certificates import Authority

with TemporaryDirectory() as folder:
    CA, OTHER_CA = (Authority(Path(folder), name).pem.encode() for name in ("Example CA", "Other CA"))


def of(token_file: Path | None = None, ca_file: Path | None = None, token: str = "") -> Credentials:
    settings = ApiSettings(url="https://api/", token=token, token_file=token_file, ca_file=ca_file)
    return Credentials(settings)


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("first\n")
    return file


@pytest.fixture
def authorities(tmp_path: Path) -> Path:
    file = tmp_path / "ca.crt"
    file.write_bytes(CA)
    return file


def test_what_is_given_never_changes() -> None:
    given = of(token="given")
    assert (given.token, given.trusted, given.in_files) == ("given", None, False)
    assert not given.read_again()


def test_a_token_is_what_the_file_has_without_white_space(token: Path) -> None:
    credentials = of(token)
    assert (credentials.token, credentials.in_files) == ("first", True)
    assert not credentials.read_again()
    token.write_text("  second \n\n")
    assert credentials.read_again()
    assert (credentials.token, credentials.notice) == ("second", "")


def test_a_mounted_secret_is_swapped_by_a_symlink(tmp_path: Path) -> None:
    """As the kubelet does it: ``token`` → ``..data/token``, and ``..data`` is another folder at once."""
    for name, value in (("..1", "first"), ("..2", "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(value)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "token").symlink_to("..data/token")
    credentials = of(tmp_path / "token")
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert credentials.read_again()
    assert credentials.token == "second"


def gone(file: Path) -> None:
    file.unlink()


def replaced_by_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def writing(content: bytes) -> Callable[[Path], object]:
    return lambda file: file.write_bytes(content)


UNUSABLE = {
    "gone": (gone, "cannot be read: No such file or directory"),
    "a folder": (replaced_by_a_folder, "cannot be read: Is a directory"),
    "empty": (writing(b""), "is empty"),
    "blank": (writing(b" \n"), "is empty"),
    "two lines": (writing(b"one\ntwo\n"), "has characters that no HTTP header can carry"),
    "no text": (writing(b"\xff\xfe"), "has characters that no HTTP header can carry"),
    "no end": (writing(b"x" * (LARGEST["HOSSTED_AUTH_TOKEN_FILE"] + 1)), "has more than 65536 bytes"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_token_file_that_cannot_be_used_leaves_the_last_one_and_says_so_once(
    what: str, token: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spoil, message = UNUSABLE[what]
    credentials = of(token)
    spoil(token)
    for _ in range(3):
        assert not credentials.read_again()
    assert credentials.token == "first"
    expected = f"HOSSTED_AUTH_TOKEN_FILE: {token} {message}; the token that was there before is used"
    assert credentials.notice == expected
    assert caplog.messages == [expected]


@pytest.mark.parametrize("what", UNUSABLE)
def test_at_the_start_it_is_a_wrong_setting(what: str, token: Path) -> None:
    spoil, message = UNUSABLE[what]
    spoil(token)
    with pytest.raises(SettingsError) as error:
        of(token)
    assert str(error.value) == f"HOSSTED_AUTH_TOKEN_FILE: {token} {message}"


def test_what_is_well_again_is_not_spoken_of_any_more(token: Path) -> None:
    credentials = of(token)
    token.write_text("")
    credentials.read_again()
    token.write_text("first")
    assert not credentials.read_again()
    assert credentials.notice == ""


def test_authorities_are_believed_instead_of_the_public_ones(authorities: Path) -> None:
    credentials = of(ca_file=authorities, token="t")
    assert credentials.trusted
    (known,) = credentials.trusted.get_ca_certs()
    assert "Example CA" in str(known["subject"])
    assert credentials.trusted.verify_mode is ssl.CERT_REQUIRED
    assert credentials.trusted.check_hostname
    authorities.write_bytes(CA + OTHER_CA)
    assert credentials.read_again()
    assert len(credentials.trusted.get_ca_certs()) == 2


def test_authorities_that_did_not_change_are_not_read_into_a_new_context(authorities: Path) -> None:
    credentials = of(ca_file=authorities, token="t")
    before = credentials.trusted
    authorities.write_bytes(CA)
    assert not credentials.read_again()
    assert credentials.trusted is before


@pytest.mark.parametrize(
    "content",
    [(CA + OTHER_CA)[:-40], CA.replace(b"M", b"", 1), b"no certificate", b"\xff", CA.partition(b"\n")[2]],
    ids=["half-written", "damaged", "something else", "no text", "without its beginning"],
)
def test_authorities_that_cannot_be_used_leave_the_last_ones(content: bytes, authorities: Path) -> None:
    credentials = of(ca_file=authorities, token="t")
    before = credentials.trusted
    authorities.write_bytes(content)
    assert not credentials.read_again()
    assert credentials.trusted is before
    assert "holds no certificates in PEM, or not all of one; the authorities that were" in credentials.notice
    with pytest.raises(SettingsError, match="holds no certificates in PEM"):
        of(ca_file=authorities, token="t")


def test_one_file_that_is_spoilt_does_not_keep_the_other_from_being_taken(
    token: Path, authorities: Path
) -> None:
    credentials = of(token, authorities)
    authorities.write_bytes(b"")
    token.write_text("second")
    assert credentials.read_again()
    assert credentials.token == "second"
    assert "HOSSTED_CA_FILE" in credentials.notice
