"""Cameras are added, removed and changed while ingest runs: the others do not notice."""

import threading
import time
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from gallery.values import CameraState, Link
from streamer.camera import State
from streamer.folder_reader import reader_for
from streamer.ingest import Pace, ingest
from streamer.reload import SiteReload
from streamer.site import load_site

PACE = Pace(tick_s=0.05, backoff_low_s=0.05, backoff_high_s=0.2)


class Running:
    """An ingest of a site file in a thread of its own; frames are noted as they are handed out."""

    def __init__(self, path: Path, engine, sink, *, kind, watch: bool = False) -> None:
        self.path = path
        self.stop = threading.Event()
        self.status = None
        self.report = None
        self.said: list[str] = []
        self.complaints: list[str] = []
        self.threads: dict[str, set[threading.Thread]] = defaultdict(set)
        self.indices: dict[str, list[int]] = defaultdict(list)
        self._kind = kind
        site = load_site(path, {})
        self.reload = SiteReload(
            path, site, watch=watch, tell=self.said.append, complain=self.complaints.append, env={}
        )
        self.thread = threading.Thread(target=self._run, args=(site, engine, sink))
        self.thread.start()

    def _run(self, site, engine, sink) -> None:
        self.report = ingest(
            site, engine, sink, stop=self.stop, progress=self._see, pace=PACE,
            reader=self._reader, reload=self.reload,
        )  # fmt: skip

    def _reader(self, settings):
        reader = self._kind(settings)
        frames = reader.frames
        reader.frames = lambda: self._noted(settings.name, frames())
        return reader

    def _noted(self, name: str, frames):
        for frame in frames:
            self.threads[name].add(threading.current_thread())
            if frame is not None:
                self.indices[name].append(frame.index)
            yield frame

    def _see(self, status) -> None:
        self.status = status

    def camera(self, name: str):
        cameras = self.status.cameras if self.status else ()
        return next((camera for camera in cameras if camera.camera == name), None)

    def searched(self, name: str) -> int:
        camera = self.camera(name)
        return 0 if camera is None else camera.searched

    def until(self, condition, limit_s: float = 15.0) -> None:
        deadline_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline_s, self.status
            assert self.thread.is_alive()
            time.sleep(0.02)

    def write(self, text: str) -> None:
        """Change the site file as editors do: whole or not at all; then ask for it."""
        part = self.path.with_suffix(".part")
        part.write_text(text)
        part.rename(self.path)
        self.reload.ask()

    def end(self):
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.report


@pytest.fixture(scope="module")
def clip(kit, tmp_path_factory) -> Path:
    """Give a minute at 10 fps in which somebody stands."""
    people = [kit.Walker(kit.RED, 20, 100, speed=1)]
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    return kit.encode(path, kit.scene(people, seconds=60))


@pytest.fixture
def running(tmp_path: Path, kit, sink, paced):
    """Give a way to ingest a site file's text; it is stopped at the end whatever happens."""
    started = []

    def begin(text: str, *, live: bool = True, watch: bool = False) -> Running:
        path = tmp_path / "site.yaml"
        path.write_text(text)
        kind = paced.PacedReader if live else reader_for
        started.append(Running(path, kit.ColourEngine(), sink, kind=kind, watch=watch))
        return started[-1]

    yield begin
    for one in started:
        one.end()


def site_of(clip: Path, *names: str, **extra: str) -> str:
    lines = [f"  {name}: {{url: {clip}, {extra.get(name, 'tags: []')}}}" for name in names]
    return "cameras:\n" + "\n".join(lines) + "\n"


