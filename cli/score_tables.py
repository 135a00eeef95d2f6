"""Scores for people: tables of what an evaluation found, and by which rules."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.table import Table

from cli.output import facts, show, show_line, table
from train.evaluation.galleries import GalleryPoint
from train.evaluation.pictures import DetectionReport
from train.evaluation.report import EvalReport
from train.evaluation.search import SearchScores


def show_search(report: EvalReport, points: Sequence[GalleryPoint]) -> None:
    """Print the scores of a data set."""
    show(_scores(report))
    if report.rescored:
        show(_rescored(report))
    if points:
        show(_sizes(points))
    show(facts(_circumstances(report)))


def show_detection(data: Path | None, report: DetectionReport) -> None:
    """Print the detection scores of pictures or of a clip."""
    show(_detection(report), _recalls(report))
    rows: list[tuple[str, object]] = [
        ("data", data),
        ("pictures", f"{report.pictures} with {report.scores.persons} persons"),
        ("speed", _speed(report.pictures, report.seconds)),
    ]
    if report.scores.ignored:
        rows.insert(2, ("ignored", f"{report.scores.ignored} detections in regions to ignore"))
    show(facts(rows))


def show_plots(pictures: Sequence[Path]) -> None:
    """Print where pictures lie."""
    for picture in pictures:
        show_line(f"plot: {picture}")


def _scores(report: EvalReport) -> Table:
    search, detection = report.search, report.detection
    top = [(f"search top-{k}", f"{share:.1%}") for k, share in search.top.items()]
    return table(
        ["score", ">value"],
        [
            ("detection AP", f"{detection.ap:.1%}"),
            ("detection recall", f"{detection.recall:.1%}"),
            ("search mAP", f"{search.mean_ap:.1%}"),
            *top,
        ],
    )


def _rescored(report: EvalReport) -> Table:
    heads = ["search", ">mAP", *(f">top-{k}" for k in report.search.top)]
    rows = [("plain", report.search)]
    rows += [(name, other.search) for name, other in report.rescored.items()]
    return table(heads, [(name, *_percentages(search)) for name, search in rows])


def _percentages(search: SearchScores) -> Iterator[str]:
    yield f"{search.mean_ap:.1%}"
    for share in search.top.values():
        yield f"{share:.1%}"


def _sizes(points: Sequence[GalleryPoint]) -> Table:
    heads = [">gallery", ">frames", ">mAP", *(f">top-{k}" for k in points[0].top)]
    rows = [
        (p.size, f"{p.frames:.1f}", f"{p.mean_ap:.1%}", *(f"{s:.1%}" for s in p.top.values()))
        for p in points
    ]
    return table(heads, rows)


def _circumstances(report: EvalReport) -> Iterator[tuple[str, object]]:
    search, protocol = report.search, report.search.protocol
    yield "data", report.data
    yield "frames", f"{report.frames} with {report.detection.persons} persons"
    yield "queries", f"{len(search.queries)}, gallery: {protocol.gallery.name}"
    if search.unanswerable:
        yield "unanswerable", f"{search.unanswerable} queries, whose gallery lacks the person"
    stated = report.as_json()["protocol"]
    yield "searched", stated["boxes"]
    yield "by", stated["query_feature"]
    for name, other in report.rescored.items():
        yield name, other.how
    yield "counted", f"detections scored {protocol.score_threshold:g} or more"
    yield "right", f"overlap of at least {protocol.iou}"
    yield "speed", _speed(report.frames, report.seconds)


def _detection(report: DetectionReport) -> Table:
    scores, lowest = report.scores, report.lowest
    rows = [
        ("recall", f"{scores.recall:.1%}", f"{lowest.recall:.1%}"),
        ("precision", f"{scores.precision:.1%}", f"{lowest.precision:.1%}"),
        ("AP", f"{scores.ap:.1%}", f"{lowest.ap:.1%}"),
        ("detections", scores.detections, lowest.detections),
        ("right", scores.found, lowest.found),
    ]
    protocol = report.as_json()["protocol"]
    cuts = [f">from {protocol[name]:g}" for name in ("det_thresh", "lowest")]
    return table(["detection", *cuts], rows)


def _recalls(report: DetectionReport) -> Table:
    found = report.as_json()["recall_at_precision"]
    rows = [
        (f"{float(precision):.0%}", f"{one['recall']:.1%}", _cut(one["det_thresh"]))
        for precision, one in found.items()
    ]
    return table([">at precision", ">most recall", ">cut at"], rows)


def _cut(threshold: float | None) -> str:
    return "-" if threshold is None else f"{threshold:.3f}"


def _speed(frames: int, seconds: float) -> str:
    return f"{frames / max(seconds, 1e-9):.1f} frames a second"
