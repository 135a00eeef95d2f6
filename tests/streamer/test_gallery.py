"""Ingest into the real gallery."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from gallery.errors import StorageFullError
from gallery.gallery import Gallery
from gallery.search import SearchQuery
from gallery.values import CameraState, Link
from streamer.ingest import Pace, ingest
from streamer.site import Site, load_site

QUICK = Pace(tick_s=0.05)


@pytest.fixture
def gallery(tmp_path: Path, kit):
    """Give an empty gallery for the engine's model."""
    with Gallery.open(tmp_path / "gallery", model=kit.ColourEngine().info.model, create=True) as g:
        yield g


def test_what_was_ingested_is_found(clip, kit, gallery, make_site, start_ms) -> None:
    site = make_site({"hall": clip, "yard": clip})
    links = (Link("hall", "yard", 1.0, 60.0),)
    report = ingest(Site(site.name, site.base, site.cameras, links), kit.ColourEngine(), gallery)
    assert report.sightings == gallery.info().sightings > 3
    assert gallery.links == links
    red = next(s for s in gallery.sightings() if s.tracklet == f"hall/{start_ms}-0")
    answer = gallery.search(SearchQuery(np.stack([red.embedding]), top=2))
    assert {hit.sighting.tracklet.split("/")[1] for hit in answer.results} == {f"{start_ms}-0"}
    for sighting in gallery.sightings():
        assert (gallery.path / sighting.crop).is_file()
    coverage = gallery.coverage(since_ms=start_ms, until_ms=start_ms + 6000)
    assert [camera.watched_ms for camera in coverage.cameras] == [6000, 6000]


def test_ingesting_again_adds_nothing(clip, kit, gallery, make_site) -> None:
    site = make_site({"hall": clip})
    ingest(site, kit.ColourEngine(), gallery)
    first = {s.id for s in gallery.sightings()}
    ingest(site, kit.ColourEngine(), gallery, batch=2)
    assert {s.id for s in gallery.sightings()} == first
    assert gallery.info().sightings == len(first)


def test_stop_and_resume(kit, gallery, make_site, tmp_path, start_ms) -> None:
    clip = kit.encode(
        tmp_path / "long.mp4", kit.scene([kit.Walker(kit.RED, 20, 100, speed=8)], seconds=20)
    )
    stop = threading.Event()

    def progress(status) -> None:
        if status.searched >= 30:
            stop.set()

    site = make_site({"hall": clip})
    ingest(site, kit.SlowEngine(0.02), gallery, stop=stop, progress=progress, pace=QUICK)
    before = {s.id for s in gallery.sightings()}
    assert before
    ingest(site, kit.ColourEngine(), gallery)
    after = {s.id for s in gallery.sightings()}
    assert before <= after
    assert len({s.tracklet for s in gallery.sightings()}) == 1
    coverage = gallery.coverage(since_ms=start_ms, until_ms=start_ms + 20_000)
    assert coverage.cameras[0].watched_ms == 20_000


SCRIPT = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("kit", sys.argv[1])
kit = sys.modules["kit"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kit)
from gallery.gallery import Gallery
from streamer.ingest import Pace, ingest
from streamer.site import load_site

class Telling(Gallery):
    def write(self, sightings):
        super().write(sightings)
        for sighting in sightings:
            print("kept", sighting.id, flush=True)

    def record(self, span):
        super().record(span)
        print("watched", span.end_ms, flush=True)

engine = kit.SlowEngine(0.03)
with Telling.open(Path(sys.argv[3]), model=engine.info.model, create=True) as gallery:
    ingest(load_site(Path(sys.argv[2])), engine, gallery, pace=Pace(tick_s=0.1))
"""


def test_after_kill_9_everything_acknowledged_is_there(kit, tmp_path, start_text) -> None:
    people = [kit.Walker(kit.RED, 20, 100, speed=6), kit.Walker(kit.BLUE, 20, 20, 9, enter_s=3)]
    kit.encode(tmp_path / "long.mp4", kit.scene(people, seconds=30))
    site = tmp_path / "site.yaml"
    site.write_text(f"cameras: {{hall: {{url: long.mp4, start: {start_text}}}}}")
    kept = _killed_after(3, kit, site, tmp_path / "gallery")
    with Gallery.open(tmp_path / "gallery") as gallery:
        assert {s.id for s in gallery.get(sorted(kept))} == kept
        ingest(load_site(site), kit.ColourEngine(), gallery)
        after = {s.id for s in gallery.sightings()}
    with Gallery.open(
        tmp_path / "clean", model=kit.ColourEngine().info.model, create=True
    ) as clean:
        ingest(load_site(site), kit.ColourEngine(), clean)
        assert after == {s.id for s in clean.sightings()}


def _killed_after(sightings: int, kit, site: Path, gallery: Path) -> set[str]:
    """Run an ingest of its own process, kill -9 it; return the ids that it acknowledged."""
    command = [sys.executable, "-c", SCRIPT, kit.__file__, str(site), str(gallery)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    kept: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        while len(kept) < sightings:
            word, _, value = process.stdout.readline().strip().partition(" ")
            assert word, "the ingest ended by itself"
            kept |= {value} if word == "kept" else set()
        process.kill()
    return kept


def test_a_full_disk_ends_ingest_and_keeps_what_was_acknowledged(
    kit, gallery, make_site, tmp_path, monkeypatch
) -> None:
    clip = kit.encode(
        tmp_path / "long.mp4", kit.scene([kit.Walker(kit.RED, 20, 100, speed=8)], seconds=20)
    )
    write, written = gallery.write, []

    def full(sightings) -> None:
        if written:
            raise StorageFullError("the disk is full")
        write(sightings)
        written.extend(sightings)

    monkeypatch.setattr(gallery, "write", full)
    with pytest.raises(StorageFullError, match="disk is full"):
        ingest(make_site({"hall": clip}), kit.SlowEngine(0.01), gallery, pace=QUICK)
    assert [s.id for s in gallery.sightings()] == [s.id for s in written]


def test_a_camera_that_was_never_read_is_down_in_the_answer(
    clip, kit, gallery, make_site, tmp_path
) -> None:
    ingest(make_site({"hall": clip, "none": tmp_path / "none.mp4"}), kit.ColourEngine(), gallery)
    coverage = gallery.coverage(cameras=["none"])
    (camera,) = coverage.cameras
    assert camera.watched_ms == 0
    assert any(piece.state == CameraState.DOWN for piece in camera.gaps)
