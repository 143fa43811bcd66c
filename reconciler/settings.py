"""The process's environment and its defaults: the only module that reads the environment.

What a person decides about a cluster is in the Hosstedproject; what stands here belongs to one process:
where the Hossted API is, who we are to it, and where this machine keeps its files.
"""

import ipaddress
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from reconciler.errors import SettingsError

DEFAULT_NAMESPACE = "hossted-system"
"""Where the operator lives when nobody says: the namespace of ``config/default``."""

AUTH_SCHEMES = ("Bearer", "Basic")

DEFAULT_RATE = 20.0
"""Requests a second: 5,000 apps are told in about four minutes, and a small receiver is not overrun."""

SECRET_VARIABLES = (
    "HOSSTED_AUTH_TOKEN", "HOSSTED_SSH_PROXY_COMMAND",
    "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy",
)  # fmt: skip
"""Variables that may hold a credential: no program that we start is to have them."""

_RATE = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
_WITH_PORT = re.compile(r"([^:]+|\[.+\]):([0-9]{1,5})")
_LEAST_RATE = 0.01  # requests a second: below that a batch would take hours
_LEAST_HIDDEN = 4  # characters: a shorter secret would hide half of every sentence
_PROXY = re.compile(
    r"((https?|socks4a?|socks5h?)://)?(?P<user>[^\s/@]*@)?[A-Za-z0-9._-]+(:[0-9]{1,5})?/?"
    r"|((https?|socks5h?)://)?(?P<user6>[^\s/@]*@)?\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?/?"
)


@dataclass(frozen=True)
class ApiSettings:
    """The Hossted API.

    ``url``: the full endpoint that apps are posted to. ``token``: never shown; "" when it is in
    ``token_file``. ``scheme``: Bearer; the original operator's first versions spoke Basic. ``email_id``:
    emitted with every app, may be "". ``ca_file``: certificates (PEM) of the authorities that are believed
    instead of the public ones; None for the public ones. ``rate``: requests a second, on average; None for
    as many as get through. ``proxy``: the URL of the proxy on the way there, which may hold the proxy's
    credentials, or "". Files are read again while the process runs, since Kubernetes swaps them.
    """

    url: str = field(repr=False)
    token: str = field(repr=False)
    scheme: str = "Bearer"
    email_id: str = ""
    token_file: Path | None = None
    ca_file: Path | None = None
    rate: float | None = None
    proxy: str = field(default="", repr=False)


@dataclass(frozen=True)
class ProxySettings:
    """The way from here to a git repository. The Kubernetes API is never reached through a proxy.

    ``https``: the URL of the proxy for https:// (``HTTPS_PROXY``, or else ``ALL_PROXY``), which may hold
    the proxy's credentials, or "". ``exceptions``: hosts that are reached without it (``NO_PROXY``: names,
    domains and addresses, with commas), or "". ``ssh_command``: what ssh runs to be connected to an ssh://
    host (``HOSSTED_SSH_PROXY_COMMAND``, ssh_config(5)'s ProxyCommand: ``%h`` is the host, ``%p`` the port),
    or "" to connect directly: ssh knows of no proxy variables. It is seen by whoever may list processes, so
    it must hold no credential.
    """

    https: str = field(default="", repr=False)
    exceptions: str = ""
    ssh_command: str = field(default="", repr=False)

    def scrub(self, text: str) -> str:
        """The text without the proxy's credentials."""
        user, _, password = self.https.rpartition("@")[0].rpartition("/")[2].partition(":")
        for secret in {password, unquote(password), user if not password else ""}:
            if len(secret) >= _LEAST_HIDDEN:
                text = text.replace(secret, "[hidden]")
        return text


@dataclass(frozen=True)
class Settings:
    """``api`` is None when no URL is set: then everything but pushing works.

    ``namespace``: the operator's own, for its Lease, its ledger and the default store. ``cache``: where
    clones of git stores are kept; they can be made again at any time. ``identity``: unique to this process
    among those that may run at once: the pod's name, which no second pod has while it runs; elsewhere the
    host's, with something random. ``proxy``: for git repositories.
    """

    api: ApiSettings | None
    namespace: str
    cache: Path
    email_id: str = ""
    identity: str = ""
    proxy: ProxySettings = ProxySettings()


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the environment; SettingsError (one line, exit status 2) names the variable that is wrong."""
    env = os.environ if environ is None else environ
    email = env.get("EMAIL_ID", "").strip()
    return Settings(
        api=_api(env, email),
        namespace=env.get("POD_NAMESPACE", "").strip() or DEFAULT_NAMESPACE,
        cache=_cache(env),
        email_id=email,
        identity=_identity(env),
        proxy=_proxy(env),
    )


def kubeconfigs(environ: Mapping[str, str] | None = None) -> str:
    """The kubeconfigs of a person, as kubectl finds them: paths with colons between them, be they there or
    not."""
    env = os.environ if environ is None else environ
    return env.get("KUBECONFIG", "").strip() or "~/.kube/config"


def program_version() -> str:
    """The installed distribution's version; a bare checkout says so."""
    try:
        return version("hossted-reconciler")
    except PackageNotFoundError:
        return "0+checkout"


