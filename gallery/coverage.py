"""What an answer covers: for each camera in the asked interval, when it was watched and when not.

An interval is ``[since_ms, until_ms)``. Each moment of a camera has one state: watched if any
span says so, else stalled, down, disabled, and unknown when nothing was recorded. The durations
of a camera add up to the interval exactly. Time without a record for less than a second, as
between two spans or two cameras that start a frame apart, is unknown but is called no gap.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from gallery.limits import moment_text
from gallery.values import CameraState, CoverageSpan, day_of

UNKNOWN = "unknown"
SMALL_MS = 1_000
"""Unrecorded time shorter than this is no gap."""
MOST_GAPS = 5
"""So many gaps are told one by one; the rest are counted."""

_RANK = {
    CameraState.WATCHED: 0,
    CameraState.STALLED: 1,
    CameraState.DOWN: 2,
    CameraState.DISABLED: 3,
}
_WORDS = {
    "down": "down",
    "stalled": "no frames came",
    "disabled": "switched off",
    UNKNOWN: "nothing recorded",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A camera's state over [start_ms, end_ms): a ``CameraState`` or ``"unknown"``, and why."""

    start_ms: int
    end_ms: int
    state: str
    reason: str = ""

    @property
    def ms(self) -> int:
        """Its length."""
        return self.end_ms - self.start_ms

    @property
    def words(self) -> str:
        """Return the state and the reason for people."""
        return f"{_WORDS[self.state]}: {self.reason}" if self.reason else _WORDS[self.state]


@dataclass(frozen=True, slots=True)
class CameraCoverage:
    """How one camera was watched over the asked interval.

    ``frames``, ``searched`` and ``dropped`` of a span that lies partly inside are taken in
    proportion to the time inside.
    """

    camera: str
    watched_ms: int
    down_ms: int
    stalled_ms: int
    disabled_ms: int
    unknown_ms: int
    watched: tuple[Piece, ...]
    gaps: tuple[Piece, ...]
    frames: int
    searched: int
    dropped: tuple[tuple[str, int], ...]
    models: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Tell whether the camera was watched all the time."""
        return bool(self.watched) and not self.gaps


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was watched, and what not, in [since_ms, until_ms); equal when nothing is recorded."""

    since_ms: int
    until_ms: int
    cameras: tuple[CameraCoverage, ...]

    @property
    def complete(self) -> bool:
        """Tell whether every camera was watched all the time."""
        return bool(self.cameras) and all(camera.complete for camera in self.cameras)

    def summary(self) -> str:
        """Return one sentence for people."""
        if not self.cameras:
            return "No camera is on record."
        full = sum(camera.complete for camera in self.cameras)
        span = interval_text(self.since_ms, self.until_ms)
        total = len(self.cameras)
        if total == 1:
            return f"The camera was {'' if full else 'not '}watched all the time, {span}."
        if full == total:
            return f"All {total} cameras were watched all the time, {span}."
        return f"{full} of {total} cameras were watched all the time, {span}."

    def lines(self) -> list[str]:
        """Return a line a camera for people."""
        dated = day_of(self.since_ms) != day_of(max(self.since_ms, self.until_ms - 1))
        return [_line(camera, dated) for camera in self.cameras]

    def to_dict(self) -> dict[str, object]:
        """Return the coverage for JSON: times in UTC ms, durations in ms."""
        return {
            "since_ms": self.since_ms,
            "until_ms": self.until_ms,
            "complete": self.complete,
            "cameras": {
                camera.camera: {
                    **{key: value for key, value in asdict(camera).items() if key != "camera"},
                    "dropped": dict(camera.dropped),
                    "complete": camera.complete,
                }
                for camera in self.cameras
            },
            "lines": self.lines(),
        }


def coverage_of(
    spans: Iterable[CoverageSpan], cameras: Sequence[str], since_ms: int, until_ms: int
) -> Coverage:
    """Return what some cameras covered of an interval, from the spans recorded."""
    by_camera: dict[str, list[CoverageSpan]] = defaultdict(list)
    for span in spans:
        by_camera[span.camera].append(span)
    return Coverage(
        since_ms,
        until_ms,
        tuple(camera_coverage(name, by_camera[name], since_ms, until_ms) for name in cameras),
    )


