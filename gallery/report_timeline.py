"""The timeline of a report: a band a camera, when it was watched, and where the person was.

One SVG whose x is in percent and whose y is in pixels, so that it fits any width and its text
keeps its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gallery.coverage import CameraCoverage, Piece, clock_text, duration_text
from gallery.journey import RejectedVisit, Visit
from gallery.journey_scores import TruthVisit
from gallery.report_html import Html, join, tag
from gallery.values import day_of

ROW = 58
BAR_TOP = 22
BAR = 24
AXIS = 26
STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
"""Distances of the marks on the axis, seconds; above, whole days."""
MOST_MARKS = 7
LEAST_WIDTH = 0.5
"""Percent: a short visit can still be seen."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Turns moments into percent of the width."""

    since_ms: int
    until_ms: int

    def x(self, moment_ms: int) -> float:
        """Return where a moment lies, clipped to the interval."""
        share = (moment_ms - self.since_ms) / max(1, self.until_ms - self.since_ms)
        return round(100 * min(1.0, max(0.0, share)), 3)

    @property
    def dated(self) -> bool:
        """Whether moments need their date."""
        return day_of(self.since_ms) != day_of(max(self.since_ms, self.until_ms - 1))

    def clock(self, moment_ms: int) -> str:
        """Return a moment for people."""
        return clock_text(moment_ms, dated=self.dated)

    def span(self, start_ms: int, end_ms: int) -> str:
        """Return an interval for people."""
        return f"{self.clock(start_ms)} to {self.clock(end_ms)}"


def timeline(
    cameras: Sequence[CameraCoverage],
    scale: Scale,
    visits: Sequence[Visit],
    rejected: Sequence[RejectedVisit],
    truth: Sequence[TruthVisit],
) -> Html:
    """Return the drawing. Cameras that only visits know get a band as well."""
    known = {camera.camera: camera for camera in cameras}
    seen = [one.camera for one in visits] + [one.camera for one in rejected]
    seen += [one.camera for one in truth]
    names = list(dict.fromkeys([*known, *seen]))
    height = ROW * len(names) + AXIS
    rows = [
        tag(
            "g",
            _band(name, known.get(name), scale),
            [_true(one, scale) for one in truth if one.camera == name],
            transform=f"translate(0 {ROW * place})",
        )
        for place, name in enumerate(names)
    ]
    left = [_rejected(one, names, scale) for one in rejected]
    return tag(
        "svg",
        tag("title", "When each camera was watched, and where the person was"),
        _hatch(),
        _marks(scale, height),
        rows,
        _way(visits, names, scale),
        [_visit(number, one, names, scale) for number, one in enumerate(visits, 1)],
        left,
        class_="timeline",
        role="img",
        width="100%",
        height=height,
        aria_label=_words(visits, rejected, names, scale),
    )


def _band(name: str, camera: CameraCoverage | None, scale: Scale) -> Html:
    watched = camera.watched if camera is not None else ()
    gaps = camera.gaps if camera is not None else ()
    return join(
        tag("text", name, class_="camera", x="0", y=BAR_TOP - 8),
        tag("rect", class_="band", x="0", y=BAR_TOP, width="100%", height=BAR, rx=4),
        [_piece(piece, scale, "watched", f"{name} watched") for piece in watched],
        [_piece(piece, scale, "gap", f"{name} not watched: {piece.words}") for piece in gaps],
    )


def _piece(piece: Piece, scale: Scale, class_: str, words: str) -> Html:
    title = f"{words}, {scale.span(piece.start_ms, piece.end_ms)}, {duration_text(piece.ms)}"
    return _block(piece.start_ms, piece.end_ms, scale, class_, title, least=0.0)


def _block(
    start_ms: int,
    end_ms: int,
    scale: Scale,
    class_: str,
    title: str,
    *,
    least: float = LEAST_WIDTH,
    inset: int = 0,
) -> Html:
    left, width = _place(start_ms, end_ms, scale, least)
    return tag(
        "rect",
        tag("title", title),
        class_=class_,
        x=f"{left}%",
        y=BAR_TOP + inset,
        width=f"{width}%",
        height=BAR - 2 * inset,
        rx=3 if inset or least else 0,
    )


def _place(start_ms: int, end_ms: int, scale: Scale, least: float) -> tuple[float, float]:
    left, right = scale.x(start_ms), scale.x(end_ms)
    width = round(max(least, right - left), 3)
    return round(min(left, 100 - width), 3), width


