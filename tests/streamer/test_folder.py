"""A folder of pictures as a camera: order, times, broken files, and pictures that come later."""

import os
import struct
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from engines.pictures import encode_jpeg
from streamer.camera import State
from streamer.errors import Cause, SiteError, SourceUnavailableError
from streamer.folder import natural, pictures_in, taken_ms
from streamer.folder_reader import FolderReader, reader_for
from streamer.ingest import Pace, ingest
from streamer.probe import probe
from streamer.site import load_site
from streamer.source import UNDECODABLE

QUICK = Pace(tick_s=0.05)


def grey(level: int) -> bytes:
    return encode_jpeg(np.full((48, 64, 3), level, np.uint8))


def with_exif(jpeg: bytes, taken: str, zone: str = "", subsecond: str = "") -> bytes:
    """Return the JPEG with an EXIF block that says when it was taken."""
    texts = {0x9003: taken, 0x9011: zone, 0x9291: subsecond}
    texts = {tag: text.encode() + b"\0" for tag, text in texts.items() if text}
    inner = 8 + 2 + 12 + 4
    place = inner + 2 + 12 * len(texts) + 4
    rows, tail = b"", b""
    for tag, text in texts.items():
        if len(text) <= 4:
            rows += struct.pack("<HHI4s", tag, 2, len(text), text)
        else:
            rows += struct.pack("<HHII", tag, 2, len(text), place + len(tail))
            tail += text
    first = struct.pack("<HHHII", 1, 0x8769, 4, 1, inner) + bytes(4)
    tiff = b"II*\0" + struct.pack("<I", 8) + first
    tiff += struct.pack("<H", len(texts)) + rows + bytes(4) + tail
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give twelve pictures p1 .. p12 whose grey is ten times their number."""
    path = tmp_path / "pictures"
    path.mkdir()
    for i in range(1, 13):
        (path / f"p{i}.jpg").write_bytes(grey(10 * i))
        os.utime(path / f"p{i}.jpg", ns=(i * 60 * 10**9, (1_600_000_000 + i * 60) * 10**9))
    (path / "notes.txt").write_text("no picture")
    (path / ".p0.jpg").write_bytes(grey(0))
    return path


def read(settings):
    with reader_for(settings) as reader:
        assert isinstance(reader, FolderReader)
        return list(reader.frames()), reader


def levels(frames) -> list[int]:
    return [round(float(f.pixels.mean()) / 10) for f in frames if f is not None]


def test_names_stand_in_natural_order(folder: Path) -> None:
    names = [path.name for path in pictures_in(folder)]
    assert names == [f"p{i}.jpg" for i in range(1, 13)]
    mixed = ["a.png", "10.jpg", "2b.jpg", "B.jpeg", "2.jpg"]
    ordered = sorted(map(Path, mixed), key=natural)
    assert [p.name for p in ordered] == ["2.jpg", "2b.jpg", "10.jpg", "a.png", "B.jpeg"]
    assert pictures_in(folder / "none") == []


def test_each_has_the_time_of_its_file_and_all_are_searched(folder, camera_settings) -> None:
    frames, reader = read(camera_settings(folder))
    assert levels(frames) == list(range(1, 13))
    stamps = [frame.captured_at_ms for frame in frames]
    assert stamps == [(1_600_000_000 + i * 60) * 1000 for i in range(1, 13)]
    assert {frame.time_source for frame in frames} == {"file"}
    assert [frame.index for frame in frames] == list(range(12))
    assert (reader.info.live, reader.info.width, reader.info.height) == (False, 64, 48)
    assert (reader.fault, sum(reader.lost.values())) == ("", 0)


def test_copies_with_one_time_are_searched_all_the_same(folder, camera_settings) -> None:
    for path in pictures_in(folder):
        os.utime(path, ns=(0, 1_600_000_000 * 10**9))
    stamps = [frame.captured_at_ms for frame in read(camera_settings(folder))[0]]
    assert stamps == [1_600_000_000_000 + i for i in range(12)]


def test_start_and_fps_make_a_grid_that_the_rate_thins(
    folder, camera_settings, start_text, start_ms
) -> None:
    settings = camera_settings(folder, start=start_text, fps=4.0, detect_fps=2.0)
    frames, _ = read(settings)
    assert len(frames) == 12
    assert levels(frames) == [1, 3, 5, 7, 9, 11]
    stamps = [frame.captured_at_ms - start_ms for frame in frames if frame is not None]
    assert stamps == list(range(0, 3000, 500))


def test_start_alone_takes_one_picture_for_each_search(
    folder, camera_settings, start_text, start_ms
) -> None:
    frames, _ = read(camera_settings(folder, start=start_text, detect_fps=5.0))
    assert [frame.captured_at_ms - start_ms for frame in frames] == list(range(0, 2400, 200))


@pytest.mark.parametrize(
    ("zone", "subsecond", "expected"),
    [("", "", 0), ("+02:00", "", -7_200_000), ("-01:30", "25", 5_400_250), ("", "5", 500)],
)
def test_exif_says_when_it_was_taken(
    folder, camera_settings, start_ms, zone, subsecond, expected
) -> None:
    jpeg = with_exif(grey(50), "2026:03:02 14:00:00", zone, subsecond)
    assert taken_ms(jpeg) == start_ms + expected
    (folder / "p1.jpg").write_bytes(jpeg)
    frames, _ = read(camera_settings(folder))
    assert frames[0].captured_at_ms == start_ms + expected
    assert levels(frames[:1]) == [5]


def test_exif_that_is_cut_or_nonsense_says_nothing() -> None:
    whole = with_exif(grey(50), "2026:03:02 14:00:00")
    for data in (b"", b"\xff\xd8", grey(50), with_exif(grey(50), "0000:00:00 00:00:00")):
        assert taken_ms(data) is None
    for end in range(2, 120):
        assert taken_ms(whole[:end]) in (None, taken_ms(whole))


def test_masks_hold_and_png_counts(tmp_path: Path, camera_settings) -> None:
    with av.open(str(tmp_path / "a.png"), "w", format="image2") as out:
        stream = out.add_stream("png", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        picture = np.full((48, 64, 3), 50, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    left = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
    (frame,), _ = read(camera_settings(tmp_path, masks=(left,)))
    assert (frame.pixels[:, :32] == 114).all()
    assert (frame.pixels[:, 32:] == 50).all()


def test_a_broken_picture_is_counted_and_named_and_the_rest_is_read(
    folder, camera_settings
) -> None:
    (folder / "p3.jpg").write_bytes(grey(30)[:200])
    (folder / "p5.jpg").write_bytes(b"")
    frames, reader = read(camera_settings(folder))
    assert levels(frames) == [1, 2, 4, *range(6, 13)]
    assert reader.lost[UNDECODABLE] == 2
    assert reader.fault.startswith("2 pictures could not be read: p3.jpg: ")


def test_a_folder_without_pictures_or_none_at_all(tmp_path: Path, camera_settings) -> None:
    with pytest.raises(SourceUnavailableError, match="no picture in it") as caught:
        FolderReader(camera_settings(tmp_path)).open()
    assert caught.value.cause is Cause.NOT_FOUND
    with pytest.raises(SourceUnavailableError, match="no such folder"):
        FolderReader(camera_settings(tmp_path / "none")).open()


def test_probing_a_folder(folder) -> None:
    report = probe(str(folder), seconds=120)
    assert (report.format, report.codec, report.width, report.live) == (
        "pictures",
        "jpg",
        64,
        False,
    )
    assert report.frames == 3


def test_the_keys_of_a_folder_in_site_yaml(folder, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").touch()
    text = """cameras:
  a: {url: pictures, fps: 2}
  b: {url: empty, follow: true}
