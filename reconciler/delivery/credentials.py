"""The token, and whose certificates are believed: given, or in files that are read again.

Kubernetes swaps a mounted file by a symlink, and other tools write it in place: so what counts is what is in
it, and a file that cannot be used (gone, empty, half-written) leaves what was read last, and says so.
"""

import logging
import ssl
from pathlib import Path

from reconciler.errors import SettingsError
from reconciler.settings import ApiSettings, check_token

LARGEST = {"HOSSTED_AUTH_TOKEN_FILE": 64 * 1024, "HOSSTED_CA_FILE": 4 * 1024 * 1024}
"""Bytes that a file may have: servers take headers of 8 to 64 KiB, and all public authorities are 250 kB."""

_LOG = logging.getLogger(__name__)


class Credentials:
    """``token``: what is sent; ``trusted``: who is believed, None for the public authorities; ``notice``:
    what is wrong with a file that was read before, "" when nothing is."""

    def __init__(self, settings: ApiSettings) -> None:
        """SettingsError for a file that cannot be used."""
        self._settings = settings
        self._authorities = b""
        self.token = settings.token
        self.trusted: ssl.SSLContext | None = None
        self.notice = ""
        if settings.token_file is not None:
            self.token = _token_in(settings.token_file)
        if settings.ca_file is not None:
            self._authorities = _read("HOSSTED_CA_FILE", settings.ca_file)
            self.trusted = _trusting(self._authorities, settings.ca_file)

    @property
    def in_files(self) -> bool:
        """Whether they may change."""
        return self._settings.token_file is not None or self._settings.ca_file is not None

    def read_again(self) -> bool:
        """Take what is in the files now; whether anything has changed."""
        token, authorities, trusted, wrong = self.token, self._authorities, self.trusted, []
        if (path := self._settings.token_file) is not None:
            try:
                token = _token_in(path)
            except SettingsError as error:
                wrong.append(f"{error}; the token that was there before is used")
        if (path := self._settings.ca_file) is not None:
            try:
                authorities = _read("HOSSTED_CA_FILE", path)
                if authorities != self._authorities:
                    trusted = _trusting(authorities, path)
            except SettingsError as error:
                authorities = self._authorities
                wrong.append(f"{error}; the authorities that were there before are used")
        notice = "; ".join(wrong)
        if notice and notice != self.notice:
            _LOG.warning("%s", notice)
        changed = (token, authorities) != (self.token, self._authorities)
        self.token, self._authorities, self.trusted, self.notice = token, authorities, trusted, notice
        return changed


def _token_in(path: Path) -> str:
    name = "HOSSTED_AUTH_TOKEN_FILE"
    try:
        token = _read(name, path).decode("ascii").strip()
    except UnicodeDecodeError:
        raise SettingsError(f"{name}: {path} has characters that no HTTP header can carry") from None
    return check_token(f"{name}: {path}", token)


def _trusting(authorities: bytes, path: Path) -> ssl.SSLContext:
    try:
        text = authorities.decode("ascii")
        whole = 0 < text.count("-----BEGIN CERTIFICATE-----") == text.count("-----END CERTIFICATE-----")
        if whole:
            return ssl.create_default_context(cadata=text)
    except (UnicodeDecodeError, ssl.SSLError):
        pass
    raise SettingsError(f"HOSSTED_CA_FILE: {path} holds no certificates in PEM, or not all of one") from None


def _read(name: str, path: Path) -> bytes:
    most = LARGEST[name]
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from None
    if len(content) > most:
        raise SettingsError(f"{name}: {path} has more than {most} bytes")
    if not content.strip():
        raise SettingsError(f"{name}: {path} is empty")
    return content
