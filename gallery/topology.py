"""Which ways people can walk between cameras, and how long they need at least and at most.

A link holds both ways unless the way back is declared too. Between cameras that no link joins,
but a chain of links does, the least time is that of the quickest chain and there is no most: the
person may have walked past cameras that did not see them. The least time between linked cameras
is the quickest chain as well, should one be quicker than the link. Cameras that no chain joins
are not limited: nobody said anything about them.
"""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from gallery.values import Link


@dataclass(frozen=True, slots=True)
class Walk:
    """What is known of the way from one camera to another; ``max_s`` None = no limit.

    ``via`` are the cameras between, on the quickest way.
    """

    min_s: float
    max_s: float | None
    via: tuple[str, ...] = ()


class Topology:
    """The links of a site, answering for any pair of cameras."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = {(link.target, link.source): link for link in links}
        self._links |= {(link.source, link.target): link for link in links}
        self._near: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for (source, target), link in self._links.items():
            self._near[source].append((target, link.min_s))
        self._known: dict[str, dict[str, Walk]] = {}

    def walk(self, source: str, target: str) -> Walk | None:
        """Return what limits the way from one camera to another; None = nothing is known."""
        link = self._links.get((source, target))
        if source == target:
            return None if link is None else Walk(link.min_s, link.max_s)
        if source not in self._known:
            self._known[source] = self._quickest(source)
        quickest = self._known[source].get(target)
        if quickest is None or link is None:
            return quickest
        return Walk(quickest.min_s, link.max_s, quickest.via)

    def _quickest(self, source: str) -> dict[str, Walk]:
        """Dijkstra over the least times; a negative one (views that overlap) counts as 0 here."""
        found: dict[str, Walk] = {}
        queue: list[tuple[float, str, tuple[str, ...]]] = [(0.0, source, ())]
        while queue:
            took_s, camera, path = heapq.heappop(queue)
            if camera in found:
                continue
            found[camera] = Walk(took_s, None, path[1:])
            for target, min_s in self._near[camera]:
                if target not in found:
                    heapq.heappush(queue, (took_s + max(0.0, min_s), target, (*path, camera)))
        del found[source]
        return self._with_overlaps(source, found)

    def _with_overlaps(self, source: str, found: dict[str, Walk]) -> dict[str, Walk]:
        """Give linked cameras whose views overlap their negative least time back."""
        for target, min_s in self._near[source]:
            if target in found and min_s < 0:
                found[target] = Walk(min_s, None)
        return found
