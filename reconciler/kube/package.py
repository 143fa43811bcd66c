"""What is used of the ``kubernetes`` package, without the rest of it.

Importing the package imports all that it can do: a dynamic client, informers, websockets, and the base of
its models. That is 0.3 s of CPU and 18 MB of memory that stay for ever, where the modules that find the
configuration and make the connections need a tenth of it (``docs/adr/0012-part-of-the-package.md``). So these
modules are imported under bare parents, whose own ``__init__`` is not run; what only the renewal of OIDC
tokens needs is imported when a token is renewed. Afterwards the parents are gone again, so that whoever
imports the package gets it whole, and shares what is loaded of it. A release of the package that is laid
out otherwise is imported whole.
"""

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import ModuleType
from typing import Any

PACKAGE = "kubernetes"

_LOCK = threading.Lock()


@cache
def part(name: str) -> Any:  # the package ships no types
    """A module of the package, such as ``config.kube_config``. Raises ImportError where there is none."""
    name = f"{PACKAGE}.{name}"
    with _LOCK:
        if PACKAGE not in sys.modules:  # where it is, all of it is there already
            with suppress(ImportError, AttributeError), _bare_parents():
                return importlib.import_module(name)
        return importlib.import_module(name)


@contextmanager
def _bare_parents() -> Iterator[None]:
    """While this lasts, the package's parts can be imported without what their parents import."""
    stand_ins: list[str] = []

    def stand_in(module: ModuleType, **attributes: object) -> None:
        if sys.modules.setdefault(module.__name__, module) is module:
            stand_ins.append(module.__name__)
            vars(module).update(attributes)

    try:
        for parent in ("", ".config", ".utils", ".client"):
            stand_in(_bare(f"{PACKAGE}{parent}"))
        client = f"{PACKAGE}.client"
        configuration = importlib.import_module(f"{client}.configuration").Configuration
        vars(sys.modules[client]).update(Configuration=configuration, ApiClient=_later(client, "ApiClient"))
        stand_in(_Later("oauthlib"))
        stand_in(_Later("oauthlib.oauth2"))
        session = "requests_oauthlib"
        stand_in(ModuleType(session), OAuth2Session=_later(session, "OAuth2Session"))
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]


def _bare(name: str) -> ModuleType:
    """A package of which nothing is run: its parts can be found."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ImportError(f"there is no {name}")
    return importlib.util.module_from_spec(spec)


class _Later(ModuleType):
    """Stands for a module of which others are imported when they are used."""

    def __getattr__(self, name: str) -> ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return importlib.import_module(f"{self.__name__}.{name}")


def _later(module: str, name: str) -> Callable[..., Any]:
    """What calls something of a module, which is imported then."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
