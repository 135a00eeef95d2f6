"""From what a person typed to a query of the gallery.

A query is a box on a whole frame, as the papers score it; a bare crop is a frame whose box is
the whole picture; a sighting of the gallery brings its stored vector and needs no engine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.commands.find import Question
from cli.errors import CliError
from cli.options import gallery_path, parse_box
from cli.output import iso, note, xywh
from engines.bundle import open_bundle
from engines.engine import Engine
from engines.errors import PictureError
from engines.pictures import encode_jpeg, read_picture
from engines.values import Detections
from gallery.errors import InvalidQueryError
from gallery.gallery import Gallery
from gallery.search import SearchQuery
from gallery.values import Sighting
from gallery.when import parse_when

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sought:
    """The person looked for: vectors (Q, 256), a JPEG of the person, and where it is from."""

    embeddings: NDArray[np.float32]
    picture: bytes
    image: Path | None = None
    sighting: Sighting | None = None
    box: tuple[float, float, float, float] | None = None


@contextmanager
def asked(question: Question, now: datetime) -> Iterator[tuple[Gallery, Sought, SearchQuery]]:
    """Open the gallery that a question means, and make the query of it.

    Raises:
        CliError: not exactly one person is named, or a time cannot be read.
        EngineError: the engine cannot be used.
        GalleryError: the gallery cannot be opened, holds another model's vectors, or cannot
            be asked so.
    """
    _check(question)
    limits = _limits(question, now)
    path = gallery_path(question.gallery)
    if question.image is None:
        with Gallery.open(path) as gallery:
            gallery.require_sightings()
            sought = _stored(gallery, question.sighting or "")
            yield gallery, sought, SearchQuery(sought.embeddings, **limits)
        return
    frame = _picture(question.image)
    box = _given_box(question, frame)
    model = open_bundle(question.engine.path).manifest.model
    with Gallery.open(path, model=model) as gallery:
        gallery.require_sightings()
        with question.engine.open() as engine:
            sought = _seen(engine, question.image, frame, box)
        yield gallery, sought, SearchQuery(sought.embeddings, **limits)


def _limits(question: Question, now: datetime) -> dict[str, Any]:
    return {
        "cameras": question.cameras,
        "since_ms": _moment("--since", question.since, now),
        "until_ms": _moment("--until", question.until, now),
        "top": question.top,
    }


def _moment(option: str, text: str | None, now: datetime) -> int | None:
    try:
        return None if text is None else parse_when(text, now)
    except InvalidQueryError as error:
        raise CliError(f"{option}: {error}") from error


def query_document(gallery: Gallery, query: SearchQuery, sought: Sought) -> dict[str, object]:
    """Return the query as it stands in a JSON answer."""
    stored = sought.sighting
    return {
        "image": None if sought.image is None else str(sought.image.absolute()),
        "sighting": None if stored is None else stored.id,
        "box": None if sought.box is None else xywh(sought.box),
        "cameras": list(query.cameras),
        "since": None if query.since_ms is None else iso(query.since_ms),
        "until": None if query.until_ms is None else iso(query.until_ms),
        "top": query.top,
        "gallery": str(gallery.path.absolute()),
        "model": gallery.model,
    }


def _check(question: Question) -> None:
    if (question.image is None) == (question.sighting is None):
        raise CliError("name the person by either --image FILE or --sighting ID")
    if question.image is None and (question.box is not None or question.crop):
        raise CliError("--box and --crop belong to --image")
    if question.box is not None and question.crop:
        raise CliError("--box and --crop exclude each other")


def _stored(gallery: Gallery, sighting: str) -> Sought:
    found = gallery.get([sighting])
    if not found:
        raise CliError(f"--sighting: no sighting {sighting} in gallery {gallery.path}")
    one = found[0]
    picture = gallery.crop(one) or b""
    return Sought(one.embedding[np.newaxis], picture, sighting=one, box=one.box)


def _picture(path: Path) -> Pixels:
    try:
        return read_picture(path)
    except PictureError as error:
        raise CliError(f"--image: {error}") from error


def _given_box(question: Question, frame: Pixels) -> Boxes | None:
    """Return the box (4,) that the question names, or None when the engine shall look."""
    height, width = frame.shape[:2]
    if question.crop:
        return np.array([0, 0, width, height], np.float32)
    if question.box is None:
        return None
    x1, y1, x2, y2 = parse_box(question.box)
    if x1 < 0 or y1 < 0 or x2 > width or y2 > height:
        raise CliError(
            f"--box: {question.box} reaches outside {question.image}, "
            f"which is {width} x {height} pixels"
        )
    return np.array([x1, y1, x2, y2], np.float32)


def _seen(engine: Engine, path: Path, frame: Pixels, box: Boxes | None) -> Sought:
    if box is None:
        box = _best_person(path, frame, engine.detect([frame])[0])
    embedding = engine.embed([frame], [box[np.newaxis]])[0]
    x1, y1, x2, y2 = (float(value) for value in box)
    cut = frame[int(y1) : max(int(y1) + 1, round(y2)), int(x1) : max(int(x1) + 1, round(x2))]
    return Sought(embedding, encode_jpeg(cut), image=path, box=(x1, y1, x2, y2))


def _best_person(path: Path, frame: Pixels, found: Detections) -> Boxes:
    height, width = frame.shape[:2]
    if not len(found):
        raise CliError(
            f"--image: no person found in {path} ({width} x {height} pixels); if you see one, "
            "say where with --box x,y,w,h, or --crop if the whole picture is the person"
        )
    if len(found) > 1:
        boxes = [",".join(f"{value:.0f}" for value in xywh(box)) for box in found.boxes]
        note(f"{len(found)} persons in {path}; looking for the clearest, --box {boxes[0]}")
        note("the others: " + " ".join(f"--box {box}" for box in boxes[1:]))
    best: Boxes = found.boxes[0]
    return best
