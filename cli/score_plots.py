"""Curves and retrieval sheets of an evaluation, as pictures in a folder."""

from collections.abc import Sequence
from pathlib import Path

from cli.errors import CliError
from engines.runtimes import require
from train.evaluation.answers import best_answers
from train.evaluation.embed import EmbeddedSet
from train.evaluation.engine import search_of
from train.evaluation.galleries import GalleryPoint
from train.evaluation.pictures import DetectionReport
from train.evaluation.plots import NamedCurve, plot_gallery_curves, plot_precision_recall
from train.evaluation.protocol import GalleryRule
from train.evaluation.report import EvalReport
from train.evaluation.sheets import draw_sheet

CURVES = "precision-recall.png"
SHEET = "retrieval.png"
SIZES = "gallery-sizes.png"
SHEET_QUERIES = 6
SHEET_ANSWERS = 3


def check_plots(folder: Path) -> None:
    """Make the folder of the pictures, before anything takes long.

    Raises:
        CliError: it cannot be made.
        BackendUnavailableError: matplotlib is not installed.
    """
    require("matplotlib", "train")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CliError(f"--plots: cannot make {folder}: {error.strerror}") from error


def plot_search(
    folder: Path,
    embedded: EmbeddedSet,
    rule: GalleryRule,
    report: EvalReport,
    points: Sequence[GalleryPoint],
) -> list[Path]:
    """Draw precision-recall curves, a sheet of best answers and, with points, their curve."""
    detection, search = report.detection, report.search
    searches = [NamedCurve("plain", search.curve, search.mean_ap)]
    searches += [
        NamedCurve(name, other.search.curve, other.search.mean_ap)
        for name, other in report.rescored.items()
    ]
    charts = {
        "Detection": [NamedCurve("detections", detection.curve, detection.ap)],
        f"Search, gallery: {search.protocol.gallery.name}": searches,
    }
    plot_precision_recall(folder / CURVES, charts)
    _sheet(folder / SHEET, embedded, rule)
    if not points:
        return [folder / CURVES, folder / SHEET]
    plot_gallery_curves(folder / SIZES, {"plain": points})
    return [folder / CURVES, folder / SHEET, folder / SIZES]


def _sheet(path: Path, embedded: EmbeddedSet, rule: GalleryRule) -> None:
    """Draw the best answers to a few queries, evenly spread over all."""
    data, search = embedded.data, search_of(embedded, rule)
    count = min(SHEET_QUERIES, len(data.queries))
    numbers = [number * len(data.queries) // count for number in range(count)]
    answers = best_answers(search, numbers, count=SHEET_ANSWERS)
    queries = [data.queries[number] for number in numbers]
    draw_sheet(path, data.images, queries, {"best answers": answers}, count=SHEET_ANSWERS)


def plot_detection(folder: Path, name: str, report: DetectionReport) -> list[Path]:
    """Draw the precision-recall curve of detection, down to the lowest score."""
    curve = NamedCurve(name, report.curve, report.lowest.ap)
    plot_precision_recall(folder / CURVES, {"Detection": [curve]})
    return [folder / CURVES]
