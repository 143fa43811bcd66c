"""What a look could not see, indexed: asked once per app and kind, of looks with gaps per namespace."""

from reconciler.inventory.objects import OWNER_KINDS, Gap, Kind

RELEASE_KINDS = (Kind.RELEASE_SECRETS, Kind.RELEASE_CONFIGMAPS)
_PROOF = frozenset({Kind.NAMESPACES, *RELEASE_KINDS})
_OWNERS = {Kind.PODS: tuple(OWNER_KINDS.values()), Kind.CLAIMS: (Kind.STATEFUL_SETS,)}
"""The kinds that say whose a pod or a claim is."""


class Gaps:
    """``unproven``: the namespaces whose releases were not listed completely; "" stands for all."""

    def __init__(self, gaps: tuple[Gap, ...]) -> None:
        self._now = _index(gaps)
        self._failed: dict[str, Gap] = {}
        for gap in sorted(gaps):
            if not gap.forbidden:
                self._failed.setdefault(gap.namespace, gap)
        self.unproven = frozenset(gap.namespace for gap in gaps if gap.kind in _PROOF)

    def __bool__(self) -> bool:
        return bool(self._now)

    def covering(self, kind: Kind, namespace: str) -> Gap | None:
        """The gap of a kind in a namespace, if there is one."""
        return self._now.get((kind, "")) or self._now.get((kind, namespace))

    def failed(self, namespace: str) -> Gap | None:
        """A gap of any kind in a namespace that is not forbidden, so that it should pass."""
        return self._failed.get("") or self._failed.get(namespace)

    def proven(self, namespace: str) -> bool:
        """Whether what is missing from the releases of a namespace is not there."""
        return self.unproven.isdisjoint(("", namespace))

    def hides(self, kind: Kind, namespace: str) -> bool:
        """Whether a block cannot be told from this look: its kind was not listed, or failed to be listed
        for a kind of owner. Forbidden owners do not hide it: that lasts, and labels tell of most objects.
        """
        if self.covering(kind, namespace) is not None:
            return True
        owners = (self.covering(owner, namespace) for owner in _OWNERS.get(kind, ()))
        return any(gap is not None and not gap.forbidden for gap in owners)


def told(gap: Gap) -> str:
    """A gap in words: ``services in shop cannot be listed: …``."""
    where = f" in {gap.namespace}" if gap.namespace else ""
    verb = "may not" if gap.forbidden else "cannot"
    return f"{gap.kind}{where} {verb} be listed" + (f": {gap.message}" if gap.message else "")


def _index(gaps: tuple[Gap, ...]) -> dict[tuple[Kind, str], Gap]:
    # False sorts before True: of two gaps in one place the one that failed, and will pass, is kept.
    index: dict[tuple[Kind, str], Gap] = {}
    for gap in sorted(gaps, key=lambda gap: (gap.forbidden, gap.message)):
        index.setdefault((gap.kind, gap.namespace), gap)
    return index
