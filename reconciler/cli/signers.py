"""``signers``: the line of an ``allowed_signers`` file that allows the reconciler's key."""

import argparse
from pathlib import Path

from reconciler.cli.files import text_of
from reconciler.cli.output import note
from reconciler.cli.target import Target, target_of
from reconciler.errors import KubernetesError, StoreError, UsageError
from reconciler.kube.secrets import Secrets
from reconciler.project import Author, GitState
from reconciler.state.signing.allowed_signers import signers_line
from reconciler.state.signing.key import Signing
from reconciler.state.signing.signature import KeyUnusableError, PublicKey, parse_public_key


async def run(arguments: argparse.Namespace) -> int:
    """Print a line for each key."""
    async with target_of(arguments) as target:
        if arguments.key is not None:
            email, keys = arguments.email or Author().email, [_from_file(arguments.key)]
        else:
            email, keys = await _of_project(target, arguments.email)
    for key in dict.fromkeys(keys):
        print(signers_line(email, key))
    return 0


async def _of_project(target: Target, email: str | None) -> tuple[str, list[PublicKey]]:
    """The key that signs the next commit, and, if it is another one, that of the newest."""
    project = await target.project()
    state = project.spec.state
    if not isinstance(state, GitState) or state.signing is None:
        raise UsageError(
            "the project does not have its commits signed: set spec.state.git.signing, or name a key"
            " with --key FILE.pub"
        )
    keys = await _from_secret(target, state.signing.secret_ref.name)
    if project.status.signingKey:
        keys.append(_parsed(project.status.signingKey, "the key in the project's status.signingKey"))
    if not keys:
        raise UsageError(
            "neither the Secret nor the project's status tells the key: name it with --key FILE.pub"
        )
    return email or state.author.email, keys


async def _from_secret(target: Target, secret: str) -> list[PublicKey]:
    secrets = Secrets(target.client)
    found = Signing(lambda name: secrets.read(target.settings.namespace, name), secret)
    try:
        await found.prepare()
    except StoreError as error:
        if not isinstance(error.__cause__, KubernetesError):
            raise
        note(f"the key is taken from the project's status ({error})")
        return []
    return [_parsed(found.public_key, "the key of the Secret")]


def _from_file(path: Path) -> PublicKey:
    return _parsed(text_of(path), f"--key {path}: the key")


def _parsed(text: str, what: str) -> PublicKey:
    try:
        return parse_public_key(text)
    except KeyUnusableError as error:
        raise UsageError(f"{what} {error}") from error
