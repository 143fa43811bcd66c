"""What the contract suite needs of a kind of store.

To add one: write a class with these methods, and name it in ``conftest.py``'s FACTORIES.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from reconciler.state.store import Store


class StoreFactory(Protocol):
    """One place where a store is kept, empty at first; the suite opens it once or several times."""

    async def open(self) -> Store:
        """A store on that place, as a program that has just started would open it; the suite closes it."""
        ...

    async def contents(self) -> object:
        """Everything that is durably there, in a form that ``==`` compares."""
        ...

    async def documents(self, cluster_uuid: str) -> object:
        """The newest documents of a cluster as they are stored, without what names a revision or a time."""
        ...

    async def make_newer(self, cluster_uuid: str) -> None:
        """Raise the ``format`` of what is stored of a cluster by one, as a newer program would."""
        ...

    def away(self) -> AbstractContextManager[None]:
        """Within it nobody reaches the place; afterwards it is as it was."""
        ...

    def unanswered(self) -> AbstractContextManager[None]:
        """Within it what is written is written, but whoever writes it is not told (where that can be)."""
        ...
