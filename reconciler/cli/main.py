"""The program ``hossted-reconciler``: its commands, and how they fail.

Exit status: 0 done, 1 it did not work, 2 the words or the settings are wrong; ``diff`` and ``verify`` have
their own. Errors go to stderr, in one sentence that names the object and what to do. Each command's module
is imported when it is used, so that none pays for the others' libraries.
"""

import argparse
import asyncio
import contextlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from reconciler.errors import ReconcilerError, SettingsError, UsageError

COMMANDS: Final = {
    "run": "the operator: watch the project, record what changes, tell the API",
    "once": "one reconcile, and exit",
    "snapshot": "print the inventory",
    "history": "what was recorded, newest first",
    "show": "what one revision changed",
    "why": "why the API was told of an app, or was not, and what it waits for",
    "blame": "each line of an app's document: the revision that last changed it, and whether the API knows",
    "diff": "compare two of: a revision, a track, a date, a file, the cluster",
    "policy": "explain: the rules as they are applied, in one list",
    "verify": "whether the record can be believed: digests, signatures, order, and the time it covers",
    "signers": "print the line that allows the reconciler's key, for git's allowed_signers",
    "record": "write a recording of a live cluster, with everything secret left out",
    "demo": "all of it, in one minute, on a recording",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; its exit status."""
    arguments = _parser().parse_args(argv)
    module = importlib.import_module(f"reconciler.cli.{arguments.command}")
    try:
        status: int = asyncio.run(module.run(arguments))
    except (SettingsError, UsageError) as error:
        return _failed(error, 2)
    except ReconcilerError as error:
        return _failed(error, module.TROUBLE if hasattr(module, "TROUBLE") else 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `hossted-reconciler history | head`
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return 141
    return status


def _failed(error: ReconcilerError, status: int) -> int:
    print(f"hossted-reconciler: {error}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hossted-reconciler",
        description="Keeps the record of a cluster's Helm releases, and tells the Hossted API what changed.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        _ARGUMENTS[name](command)
    return parser


def _cluster(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--context", metavar="NAME", help="the kubeconfig's context (default: the current one)"
    )
    command.add_argument("--kubeconfig", type=Path, metavar="FILE", help="default: as kubectl finds it")


def _output(command: argparse.ArgumentParser, *formats: str) -> None:
    command.add_argument("--output", "-o", choices=formats, help=f"default: {formats[0]}")


def _store(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    command.add_argument(
        "--repo",
        metavar="URL",
        help="a git store, without asking a cluster: a path, file://, https:// or ssh://",
    )
    _credentials(command)
    command.add_argument("--branch", default="main", help="the branch of --repo (default: main)")
    command.add_argument("--cluster", metavar="UUID", help="whose record, where a store has several")
    command.add_argument("--tz", metavar="ZONE", default="UTC", help="show times in this zone (default: UTC)")


def address(text: str) -> tuple[str, int]:
    """``host:port``; an IPv6 address in brackets, no host for all addresses."""
    host, colon, port = text.rpartition(":")
    is_bare = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not colon or is_bare or not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise argparse.ArgumentTypeError(f"{text} is not an address: give HOST:PORT, or :PORT")
    return host.strip("[]"), int(port)


def _credentials(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--credentials",
        type=Path,
        metavar="DIR",
        help="the git store's credentials: a folder with a file for each key of the Secret",
    )


def _run(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    command.add_argument("--identity", metavar="NAME", help="holder of the Lease (default: the pod's name)")
    command.add_argument(
        "--metrics-bind-address",
        type=address,
        metavar="HOST:PORT",
        help="serve metrics for Prometheus there, :8080 for all addresses (default: they are not served)",
    )


def _once(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    _output(command, "text", "json")
    command.add_argument(
        "--dry-run", action="store_true", help="show what would be recorded and sent, and to where"
    )
    command.add_argument("--from", dest="recording", type=Path, metavar="DIR", help="read a recorded cluster")
    command.add_argument("--project", type=Path, metavar="FILE", help="the project, instead of the cluster's")
    _credentials(command)


def _snapshot(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "json", "yaml", "text")
    command.add_argument("--from", dest="recording", type=Path, metavar="DIR", help="read a recorded cluster")
    command.add_argument("--project", type=Path, metavar="FILE", help="the project, instead of the cluster's")
    command.add_argument(
        "--revision", metavar="REV", help="what a revision recorded, instead of what is there now"
    )
    command.add_argument(
        "--unattributed", action="store_true", help="list the pods that belong to no app instead"
    )


def _history(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "text", "json")
    command.add_argument("app", nargs="?", metavar="NAMESPACE/NAME", help="only what changed this app")
    command.add_argument("--limit", "-n", type=int, default=0, metavar="N", help="at most N (default: all)")


def _show(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "text", "markdown", "json", "html")
    command.add_argument("revision", metavar="REV", help="a revision, or the beginning of its name")


def _one_app(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "text", "json")
    command.add_argument("app", metavar="NAMESPACE/NAME", help="the app")


def _diff(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "text", "markdown", "json", "html")
    for side in ("a", "b"):
        command.add_argument(
            side,
            metavar=side.upper(),
            help="a revision, observed, approved, delivered, a date (2026-11-21T09:00Z), a file, or cluster",
        )


def _policy(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    _output(command, "text", "json")
    command.add_argument("what", choices=("explain",), help="print the rules, numbered, with what each does")
    command.add_argument("--project", type=Path, metavar="FILE", help="the project, instead of the cluster's")


def _verify(command: argparse.ArgumentParser) -> None:
    _store(command)
    _output(command, "text", "json")
    command.add_argument(
        "--signers",
        type=Path,
        metavar="FILE",
        help="who may sign, as git's allowed_signers (default: the key in the project's status)",
    )
    command.add_argument(
        "--signed-since", metavar="DATE", help="commits from before need no signature (default: all need one)"
    )
    command.add_argument(
        "--approvers", type=Path, metavar="FILE", help="who may approve: approving commits must be signed"
    )
    command.add_argument(
        "--approved-branch", metavar="NAME", help="default: the project's, or approved/{cluster_uuid}"
    )
    command.add_argument("--all", action="store_true", help="begin anew, whatever was verified before")


def _signers(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    command.set_defaults(repo=None, branch="main", cluster=None, tz="UTC", credentials=None)
    command.add_argument(
        "--key", type=Path, metavar="FILE.pub", help="this public key, without asking a cluster"
    )
    command.add_argument("--email", metavar="ADDRESS", help="default: the project's author")


def _record(command: argparse.ArgumentParser) -> None:
    _cluster(command)
    command.add_argument("directory", type=Path, metavar="DIR", help="where to write it")
    command.add_argument(
        "--deny",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="leave out namespaces (names or globs)",
    )


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the repository and what was received there"
    )
    command.add_argument("--svg", type=Path, metavar="FILE", help="also write what is shown as a picture")


_ARGUMENTS: Final = {
    "run": _run,
    "once": _once,
    "snapshot": _snapshot,
    "history": _history,
    "show": _show,
    "why": _one_app,
    "blame": _one_app,
    "diff": _diff,
    "policy": _policy,
    "verify": _verify,
    "signers": _signers,
    "record": _record,
    "demo": _demo,
}
