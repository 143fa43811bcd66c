"""git over SSH: a real SSH server, in a thread with a loop of its own, that runs the real git programs."""

import asyncio
import shlex
import threading
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import asyncssh

from tests.git.servers.hosting import CutError, Hosted, Hosting, Incoming, Key, Request, Rules

USER = "git"
ALGORITHMS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")

_PROGRAMS = ("git-upload-pack", "git-receive-pack")
_CHUNK = 1 << 16

_Result = TypeVar("_Result")


class KeyPair:
    """A key made for the test, in OpenSSH's formats. ``public``: one line, without a comment."""

    def __init__(self, algorithm: str = "ssh-ed25519", passphrase: str | None = None) -> None:
        self.key = asyncssh.generate_private_key(algorithm)
        self.private = self.key.export_private_key(passphrase=passphrase, rounds=50).decode()
        self.public = _public(self.key)

    def write(self, file: Path) -> Path:
        """The private key in a file that only its owner can read, as ssh wants it."""
        file.touch(mode=0o600)
        file.write_text(self.private)
        return file


class SshServer:
    """Serves from entering to leaving; ``port`` is chosen then. The user's name is ``git``.

    Whose key a repository's rules name comes in, and so does ``client``, who may do everything in
    repositories whose rules name nobody. ``offered``: the public keys that clients tried, in order.
    ``strays``: commands for repositories that are not there, and of other programs.
    """

    def __init__(self, folder: Path) -> None:
        self.hosting = Hosting(folder)
        self.client = KeyPair()
        self.offered: list[str] = []
        self.strays: list[Request] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._acceptor: asyncssh.SSHAcceptor
        self.host_keys: tuple[KeyPair, ...] = (KeyPair(),)

    @cached_property
    def port(self) -> int:
        return self._acceptor.get_port()

    @property
    def url(self) -> str:
        return f"ssh://{USER}@127.0.0.1:{self.port}"

    @property
    def known_hosts(self) -> str:
        """What a client's ``known_hosts`` must say today: a line per host key."""
        return "".join(f"[127.0.0.1]:{self.port} {key.public}\n" for key in self.host_keys)

    def repository(self, name: str = "") -> Hosted:
        """A new, empty repository."""
        return self.hosting.add(self.url, name)

    def use_host_keys(self, *keys: KeyPair) -> None:
        """From the next connection on, these are the server's keys."""
        self.host_keys = keys

        async def update() -> None:
            self._acceptor.update(server_host_keys=[key.key for key in keys])

        self._in_loop(update())

    def __enter__(self) -> "SshServer":
        self._thread.start()
        self._acceptor = self._in_loop(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hosting.close()
        self._in_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_loop(self, work: Awaitable[_Result]) -> _Result:
        async def run() -> _Result:
            return await work

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _listen(self) -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            config=None,
            server_factory=lambda: _Session(self),
            server_host_keys=[key.key for key in self.host_keys],
            process_factory=self._serve,
            encoding=None,
            allow_scp=False,
            agent_forwarding=False,
        )

    async def _end(self) -> None:
        self._acceptor.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def admits(self, public: str) -> bool:
        """Whether anybody has this key."""
        self.offered.append(public)
        known = (account for hosted in self.hosting for account in hosted.rules.accounts)
        return public == self.client.public or any(
            isinstance(account, Key) and _same(account.public, public) for account in known
        )

    async def _serve(self, process: "asyncssh.SSHServerProcess[bytes]") -> None:
        try:
            process.exit(await self._command(process))
        except CutError:
            process.get_extra_info("connection").abort()
        except (OSError, asyncssh.Error):
            process.close()  # the client is gone

    async def _command(self, process: "asyncssh.SSHServerProcess[bytes]") -> int:
        """What the client asked for; the exit status."""
        request = Request("", process.command or "", dict(process.env))
        program, *arguments = shlex.split(request.path) or [""]
        found = self.hosting.find(arguments[0]) if len(arguments) == 1 else None
        (hosted, rest) = found or (None, "")
        if hosted is None or rest or program not in _PROGRAMS:
            self.strays.append(request)
            return _refuse(process, "There is no such repository.")
        hosted.requests.append(request)
        rules = hosted.rules_for(request)
        if rules.hangs:
            await asyncio.to_thread(hosted.hang)
            return 1
        may_push = self._may_push(rules.accounts, process.get_extra_info("key"))
        if may_push is None:
            return _refuse(process, "There is no such repository.")
        if program == "git-receive-pack" and not may_push:
            return _refuse(process, "This key may read the repository, and not write to it.")
        return await self._run(hosted, rules, request, program, process)

    def _may_push(self, accounts: Sequence[object], public: str) -> bool | None:
        """None: nor read."""
        keys = [account for account in accounts if isinstance(account, Key)]
        if not keys:
            return True
        return next((key.may_push for key in keys if _same(key.public, public)), None)

    async def _run(
        self,
        hosted: Hosted,
        rules: Rules,
        request: Request,
        program: str,
        process: "asyncssh.SSHServerProcess[bytes]",
    ) -> int:
        environment = self.hosting.environment()
        if "GIT_PROTOCOL" in process.env:
            environment["GIT_PROTOCOL"] = process.env["GIT_PROTOCOL"]
        child = await asyncio.create_subprocess_exec(
            *hosted.wrapper, "git", program.removeprefix("git-"), str(hosted.path),
            stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, user=hosted.user,
        )  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        incoming = Incoming(request, hosted, rules)
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin, incoming))
        try:
            await asyncio.gather(
                _pass_on(child.stdout, process.stdout, incoming),
                _pass_on(child.stderr, process.stderr, incoming),
            )
            request.status = await child.wait()
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError, OSError, asyncssh.Error):
                await feeding
            # However it went: git ends when it gets no more, and nothing of it is left behind.
            child.stdin.close()
            await child.communicate()
        if incoming.is_cut:
            raise CutError
        return request.status


async def _feed(
    source: "asyncssh.SSHReader[bytes]", target: asyncio.StreamWriter, incoming: Incoming
) -> None:
    is_last = False
    try:
        while not is_last and (piece := await source.read(_CHUNK)):
            part, is_last = incoming.take(piece)
            target.write(part)
            await target.drain()
    finally:
        target.close()


async def _pass_on(
    source: asyncio.StreamReader, target: "asyncssh.SSHWriter[bytes]", incoming: Incoming
) -> None:
    while piece := await source.read(_CHUNK):
        if not incoming.is_cut:
            target.write(piece)
            await target.drain()


class _Session(asyncssh.SSHServer):
    def __init__(self, server: SshServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        public = _public(key)
        admitted = self._server.admits(public) and username == USER
        if admitted:
            self._connection.set_extra_info(key=public)
        return admitted


def _public(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


def _same(one: str, other: str) -> bool:
    return one.split()[:2] == other.split()[:2]


def _refuse(process: "asyncssh.SSHServerProcess[bytes]", why: str) -> int:
    process.stderr.write(f"ERROR: {why}\n".encode())
    return 1
