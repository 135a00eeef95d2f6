"""What engines are verified on: data with identities, frames without, or a world made here.

Labelled data is scored by the same rules as ``train eval`` does. Frames to calibrate on are
never among those that are scored.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from cli.enginebuild import WORLD as TO_CALIBRATE
from cli.enginebuild import frames_of
from cli.errors import CliError
from cli.footage import Pixels, read_frames, spread
from cli.output import watched
from cli.progress import counter
from engines.engine import Engine
from engines.verify import Answers, Exam, FramesExam, Progress, Scores
from train.data.records import ImageRecord, PersonSearchSet, QueryRecord
from train.data.sets import PEOPLE, load_set, set_layout
from train.errors import DatasetError
from train.evaluation.embed import EvalProgress, embed_set, read_frame
from train.evaluation.engine import load_test, score_embedded
from train.evaluation.protocol import DETECTION_THRESHOLD, FrameLayout, GalleryRule
from train.synthetic import WorldSpec, write_world

CALIBRATION_FRAMES = 64
SAMPLE = 8
"""Frames that the speed is measured on."""

_WORLD = WorldSpec(cameras=3, people=36, seconds=28, fps=1, seed=7301)


@dataclass(frozen=True, slots=True)
class ExamData:
    """An exam, a few of its frames, and a way to get others (if there are any) to calibrate on."""

    exam: Exam
    labelled: bool
    sample: Sequence[Pixels]
    calibration: Callable[[], Sequence[Pixels]]


class LabelledExam:
    """A test split with queries, scored as ``train eval`` scores."""

    threshold = DETECTION_THRESHOLD

    def __init__(self, test: PersonSearchSet, rule: GalleryRule, name: str) -> None:
        self.test = test
        self.name = name
        self._rule = rule

    def sit(self, engine: Engine, floor: float, progress: Progress) -> Answers:
        """Return an engine's answers and what they score (see `engines.verify.Exam.sit`)."""
        frames, total = len(self.test.images), len(self.test.images) + len(self.test.queries)

        def tick(now: EvalProgress) -> None:
            progress(now.done + (frames if now.stage == "queries" else 0), total)

        embedded = embed_set(self.test, engine, score_threshold=floor, progress=tick)
        report = score_embedded(replace(embedded, score_threshold=self.threshold), self._rule)
        aps = tuple(query.ap for query in report.search.queries)
        scores = Scores(report.search.mean_ap, report.detection.ap, aps)
        return Answers(embedded.found, embedded.features, scores)


@contextmanager
def exam_data(
    data: Path | None, calibrate: Path | None, *, frames: int, threshold: float
) -> Iterator[ExamData]:
    """Give the exam on ``data``, or on a world that is there only while the block runs.

    Raises:
        CliError: no frames there, or a fault in how they are asked for.
        DatasetError: the data set is damaged, or nobody in it can be searched for.
    """
    if data is None:
        with TemporaryDirectory(prefix="sightline-verify-") as folder:
            yield _rendered(Path(folder), calibrate, frames)
    elif _is_labelled(data):
        yield _labelled(data, calibrate, frames)
    else:
        yield _unlabelled(data, calibrate, frames, threshold)


def _is_labelled(data: Path) -> bool:
    """Tell whether a path is a data set; a folder of mere pictures is none."""
    if not data.is_dir():
        return False
    try:
        return set_layout(data) != PEOPLE
    except DatasetError:
        return False


def _rendered(folder: Path, calibrate: Path | None, frames: int) -> ExamData:
    world = folder / "world"
    _render(world, _WORLD)
    name = f"a rendered world of {_WORLD.cameras} cameras and {_WORLD.people} people"
    found = _labelled(world, calibrate, frames, name=name)
    if calibrate is not None:
        return found
    return replace(found, calibration=cache(partial(_other_world, folder / "other")))


def _other_world(folder: Path) -> list[Pixels]:
    _render(folder, TO_CALIBRATE)
    return _pixels(load_set(folder, "test").images)