"""
    (tmp_path / "site.yaml").write_text(text)
    site = load_site(tmp_path / "site.yaml", {})
    assert (site.cameras["a"].fps, site.cameras["a"].follow) == (2, False)
    assert site.cameras["b"].follow
    bad = "  c: {url: empty}\n  d: {url: a.mp4, fps: 2}\n  e: {url: 'rtsp://h/s', follow: true}\n"
    (tmp_path / "site.yaml").write_text(text + bad)
    with pytest.raises(SiteError, match="3 faults") as caught:
        load_site(tmp_path / "site.yaml", {})
    assert [fault.split(": ", 1)[1] for fault in caught.value.faults] == [
        "cameras.c.url: no picture (.jpg, .jpeg, .png) in this folder (got 'empty')",
        "cameras.d.fps: only a folder of pictures has this key",
        "cameras.e.follow: only a folder of pictures has this key",
    ]


def test_people_in_pictures_become_sightings_and_it_ends(
    kit, tmp_path, make_site, sink, start_ms
) -> None:
    walker = kit.Walker(kit.RED, 20, 100, speed=40)
    for i, picture in enumerate(kit.scene([walker], seconds=3, fps=5)):
        (tmp_path / f"{i}.jpg").write_bytes(encode_jpeg(picture))
    report = ingest(make_site({"cam": tmp_path}), kit.ColourEngine(), sink, pace=QUICK)
    (camera,) = report.cameras
    assert (camera.state, camera.searched, camera.tracklets) == (State.ENDED, 15, 1)
    assert {s.tracklet for s in sink.of("cam")} == {f"cam/{start_ms}-0"}
    (span,) = sink.coverage("cam")
    assert (span.start_ms, span.end_ms) == (start_ms, start_ms + 3000)


def test_a_followed_folder_waits_for_pictures_and_takes_them_whole(folder, camera_settings) -> None:
    reader = FolderReader(camera_settings(folder, follow=True))
    reader.stop = threading.Event()
    got: list[int] = []

    def follow() -> None:
        with reader:
            for frame in reader.frames():
                got.append(round(float(frame.pixels.mean()) / 10))

    thread = threading.Thread(target=follow)
    thread.start()
    _until(lambda: len(got) == 12)
    whole = grey(200)
    with (folder / "p20.jpg").open("wb") as file:
        file.write(whole[:100])
        file.flush()
        time.sleep(1.2)
        file.write(whole[100:])
    (folder / "p0.jpg").write_bytes(grey(130))
    _until(lambda: len(got) == 14)
    began_s = time.monotonic()
    reader.stop.set()
    thread.join(5)
    assert time.monotonic() - began_s < 1
    assert sorted(got[12:]) == [13, 20]
    assert sum(reader.lost.values()) <= 1


def _until(condition, limit_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
