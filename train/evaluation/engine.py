"""Score an engine on a data set: what is deployed is what is scored.

Every frame of the test split goes through the engine's search graph, every query box through
its query graph on the whole frame; then the rules of `train.evaluation.protocol` apply.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from engines.engine import Engine
from train.data.cuhk import DEFAULT_GALLERY
from train.data.cuhk import NAME as CUHK_SYSU_NAME
from train.data.records import PersonSearchSet
from train.data.sets import load_set, set_layout
from train.errors import ConfigError, DatasetError
from train.evaluation.cbgm import CUHK_SYSU, PRW
from train.evaluation.detection import score_detection
from train.evaluation.embed import (
    EmbeddedSet,
    EvalProgress,
    Progress,
    embed_queries,
    embed_set,
    find_persons,
)
from train.evaluation.protocol import (
    ANYWHERE,
    DETECTION_THRESHOLD,
    GALLERIES,
    FrameLayout,
    GalleryRule,
    IouRule,
    SearchProtocol,
    gallery_rule,
)
from train.evaluation.report import EvalReport, RescoredSearch
from train.evaluation.rescore import (
    NEEDS_CONTEXT,
    RescoreSettings,
    make_rescoring,
    rescoring_names,
)
from train.evaluation.search import Search

__all__ = [
    "EvalProgress",
    "EvalReport",
    "Progress",
    "embed_queries",
    "evaluate_engine",
    "find_persons",
    "load_test",
    "score_embedded",
    "search_of",
]

_CUHK_SYSU = "cuhk-sysu"


def evaluate_engine(
    data: Path,
    engine: Engine,
    *,
    gallery: str | None = None,
    boxes: str = "detections",
    query: str = "box",
    rescoring: str | Sequence[str] = "none",
    score_threshold: float = DETECTION_THRESHOLD,
    progress: Progress | None = None,
    batch: int = 8,
    clock: Callable[[], float] = time.perf_counter,
) -> EvalReport:
    """Run an engine over the test split of a data set and score it.

    ``gallery``: ``"all"``, ``"cross-camera"`` or ``"own"``; of CUHK-SYSU ``"50"`` to ``"4000"``,
    ``"all"``, ``"occlusion"`` or ``"resolution"``. By default a data set's own galleries (those
    of 100 frames of CUHK-SYSU), else ``"cross-camera"``, with one camera ``"all"``. ``boxes`` and
    ``query``: see `train.evaluation.embed`. ``rescoring``: names of
    `train.evaluation.rescore.RESCORINGS`, each reported apart from the plain scores. ``batch``
    frames are read and given to the engine at a time.

    Raises:
        DatasetError: the data set is damaged, or has no test frames, queries or galleries.
        ConfigError: no such gallery, kind of box or re-scoring.
        EngineError: the engine failed.
    """
    started = clock()
    names = rescoring_names(rescoring)
    test, rule = load_test(data, gallery)
    embedded = embed_set(
        test,
        engine,
        boxes=boxes,
        query=query,
        contexts=not NEEDS_CONTEXT.isdisjoint(names),
        score_threshold=score_threshold,
        batch=batch,
        progress=progress,
    )
    return replace(score_embedded(embedded, rule, rescoring=names), seconds=clock() - started)


def load_test(data: Path, gallery: str | None = None) -> tuple[PersonSearchSet, GalleryRule]:
    """Return the test split of a data set, and the rule of the gallery that is asked for.

    Raises:
        DatasetError: the data set is damaged, or has no such gallery.
        ConfigError: no such gallery rule.
    """
    if set_layout(data) == _CUHK_SYSU:
        name = DEFAULT_GALLERY if gallery is None or gallery == "own" else gallery
        return load_set(data, "test", gallery=name), replace(GALLERIES["own"], name=name)
    rule = None if gallery is None else gallery_rule(gallery)
    test = load_set(data, "test")
    rule = rule or _usual_rule(test)
    _check_galleries(test, rule)
    return test, rule


def _check_galleries(test: PersonSearchSet, rule: GalleryRule) -> None:
    """Find out before the engine runs for hours."""
    if not rule.with_query_camera and len({image.camera for image in test.images}) < 2:
        raise DatasetError(
            f"{test.root}: gallery {rule.name!r} is empty, all frames are of one camera"
        )
    layout = FrameLayout.of(test.images)
    for query in test.queries if rule.own else ():
        rule.frames(query, layout)


def _usual_rule(test: PersonSearchSet) -> GalleryRule:
    if test.queries and all(query.gallery is not None for query in test.queries):
        return GALLERIES["own"]
    cameras = {image.camera for image in test.images}
    return GALLERIES["cross-camera" if len(cameras) > 1 else "all"]


def search_of(embedded: EmbeddedSet, rule: GalleryRule) -> Search:
    """Return the search of a split by a gallery rule, ready to be scored and shown.

    Where the gallery holds whole frames, any frame with the person is a right answer.
    """
    iou = ANYWHERE if embedded.boxes == "frame" else IouRule()
    protocol = SearchProtocol(rule, embedded.score_threshold, iou)
    data = embedded.data
    return Search(data.images, embedded.found, data.queries, embedded.features, protocol)


def score_embedded(
    embedded: EmbeddedSet,
    rule: GalleryRule,
    *,
    rescoring: str | Sequence[str] = "none",
    settings: RescoreSettings | None = None,
) -> EvalReport:
    """Score a split that an engine has seen; CBGM's sizes are those published for the data set.

    The data set's images are not read again.

    Raises:
        ConfigError: no such re-scoring, or it needs contexts that were not embedded.
        DatasetError: a query has no gallery, or one that is not of this split.
    """
    data, search = embedded.data, search_of(embedded, rule)
    chosen = settings or RescoreSettings(cbgm=CUHK_SYSU if data.name == CUHK_SYSU_NAME else PRW)
    threshold = embedded.score_threshold
    return EvalReport(
        data=data.root,
        model=embedded.model,
        detection=score_detection(data.images, embedded.found, score_threshold=threshold),
        search=search.score(),
        frames=len(data.images),
        seconds=0.0,
        boxes=embedded.boxes,
        query=embedded.query,
        rescored={
            name: _rescored(name, search, embedded, chosen) for name in rescoring_names(rescoring)
        },
    )


def _rescored(
    name: str, search: Search, embedded: EmbeddedSet, settings: RescoreSettings
) -> RescoredSearch:
    if name in NEEDS_CONTEXT and not embedded.contexts:
        raise ConfigError(f"re-scoring {name!r} needs the persons beside each query: embed them")
    made = make_rescoring(name, search, embedded.contexts, settings)
    return RescoredSearch(made.how, search.score(made.rescore))
