"""The whole way with the shipped engine, on a real clip where one is at hand."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from engines.bundle import shipped_bundle
from engines.engine import open_engine
from engines.pictures import read_picture
from streamer.ingest import ingest
from streamer.site import Site, site_from_cameras

CLIP_START_MS = 1_506_445_069_000
"""The clip's container says 2017-09-26T16:57:49Z."""


@pytest.fixture(scope="module")
def engine():
    """Give the shipped engine on one thread."""
    with open_engine(shipped_bundle(), threads=1) as opened:
        yield opened


@pytest.fixture
def room(shared: Path) -> Site:
    """Give a clip of six visits to one room, searched once a second."""
    clip = shared / "footage" / "intel_one-by-one-person-detection.mp4"
    if not clip.is_file():
        pytest.skip(f"no clip at {clip}")
    site = site_from_cameras({"room": str(clip)})
    return Site(
        "test", site.base, {"room": site.cameras["room"].model_copy(update={"detect_fps": 1.0})}
    )


def test_a_part_of_a_clip_becomes_sightings_of_people(engine, room, shared, sink) -> None:
    stop = threading.Event()

    def progress(status) -> None:
        if status.searched >= 25:
            stop.set()

    report = ingest(room, engine, sink, stop=stop, progress=progress)
    searched_s = report.cameras[0].searched
    for sighting in sink.of("room"):
        x1, y1, x2, y2 = sighting.box
        assert 0 <= x1 < x2 <= 768
        assert 0 <= y1 < y2 <= 432
        assert sighting.model == engine.info.model
        assert np.linalg.norm(sighting.embedding) == pytest.approx(1, abs=1e-3)
        assert min(read_picture(sink.folder / sighting.crop).shape[:2]) > 4
    found = visits_found(sink, shared, searched_s)
    assert found
    assert all(found)


@pytest.mark.slow
def test_every_visit_of_the_clip_is_found(engine, room, shared, sink) -> None:
    report = ingest(room, engine, sink)
    assert report.failed == ()
    found = visits_found(sink, shared, report.cameras[0].searched)
    assert len(found) == 6
    assert sum(found) >= 5


def visits_found(sink, shared: Path, until_s: float) -> list[bool]:
    """Tell for each annotated visit that was over by then whether somebody was sighted."""
    document = json.loads((shared / "footage" / "intel_one-by-one.annotations.json").read_text())
    seconds = {image["id"]: image["frame"] / 10 for image in document["images"]}
    visits: dict[str, list[float]] = {}
    for box in document["annotations"]:
        if "track_id" in box:
            visits.setdefault(box["track_id"], []).append(seconds[box["image_id"]])
    seen_s = [(s.captured_at_ms - CLIP_START_MS) / 1000 for s in sink.of("room")]
    return [
        any(min(visit) - 2 <= moment <= max(visit) + 2 for moment in seen_s)
        for visit in visits.values()
        if max(visit) < until_s
    ]
