"""What may be shown of the API's URL, and what a ledger is about."""

import ipaddress
import re
from urllib.parse import urlsplit

from reconciler.errors import SettingsError

_NUMBERS = re.compile(r"[0-9]+(\.[0-9]+)*")


def endpoint_of(url: str) -> str:
    """Scheme, host, port and path of a URL.

    Raises SettingsError for what is not http(s), has no host, or carries credentials.
    """
    if not url.isprintable():  # urlsplit would leave some of it out
        raise _no_url()
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme
        if host is not None and ":" not in host:
            host.encode("idna")
            if _NUMBERS.fullmatch(host):
                ipaddress.IPv4Address(host)
    except ValueError:
        raise _no_url() from None
    if scheme not in ("http", "https") or not host:
        raise SettingsError("HOSSTED_API_URL must be of the form https://HOST/PATH")
    if "@" in parts.netloc:
        raise SettingsError("HOSSTED_API_URL has credentials in it: put the token into HOSSTED_AUTH_TOKEN")
    host = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{host}{'' if port in (None, usual) else f':{port}'}{parts.path or '/'}"


def _no_url() -> SettingsError:
    return SettingsError("HOSSTED_API_URL is not a URL: write https://HOST/PATH")
