"""Puts the parts together: which store, which ledger, which API, for a process or a command.

What talks to git or to the Hossted API, and what reads a file, is imported when it is wanted: all of it
takes longer to import than a quiet cluster takes to look at.
"""

import secrets
from collections.abc import Callable
from pathlib import Path
from random import Random
from uuid import uuid4

from reconciler.delivery.deliver import Delivery
from reconciler.delivery.endpoint import endpoint_of
from reconciler.delivery.late import LateApi
from reconciler.delivery.rate import Rate
from reconciler.errors import NotFoundError, SpecError, UsageError
from reconciler.kube.client import Client
from reconciler.kube.configmaps import ConfigMaps
from reconciler.kube.projects import Projects
from reconciler.operator.clock import Clock
from reconciler.operator.gaps import Gaps
from reconciler.operator.leadership import Leadership
from reconciler.policy import keys
from reconciler.project import GitState, Project, Spec, oldest, parse_project
from reconciler.settings import Settings
from reconciler.state.configmap.store import ConfigMapStore
from reconciler.state.git.network.url import checked_url
from reconciler.state.ledger.configmaps import ConfigMapLedger
from reconciler.state.ledger.contract import Ledger
from reconciler.state.ledger.file import FileLedger
from reconciler.state.store import Store

PUSH_TIMEOUT = 30.0
"""Seconds that one push may take, connecting and reading included: half a Lease, so that an answer finds it
still ours."""

LEASE_MARGIN = 5.0
"""Seconds of the Lease that a push leaves for writing down its answer."""


def opener(
    settings: Settings, client: Client | None, credentials: Path | None = None
) -> Callable[[Spec], Store]:
    """What opens the store that a spec names. ``client`` is None where there is no cluster.

    ``credentials``: a folder with the repository's, instead of the Secret that the spec names.
    """

    def open_store(spec: Spec) -> Store:
        state = spec.state
        if isinstance(state, GitState):
            from reconciler.cli.git_state import open_state  # noqa: PLC0415 - see the module's docstring

            return open_state(settings, state, client, credentials)
        if client is None:
            raise SpecError("spec.state: without a cluster the state must be in git: set spec.state.git.url")
        return ConfigMapStore(
            ConfigMaps(client), state.namespace or settings.namespace, state.name, state.history
        )

    return open_store


def ledger_of(settings: Settings, spec: Spec, client: Client | None) -> Ledger:
    """The ledger: in the operator's namespace, or a file beside the store where there is no cluster."""
    if client is not None:
        return ConfigMapLedger(ConfigMaps(client), settings.namespace)
    if not isinstance(spec.state, GitState):
        raise SpecError("spec.state: without a cluster the state must be in git: set spec.state.git.url")
    folder = checked_url(spec.state.url).folder
    if folder is None:
        raise SpecError(
            "spec.state: without a cluster the ledger is a file beside the repository: use file:// and a path"
        )
    return FileLedger(folder.with_name(f"{folder.name}.ledger.json"))


def leadership_of(settings: Settings, ledger: Ledger, clock: Clock, gaps: Gaps) -> Leadership:
    """A leadership with an Instance of its own."""
    return Leadership(
        ledger,
        clock,
        instance=str(uuid4()),
        endpoint=endpoint_of(settings.api.url) if settings.api is not None else "",
        email_id=settings.email_id,
        draw=keys.source(clock.now, secrets.token_bytes),
        gaps=gaps,
    )


def delivery_of(
    settings: Settings, ledger: Ledger, clock: Clock, remaining: Callable[[], float] | None = None
) -> tuple[LateApi, Delivery] | None:
    """What pushes, or None where there is no API. ``remaining``: seconds of the Lease, if there is one.

    Close the API when done.
    """
    if settings.api is None:
        return None
    api = LateApi(settings.api)

    def timeout() -> float:
        return PUSH_TIMEOUT if remaining is None else min(PUSH_TIMEOUT, remaining() - LEASE_MARGIN)

    delivery = Delivery(
        api,
        ledger,
        email_id=settings.email_id,
        draw=keys.source(clock.now, secrets.token_bytes),
        now=clock.now,
        timeout=timeout,
        random=Random(),  # noqa: S311 - jitter
        rate=Rate(settings.api.rate, clock.monotonic) if settings.api.rate is not None else None,
    )
    return api, delivery


async def served_project(client: Client) -> Project:
    """The project that is served in a cluster; UsageError when there is none."""
    found = await find_project(client)
    if found is None:
        raise UsageError("the cluster has no Hosstedproject: apply one, or name a file with --project")
    return found


async def find_project(client: Client) -> Project | None:
    """As ``served_project``; None when there is none, be it that the cluster does not know the kind."""
    try:
        found = [parse_project(raw) for raw in await Projects(client).list_projects()]
    except NotFoundError:
        return None
    return oldest(found) if found else None


def project_from(path: Path) -> Project:
    """The project that a YAML or JSON file holds; UsageError when it cannot be read."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - see the module's docstring
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        found = YAML(typ="safe").load(path)
    except (OSError, YAMLError) as error:
        raise UsageError(
            f"{path} cannot be read as a project: {' '.join(str(error).split())[:200]}"
        ) from error
    if not isinstance(found, dict):
        raise UsageError(f"{path} holds no Hosstedproject")
    return parse_project(found)
