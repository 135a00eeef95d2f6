"""Cameras in, sightings out, on real clips with a small real engine."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from engines.pictures import read_picture
from gallery.values import CameraState, Link, sighting_id
from streamer.camera import State
from streamer.ingest import Pace, ingest
from streamer.site import Site

QUICK = Pace(tick_s=0.05, backoff_low_s=0.05, backoff_high_s=0.2)


@pytest.fixture
def engine(kit):
    return kit.ColourEngine()


def test_two_people_become_sightings_with_crops(
    clip, engine, sink, make_site, kit, start_ms
) -> None:
    report = ingest(make_site({"hall": clip}), engine, sink)
    (camera,) = report.cameras
    assert (camera.state, camera.frames, camera.searched) == (State.ENDED, 60, 30)
    assert (camera.tracklets, camera.sightings) == (2, len(sink.sightings))
    assert (report.failed, report.stopped, camera.error, camera.dropped) == ((), False, "", {})
    tracklets = {s.tracklet for s in sink.of("hall")}
    assert tracklets == {f"hall/{start_ms}-0", f"hall/{start_ms + 2000}-0"}
    for sighting in sink.of("hall"):
        assert sighting.id == sighting_id("hall", sighting.tracklet, sighting.captured_at_ms)
        assert sighting.model == engine.info.model
        assert sighting.frame_wh == (320, 240)
        assert np.linalg.norm(sighting.embedding) == pytest.approx(1, abs=1e-3)
        crop = read_picture(sink.folder / sighting.crop)
        expected = kit.RED if sighting.tracklet.endswith(f"{start_ms}-0") else kit.GREEN
        middle = crop[crop.shape[0] // 2, crop.shape[1] // 2].astype(int)
        assert np.abs(middle - expected).max() < 40


def test_boxes_lie_where_the_person_was(clip, engine, sink, make_site, start_ms) -> None:
    """The red one starts at x = 20 and walks 40 px/s; its top is at 100 and it is 24 x 64."""
    ingest(make_site({"hall": clip}), engine, sink)
    red = [s for s in sink.of("hall") if s.tracklet == f"hall/{start_ms}-0"]
    assert len(red) >= 2
    for sighting in red:
        x = 20 + 40 * (sighting.captured_at_ms - start_ms) / 1000
        assert sighting.box == pytest.approx((x, 100, x + 24, 164), abs=3)


def test_coverage_of_a_recording(clip, engine, sink, make_site, start_ms) -> None:
    ingest(make_site({"hall": clip}), engine, sink)
    (span,) = sink.coverage("hall")
    assert (span.state, span.start_ms, span.end_ms) == (
        CameraState.WATCHED,
        start_ms,
        start_ms + 6000,
    )
    assert (span.frames, span.searched, span.dropped) == (60, 30, ())
    assert span.model == engine.info.model


def test_ingesting_again_changes_nothing(clip, engine, sink, make_site, kit) -> None:
    site = make_site({"a": clip, "b": clip})
    ingest(site, engine, sink)
    once, spans = dict(sink.sightings), dict(sink.spans)
    ingest(site, kit.ColourEngine(), sink, batch=1)
    assert sink.sightings.keys() == once.keys()
    assert sink.spans == spans
    for name, sighting in sink.sightings.items():
        assert sighting.box == once[name].box
        assert np.array_equal(sighting.embedding, once[name].embedding)


def test_many_cameras_share_batches_and_lose_nothing(clip, sink, make_site, kit) -> None:
    engine = kit.ColourEngine()
    names = ("a", "b", "c", "d", "e")
    report = ingest(make_site(dict.fromkeys(names, clip)), engine, sink, batch=4)
    assert [camera.searched for camera in report.cameras] == [30] * 5
    assert sum(engine.batches) == 150
    assert np.mean(engine.batches) > 2
    assert report.frames_per_s > 0
    assert len({len(sink.of(name)) for name in names}) == 1


def test_a_camera_that_cannot_be_read_does_not_stop_the_others(
    clip, engine, sink, make_site, tmp_path, kit, start_ms
) -> None:
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    (tmp_path / "short.mp4").write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    site = make_site(
        {"good": clip, "text": tmp_path / "text.mp4", "none": tmp_path / "none.mp4",
         "short": tmp_path / "short.mp4"}
    )  # fmt: skip
    report = ingest(site, engine, sink)
    by_name = {camera.camera: camera for camera in report.cameras}
    assert by_name["good"].searched == 30
    assert {camera.camera for camera in report.failed} == {"text", "none"}
    assert "no such file" in by_name["none"].error
    assert "no video that can be read" in by_name["text"].error
    assert "cut off" in by_name["short"].error
    assert by_name["short"].state is State.ENDED
    assert by_name["short"].searched > 10
    watched, down = sink.coverage("short")
    assert (watched.state, down.state) == (CameraState.WATCHED, CameraState.DOWN)
    assert down.end_ms == start_ms + 6000
    assert watched.end_ms == down.start_ms
    (span,) = sink.coverage("none")
    assert (span.state, span.start_ms) == (CameraState.DOWN, start_ms)


def test_a_disabled_camera_is_not_opened_and_coverage_says_so(
    clip, engine, sink, make_site
) -> None:
    site = make_site({"on": clip, "off": "rtsp://bob:hunter2@127.0.0.1:1/x"})
    off = site.cameras["off"].model_copy(update={"enabled": False})
    site = Site(site.name, site.base, {**site.cameras, "off": off})
    report = ingest(site, engine, sink, pace=QUICK)
    assert report.cameras[1].state is State.DISABLED
    assert report.cameras[1].url == "rtsp://***@127.0.0.1:1/x"
    assert report.failed == ()
    (span,) = sink.coverage("off")
    assert span.state is CameraState.DISABLED


def test_links_reach_the_gallery(clip, engine, sink, make_site) -> None:
    site = make_site({"a": clip})
    links = (Link("a", "a", 1.0, 2.0),)
    ingest(Site(site.name, site.base, site.cameras, links), engine, sink)
    assert sink.links == links


def test_zones_leave_people_out_and_masks_hide_them(clip, sink, make_site, kit) -> None:
    """The green one walks with feet at y = 124 of 240, the red one at 164."""
    lower = (((0.0, 0.6), (1.0, 0.6), (1.0, 1.0), (0.0, 1.0)),)
    upper = (((0.0, 0.0), (1.0, 0.0), (1.0, 0.41), (0.0, 0.41)),)
    report = ingest(make_site({"zoned": clip}, zones=lower), kit.ColourEngine(), sink)
    assert report.cameras[0].tracklets == 1
    assert report.cameras[0].outside_zones == 20
    report = ingest(make_site({"masked": clip}, masks=upper), kit.ColourEngine(), sink)
    for sighting in sink.of("masked"):
        assert read_picture(sink.folder / sighting.crop).shape[0] > 10
        assert sighting.box[1] >= 0.41 * 240 - 4


def test_stop_drains_and_a_second_ingest_completes(kit, engine, tmp_path, make_site, sink) -> None:
    clip = kit.encode(
        tmp_path / "long.mp4", kit.scene([kit.Walker(kit.RED, 20, 100, speed=5)], seconds=40)
    )
    site = make_site({"hall": clip})
    stop = threading.Event()
    slow = kit.SlowEngine(0.02)

    def progress(status) -> None:
        if status.searched >= 30:
            stop.set()

    began_s = time.monotonic()
    report = ingest(site, slow, sink, stop=stop, progress=progress, pace=QUICK)
    assert time.monotonic() - began_s < 8
    assert report.stopped
    searched = report.cameras[0].searched
    assert 30 <= searched < 190
    assert len(sink.sightings) == report.cameras[0].sightings >= 1
    (span,) = sink.coverage("hall")
    first = dict(sink.sightings)
    assert span.end_ms - span.start_ms <= searched * 200
    report = ingest(site, engine, sink)
    assert not report.stopped
    assert set(first) - {s.id for s in sink.of("hall")} == set()
    assert len({s.tracklet for s in sink.of("hall")}) == 1
    (span,) = sink.coverage("hall")
    assert span.end_ms - span.start_ms == 40_000


def test_sightings_are_kept_before_the_time_counts_as_watched(
    kit, tmp_path, make_site, sink, start_ms
) -> None:
    """At every record, nobody who was in view by then is still unwritten."""
    people = [kit.Walker(kit.RED, 0, 100, 40, enter_s=2), kit.Walker(kit.BLUE, 0, 20, 30)]
    clip = kit.encode(tmp_path / "w.mp4", kit.scene(people, seconds=8))
    ends: list[tuple[int, set[str]]] = []
    keep = sink.record

    def record(span) -> None:
        keep(span)
        ends.append((span.end_ms, {s.tracklet for s in sink.sightings.values()}))

    sink.record = record
    ingest(make_site({"c": clip}), kit.SlowEngine(0.02), sink, pace=QUICK)
    assert len(ends) > 5
    for end_ms, tracklets in ends:
        assert end_ms <= start_ms + 200 or f"c/{start_ms}-0" in tracklets
        assert end_ms <= start_ms + 2200 or len(tracklets) == 2


def test_progress_shows_every_camera(clip, make_site, sink, kit) -> None:
    seen = []
    ingest(
        make_site({"a": clip, "b": clip}),
        kit.SlowEngine(0.02),
        sink,
        progress=seen.append,
        pace=QUICK,
    )
    assert len(seen) >= 3
    assert all([camera.camera for camera in status.cameras] == ["a", "b"] for status in seen)
    counts = [status.searched for status in seen]
    assert counts == sorted(counts)


def test_a_site_without_enabled_cameras_ends_at_once(make_site, engine, sink) -> None:
    site = make_site({"a": "rtsp://h/s"}, enabled=False)
    report = ingest(site, engine, sink)
    assert [camera.state for camera in report.cameras] == [State.DISABLED]


def test_http_recording_is_read_to_its_end_and_loses_nothing(
    kit, clip, tmp_path: Path, make_site, engine, sink
) -> None:
    (tmp_path / "a.mp4").write_bytes(clip.read_bytes())
    with kit.serving(tmp_path) as base:
        report = ingest(make_site({"web": f"{base}/a.mp4"}), engine, sink)
    assert (report.cameras[0].state, report.cameras[0].searched) == (State.ENDED, 30)
