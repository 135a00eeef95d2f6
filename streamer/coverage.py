"""What one camera watched and what it missed, written as it happens.

A watched span grows with the searched frames, but never past a person who is in view and not
yet handed out: after a power cut the coverage claims nothing that the gallery cannot show.
Spans of a live camera follow each other without holes. Times are UTC ms; nothing reads a clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gallery.values import CameraState, CoverageSpan

MIN_GAP_MS = 3_000
GAP_INTERVALS = 5.0
"""Frames this many usual intervals apart (and at least 3 s) were not one unbroken watch."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of a camera since ingest began."""

    frames: int = 0
    searched: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    def since(self, base: "Totals") -> "Totals":
        """Return what was added after ``base``."""
        added = {cause: n - base.dropped.get(cause, 0) for cause, n in self.dropped.items()}
        return Totals(
            self.frames - base.frames,
            self.searched - base.searched,
            {cause: n for cause, n in added.items() if n},
        )


class CoverageLog:
    """Turns what happens to a camera into spans; ``take`` returns those that changed."""

    def __init__(self, camera: str, model: str, interval_s: float) -> None:
        self._camera = camera
        self._model = model
        self._nominal_ms = self._interval_ms = interval_s * 1000
        self._open: CoverageSpan | None = None
        self._changed: dict[tuple[int, CameraState], CoverageSpan] = {}
        self._base = Totals()
        self._totals = Totals()
        self._seen_ms: int | None = None

    def searched(self, at_ms: int) -> None:
        """A frame captured at this time was searched."""
        span, seen_ms = self._open, self._seen_ms
        if span is None or span.state is not CameraState.WATCHED or seen_ms is None:
            self._begin(CameraState.WATCHED, at_ms)
        elif at_ms <= seen_ms:
            self._settle(seen_ms + 1)
            self._begin(CameraState.WATCHED, at_ms, anew=True)
        elif at_ms - seen_ms > max(MIN_GAP_MS, GAP_INTERVALS * self._interval_ms):
            self._settle(seen_ms + 1)
            self._begin(CameraState.STALLED, seen_ms + 1, reason="no frames came")
            self._begin(CameraState.WATCHED, at_ms)
            self._learn(at_ms - seen_ms)
        else:
            self._learn(at_ms - seen_ms)
        self._seen_ms = at_ms

    def _learn(self, interval_ms: int) -> None:
        """Follow the usual interval slowly, so that one gap does not become the rule."""
        self._interval_ms += 0.2 * (min(interval_ms, 3 * self._interval_ms) - self._interval_ms)

    def advance(self, totals: Totals, pending_since_ms: int | None) -> None:
        """Let the watched span grow to the last searched frame that nobody pending precedes."""
        self._totals = totals
        if self._open is None or self._open.state is not CameraState.WATCHED:
            return
        if self._seen_ms is not None:
            until_ms = self._seen_ms + 1
            if pending_since_ms is not None:
                until_ms = min(until_ms, pending_since_ms)
            self._settle(until_ms)

    def missed(self, state: CameraState, now_ms: int, reason: str) -> None:
        """The camera is in a state other than watched, at least until now."""
        span = self._open
        if span is None or span.state is not state:
            span = self._begin(state, now_ms if span is None else span.end_ms, reason=reason)
        self._put(replace(span, end_ms=max(span.end_ms, now_ms), reason=reason))

    def finish(self, until_ms: int | None = None, reason: str = "") -> None:
        """A recording is over: the last frame counts its interval, and what is cut off is down."""
        if self._open is None or self._seen_ms is None:
            return
        end_ms = self._seen_ms + max(1, round(self._nominal_ms))
        self._settle(end_ms)
        if until_ms is not None and until_ms > end_ms:
            tail = self._begin(CameraState.DOWN, end_ms, reason=reason)
            self._put(replace(tail, end_ms=until_ms))

    def take(self) -> list[CoverageSpan]:
        """Return the spans that changed since the last call and have a length."""
        spans, self._changed = list(self._changed.values()), {}
        return [span for span in spans if span.end_ms > span.start_ms]

    def _begin(
        self, state: CameraState, start_ms: int, *, reason: str = "", anew: bool = False
    ) -> CoverageSpan:
        """Close the open span where the new one starts, open that and return it."""
        span = self._open
        if span is not None and not anew:
            start_ms = max(start_ms, span.start_ms)
            if span.state is not CameraState.WATCHED:
                self._put(replace(span, end_ms=start_ms))
        if span is not None:  # what was decoded before the first span belongs to it
            self._base = self._totals
        opened = CoverageSpan(
            self._camera, state, start_ms, start_ms, reason=reason, model=self._model
        )
        self._open = opened
        return opened

    def _settle(self, end_ms: int) -> None:
        """Let the open span end there at least, with the counters of its own time."""
        assert self._open is not None
        added = self._totals.since(self._base)
        self._put(
            replace(
                self._open,
                end_ms=max(self._open.end_ms, end_ms),
                frames=added.frames,
                searched=added.searched,
                dropped=tuple(sorted(added.dropped.items())),
            )
        )

    def _put(self, span: CoverageSpan) -> None:
        self._open = span
        self._changed[span.start_ms, span.state] = span
