"""The process's environment and its defaults: the only module that reads the environment.

What a person decides about a cluster is in the Hosstedproject; what stands here belongs to one process:
where the Hossted API is, who we are to it, and where this machine keeps its files.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from uuid import uuid4

from reconciler.errors import SettingsError

DEFAULT_NAMESPACE = "hossted-system"
"""Where the operator lives when nobody says: the namespace of ``config/default``."""

AUTH_SCHEMES = ("Bearer", "Basic")


@dataclass(frozen=True)
class ApiSettings:
    """The Hossted API.

    ``url``: the full endpoint that apps are posted to. ``token``: never shown. ``scheme``: Bearer; the
    original operator's first versions spoke Basic. ``email_id``: emitted with every app, may be "".
    """

    url: str
    token: str = field(repr=False)
    scheme: str = "Bearer"
    email_id: str = ""


@dataclass(frozen=True)
class Settings:
    """``api`` is None when no URL is set: then everything but pushing works.

    ``namespace``: the operator's own, for its Lease, its ledger and the default store. ``cache``: where
    clones of git stores are kept; they can be made again at any time. ``identity``: unique to this process
    among those that may run at once: the pod's name, which no second pod has while it runs; elsewhere the
    host's, with something random.
    """

    api: ApiSettings | None
    namespace: str
    cache: Path
    email_id: str = ""
    identity: str = ""


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
    )


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
    token = env.get("HOSSTED_AUTH_TOKEN", "").strip()
    if not token:
        raise SettingsError(
            "HOSSTED_AUTH_TOKEN is not set, but HOSSTED_API_URL is: set the token, or unset the URL"
        )
    if not (token.isascii() and token.isprintable()):
        raise SettingsError("HOSSTED_AUTH_TOKEN has characters that no HTTP header can carry")
    scheme = env.get("HOSSTED_AUTH_SCHEME", "").strip() or AUTH_SCHEMES[0]
    if scheme not in AUTH_SCHEMES:
        raise SettingsError(f"HOSSTED_AUTH_SCHEME is {scheme!r}: it must be one of {', '.join(AUTH_SCHEMES)}")
    return ApiSettings(url=url, token=token, scheme=scheme, email_id=email)


def _identity(env: Mapping[str, str]) -> str:
    host = socket.gethostname()
    return host if "KUBERNETES_SERVICE_HOST" in env else f"{host}-{uuid4().hex[:8]}"


def _cache(env: Mapping[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME") or (Path(env["HOME"]) / ".cache" if env.get("HOME") else "/var/tmp")  # noqa: S108 - a cache that may be shared is checked before use, and a container has no HOME
    return Path(base) / "hossted-reconciler"