def camera_coverage(
    camera: str, spans: Sequence[CoverageSpan], since_ms: int, until_ms: int
) -> CameraCoverage:
    """Return what one camera covered of an interval, from its spans."""
    inside = [span for span in spans if span.start_ms < until_ms and span.end_ms > since_ms]
    pieces = _pieces(inside, since_ms, until_ms)
    lasted: dict[str, int] = defaultdict(int)
    for piece in pieces:
        lasted[piece.state] += piece.ms
    dropped: dict[str, int] = defaultdict(int)
    for span in inside:
        for cause, count in span.dropped:
            dropped[cause] += _share(span, count, since_ms, until_ms)
    return CameraCoverage(
        camera=camera,
        watched_ms=lasted["watched"],
        down_ms=lasted["down"],
        stalled_ms=lasted["stalled"],
        disabled_ms=lasted["disabled"],
        unknown_ms=lasted[UNKNOWN],
        watched=tuple(piece for piece in pieces if piece.state == CameraState.WATCHED),
        gaps=tuple(piece for piece in pieces if _is_gap(piece)),
        frames=sum(_share(span, span.frames, since_ms, until_ms) for span in inside),
        searched=sum(_share(span, span.searched, since_ms, until_ms) for span in inside),
        dropped=tuple(sorted((cause, count) for cause, count in dropped.items() if count)),
        models=tuple(sorted({span.model for span in inside if span.model})),
    )


def duration_text(ms: int) -> str:
    """Return a duration for people: ``0.4 s``, ``12 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if ms < 10_000:
        return f"{ms / 1000:.1f}".removesuffix(".0") + " s"
    seconds = round(ms / 1000)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60} s".replace(" 0 s", "")
    return f"{seconds // 3_600} h {seconds // 60 % 60} min".replace(" 0 min", "")


def clock_text(moment_ms: int, *, dated: bool) -> str:
    """Return a moment in UTC for people, with its date or without."""
    text = moment_text(moment_ms).removesuffix(" UTC")
    return text if dated else text.partition(" ")[2]


def interval_text(since_ms: int, until_ms: int) -> str:
    """Return an interval for people: ``2026-03-02 08:00:00-08:01:00 UTC``."""
    dated = day_of(since_ms) != day_of(max(since_ms, until_ms - 1))
    return f"{clock_text(since_ms, dated=True)}-{clock_text(until_ms, dated=dated)} UTC"


def _pieces(spans: Sequence[CoverageSpan], since_ms: int, until_ms: int) -> list[Piece]:
    """Cut the interval where any span begins or ends, and join equal neighbours."""
    cuts = {since_ms, until_ms}
    for span in spans:
        cuts |= {max(span.start_ms, since_ms), min(span.end_ms, until_ms)}
    pieces: list[Piece] = []
    for start, end in pairwise(sorted(cuts)):
        over = [span for span in spans if span.start_ms <= start and span.end_ms >= end]
        best = min(over, key=lambda span: _RANK[span.state], default=None)
        state = UNKNOWN if best is None else best.state.value
        reason = "" if best is None or best.state is CameraState.WATCHED else best.reason
        same = pieces and (pieces[-1].state, pieces[-1].reason) == (state, reason)
        pieces.append(Piece(pieces.pop().start_ms if same else start, end, state, reason))
    return pieces


def _is_gap(piece: Piece) -> bool:
    if piece.state == UNKNOWN:
        return piece.ms >= SMALL_MS
    return piece.state != CameraState.WATCHED


def _share(span: CoverageSpan, count: int, since_ms: int, until_ms: int) -> int:
    whole = span.end_ms - span.start_ms
    inside = min(span.end_ms, until_ms) - max(span.start_ms, since_ms)
    return count if inside >= whole else round(count * inside / whole)


def _line(camera: CameraCoverage, dated: bool) -> str:
    parts = [_watched_words(camera, dated)]
    told = camera.gaps[:MOST_GAPS] if camera.watched else camera.gaps[1:MOST_GAPS]
    parts += [f"not watched {_span(gap, dated)} ({gap.words})" for gap in told]
    rest = camera.gaps[MOST_GAPS:]
    if rest:
        parts.append(f"and {len(rest)} more gaps, {duration_text(sum(gap.ms for gap in rest))}")
    text = f"{camera.camera}: " + ", ".join(parts)
    if camera.dropped:
        causes = ", ".join(f"{count} {cause}" for cause, count in camera.dropped)
        text += f"; frames dropped: {causes}"
    return text


def _watched_words(camera: CameraCoverage, dated: bool) -> str:
    if not camera.watched:
        if not camera.gaps:
            return "not watched at all"
        first = camera.gaps[0]
        return f"not watched at all, {_span(first, dated)} ({first.words})"
    whole = Piece(camera.watched[0].start_ms, camera.watched[-1].end_ms, "watched")
    return f"watched {_span(whole, dated)}" + (" without a gap" if camera.complete else "")


def _span(piece: Piece, dated: bool) -> str:
    start, end = (clock_text(ms, dated=dated) for ms in (piece.start_ms, piece.end_ms))
    return f"{start}-{end}" if not dated else f"{start} to {end}"
