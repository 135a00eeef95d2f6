"""The best consistent way of one person through cameras, and why a tracklet is not part of it.

Tracklets in order of time form a chain when each can follow the one before: nobody is in two
places at once, nobody walks faster than the links allow, and nobody takes longer than a link's
longest walk, unless so long that they may have left and come back. Times between tracklets are
from the last shot of one to the beginning of the next, so at least as long as in truth.
"""

from collections.abc import Sequence

from gallery.journey_settings import JourneySettings
from gallery.topology import Topology
from gallery.tracklets import Tracklet


def best_chain(
    tracklets: Sequence[Tracklet],
    weights: Sequence[float],
    topology: Topology,
    settings: JourneySettings,
) -> list[int]:
    """Return the indices, in order of time, of the chain with the greatest sum of weights.

    ``tracklets`` are in order of time; weights are positive. Of equal chains the one whose
    tracklets come first wins.
    """
    totals: list[float] = []
    before: list[int] = []
    for index, (tracklet, weight) in enumerate(zip(tracklets, weights, strict=True)):
        best, link = 0.0, -1
        for earlier in range(index):
            if totals[earlier] > best and not conflict(
                tracklets[earlier], tracklet, topology, settings
            ):
                best, link = totals[earlier], earlier
        totals.append(best + weight)
        before.append(link)
    if not totals:
        return []
    chain = [max(range(len(totals)), key=lambda index: totals[index])]
    while before[chain[-1]] >= 0:
        chain.append(before[chain[-1]])
    return chain[::-1]


def overlap(
    earlier: Tracklet, later: Tracklet, topology: Topology, settings: JourneySettings
) -> bool:
    """Tell whether two tracklets are at one time, more than clocks and shared views explain."""
    walk = topology.walk(earlier.camera, later.camera)
    shared_s = 0.0 if walk is None else max(0.0, -walk.min_s)
    gap_s = (later.enter_ms - earlier.leave_ms) / 1000
    return gap_s < -shared_s - settings.clock_slack_s


def conflict(
    earlier: Tracklet, later: Tracklet, topology: Topology, settings: JourneySettings
) -> str:
    """Return why one person cannot be ``later`` right after ``earlier``; "" when they can."""
    if overlap(earlier, later, topology, settings):
        return _at_once(earlier, later)
    gap_s = (later.enter_ms - earlier.leave_ms) / 1000
    walk = topology.walk(earlier.camera, later.camera)
    least_s = 0.0 if walk is None else walk.min_s
    same = earlier.camera == later.camera
    if walk is None or (same and gap_s <= settings.visit_gap_s):
        return ""
    way = f"{max(0.0, gap_s):.3g} s from {earlier.camera} to {later.camera}"
    if gap_s + settings.clock_slack_s < least_s:
        by = f" (by way of {', '.join(walk.via)})" if walk.via else ""
        return f"{way} is under the least travel time of {least_s:g} s{by}"
    most_s = walk.max_s
    if most_s is None or gap_s > max(settings.return_after_s, most_s):
        return ""
    if gap_s - settings.shot_slack_s > most_s:
        return f"{way} is over the longest travel time of {most_s:g} s"
    return ""


def why_not(
    tracklet: Tracklet,
    chain: Sequence[Tracklet],
    topology: Topology,
    settings: JourneySettings,
) -> str:
    """Return why a tracklet is not part of a chain, from its neighbours there."""
    key = _key(tracklet)
    earlier = [one for one in chain if _key(one) < key]
    later = [one for one in chain if _key(one) > key]
    for one in chain:
        first, second = (one, tracklet) if _key(one) < key else (tracklet, one)
        if overlap(first, second, topology, settings):
            return _at_once(one, tracklet)
    faults = [conflict(earlier[-1], tracklet, topology, settings)] if earlier else []
    faults += [conflict(tracklet, later[0], topology, settings)] if later else []
    return next(filter(None, faults), "does not fit between the visits that were taken")


def _at_once(one: Tracklet, other: Tracklet) -> str:
    if one.camera == other.camera:
        return f"somebody else: in {one.camera} beside the person at the same time"
    return f"seen in {one.camera} at the same time"


def _key(tracklet: Tracklet) -> tuple[int, int, str]:
    return tracklet.enter_ms, tracklet.leave_ms, tracklet.name
