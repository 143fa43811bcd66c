"""Where credentials come from: a Secret, or a folder like one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from reconciler.errors import CredentialsError, ForbiddenError, KubernetesError, NotFoundError, StoreError
from reconciler.state.git.network.access import Folder, Given, SecretSource


async def test_a_secret_is_got_by_its_name() -> None:
    async def get(namespace: str, name: str) -> Mapping[str, bytes]:
        return {f"{namespace}/{name}": b"x"}

    source = SecretSource(get, "hossted-system", "git")
    assert await source.read() == {"hossted-system/git": b"x"}
    assert source.where == "the Secret hossted-system/git"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            NotFoundError("GET /x: not found", 404),
            CredentialsError,
            "the Secret hossted-system/git, which spec.state.git.secretRef names, does not exist: make it,"
            " with the repository's credentials",
        ),
        (
            ForbiddenError("GET /x: forbidden", 403),
            CredentialsError,
            "the Secret hossted-system/git may not be read: let the operator get Secrets in that namespace",
        ),
        (
            KubernetesError("GET /x: cannot connect"),
            StoreError,
            "the Secret hossted-system/git cannot be read now: GET /x: cannot connect",
        ),
    ],
)
async def test_a_secret_that_cannot_be_had_is_one_sentence(
    error: KubernetesError, kind: type[StoreError], says: str
) -> None:
    async def get(namespace: str, name: str) -> Mapping[str, bytes]:
        raise error

    with pytest.raises(StoreError) as failed:
        await SecretSource(get, "hossted-system", "git").read()
    assert type(failed.value) is kind
    assert str(failed.value) == says


async def test_a_folder_is_read_as_kubernetes_mounts_a_secret(tmp_path: Path) -> None:
    hidden = tmp_path / "..2026_11_21"
    hidden.mkdir()
    (hidden / "username").write_bytes(b"jo")
    (tmp_path / "..data").symlink_to(hidden)
    (tmp_path / "username").symlink_to(hidden / "username")
    (tmp_path / "password").write_bytes(b"hunter2\n")
    assert await Folder(tmp_path).read() == {"username": b"jo", "password": b"hunter2\n"}


async def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"the folder .*nowhere cannot be read: No such file"):
        await Folder(tmp_path / "nowhere").read()


async def test_what_was_given_is_not_shown() -> None:
    given = Given("the test", {"password": b"hunter2"})
    assert await given.read() == {"password": b"hunter2"}
    assert "hunter2" not in repr(given)