def _render(out: Path, spec: WorldSpec) -> None:
    with counter("rendering a world", "frames") as tick:
        write_world(out, spec, annotate_every_s=1 / spec.fps, progress=tick if watched() else None)


def _labelled(data: Path, calibrate: Path | None, frames: int, name: str = "") -> ExamData:
    test, rule = load_test(data)
    part = part_of(test, rule, frames)
    sample = [read_frame(image.path) for image in spread(list(part.images), SAMPLE)]
    return ExamData(
        LabelledExam(part, rule, name or str(data.absolute())),
        True,
        sample,
        cache(partial(_calibration, calibrate, data, test, part)),
    )


def _calibration(
    calibrate: Path | None, data: Path, test: PersonSearchSet, part: PersonSearchSet
) -> list[Pixels]:
    if calibrate is not None:
        return frames_of(calibrate, CALIBRATION_FRAMES)
    return _pixels(_not_scored(data, test, part))


def _not_scored(data: Path, test: PersonSearchSet, part: PersonSearchSet) -> list[ImageRecord]:
    """Return images to calibrate on: those of the training split, else those left out."""
    try:
        return list(load_set(data, "train").images)
    except DatasetError:
        scored = {image.name for image in part.images} | {query.name for query in part.queries}
        return [image for image in test.images if image.name not in scored]


def _pixels(images: Sequence[ImageRecord]) -> list[Pixels]:
    return [read_frame(image.path) for image in spread(list(images), CALIBRATION_FRAMES)]


def _unlabelled(data: Path, calibrate: Path | None, frames: int, threshold: float) -> ExamData:
    """Of one lot of frames every other is scored, the rest is there to calibrate on."""
    found = read_frames(data, frames if calibrate else 2 * frames)
    ours = found if calibrate or len(found) < 2 else found[::2]

    @cache
    def others() -> list[Pixels]:
        if calibrate is not None:
            return frames_of(calibrate, CALIBRATION_FRAMES)
        return spread(found[1::2], CALIBRATION_FRAMES)

    exam = FramesExam(str(data.absolute()), ours, threshold=threshold)
    return ExamData(exam, False, spread(ours, SAMPLE), others)


def part_of(test: PersonSearchSet, rule: GalleryRule, most: int) -> PersonSearchSet:
    """Return at most ``most`` frames and queries of a split, evenly spread.

    Queries whose person is in no frame that is left are left out: they would score 0 whatever
    an engine finds.

    Raises:
        CliError: no query is left.
    """
    places = spread(list(range(len(test.images))), most)
    images = tuple(test.images[place] for place in places)
    moved = {place: number for number, place in enumerate(places)}
    queries = [_moved(query, moved) for query in test.queries]
    layout = FrameLayout.of(images)
    shown = [frozenset(image.ids.tolist()) for image in images]
    asked = [query for query in queries if _answerable(query, rule, layout, shown)]
    if not asked:
        raise CliError(
            f"--frames {most}: nobody who is searched for in {test.root} is in these frames"
        )
    return replace(test, images=images, queries=tuple(spread(asked, most)))


def _moved(query: QueryRecord, moved: dict[int, int]) -> QueryRecord:
    """Return a query whose own gallery names the frames that are left by their new places."""
    if query.gallery is None:
        return query
    kept = [moved[place] for place in query.gallery.tolist() if place in moved]
    truth = query.truth and {moved[p]: boxes for p, boxes in query.truth.items() if p in moved}
    return replace(query, gallery=np.array(kept, np.int32), truth=truth)


def _answerable(
    query: QueryRecord, rule: GalleryRule, layout: FrameLayout, shown: Sequence[frozenset[int]]
) -> bool:
    inside = np.flatnonzero(rule.frames(query, layout)).tolist()
    if query.truth is not None:
        return not query.truth.keys().isdisjoint(inside)
    return any(query.pid in shown[place] for place in inside)
