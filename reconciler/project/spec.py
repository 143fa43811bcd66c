"""What a project states: the policy, and where state is kept.

The API server has defaulted and validated what comes from it (``config/crd``); a project from a file has
not been there, so what matters is checked again here. The messages begin with the field, ``name: ``.
"""

import re
from collections.abc import Collection, Iterable
from datetime import timedelta

from msgspec import UNSET, Struct

from reconciler.model import MatchInEffect, PolicyInEffect, PushPolicy, RuleInEffect
from reconciler.project.duration import Duration

PUSH_ON = ("HelmUpdate", "AnyChange", "Never")
APPROVALS = ("Automatic", "Required")
ACTIONS = ("Push", "Record", "Defer", "Ignore")
RULE_FIELDS = (
    "helm_info.revision",
    "helm_info.status",
    "helm_info.updated",
    "helm_info.chart",
    "helm_info.appVersion",
    "chart_version",
    "app_uuid",
    "pod_info",
    "pod_info.image",
    "pod_info.status",
    "service_info",
    "service_info.port",
    "volume_info",
    "volume_info.size",
    "ingress_info",
    "ingress_info.domain",
)
"""The fields that a rule may name: what ``changes.Field`` has, without the followers in ``record``."""

OPERATIONS = ("install", "upgrade", "rollback", "change", "uninstall")
"""The operations that a rule may name: what ``changes.Operation`` has, without denying and allowing."""

_COMING_AND_GOING = {"install", "uninstall"}

CLUSTER_UUID_IN_BRANCH = "{cluster_uuid}"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_GLOB = re.compile(r"([a-z0-9*?-]|\[!?[a-z0-9-]+\])+")
_RELEASE_GLOB = re.compile(r"([a-z0-9.*?-]|\[!?[a-z0-9.-]+\])+")
_CHART_GLOB = re.compile(r"([A-Za-z0-9._*?-]|\[!?[A-Za-z0-9._-]+\])+")
_BRANCH_PART = r"(?![+-])[A-Za-z0-9_{}+-]+(\.[A-Za-z0-9_{}+-]+)*"
_BRANCH = re.compile(rf"{_BRANCH_PART}(/{_BRANCH_PART})*")


