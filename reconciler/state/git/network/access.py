"""How git gets to a remote: with which credentials, through which proxy, how long it waits.

Nothing of it is in an argument, in git's environment, in the clone or on a disk: git and ssh read generated
configurations, and keys, from files in memory that live as long as one git process, and are given only their
paths. An Authorization header goes to the URL's own host and to no other: redirects are not followed.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec

from reconciler.errors import CredentialsError, ForbiddenError, KubernetesError, NotFoundError, StoreError
from reconciler.settings import ProxySettings
from reconciler.state.git.network.config import config_text, ssh_config_text
from reconciler.state.git.network.credentials import Credentials
from reconciler.state.git.network.memory_file import MemoryFile, memory_file
from reconciler.state.git.network.url import RemoteUrl
from reconciler.state.git.plumbing import Around

_TRACE_SIZE = 1 << 16  # bytes of HTTP headers that are looked at: the last few answers


class Source(Protocol):
    """Where a Secret's data comes from. ``where``: what people know it by."""

    @property
    def where(self) -> str: ...

    def read(self) -> Awaitable[Mapping[str, bytes]]:
        """The data as it is now. Raises CredentialsError when there is none, StoreError."""
        ...


class Given(msgspec.Struct, frozen=True):
    """Data that does not change."""

    where: str
    data: Mapping[str, bytes]

    async def read(self) -> Mapping[str, bytes]:
        return self.data

    def __repr__(self) -> str:
        return f"Given({self.where!r})"


class SecretSource(msgspec.Struct, frozen=True):
    """A Secret of the cluster. ``get``: its data by namespace and name; KubernetesError and its kinds."""

    get: Callable[[str, str], Awaitable[Mapping[str, bytes]]]
    namespace: str
    name: str

    @property
    def where(self) -> str:
        return f"the Secret {self.namespace}/{self.name}"

    async def read(self) -> Mapping[str, bytes]:
        try:
            return await self.get(self.namespace, self.name)
        except NotFoundError as error:
            raise CredentialsError(
                f"{self.where}, which spec.state.git.secretRef names, does not exist: make it, with the"
                " repository's credentials"
            ) from error
        except ForbiddenError as error:
            raise CredentialsError(
                f"{self.where} may not be read: let the operator get Secrets in that namespace"
            ) from error
        except KubernetesError as error:
            raise StoreError(f"{self.where} cannot be read now: {error}") from error


class Folder(msgspec.Struct, frozen=True):
    """A folder with a file for each key, as Kubernetes mounts a Secret."""

    path: Path

    @property
    def where(self) -> str:
        return f"the folder {self.path}"

    async def read(self) -> Mapping[str, bytes]:
        try:
            # A mounted Secret also has hidden entries, which are links to what is shown.
            files = [file for file in self.path.iterdir() if file.is_file() and file.name[0] != "."]
            return {file.name: file.read_bytes() for file in files}
        except OSError as error:
            raise CredentialsError(f"{self.where} cannot be read: {error.strerror}") from error


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds. ``answer``: until a remote has said which branches it has; ``silence``: without a byte while
    something is transferred; ``connect``: until an ssh host is connected."""

    answer: float = 60.0
    silence: float = 60.0
    connect: float = 30.0


class Access(msgspec.Struct, frozen=True):
    """``source``: of the credentials, None for a remote that wants none."""

    source: Source | None = None
    proxy: ProxySettings = ProxySettings()
    timeouts: Timeouts = Timeouts()


class Session:
    """What one git process is given. ``around``: for the process; ``trace``: what HTTP headers there were."""

    def __init__(self, around: Around, trace: MemoryFile | None) -> None:
        self.around = around
        self._trace = trace

    @property
    def trace(self) -> str:
        return "" if self._trace is None else self._trace.tail(_TRACE_SIZE)


@contextmanager
def session(
    url: RemoteUrl, credentials: Credentials, access: Access, timeout: float | None
) -> Iterator[Session]:
    """The files in memory for one git process, which must end within the context.

    ``timeout``: seconds for the process, None for the usual.
    """
    if url.scheme == "file":
        yield Session(Around(settings={"protocol.file.allow": "always"}, timeout=timeout), None)
        return
    with ExitStack() as stack:

        def kept(content: str) -> str:
            return stack.enter_context(memory_file(content)).path if content else ""

        ssh_config, trace = "", None
        environment = {}
        if url.scheme == "ssh":
            ssh_config = kept(
                ssh_config_text(
                    identity=kept(credentials.key),
                    known_hosts=kept(credentials.known_hosts),
                    user=credentials.user,
                    proxy_command=access.proxy.ssh_command,
                    connect=access.timeouts.connect,
                    silence=access.timeouts.silence,
                )
            )
        else:
            trace = stack.enter_context(memory_file())
            environment = {"GIT_TRACE_CURL": trace.path, "GIT_TRACE_CURL_NO_DATA": "1"}
            if access.proxy.exceptions:
                environment["NO_PROXY"] = access.proxy.exceptions
        config = config_text(
            url.text,
            scheme=url.scheme,
            authorization=credentials.authorization,
            authority=kept(credentials.authority),
            proxy=access.proxy.https,
            silence=access.timeouts.silence,
            ssh_config=ssh_config,
        )
        environment["GIT_CONFIG_GLOBAL"] = kept(config)

        def scrub(text: str) -> str:
            return access.proxy.scrub(credentials.scrub(text))

        yield Session(Around(environment=environment, timeout=timeout, scrub=scrub), trace)
