"""Score an engine: the search of a data set, or detection alone on pictures or a clip."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cli.errors import CliError
from cli.options import EngineChoice
from cli.output import plain, show_json
from cli.progress import stages
from cli.score_plots import check_plots, plot_detection, plot_search
from cli.score_tables import show_detection, show_plots, show_search
from cli.scored import open_scored
from engines.engine import Engine
from train.data.people import load_people
from train.errors import ConfigError
from train.evaluation.embed import EmbeddedSet, EvalProgress, Progress, embed_set
from train.evaluation.engine import load_test, score_embedded, search_of
from train.evaluation.footage import clip_images
from train.evaluation.galleries import GalleryPoint, gallery_curve
from train.evaluation.pictures import evaluate_detection
from train.evaluation.protocol import GalleryRule
from train.evaluation.rescore import NEEDS_CONTEXT, rescoring_names


@dataclass(frozen=True, slots=True)
class Scored:
    """What an engine is scored on: one of ``data``, ``people`` and ``clip``."""

    data: Path | None
    people: Path | None
    clip: Path | None
    annotations: Path | None

    def check(self) -> None:
        """Make sure that it is one thing.

        Raises:
            CliError: nothing, or more than one, or half a clip.
        """
        named = [path for path in (self.data, self.people, self.clip) if path is not None]
        if len(named) != 1:
            raise CliError(
                "name one thing to score on: --data DIR, --people DIR, "
                "or --clip VIDEO with --annotations JSON"
            )
        if (self.clip is None) != (self.annotations is None):
            raise CliError("--clip VIDEO and --annotations JSON belong together")


@dataclass(frozen=True, slots=True)
class HowSearched:
    """The rules of a search; see `train.evaluation.engine.evaluate_engine`."""

    gallery: str | None
    boxes: str
    query: str
    rescoring: tuple[str, ...]
    sizes: bool
    min_score: float


def run_eval(
    scored: Scored,
    how: HowSearched,
    *,
    engine: EngineChoice,
    run: Path | None,
    device: str,
    plots: Path | None,
    as_json: bool,
) -> None:
    """Score an engine and print what it scored."""
    scored.check()
    if plots is not None:
        check_plots(plots)
    with open_scored(engine, run, device) as opened:
        if scored.data is not None:
            _eval_search(scored.data, opened, how, plots, as_json)
        else:
            _eval_detection(scored, opened, how.min_score, plots, as_json)


def _eval_search(
    data: Path, engine: Engine, how: HowSearched, plots: Path | None, as_json: bool
) -> None:
    started = time.perf_counter()
    names = rescoring_names(how.rescoring)
    try:
        test, rule = load_test(data, how.gallery)
    except ConfigError as error:
        raise CliError(f"--protocol: {error}") from error
    with _watched() as progress:
        embedded = embed_set(
            test, engine, boxes=how.boxes, query=how.query,
            contexts=not NEEDS_CONTEXT.isdisjoint(names), score_threshold=how.min_score,
            progress=progress,
        )  # fmt: skip
    report = score_embedded(embedded, rule, rescoring=names)
    points = _points(embedded, rule) if how.sizes else ()
    report = replace(report, seconds=time.perf_counter() - started)
    pictures = [] if plots is None else plot_search(plots, embedded, rule, report, points)
    if as_json:
        document = report.as_json()
        document |= {"sizes": [point.as_json() for point in points]} if how.sizes else {}
        _show_document(document, pictures)
    else:
        show_search(report, points)
        show_plots(pictures)


def _points(embedded: EmbeddedSet, rule: GalleryRule) -> tuple[GalleryPoint, ...]:
    """Return the scores over galleries of growing size."""
    from train.experiments.source import TestData, sized_galleries

    queries = sized_galleries(TestData(embedded.data, rule, digest=""))
    return gallery_curve(
        embedded.data.images, embedded.found, embedded.features, queries,
        score_threshold=embedded.score_threshold, iou=search_of(embedded, rule).protocol.iou,
    )  # fmt: skip


def _eval_detection(
    scored: Scored, engine: Engine, min_score: float, plots: Path | None, as_json: bool
) -> None:
    with _watched() as progress:
        if scored.people is not None:
            images = load_people(scored.people).images
            report = evaluate_detection(
                engine, images, score_threshold=min_score, progress=progress
            )
        else:
            assert scored.clip is not None
            assert scored.annotations is not None
            clip = clip_images(scored.clip, scored.annotations)
            report = evaluate_detection(
                engine, clip.images, pictures=clip.pictures(), score_threshold=min_score,
                progress=progress,
            )  # fmt: skip
    pictures = [] if plots is None else plot_detection(plots, engine.info.name, report)
    if as_json:
        _show_document({"data": str(scored.people or scored.clip), **report.as_json()}, pictures)
    else:
        show_detection(scored.people or scored.clip, report)
        show_plots(pictures)


def _show_document(document: dict[str, Any], pictures: Sequence[Path]) -> None:
    if pictures:
        document["plots"] = [str(picture.absolute()) for picture in pictures]
    show_json(plain(document, digits=6))


@contextmanager
def _watched() -> Iterator[Progress]:
    with stages("scoring") as tick:

        def progress(now: EvalProgress) -> None:
            tick(f"scoring {now.stage}", now.done, now.total)

        yield progress