def _api(env: Mapping[str, str], email: str) -> ApiSettings | None:
    url = env.get("HOSSTED_API_URL", "").strip()
    if not url:
        return None
    token, token_file = env.get("HOSSTED_AUTH_TOKEN", "").strip(), _file(env, "HOSSTED_AUTH_TOKEN_FILE")
    if not token and token_file is None:
        raise SettingsError(
            "HOSSTED_AUTH_TOKEN is not set, but HOSSTED_API_URL is: set the token (HOSSTED_AUTH_TOKEN_FILE,"
            " where it is in a file), or unset the URL"
        )
    if token and token_file is not None:
        raise SettingsError("HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_TOKEN_FILE are both set: unset one of them")
    if token:
        check_token("HOSSTED_AUTH_TOKEN", token)
    scheme = env.get("HOSSTED_AUTH_SCHEME", "").strip() or AUTH_SCHEMES[0]
    if scheme not in AUTH_SCHEMES:
        raise SettingsError(f"HOSSTED_AUTH_SCHEME is {scheme!r}: it must be one of {', '.join(AUTH_SCHEMES)}")
    return ApiSettings(
        url=url,
        token=token,
        scheme=scheme,
        email_id=email,
        token_file=token_file,
        ca_file=_file(env, "HOSSTED_CA_FILE"),
        rate=_rate(env),
        proxy=_api_proxy(env, url),
    )


def check_token(name: str, token: str) -> str:
    """The token; SettingsError names where it is from if it cannot be sent."""
    if not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{name} has characters that no HTTP header can carry")
    return token


def _file(env: Mapping[str, str], name: str) -> Path | None:
    path = env.get(name, "").strip()
    return Path(path) if path else None


def _rate(env: Mapping[str, str]) -> float | None:
    text = env.get("HOSSTED_API_RATE", "").strip()
    if not text:
        return DEFAULT_RATE
    if not _RATE.fullmatch(text) or 0 < float(text) < _LEAST_RATE:
        raise SettingsError(
            f"HOSSTED_API_RATE is {text[:20]!r}: give requests a second, such as 20, at least {_LEAST_RATE};"
            " or 0 for no limit"
        )
    return float(text) or None


def _api_proxy(env: Mapping[str, str], url: str) -> str:
    """The proxy on the way to the API, "" for none: what listens on this machine is reached as it is."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme, parts.hostname or ""
        port = parts.port or {"http": 80, "https": 443}.get(scheme)
    except ValueError:
        return ""  # not a URL, which is said where it is used
    _, exceptions = _first(env, "no_proxy", "NO_PROXY")
    if host in ("localhost", "127.0.0.1", "::1") or _is_exempt(host, port, exceptions):
        return ""
    name, proxy = _first(env, f"{scheme}_proxy", f"{scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    if proxy and not _PROXY.fullmatch(proxy):
        raise SettingsError(f"{name} is no URL of a proxy: give http://HOST:PORT")
    if proxy.startswith("socks"):
        raise SettingsError(
            f"{name} names a SOCKS proxy, and the Hossted API is reached through HTTP proxies only: set"
            f" {scheme.upper()}_PROXY to one, or put {host} into NO_PROXY"
        )
    return proxy if not proxy or "://" in proxy else f"http://{proxy}"


def _is_exempt(host: str, port: int | None, exceptions: str) -> bool:
    """Whether NO_PROXY names a host: itself, a domain above it, a network, ``*``; a port may follow."""
    for each in exceptions.lower().split(","):
        name = each.strip()
        if (found := _WITH_PORT.fullmatch(name)) is not None:
            if int(found[2]) != port:
                continue
            name = found[1]
        name = name.strip("[]").removeprefix("*.").lstrip(".")
        if name and (name in ("*", host) or host.endswith(f".{name}")):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:  # a name, or a network of the other kind
            pass
    return False


def _first(env: Mapping[str, str], *names: str) -> tuple[str, str]:
    """The first of these variables that is set, and its value."""
    return next(((name, env[name].strip()) for name in names if env.get(name, "").strip()), ("", ""))


def _proxy(env: Mapping[str, str]) -> ProxySettings:
    name, https = _first(env, "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    if https and not _PROXY.fullmatch(https):
        raise SettingsError(f"{name} is no URL of a proxy: give http://HOST:PORT")
    _, exceptions = _first(env, "no_proxy", "NO_PROXY")
    _, command = _first(env, "HOSSTED_SSH_PROXY_COMMAND")
    if not command.isprintable():
        raise SettingsError("HOSSTED_SSH_PROXY_COMMAND has line ends or control characters: give one command")
    return ProxySettings(https=https, exceptions=exceptions, ssh_command=command)


def _identity(env: Mapping[str, str]) -> str:
    host = socket.gethostname()
    return host if "KUBERNETES_SERVICE_HOST" in env else f"{host}-{uuid4().hex[:8]}"


def _cache(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME") or (Path(env["HOME"]) / ".cache" if env.get("HOME") else "/var/tmp")  # noqa: S108 - a cache that may be shared is checked before use, and a container has no HOME
    return Path(base) / "hossted-reconciler"
