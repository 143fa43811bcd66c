"""The git store that a spec names. Apart from ``wiring``, so that a process whose state is in ConfigMaps does
not import git and what it signs and connects with."""

from pathlib import Path

from reconciler.errors import SpecError
from reconciler.kube.client import Client
from reconciler.kube.secrets import Secrets
from reconciler.model import digest_of
from reconciler.project import GitState
from reconciler.settings import Settings
from reconciler.state.git.network.access import Access, Folder, SecretSource, Source
from reconciler.state.git.store import open_git_store
from reconciler.state.signing.key import Signing
from reconciler.state.store import Store


def open_state(settings: Settings, state: GitState, client: Client | None, credentials: Path | None) -> Store:
    """Open it. ``client`` is None where there is no cluster; ``credentials``: as for ``wiring.opener``."""
    return open_git_store(
        path=_clone_of(settings, state.url, state.branch),
        url=state.url,
        branch=state.branch,
        approved_branch=state.approved_branch,
        author=f"{state.author.name} <{state.author.email}>",
        signing=_signing(settings, state, client),
        access=Access(source=_source(settings, state, client, credentials), proxy=settings.proxy),
        push_options=state.push_options,
        subject_suffix=state.subject_suffix,
    )


def _source(
    settings: Settings, state: GitState, client: Client | None, credentials: Path | None
) -> Source | None:
    if credentials is not None:
        return Folder(credentials)
    if state.secret_ref is None:
        return None
    if client is None:
        raise SpecError(
            "spec.state.git.secretRef names a Secret, and no cluster is asked: give its keys with"
            " --credentials DIR, a file for each"
        )
    return SecretSource(Secrets(client).read, settings.namespace, state.secret_ref.name)


def _signing(settings: Settings, state: GitState, client: Client | None) -> Signing | None:
    if state.signing is None:
        return None
    if client is None:
        raise SpecError("spec.state.git.signing names a Secret, and no cluster is asked: leave signing out")
    secrets_of_cluster = Secrets(client)
    return Signing(
        lambda name: secrets_of_cluster.read(settings.namespace, name), state.signing.secret_ref.name
    )


def _clone_of(settings: Settings, url: str, branch: str) -> Path:
    return settings.cache / "git" / f"{digest_of(f'{url} {branch}'.encode())[:20]}.git"
