"""Everything that can go wrong, as types; whether to retry is a property of the type.

    ReconcilerError
    ├── UserError                 a person must act; waits for a new spec, setting or object
    │   ├── SettingsError         the environment or the flags are wrong: exit status 2
    │   ├── UsageError            a command's words are wrong: exit status 2
    │   │   ├── NotKeptError      the revision is older than those that are kept
    │   │   └── NotWholeError     what the revision was made of was lost, or too large to be kept
    │   ├── SpecError             the project's spec cannot be used
    │   ├── IdentityError         whose state this is cannot be decided without a person
    │   ├── SecondWriterError     somebody else writes where only we may
    │   ├── FormatError           the store was written by a newer program, or is not ours
    │   └── TooLargeError         it does not fit where it should be kept
    ├── TransientError            passes by itself; tried again with backoff
    │   ├── KubernetesError       the Kubernetes API did not answer as it should
    │   │   ├── ForbiddenError    403: tried again slowly, since permissions may come
    │   │   ├── ConflictError     409: somebody wrote in between; read again
    │   │   └── NotFoundError     404
    │   ├── StoreError            the state store cannot be reached, read or written
    │   │   ├── LostRaceError     another commit came first: fetch, rebuild on top, again
    │   │   ├── CredentialsError  a Secret that is missing or unusable, or that the remote does not accept
    │   │   ├── RefusedError      the remote does not allow it: no right to write, a protected branch
    │   │   ├── NoRepositoryError the remote has no such repository, or does not show it to us
    │   │   ├── UntrustedError    the remote does not prove that it is the one: TLS, an ssh host key
    │   │   ├── RateLimitedError  the remote asks to be left alone until a time
    │   │   └── DiskFullError     no room, here or there
    │   ├── LedgerError           the ledger cannot be read or written
    │   └── LeaseLostError        somebody else holds the lease: everything is cancelled
    └── ReleaseError              one release cannot be read; costs nothing but itself

Client libraries' exceptions are converted where they enter, with ``raise … from``. A message names the
object and says what to do; it never holds a credential, a value of Helm or a Secret's data.
"""

from typing import ClassVar


class ReconcilerError(Exception):
    """Base of all; ``retry`` says whether trying again without a change can help."""

    retry: ClassVar[bool] = False
    reason: ClassVar[str] = "Failed"
    """CamelCase word for a condition's ``reason``."""


class UserError(ReconcilerError):
    """A person must act."""


class SettingsError(UserError):
    reason = "InvalidSettings"


class UsageError(UserError):
    reason = "InvalidUsage"


class NotKeptError(UsageError):
    reason = "NotKept"


class NotWholeError(UsageError):
    reason = "NotWhole"


class SpecError(UserError):
    reason = "InvalidSpec"


class IdentityError(UserError):
    reason = "IdentityUnclear"


class SecondWriterError(UserError):
    """``instance``: the stranger's Instance, for the annotation that accepts it."""

    reason = "SecondWriter"

    def __init__(self, message: str, instance: str = "") -> None:
        super().__init__(message)
        self.instance = instance


class FormatError(UserError):
    reason = "UnknownFormat"


class TooLargeError(UserError):
    reason = "TooLarge"


class TransientError(ReconcilerError):
    """Passes by itself."""

    retry = True


class KubernetesError(TransientError):
    """``status``: the HTTP status, 0 when there was no answer."""

    reason = "KubernetesUnavailable"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ForbiddenError(KubernetesError):
    reason = "Forbidden"


class ConflictError(KubernetesError):
    reason = "Conflict"


class NotFoundError(KubernetesError):
    reason = "NotFound"


class StoreError(TransientError):
    reason = "StoreUnavailable"


class LostRaceError(StoreError):
    reason = "LostRace"


class CredentialsError(StoreError):
    reason = "CredentialsRefused"


class RefusedError(StoreError):
    reason = "WriteRefused"


class NoRepositoryError(StoreError):
    reason = "RepositoryNotFound"


class UntrustedError(StoreError):
    reason = "RemoteNotTrusted"


class RateLimitedError(StoreError):
    reason = "RateLimited"


class DiskFullError(StoreError):
    reason = "DiskFull"


class LedgerError(TransientError):
    reason = "LedgerUnavailable"


class LeaseLostError(TransientError):
    reason = "LeaseLost"


class ReleaseError(ReconcilerError):
    reason = "UnreadableRelease"