def test_the_others_do_not_notice(clip, running, sink) -> None:
    run = running(site_of(clip, "stay", "goes", "turns"))
    run.until(lambda: all(run.searched(n) > 3 for n in ("stay", "goes", "turns")))
    run.write(site_of(clip, "stay", "turns", "comes", turns="detect: {fps: 2}"))
    run.until(lambda: run.searched("comes") > 3)
    run.until(lambda: len(run.threads["turns"]) == 2)
    before = run.searched("turns")
    run.until(lambda: run.searched("turns") > before + 2)
    assert [camera.camera for camera in run.status.cameras] == ["stay", "turns", "comes"]
    report = run.end()
    by_name = {camera.camera: camera for camera in report.cameras}

    stay = by_name["stay"]
    assert len(run.threads["stay"]) == 1
    assert all(b - a == 2 for a, b in pairwise(run.indices["stay"])), "10 fps, 5 searched"
    assert stay.dropped.get("stopped", 0) <= 1
    assert sum(stay.dropped.values()) <= 1
    assert [s.state for s in sink.coverage("stay")][-1] is CameraState.WATCHED
    assert len([s for s in sink.coverage("stay") if s.state is CameraState.WATCHED]) == 1

    goes = by_name["goes"]
    assert (goes.state, goes.error) == (State.REMOVED, "")
    assert goes.sightings == len(sink.of("goes")) > 0
    last = sink.coverage("goes")[-1]
    assert (last.state, last.reason) == (CameraState.DISABLED, "removed from the site")

    turns = by_name["turns"]
    assert turns.searched == sum(s.searched for s in sink.coverage("turns"))
    assert turns.sightings == len(sink.of("turns"))
    spans = sink.coverage("turns")
    reasons = [s.reason for s in spans]
    assert "its settings were changed" in reasons
    assert all(a.end_ms == b.start_ms for a, b in pairwise(spans)), "no hole"
    assert run.said == [
        "site.yaml was read again: added: comes; removed: goes; changed, connecting again: turns"
    ]


def test_a_removed_camera_hands_out_the_people_in_view(clip, running, sink) -> None:
    run = running(site_of(clip, "stay", "goes"))
    run.until(lambda: run.searched("goes") > 12)
    run.write(site_of(clip, "stay"))
    run.until(lambda: any(s.reason == "removed from the site" for s in sink.coverage("goes")))
    assert sink.of("goes"), "before the end of ingest"
    run.until(lambda: all(t.name != "camera goes" for t in threading.enumerate()))


def test_zones_and_tags_change_without_connecting_again(clip, running, sink) -> None:
    run = running(site_of(clip, "a"))
    run.until(lambda: run.searched("a") > 3)
    nobody = "zones: [[[0, 0], [0.1, 0], [0, 0.01]]]"
    run.write(site_of(clip, "a", a=nobody))
    run.until(lambda: run.camera("a").outside_zones > 3)
    assert len(run.threads["a"]) == 1
    assert run.said == ["site.yaml was read again: changed: a"]
    assert all(b - a == 2 for a, b in pairwise(run.indices["a"]))


def test_links_reach_the_gallery_and_nothing_else_happens(clip, running, sink) -> None:
    run = running(site_of(clip, "a", "b"))
    run.until(lambda: run.searched("a") > 1)
    run.write(site_of(clip, "a", "b") + "links: [{from: a, to: b, min_s: 1, max_s: 2}]\n")
    run.until(lambda: sink.links == (Link("a", "b", 1.0, 2.0),))
    assert len(run.threads["a"]) == len(run.threads["b"]) == 1


def test_a_faulty_file_changes_nothing(clip, running) -> None:
    run = running(site_of(clip, "a", "b"))
    run.until(lambda: run.searched("b") > 1)
    run.write("cameras:\n  a: {url: none.mp4, fsp: 3}\n")
    run.until(lambda: run.complaints)
    before = run.searched("b")
    run.until(lambda: run.searched("b") > before + 3)
    (complaint,) = run.complaints
    assert "cameras.a.url: no such file" in complaint
    assert "cameras.a.fsp: unknown key" in complaint
    assert len(run.threads["a"]) == len(run.threads["b"]) == 1


def test_off_and_on_again(clip, running, sink) -> None:
    run = running(site_of(clip, "a"))
    run.until(lambda: run.searched("a") > 3)
    run.write(site_of(clip, "a", a="enabled: false"))
    run.until(lambda: run.camera("a").state is State.DISABLED)
    before = run.camera("a").searched
    run.write(site_of(clip, "a"))
    run.until(lambda: run.searched("a") > before + 3)
    report = run.end()
    assert report.cameras[0].searched == sum(s.searched for s in sink.coverage("a"))
    spans = sink.coverage("a")
    assert "disabled" in [s.state.value for s in spans]
    assert all(a.end_ms == b.start_ms for a, b in pairwise(spans))


