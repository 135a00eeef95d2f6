"""``sightline ingest`` from outside: results, bad cameras, signals, and doing it again."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.pictures import encode_jpeg
from gallery.gallery import Gallery

Run = Callable[..., Any]


def ids(gallery: Path) -> list[str]:
    """Return the ids of all sightings; each crop must be there, whole."""
    with Gallery.open(gallery) as opened:
        found = opened.sightings()
        for sighting in found:
            crop = opened.crop(sighting)
            assert crop is not None
            assert crop.startswith(b"\xff\xd8")
            assert crop.endswith(b"\xff\xd9")
    return [sighting.id for sighting in found]


def litter(folder: Path) -> list[Path]:
    """Return temporary files that a command left behind."""
    return [path for path in folder.rglob("*") if path.name.endswith((".part", ".partial"))]


def wait_for_crops(gallery: Path, process: subprocess.Popen[str], count: int) -> None:
    """Wait until a running ingest has kept some crops."""
    deadline = time.monotonic() + 60
    while len(list(gallery.glob("crops/**/*.jpg"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_files_at_once(sightline: Run, bundle: Path, clip: Path, tmp_path: Path) -> None:
    outcome = sightline(
        "ingest", "--camera", f"door={clip}", "--camera", f"hall={clip}",
        "--gallery", "g", "--engine", bundle, "--json",
    )  # fmt: skip
    assert (outcome.code, outcome.err) == (0, "")
    cameras = {camera["camera"]: camera for camera in outcome.document["cameras"]}
    assert set(cameras) == {"door", "hall"}
    for camera in cameras.values():
        assert (camera["state"], camera["searched"], camera["error"]) == ("ended", 40, "")
    assert outcome.document["sightings"] == len(ids(tmp_path / "g")) > 0
    assert outcome.document["gallery"] == str(tmp_path / "g")


def test_people_get_a_table_and_no_progress_in_a_pipe(
    sightline: Run, bundle: Path, clip: Path
) -> None:
    outcome = sightline("ingest", "--camera", f"door={clip}", "--engine", bundle)
    assert (outcome.code, outcome.err) == (0, "")
    assert "door" in outcome.out
    assert "40 frames searched" in outcome.out


def test_again_adds_nothing(sightline: Run, bundle: Path, clip: Path, tmp_path: Path) -> None:
    command = ("ingest", "--camera", f"door={clip}", "--gallery", "g", "--engine", bundle)
    assert sightline(*command).code == 0
    before = ids(tmp_path / "g")
    assert sightline(*command).code == 0
    assert ids(tmp_path / "g") == before


def test_the_settings_name_gallery_and_engine(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "sightline.toml").write_text(f'gallery = "week"\nengine = "{bundle}"\n')
    assert sightline("ingest", "--camera", f"door={clip}").code == 0
    assert ids(tmp_path / "week")
    outcome = sightline("gallery", "info", "--json", env={"SIGHTLINE_GALLERY": "other"})
    assert outcome.code == 5


def test_missing_files_are_3_and_nothing_is_made(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    outcome = sightline(
        "ingest", "--camera", "door=nope.mp4", "--camera", f"hall={clip}", "--camera", "yard=no",
        "--gallery", "g", "--engine", bundle,
    )  # fmt: skip
    assert (outcome.code, outcome.out) == (3, "")
    assert f"camera door: no such file: {tmp_path / 'nope.mp4'}" in outcome.err
    assert "camera yard: no such file" in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["text", "cut", "empty"])
def test_a_file_that_is_no_video_is_3_and_nothing_is_made(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path, kind: str
) -> None:
    bad = tmp_path / "bad.mp4"
    data = {"text": b"a shopping list\n" * 99, "cut": clip.read_bytes()[:900], "empty": b""}[kind]
    bad.write_bytes(data)
    outcome = sightline("ingest", "--camera", f"door={bad}", "--gallery", "g", "--engine", bundle)
    assert (outcome.code, outcome.out) == (3, "")
    assert f"error: camera door: cannot read {bad}: " in outcome.err
    assert list(tmp_path.iterdir()) == [bad]


def test_a_bad_file_does_not_stop_the_others(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.mp4").write_text("a shopping list")
    outcome = sightline(
        "ingest", "--camera", "bad=bad.mp4", "--camera", f"door={clip}",
        "--gallery", "g", "--engine", bundle, "--json",
    )  # fmt: skip
    assert outcome.code == 3
    assert "camera bad could not be read: " in outcome.err
    states = {camera["camera"]: camera["state"] for camera in outcome.document["cameras"]}
    assert states == {"bad": "failed", "door": "ended"}
    assert len(ids(tmp_path / "g")) == outcome.document["sightings"] > 0


def test_a_recording_that_breaks_off_is_3_and_keeps_what_was_seen(
    sightline: Run, bundle: Path, write_clip: Callable[..., Path], tmp_path: Path
) -> None:
    whole = write_clip(tmp_path / "whole.ts", [(230, 20, 20)], seconds=20)
    fragmented = tmp_path / "cut.mkv"
    write_clip(fragmented, [(230, 20, 20)], seconds=20)
    fragmented.write_bytes(fragmented.read_bytes()[: fragmented.stat().st_size * 6 // 10])
    whole.unlink()
    outcome = sightline(
        "ingest", "--camera", "door=cut.mkv", "--gallery", "g", "--engine", bundle, "--json"
    )
    assert outcome.code == 3
    assert "camera door broke off: " in outcome.err
    assert 20 < outcome.document["cameras"][0]["frames"] < 95
    assert len(ids(tmp_path / "g")) == outcome.document["sightings"] > 0


def test_a_refused_port_is_3_and_the_password_stays_secret(
    sightline: Run, bundle: Path, tmp_path: Path
) -> None:
    url = "rtsp://guard:s3cret-w0rd@127.0.0.1:1/stream"
    outcome = sightline(
        "ingest", "--camera", f"door={url}", "--gallery", "g", "--engine", bundle, "--json",
    )  # fmt: skip
    assert outcome.code == 3
    assert "camera door could not be read: connection refused" in outcome.err
    assert "s3cret-w0rd" not in outcome.out + outcome.err
    assert ids(tmp_path / "g") == []
    info = sightline("gallery", "info", "g")
    assert "door: not watched at all" in info.out
    assert "s3cret-w0rd" not in info.out
    leaks = [p for p in (tmp_path / "g").rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]
    assert leaks == []


def test_keep_trying_waits_for_cameras(start: Run, bundle: Path, tmp_path: Path) -> None:
    with start(
        "ingest", "--camera", "door=rtsp://127.0.0.1:1/x", "--keep-trying",
        "--gallery", "g", "--engine", bundle,
    ) as process:  # fmt: skip
        time.sleep(9)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "connection refused; trying again" in err


def test_a_site_with_faults_is_2_and_tells_all_of_them(
    sightline: Run, bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "site.yaml").write_text("cameras:\n  a: {url: no.mp4, fsp: 3}\n  b: {}\n")
    outcome = sightline("ingest", "site.yaml", "--engine", bundle)
    assert (outcome.code, outcome.out) == (2, "")
    assert "site.yaml:2: cameras.a.fsp: unknown key; did you mean 'fps'?" in outcome.err
    assert "site.yaml:3: cameras.b.url: missing" in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_drains_and_again_gives_no_duplicates(
    start: Run, sightline: Run, bundle: Path, long_clip: Path, tmp_path: Path,
    number: signal.Signals, code: int,
) -> None:  # fmt: skip
    command = ("ingest", "--camera", f"door={long_clip}", "--gallery", "g", "--engine", bundle)
    with start(*command, "--json") as process:
        wait_for_crops(tmp_path / "g", process, 20)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert "stopping: finishing what is on the way" in err
    assert '"stopped": true' in out
    first = ids(tmp_path / "g")
    assert litter(tmp_path) == []
    again = sightline(*command, "--json")
    assert again.code == 0
    both = ids(tmp_path / "g")
    assert len(both) == len(set(both))
    assert set(first) <= set(both)
    assert 0 <= len(both) - again.document["sightings"] <= 4, "only shots that the stop forced"


def test_kill_9_keeps_what_was_acknowledged_and_again_gives_no_duplicates(
    start: Run, sightline: Run, bundle: Path, long_clip: Path, tmp_path: Path
) -> None:
    command = ("ingest", "--camera", f"door={long_clip}", "--gallery", "g", "--engine", bundle)
    with start(*command) as process:
        wait_for_crops(tmp_path / "g", process, 100)
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    first = ids(tmp_path / "g")
    assert len(first) >= 32, "whole batches had been acknowledged"
    again = sightline(*command, "--json")
    assert again.code == 0
    both = ids(tmp_path / "g")
    assert len(both) == len(set(both)) == again.document["sightings"]
    assert set(first) <= set(both)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a disk of 40 MB, less than must stay free."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("no mount command: a small disk cannot be made")
    command = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_5_and_leaves_a_whole_gallery(
    sightline: Run, bundle: Path, clip: Path, small_disk: Path
) -> None:
    gallery = small_disk / "g"
    outcome = sightline(
        "ingest", "--camera", f"door={clip}", "--gallery", gallery, "--engine", bundle
    )
    assert outcome.code == 5
    assert f"wait in {gallery / 'spool.sqlite'} and are delivered next time" in outcome.err
    assert "MiB of disk are left and 64 MiB must stay free" in outcome.err
    assert ids(gallery) == []
    assert litter(small_disk) == []


def test_a_bundle_with_one_byte_changed_is_4_and_nothing_is_made(
    sightline: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for path in bundle.iterdir():
        (bad / path.name).write_bytes(path.read_bytes())
    data = bytearray((bad / "search.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bad / "search.onnx").write_bytes(data)
    outcome = sightline("ingest", "--camera", f"door={clip}", "--gallery", "g", "--engine", bad)
    assert (outcome.code, outcome.out) == (4, "")
    assert f"error: cannot use engine bundle {bad}: search.onnx was changed" in outcome.err
    assert not (tmp_path / "g").exists()
    assert sightline("engine", "info", bad).code == 4


def test_a_gallery_of_another_model_is_5_and_stays_as_it_was(
    sightline: Run, tiny: Any, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    assert sightline(
        "ingest", "--camera", f"door={clip}", "--gallery", "g", "--engine", bundle
    ).code == 0  # fmt: skip
    before = ids(tmp_path / "g")
    other = tiny.write_tiny(tmp_path / "other", search=tiny.search_graph(persons=3), max_persons=3)
    outcome = sightline("ingest", "--camera", f"hall={clip}", "--gallery", "g", "--engine", other)
    assert (outcome.code, outcome.out) == (5, "")
    assert "model" in outcome.err
    assert ids(tmp_path / "g") == before


def test_a_gallery_in_use_is_5(sightline: Run, bundle: Path, clip: Path, tmp_path: Path) -> None:
    command = ("ingest", "--camera", f"door={clip}", "--gallery", "g", "--engine", bundle)
    assert sightline(*command).code == 0
    with Gallery.open(tmp_path / "g"):
        outcome = sightline(*command)
    assert (outcome.code, outcome.out) == (5, "")
    assert "another process" in outcome.err


def test_sighup_takes_a_changed_site(
    start: Run, bundle: Path, clip: Path, long_clip: Path, tmp_path: Path
) -> None:
    """The first camera ends soon; the second was not in the file at the start."""
    site = tmp_path / "site.yaml"
    site.write_text(f"cameras:\n  door: {{url: {long_clip}}}\n")
    with start("ingest", "site.yaml", "--gallery", "g", "--engine", bundle, "--json") as process:
        wait_for_crops(tmp_path / "g", process, 10)
        site.write_text("cameras:\n  door: {url: none.mp4}\n")
        process.send_signal(signal.SIGHUP)
        time.sleep(1.5)
        site.write_text(f"cameras:\n  door: {{url: {long_clip}}}\n  hall: {{url: {clip}}}\n")
        process.send_signal(signal.SIGHUP)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "site.yaml:2: cameras.door.url: no such file (got 'none.mp4')" in err
    assert "the cameras go on as before" in err
    assert "site.yaml was read again: added: hall" in err
    cameras = {camera["camera"]: camera for camera in json.loads(out)["cameras"]}
    assert cameras["hall"]["searched"] == 40
    assert cameras["door"]["state"] == cameras["hall"]["state"] == "ended"


def test_watch_takes_a_saved_file_and_goes_on_until_told(
    start: Run, bundle: Path, clip: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(f"cameras:\n  door: {{url: {clip}}}\n")
    command = ("ingest", "site.yaml", "--watch", "--gallery", "g", "--engine", bundle, "--json")
    with start(*command) as process:
        wait_for_crops(tmp_path / "g", process, 1)
        site.write_text(f"cameras:\n  hall: {{url: {clip}}}\n")
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("g/crops/hall/**/*.jpg")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "added: hall; removed: door" in err
    states = {camera["camera"]: camera["state"] for camera in json.loads(out)["cameras"]}
    assert states["door"] == "removed"


def test_watch_without_a_file_is_2(sightline: Run, bundle: Path, clip: Path) -> None:
    outcome = sightline("ingest", "--camera", f"door={clip}", "--watch", "--engine", bundle)
    assert outcome.code == 2
    assert "--watch needs a SITE.yaml" in outcome.err


def test_a_folder_of_pictures(sightline: Run, bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        picture = np.full((240, 320, 3), 40 * i, np.uint8)
        (folder / f"{i}.jpg").write_bytes(encode_jpeg(picture))
    outcome = sightline(
        "ingest", "--camera", f"door={folder}", "--gallery", "g", "--engine", bundle, "--json"
    )
    assert (outcome.code, outcome.err) == (0, "")
    (camera,) = outcome.document["cameras"]
    assert (camera["state"], camera["searched"]) == ("ended", 3)
