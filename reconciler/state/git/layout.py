"""What the git store's names and texts look like: paths, branches, authors, commit messages. Pure.

    clusters/<cluster_uuid>/cluster.yaml
    clusters/<cluster_uuid>/<namespace>/<release>.yaml

Everything else in the repository is somebody else's and is left alone. A namespace has no dot, so none
can be mistaken for ``cluster.yaml``.
"""

import re
from datetime import UTC, datetime

from reconciler.errors import SpecError, StoreError
from reconciler.model import AppKey
from reconciler.state.store import Message

ROOT = "clusters"
CLUSTER_FILE = "cluster.yaml"
PLACEHOLDER = "{cluster_uuid}"
APPROVED = f"approved/{PLACEHOLDER}"
AUTHOR = "hossted-reconciler <hossted-reconciler@noreply.invalid>"

# Kubernetes: RFC 1123 label. Helm: labels joined by dots; its own limit is 53 characters, and a Secret's
# name (which holds a release's) may have 253.
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RELEASE = re.compile(r"(?=.{1,200}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_CLUSTER_UUID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,127}")
_BRANCH_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_AUTHOR = re.compile(r"(?P<name>[^<>\x00-\x1f\x7f]*[^<>\s\x00-\x1f\x7f]) <(?P<email>[^<>\s\x00-\x1f\x7f]+)>")
_TRAILER = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9-]*):(?: (?P<value>.*))?")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def directory(cluster_uuid: str) -> str:
    """A cluster's directory; StoreError for a UUID that cannot be a directory's name."""
    if not is_cluster_uuid(cluster_uuid):
        raise StoreError(f"the cluster UUID {cluster_uuid!r} cannot be the name of a directory")
    return f"{ROOT}/{cluster_uuid}"


def is_cluster_uuid(name: str) -> bool:
    return _CLUSTER_UUID.fullmatch(name) is not None


def app_file(key: AppKey) -> str:
    """An app's file below its cluster's directory; StoreError for names that Kubernetes does not allow."""
    if not (_NAMESPACE.fullmatch(key.namespace) and _RELEASE.fullmatch(key.name)):
        raise StoreError(
            f"the app {str(key)!r} cannot be a file's name: Kubernetes and Helm allow lower-case letters,"
            " digits, '-' and, in a release's name, '.'"
        )
    return f"{key.namespace}/{key.name}.yaml"


def key_of(file: str) -> AppKey | None:
    """The inverse of ``app_file``; None for a file that is not ours."""
    namespace, slash, rest = file.partition("/")
    name = rest.removesuffix(".yaml")
    if not slash or name == rest or not _NAMESPACE.fullmatch(namespace) or not _RELEASE.fullmatch(name):
        return None
    return AppKey(namespace, name)


def checked_branch(branch: str) -> str:
    """The branch, or SpecError if git would not take its name (``{cluster_uuid}`` stands for a UUID)."""
    parts = branch.replace(PLACEHOLDER, "K").split("/")
    good = all(
        _BRANCH_PART.fullmatch(part) and ".." not in part and not part.endswith((".", ".lock"))
        for part in parts
    )
    if not good or branch.count(PLACEHOLDER) > 1:
        raise SpecError(
            f"the branch {branch!r} is not a name that can be used: letters, digits, '.', '_', '+', '-', '/'"
            f" and at most once {PLACEHOLDER}"
        )
    return branch


def branch_ref(branch: str, cluster_uuid: str) -> str:
    return f"refs/heads/{branch.replace(PLACEHOLDER, cluster_uuid)}"


def delivered_ref(cluster_uuid: str) -> str:
    """The branch that shows what the API was told."""
    return f"refs/heads/hossted/delivered/{cluster_uuid}"


def cluster_of_ref(branch: str, ref: str) -> str | None:
    """Whose branch it is, for a ``branch`` with the placeholder; None if it is none of them."""
    before, _, after = f"refs/heads/{branch}".partition(PLACEHOLDER)
    if not (ref.startswith(before) and ref.endswith(after) and len(ref) > len(before) + len(after)):
        return None
    cluster_uuid = ref[len(before) : len(ref) - len(after)]
    return cluster_uuid if is_cluster_uuid(cluster_uuid) else None


def checked_author(author: str) -> str:
    """``Name <email>``, or SpecError."""
    if not _AUTHOR.fullmatch(author):
        raise SpecError(f"the author {author!r} is not of the form NAME <EMAIL>")
    return author


def tidy(message: Message, suffix: str = "") -> Message:
    """The message as a commit can hold it: no control characters, subject and trailers on one line each.

    ``suffix`` ends the subject, as ``[skip ci]`` does, after a space.
    So what it says of itself cannot be forged by texts that come from charts.
    """
    return Message(
        subject=one_line(f"{one_line(message.subject) or '(no subject)'} {suffix}"),
        body=_CONTROL.sub("\ufffd", message.body).strip("\n"),
        trailers=tuple((name, one_line(value)) for name, value in message.trailers),
    )


def parse_message(text: str) -> Message:
    """The inverse of ``Message.render``; a last paragraph whose lines are all trailers is the trailers.

    For other people's commits as well: what has no trailers has none.
    """
    subject, _, rest = text.strip("\n").partition("\n\n")
    body, _, last = rest.rpartition("\n\n")
    found = [_TRAILER.fullmatch(line) for line in last.split("\n")]
    trailers = [(match["name"], match["value"] or "") for match in found if match is not None]
    if len(trailers) < len(found):
        return Message(subject=subject, body=rest.strip("\n"))
    return Message(subject=subject, body=body.strip("\n"), trailers=tuple(trailers))


def moment(seconds: int) -> datetime:
    """A commit's date; UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def one_line(text: str) -> str:
    """The text without line ends, control characters and outer spaces."""
    return _CONTROL.sub("\ufffd", " ".join(text.split("\n"))).strip()