def test_a_recording_that_joins_is_read_to_its_end(clip, running, sink) -> None:
    run = running(site_of(clip, "a"), live=False, watch=True)
    run.until(lambda: run.camera("a") is not None and run.camera("a").state is State.ENDED)
    run.write(site_of(clip, "a", "b"))
    run.until(lambda: run.camera("b") is not None and run.camera("b").state is State.ENDED)
    report = run.end()
    assert [(c.camera, c.searched) for c in report.cameras] == [("a", 300), ("b", 300)]
    assert [len(sink.coverage(name)) for name in "ab"] == [1, 1]


def test_a_recording_removed_in_the_middle_says_what_was_not_searched(
    kit, tmp_path, running, sink
) -> None:
    long = kit.encode(
        tmp_path / "long.mp4", kit.scene([kit.Walker(kit.RED, 20, 100, speed=1)], seconds=200)
    )
    kit.encode(tmp_path / "s.mp4", kit.scene([], seconds=1))
    run = running(site_of(long, "a"), live=False, watch=True)
    run.until(lambda: run.searched("a") > 30)
    run.write(site_of(tmp_path / "s.mp4", "b"))
    run.until(lambda: run.camera("b") is not None and run.camera("b").state is State.ENDED)
    run.until(lambda: len(sink.coverage("a")) == 2)
    watched, down = sink.coverage("a")
    assert (watched.state, down.state) == (CameraState.WATCHED, CameraState.DOWN)
    assert down.reason == "removed from the site"
    assert down.end_ms - watched.start_ms == 200_000
    assert sink.of("a")


def test_many_changes_leave_no_thread_behind(clip, running) -> None:
    run = running(site_of(clip, "stay", "x"))
    run.until(lambda: run.searched("stay") > 1)
    for i in range(10):
        run.write(
            site_of(clip, "stay", *["x"] * (i % 2), f"n{i % 3}", x=f"detect: {{fps: {i + 1}}}")
        )
        time.sleep(0.1)
    run.write(site_of(clip, "stay"))
    run.until(lambda: len([t for t in threading.enumerate() if t.name.startswith("camera")]) == 1)
    assert len(run.threads["stay"]) == 1
    assert all(b - a == 2 for a, b in pairwise(run.indices["stay"]))
    report = run.end()
    assert len({camera.camera for camera in report.cameras}) == len(report.cameras)


@pytest.mark.services
def test_rtsp_cameras_come_and_go(kit, rtsp, sink, running, tmp_path) -> None:
    people = [kit.Walker(kit.RED, 0, 100, speed=70)]
    units = kit.access_units(tmp_path / "walk.h264", kit.scene(people, seconds=4))
    stay, goes, comes = (rtsp(units).url for _ in range(3))
    run = running(f"cameras: {{stay: {{url: '{stay}'}}, goes: {{url: '{goes}'}}}}", live=False)
    run.until(lambda: run.searched("stay") > 5 and run.searched("goes") > 5, 20)
    burst = run.camera("stay").dropped
    run.write(f"cameras: {{stay: {{url: '{stay}'}}, comes: {{url: '{comes}'}}}}")
    run.until(lambda: run.searched("comes") > 5, 20)
    run.until(lambda: all(t.name != "camera goes" for t in threading.enumerate()))
    report = run.end()
    by_name = {camera.camera: camera for camera in report.cameras}
    assert by_name["goes"].state is State.REMOVED
    assert (by_name["stay"].reconnects, len(run.threads["stay"])) == (0, 1)
    assert {b - a for a, b in pairwise(run.indices["stay"])} <= {2}
    at_the_end = {c: n for c, n in by_name["stay"].dropped.items() if c != "stopped"}
    assert at_the_end == {c: n for c, n in burst.items() if c != "stopped"}, "no frame was lost"
    spans = sink.coverage("goes")
    assert [span.state.value for span in spans] == ["down", "watched", "disabled"]
    assert all(a.end_ms == b.start_ms for a, b in pairwise(spans))
    assert [span.state.value for span in sink.coverage("stay")] == ["down", "watched"]
