"""Overload with real threads: the lag stays small, every frame is accounted for, nobody starves."""

import threading
from pathlib import Path

import pytest

from streamer.ingest import Pace, ingest
from streamer.site import Site

PACE = Pace(tick_s=0.1)


@pytest.fixture(scope="module")
def clips(kit, tmp_path_factory) -> dict[int, Path]:
    """Give 12 s of somebody who stands, at 1, 10 and 60 fps."""
    folder = tmp_path_factory.mktemp("pace")
    people = [kit.Walker(kit.RED, 20, 100)]
    return {
        fps: kit.encode(folder / f"{fps}.mp4", kit.scene(people, seconds=12, fps=fps), fps=fps)
        for fps in (1, 10, 60)
    }


def run(site, engine, sink, paced, seconds: float):
    """Ingest live for some seconds; return the report and the lags seen, by camera."""
    stop = threading.Event()
    lags: dict[str, list[float]] = {}

    def see(status) -> None:
        for camera in status.cameras:
            if camera.lag_s is not None:
                lags.setdefault(camera.camera, []).append(camera.lag_s)
        if status.seconds >= seconds:
            stop.set()

    report = ingest(
        site, engine, sink, stop=stop, progress=see, pace=PACE, reader=paced.PacedReader
    )
    return {camera.camera: camera for camera in report.cameras}, lags


def test_threefold_overload_keeps_the_lag_below_2_s(kit, clips, sink, make_site, paced) -> None:
    """Three cameras ask for 30 frames a second; the engine gives four in 0.4 s."""
    site = make_site(dict.fromkeys("abc", clips[10]), detect_fps=10.0)
    cameras, lags = run(site, kit.SlowEngine(0.4), sink, paced, 6)
    searched = [camera.searched for camera in cameras.values()]
    assert sum(searched) < 6 * 10 * 1.3
    assert min(searched) >= 0.8 * max(searched), "they share alike"
    for name, camera in cameras.items():
        assert max(lags[name]) < 2.0
        assert camera.dropped["late"] > camera.searched
        in_hand = camera.frames - camera.searched - sum(camera.dropped.values())
        assert 0 <= in_hand <= 1, "one may have been on its way when it was stopped"


def test_60_fps_does_not_starve_1_fps(kit, clips, sink, make_site, paced) -> None:
    """The engine takes one frame in 0.15 s, alone."""
    fast = make_site({"fast": clips[60]}, detect_fps=60.0)
    slow = make_site({"slow": clips[1]}, detect_fps=1.0)
    site = Site("both", fast.base, {**fast.cameras, **slow.cameras})
    cameras, lags = run(site, kit.SlowEngine(0.15), sink, paced, 6)
    assert cameras["slow"].searched >= cameras["slow"].frames - 2, "the stop may cost two"
    assert set(cameras["slow"].dropped) <= {"stopped"}
    assert max(lags["slow"]) < 1.0
    assert cameras["fast"].searched > 15
    assert sum(cameras["fast"].dropped.values()) > 150


def test_an_engine_slower_than_the_key_frames_leaves_them_alone(
    kit, clips, sink, make_site, paced
) -> None:
    """A key frame a second, and 1.3 s for a frame: the others need not be decoded."""
    site = make_site({"cam": clips[10]}, detect_fps=10.0)
    cameras, lags = run(site, kit.SlowEngine(1.3), sink, paced, 10)
    camera = cameras["cam"]
    assert camera.dropped["skipped"] >= 10
    assert camera.searched >= 5
    assert max(lags["cam"]) < 2.8
    assert {span.state.value for span in sink.coverage("cam")} <= {"watched", "down"}
