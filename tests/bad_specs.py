"""Specs with one mistake each. The API server refuses them; so does the code, for a project from a file."""

from typing import NamedTuple

GIT = {"url": "file:///srv/record.git"}


class BadSpec(NamedTuple):
    """``field``: where the mistake is; ``says``: what a person needs of the API server's message."""

    what: str
    spec: dict[str, object]
    field: str
    says: str


DURATION = "must be a duration from 1s to 24h, such as 10m or 1h30m"
SETTLE = "must be a duration from 0s to 10m, such as 5s or 500ms"
GLOB = "must be a namespace's name or a shell glob such as team-*"
BRANCH = "must be a branch name; only {cluster_uuid} may stand in braces, once"
APART = "approvedBranch must neither be branch nor stand below or above it"
CREDENTIALS = "must not hold credentials; keep them in a Secret and name it in secretRef"
REQUIRED = "approval Required needs state.git with {cluster_uuid} in both branch and approvedBranch"


def git(**fields: object) -> dict[str, object]:
    return {"state": {"git": GIT | fields}}


BAD_SPECS = (
    BadSpec(
        "cluster name of two lines", {"clusterName": "a\nb"}, "clusterName", "must not hold control char"
    ),
    BadSpec("stop as text", {"stop": "yes"}, "stop", "must be of type boolean"),
    BadSpec("upper-case namespace", {"denyNamespaces": ["a", "Kube"]}, "denyNamespaces", GLOB),
    BadSpec("empty namespace", {"denyNamespaces": [""]}, "denyNamespaces", GLOB),
    BadSpec("open bracket", {"denyNamespaces": ["team-[ab"]}, "denyNamespaces", GLOB),
    BadSpec("namespaces as text", {"denyNamespaces": "kube-system"}, "denyNamespaces", "of type array"),
    BadSpec("interval in words", {"interval": "10 minutes"}, "interval", DURATION),
    BadSpec("interval without unit", {"interval": "600"}, "interval", DURATION),
    BadSpec("interval as number", {"interval": 600}, "interval", "must be of type string"),
    BadSpec("interval too short", {"interval": "999ms", "settle": "0s"}, "interval", DURATION),
    BadSpec("interval too long", {"interval": "24h1s"}, "interval", DURATION),
    BadSpec("negative settle", {"settle": "-5s"}, "settle", SETTLE),
    BadSpec("settle too long", {"settle": "10m1s", "interval": "1h"}, "settle", SETTLE),
    BadSpec(
        "settle beyond interval",
        {"settle": "11s", "interval": "10s"},
        "settle",
        "settle must not be longer than interval",
    ),
    BadSpec("brake at nothing", {"brake": {"percent": 0}}, "brake.percent", "greater than or equal to 1"),
    BadSpec("brake beyond all", {"brake": {"percent": 101}}, "brake.percent", "less than or equal to 100"),
    BadSpec(
        "two stores",
        {"state": {"git": GIT, "configMap": {}}},
        "state",
        "git and configMap exclude each other; keep one",
    ),
    BadSpec("git without url", {"state": {"git": {}}}, "state.git", "state.git.url: Required value"),
    BadSpec("http", git(url="http://example.com/x"), "state.git.url", "must begin with file:///, https://"),
    BadSpec("space in url", git(url="file:///a b"), "state.git.url", "and have no spaces"),
    BadSpec("token in url", git(url="https://user:hunter2@example.com/x"), "state.git.url", CREDENTIALS),
    BadSpec("password in ssh url", git(url="ssh://git:hunter2@example.com/x"), "state.git.url", CREDENTIALS),
    BadSpec("dots in branch", git(branch="a..b"), "state.git.branch", BRANCH),
    BadSpec("option as branch", git(branch="--force"), "state.git.branch", BRANCH),
    BadSpec("lock file as branch", git(branch="a.lock/b"), "state.git.branch", BRANCH),
    BadSpec("unknown braces", git(approvedBranch="a/{cluster}"), "state.git.approvedBranch", BRANCH),
    BadSpec("uuid twice", git(branch="{cluster_uuid}/{cluster_uuid}"), "state.git.branch", BRANCH),
    BadSpec("dash after slash", git(branch="a/-b"), "state.git.branch", BRANCH),
    BadSpec("reserved branch", git(branch="hossted/x"), "state.git.branch", "are the reconciler's own"),
    BadSpec("same branch", git(branch="a", approvedBranch="a"), "state.git.approvedBranch", APART),
    BadSpec("branch above", git(branch="a", approvedBranch="a/b"), "state.git.approvedBranch", APART),
    BadSpec(
        "branch below", git(branch="approved/x", approvedBranch="approved"), "state.git.approvedBranch", APART
    ),
    BadSpec("secret without name", git(secretRef={}), "state.git.secretRef", "name: Required value"),
    BadSpec(
        "secret's name", git(secretRef={"name": "A_b"}), "state.git.secretRef.name", "must be a name such"
    ),
    BadSpec("author", git(author={"name": "a <b>"}), "state.git.author.name", "without < and >"),
    BadSpec("author's space", git(author={"name": "a "}), "state.git.author.name", "on one line"),
    BadSpec("author's address", git(author={"email": "a b@c"}), "state.git.author.email", "without spaces"),
    BadSpec(
        "namespace",
        {"state": {"configMap": {"namespace": "a.b"}}},
        "state.configMap.namespace",
        "a namespace's",
    ),
    BadSpec("name", {"state": {"configMap": {"name": "A"}}}, "state.configMap.name", "must be a name such"),
    BadSpec("no history", {"state": {"configMap": {"history": 0}}}, "state.configMap.history", "equal to 1"),
    BadSpec("push on what", {"push": {"on": "Always"}}, "push.on", '"HelmUpdate", "AnyChange", "Never"'),
    BadSpec("bare on", {"push": {"true": "Never"}}, "push", 'write "on" in quotes'),
    BadSpec("approval", {"push": {"approval": "Maybe"}}, "push.approval", '"Automatic", "Required"'),
    BadSpec("approval without git", {"push": {"approval": "Required"}}, "push", REQUIRED),
    BadSpec("approval on main", {"push": {"approval": "Required"}, **git()}, "push", REQUIRED),
    BadSpec(
        "rule without action", {"rules": [{"match": {"fields": ["app_uuid"]}}]}, "rules[0]", "Required value"
    ),
    BadSpec(
        "action", {"rules": [{"action": "Drop"}]}, "rules[0].action", '"Push", "Record", "Defer", "Ignore"'
    ),
    BadSpec(
        "field of a rule",
        {"rules": [{"action": "Push", "match": {"fields": ["pods"]}}]},
        "rules[0].match.fields",
        '"pod_info.image"',
    ),
    BadSpec(
        "namespace of a rule",
        {"rules": [{"action": "Push", "match": {"namespaces": ["A"]}}]},
        "rules[0].match.namespaces",
        GLOB,
    ),
    BadSpec(
        "release of a rule",
        {"rules": [{"action": "Push"}, {"action": "Push", "match": {"releases": ["A"]}}]},
        "rules[1].match.releases",
        "must be a release's name or a shell glob",
    ),
    BadSpec(
        "chart of a rule",
        {"rules": [{"action": "Push", "match": {"charts": ["a/b"]}}]},
        "rules[0].match.charts",
        "must be a chart's name or a shell glob",
    ),
    BadSpec(
        "operation of a rule",
        {"rules": [{"action": "Push", "match": {"operations": ["deny"]}}]},
        "rules[0].match.operations",
        '"install", "upgrade", "rollback", "change", "uninstall"',
    ),
    BadSpec(
        "installs ignored",
        {"rules": [{"action": "Ignore", "match": {"operations": ["install"]}}]},
        "rules[0].action",
        "installs and uninstalls are always recorded",
    ),
    BadSpec(
        "uninstalls deferred",
        {"rules": [{"action": "Defer", "match": {"operations": ["uninstall", "install"]}}]},
        "rules[0].action",
        "installs and uninstalls are always recorded",
    ),
    BadSpec(
        "fields of an install",
        {"rules": [{"action": "Push", "match": {"fields": ["app_uuid"], "operations": ["install"]}}]},
        "rules[0].match.fields",
        "an install or uninstall has no fields",
    ),
)