def _rejected(one: RejectedVisit, names: Sequence[str], scale: Scale) -> Html:
    title = f"not taken, {one.score:.2f}: {one.reason}; {scale.span(one.enter_ms, one.leave_ms)}"
    block = _block(one.enter_ms, one.leave_ms, scale, "rejected", title, inset=-2)
    return tag("g", block, transform=f"translate(0 {ROW * names.index(one.camera)})")


def _true(one: TruthVisit, scale: Scale) -> Html:
    left, width = _place(one.enter_ms, one.leave_ms, scale, LEAST_WIDTH)
    return tag(
        "rect",
        tag("title", f"truth: {scale.span(one.enter_ms, one.leave_ms)}"),
        class_="truth",
        x=f"{left}%",
        y=BAR_TOP + BAR + 3,
        width=f"{width}%",
        height=4,
        rx=2,
    )


def _visit(number: int, visit: Visit, names: Sequence[str], scale: Scale) -> Html:
    top = ROW * names.index(visit.camera)
    title = (
        f"visit {number}, {visit.camera}, {scale.span(visit.enter_ms, visit.leave_ms)}, "
        f"score {visit.score:.2f}"
    )
    left, width = _place(visit.enter_ms, visit.leave_ms, scale, LEAST_WIDTH)
    middle = round(min(98.5, max(1.5, left + width / 2)), 3)
    return tag(
        "g",
        _block(visit.enter_ms, visit.leave_ms, scale, "visit", title, inset=2),
        tag("circle", class_="pin", cx=f"{middle}%", cy=BAR_TOP + BAR / 2, r=9),
        tag("text", str(number), class_="pin", x=f"{middle}%", y=BAR_TOP + BAR / 2 + 4),
        transform=f"translate(0 {top})",
    )


def _way(visits: Sequence[Visit], names: Sequence[str], scale: Scale) -> Html:
    """Lines from the end of each visit to the beginning of the next."""
    lines = []
    for one, after in pairwise(visits):
        rows = [ROW * names.index(visit.camera) + BAR_TOP + BAR // 2 for visit in (one, after)]
        start, end = f"{scale.x(one.leave_ms)}%", f"{scale.x(after.enter_ms)}%"
        lines.append(tag("line", class_="way", x1=start, y1=rows[0], x2=end, y2=rows[1]))
    return join(lines)


def _marks(scale: Scale, height: int) -> Html:
    marks = []
    for place, at_ms in enumerate(mark_times(scale.since_ms, scale.until_ms)):
        x = scale.x(at_ms)
        anchor = "start" if x < 8 else "end" if x > 92 else "middle"
        words = clock_text(at_ms, dated=scale.dated)
        words = words[5:16] if scale.dated else words
        marks += [
            tag("line", class_="mark", x1=f"{x}%", y1=BAR_TOP - 4, x2=f"{x}%", y2=height - 20),
            tag(
                "text",
                words,
                class_="mark odd" if place % 2 else "mark",
                x=f"{x}%",
                y=height - 6,
                text_anchor=anchor,
            ),
        ]
    return join(marks)


def mark_times(since_ms: int, until_ms: int) -> list[int]:
    """Return round moments inside an interval, at most seven of them."""
    length_s = max(1.0, (until_ms - since_ms) / 1000)
    fine = [step for step in STEPS_S if length_s / step <= MOST_MARKS]
    days = -(-length_s // (86_400 * MOST_MARKS))
    step_ms = 1000 * (fine[0] if fine else round(86_400 * days))
    first = -(-since_ms // step_ms) * step_ms
    return list(range(first, until_ms + 1, step_ms))


def _hatch() -> Html:
    stripe = tag("line", class_="stripe", x1=0, y1=0, x2=0, y2=7)
    ground = tag("rect", class_="ground", width=7, height=7)
    pattern = tag(
        "pattern",
        ground,
        stripe,
        id="hatch",
        width=7,
        height=7,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    return tag("defs", pattern)


def _words(
    visits: Sequence[Visit],
    rejected: Sequence[RejectedVisit],
    names: Sequence[str],
    scale: Scale,
) -> str:
    parts = [f"Timeline of {len(names)} cameras, {scale.span(scale.since_ms, scale.until_ms)} UTC."]
    parts += [
        f"Visit {number}: {one.camera}, {scale.span(one.enter_ms, one.leave_ms)}."
        for number, one in enumerate(visits, 1)
    ]
    if rejected:
        parts.append(f"{len(rejected)} candidates were not taken.")
    return " ".join(parts)
