"""How the control plane's programs are built and kept, tried with a program that builds quickly."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.controlplane import build as builder
from tests.controlplane.programs import Program, programs

# A command of the Go distribution itself: nothing to download, and seconds to build.
QUICK = Program("quick", "cmd/pack")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, and nothing but the quick program to build into it."""
    # Not by XDG_CACHE_HOME: Go would start with an empty cache of its own as well.
    monkeypatch.setattr(builder, "cache_folder", lambda: tmp_path)
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setattr(builder, "programs", lambda: (QUICK,))
    return tmp_path


def test_a_program_is_built_once_and_shows_its_progress(
    cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built = builder.build()["quick"]
    assert built.is_relative_to(cache)
    assert subprocess.run([built], capture_output=True, check=False).returncode == 2  # its usage
    assert "[1/1] quick: " in capfd.readouterr().err
    written = built.stat().st_mtime_ns
    assert builder.build() == {"quick": built}
    assert built.stat().st_mtime_ns == written
    assert capfd.readouterr().err == ""


def test_an_interrupted_build_goes_on_with_what_is_missing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    builder.build()
    second = Program("second", "cmd/pack")
    monkeypatch.setattr(builder, "programs", lambda: (QUICK, second))
    assert set(builder.build()) == {"quick", "second"}
    assert "[1/1] quick" in capfd.readouterr().err.split("[1/1] second")[0]


def test_what_does_not_build_is_reported_with_the_end_of_the_output(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder, "programs", lambda: (Program("no", "cmd/no-such-command"),))
    with pytest.raises(builder.BuildError, match="no-such-command"):
        builder.build()


def test_the_programs_of_kubebuilder_assets_are_used_instead(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = cache / "assets"
    assets.mkdir()
    (assets / "etcd").touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    monkeypatch.setattr(builder, "programs", lambda: (Program("etcd", "not/built"), QUICK))
    built = builder.build()
    assert built["etcd"] == assets / "etcd"
    assert built["quick"].parent.parent == cache


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert builder.cache_folder() == tmp_path / "hossted-reconciler" / "controlplane"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert builder.cache_folder() == tmp_path / ".cache" / "hossted-reconciler" / "controlplane"


def test_each_program_is_stamped_with_the_version_that_is_pinned() -> None:
    flags = {program.name: program.ldflags for program in programs()}
    assert "-X k8s.io/component-base/version.gitVersion=v1." in flags["kube-apiserver"]
    assert "-X helm.sh/helm/v3/internal/version.version=v3." in flags["helm3"]
    assert "-X helm.sh/helm/v4/internal/version.version=v4." in flags["helm4"]
