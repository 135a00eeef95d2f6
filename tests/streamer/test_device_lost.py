"""The accelerator is lost in the middle: what was found before is kept, to the last frame."""

from pathlib import Path

import pytest

from engines.errors import DeviceLostError
from gallery.gallery import Gallery
from streamer.ingest import Pace, ingest

QUICK = Pace(tick_s=1000)
"""Nothing is written by the clock: what is there was written by the clean ending."""


@pytest.fixture
def long_clip(kit, tmp_path: Path) -> Path:
    """Give 12 s of a person who walks slowly."""
    people = [kit.Walker(kit.RED, 20, 100, speed=8)]
    path: Path = kit.encode(tmp_path / "long.mp4", kit.scene(people, seconds=12))
    return path


def test_tracklets_sightings_and_coverage_are_written(
    kit, long_clip, make_site, tmp_path: Path, start_ms: int
) -> None:
    engine = kit.FailingEngine(after=8, error=DeviceLostError("the GPU fell off the bus"))
    with Gallery.open(tmp_path / "g", model=engine.info.model, create=True) as gallery:
        with pytest.raises(DeviceLostError, match="the GPU fell off the bus"):
            ingest(make_site({"hall": long_clip}), engine, gallery, pace=QUICK, batch=4)
        found = gallery.sightings()
        assert found, "the open tracklet was closed, sampled and written"
        assert {one.tracklet for one in found} == {f"hall/{start_ms}-0"}
        assert all(gallery.crop(one) for one in found)
        (camera,) = gallery.coverage(since_ms=start_ms, until_ms=start_ms + 12_000).cameras
    assert camera.searched == 32
    assert camera.watched_ms == 31 * 200 + 1, "from the first to the last frame searched, no more"
    assert camera.unknown_ms == 12_000 - camera.watched_ms


def test_a_new_process_goes_on_where_the_lost_one_ended(
    kit, long_clip, make_site, tmp_path: Path, start_ms: int
) -> None:
    site = make_site({"hall": long_clip})
    lost = kit.FailingEngine(after=8, error=DeviceLostError("gone"))
    with Gallery.open(tmp_path / "g", model=lost.info.model, create=True) as gallery:
        with pytest.raises(DeviceLostError, match="gone"):
            ingest(site, lost, gallery, pace=QUICK)
        before = {one.id for one in gallery.sightings()}
    with Gallery.open(tmp_path / "g", model=lost.info.model) as gallery:
        ingest(site, kit.ColourEngine(), gallery)
        after = {one.id for one in gallery.sightings()}
        coverage = gallery.coverage(since_ms=start_ms, until_ms=start_ms + 12_000)
    assert before <= after
    assert coverage.cameras[0].watched_ms == 12_000