# Above the classes, because the defaults in them are checked as the classes are made.
def _check_range(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise ValueError(f"{field}: must be from {least} to {most}")


def _check_one_of(field: str, value: str, options: Collection[str]) -> None:
    if value not in options:
        raise ValueError(f"{field}: {value!r} is none of {', '.join(options)}")


def _check_name(field: str, value: str) -> None:
    if not _NAME.fullmatch(value) or len(value) > 253:
        raise ValueError(f"{field}: {value!r} is no name of a Kubernetes object")


def _check_globs(
    field: str, globs: Iterable[str], form: re.Pattern[str] = _GLOB, what: str = "a namespace"
) -> None:
    for glob in globs:
        if not form.fullmatch(glob):
            raise ValueError(f"{field}: {glob!r} is neither {what} nor a glob such as team-*")


def _check_branch(field: str, branch: str) -> None:
    left = branch.replace(CLUSTER_UUID_IN_BRANCH, "", 1)
    if not _BRANCH.fullmatch(branch) or re.search(r"\.lock(/|$)|[{}]", left):
        raise ValueError(
            f"{field}: {branch!r} is no branch name; only {{cluster_uuid}} may stand in braces, once"
        )
    if f"{branch}/".startswith("hossted/"):
        raise ValueError(f"{field}: branches below hossted/ are the reconciler's own")


class Part(Struct, frozen=True, rename="camel"):
    """Base of the spec's values: spelled in camelCase outside, unknown fields left out."""


class SecretRef(Part, frozen=True):
    """A Secret in the operator's own namespace."""

    name: str

    def __post_init__(self) -> None:
        _check_name("name", self.name)


class Author(Part, frozen=True):
    """Who the commits are by."""

    name: str = "hossted-reconciler"
    email: str = "hossted-reconciler@noreply.invalid"

    def __post_init__(self) -> None:
        if (
            not self.name
            or self.name != self.name.rstrip()
            or not self.name.isprintable()
            or set(self.name) & set("<>")
        ):
            raise ValueError("name: must be text on one line, without < and >")
        if not self.email.isprintable() or set(self.email) & set("<> ") or not self.email:
            raise ValueError("email: must be an address, without spaces, < and >")


class Signing(Part, frozen=True):
    """The Secret with the key that signs the commits."""

    secret_ref: SecretRef


class GitState(Part, frozen=True):
    """State in a git repository. ``{cluster_uuid}`` in a branch name is replaced.

    ``subject_suffix`` ends each commit's subject (``[skip ci]``); ``push_options``: git's own, for forges.
    """

    url: str
    branch: str = "main"
    approved_branch: str = "approved/{cluster_uuid}"
    secret_ref: SecretRef | None = None
    author: Author = Author()
    signing: Signing | None = None
    subject_suffix: str = ""
    push_options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.subject_suffix.isprintable() or len(self.subject_suffix) > 64:
            raise ValueError("subjectSuffix: must be text on one line, of at most 64 characters")
        for option in self.push_options:
            if not option or not option.isprintable() or len(option) > 256:
                raise ValueError("pushOptions: each must be text on one line, of at most 256 characters")
        if not re.fullmatch(r"(file:///|https://|ssh://)\S+", self.url):
            raise ValueError("url: must begin with file:///, https:// or ssh:// and have no spaces")
        if re.match(r"(https://[^/]*@|ssh://[^/@]*:[^/]*@)", self.url):
            raise ValueError("url: must not hold credentials; keep them in a Secret and name it in secretRef")
        for field, branch in (("branch", self.branch), ("approvedBranch", self.approved_branch)):
            _check_branch(field, branch)
        if f"{self.branch}/".startswith(f"{self.approved_branch}/") or f"{self.approved_branch}/".startswith(
            f"{self.branch}/"
        ):
            raise ValueError("approvedBranch: must neither be branch nor stand below or above it")

    @property
    def scheme(self) -> str:
        """``file``, ``https`` or ``ssh``."""
        return self.url.partition("://")[0]


class ConfigMapState(Part, frozen=True):
    """State in ConfigMaps. ``namespace``: "" for the operator's own; ``history``: changesets kept."""

    namespace: str = ""
    name: str = "hossted-state"
    history: int = 200

    def __post_init__(self) -> None:
        if self.namespace and not _LABEL.fullmatch(self.namespace):
            raise ValueError(f"namespace: {self.namespace!r} is no name of a namespace")
        _check_name("name", self.name)
        _check_range("history", self.history, 1, 1_000)


class Brake(Part, frozen=True):
    """More than ``percent`` of the apps gone in one look: removals wait."""

    percent: int = 30

    def __post_init__(self) -> None:
        _check_range("percent", self.percent, 1, 100)


class PushSpec(Part, frozen=True):
    """What is told. ``on`` is None where the project leaves it to whether there is an API at all."""

    on: str | None = None
    approval: str = "Automatic"

    def __post_init__(self) -> None:
        if self.on is not None:
            _check_one_of("on", self.on, PUSH_ON)
        _check_one_of("approval", self.approval, APPROVALS)

    def resolved(self, *, has_api: bool) -> str:
        """One of PUSH_ON: what the project says, else HelmUpdate, or Never while there is no API."""
        return self.on or ("HelmUpdate" if has_api else "Never")


class Match(Part, frozen=True):
    """What a rule is about; an empty list matches everything.

    ``namespaces``, ``releases``, ``charts``: names or globs. A rule with ``fields`` says nothing of an app
    that comes or goes.
    """

    namespaces: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
    charts: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_globs("namespaces", self.namespaces)
        _check_globs("releases", self.releases, _RELEASE_GLOB, "a release")
        _check_globs("charts", self.charts, _CHART_GLOB, "a chart")
        for field in self.fields:
            _check_one_of("fields", field, RULE_FIELDS)
        for operation in self.operations:
            _check_one_of("operations", operation, OPERATIONS)
        if self.fields and self.is_of_coming_and_going:
            raise ValueError("fields: an install or uninstall has no fields; leave them out")

    @property
    def is_of_coming_and_going(self) -> bool:
        """Whether it is about installs and uninstalls only."""
        return bool(self.operations) and _COMING_AND_GOING.issuperset(self.operations)

    def in_effect(self) -> MatchInEffect:
        """Canonical, whatever order it was written in."""
        return MatchInEffect(
            namespaces=tuple(sorted(set(self.namespaces))),
            releases=tuple(sorted(set(self.releases))),
            charts=tuple(sorted(set(self.charts))),
            fields=tuple(field for field in RULE_FIELDS if field in self.fields),
            operations=tuple(operation for operation in OPERATIONS if operation in self.operations),
        )


class Rule(Part, frozen=True):
    """What becomes of the differences that it is about."""

    action: str
    match: Match = Match()

    def __post_init__(self) -> None:
        _check_one_of("action", self.action, ACTIONS)
        if self.match.is_of_coming_and_going and self.action in ("Defer", "Ignore"):
            raise ValueError(
                "action: installs and uninstalls are always recorded, so a rule about nothing else says Push "
                "or Record; denyNamespaces leaves apps out"
            )

    def in_effect(self) -> RuleInEffect:
        return RuleInEffect(match=self.match.in_effect(), action=self.action)


class Policy(Part, frozen=True, kw_only=True):
    """The fields whose form is the same in the resource and here."""

    cluster_name: str = ""
    stop: bool = False
    deny_namespaces: tuple[str, ...] = ()
    interval: Duration = Duration(minutes=10)
    settle: Duration = Duration(seconds=5)
    brake: Brake = Brake()
    push: PushSpec = PushSpec()
    rules: tuple[Rule, ...] = ()


class Spec(Policy, frozen=True, kw_only=True):
    """The policy that a project states. ``ignored``: the upstream fields that are set, without effect."""

    state: GitState | ConfigMapState = ConfigMapState()
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.cluster_name.isprintable():
            raise ValueError("clusterName: must be printable")
        _check_globs("denyNamespaces", self.deny_namespaces)
        if not timedelta(seconds=1) <= self.interval <= timedelta(hours=24):
            raise ValueError("interval: must be from 1s to 24h")
        if self.settle > timedelta(minutes=10):
            raise ValueError("settle: must be at most 10m")
        if self.settle > self.interval:
            raise ValueError("settle: must not be longer than interval")
        if self.push.approval == "Required" and not (
            isinstance(self.state, GitState)
            and CLUSTER_UUID_IN_BRANCH in self.state.branch
            and CLUSTER_UUID_IN_BRANCH in self.state.approved_branch
        ):
            raise ValueError(
                "push.approval: Required needs state.git with {cluster_uuid} in branch and approvedBranch"
            )

    def in_effect(self, *, has_api: bool = True) -> PolicyInEffect:
        """The policy as ``cluster.yaml`` records it: canonical, whatever order it was written in."""
        return PolicyInEffect(
            stop=self.stop,
            denyNamespaces=tuple(sorted(set(self.deny_namespaces))),
            interval=str(self.interval),
            settle=str(self.settle),
            push=PushPolicy(on=self.push.resolved(has_api=has_api), approval=self.push.approval),
            rules=tuple(rule.in_effect() for rule in self.rules) or UNSET,
        )
