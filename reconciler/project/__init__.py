"""The Hosstedproject: the only place where its dict is trusted or built.

``resource`` reads the object, ``spec`` says what may be asked for, ``status`` what is reported.
"""

from reconciler.project.duration import Duration
from reconciler.project.moment import moment
from reconciler.project.releases import HelmStatus, Listing, Releases, releases_of
from reconciler.project.resource import (
    GROUP,
    KIND,
    PLURAL,
    RECONCILE,
    REQUESTED_AT,
    VERSION,
    InvalidProjectError,
    Project,
    oldest,
    parse_project,
)
from reconciler.project.spec import (
    APPROVALS,
    PUSH_ON,
    Author,
    Brake,
    ConfigMapState,
    GitState,
    Match,
    PushSpec,
    Rule,
    SecretRef,
    Signing,
    Spec,
)
from reconciler.project.status import (
    Condition,
    SnapshotRef,
    Status,
    Summary,
    build_status,
    status_patch,
)

__all__ = [
    "APPROVALS",
    "GROUP",
    "KIND",
    "PLURAL",
    "PUSH_ON",
    "RECONCILE",
    "REQUESTED_AT",
    "VERSION",
    "Author",
    "Brake",
    "Condition",
    "ConfigMapState",
    "Duration",
    "GitState",
    "HelmStatus",
    "InvalidProjectError",
    "Listing",
    "Match",
    "Project",
    "PushSpec",
    "Releases",
    "Rule",
    "SecretRef",
    "Signing",
    "SnapshotRef",
    "Spec",
    "Status",
    "Summary",
    "build_status",
    "moment",
    "oldest",
    "parse_project",
    "releases_of",
    "status_patch",
]
