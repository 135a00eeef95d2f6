import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gallery.errors import (
    GalleryError,
    GalleryLockedError,
    GalleryNotFoundError,
    InvalidQueryError,
    InvalidSightingError,
    ModelMismatchError,
)
from gallery.gallery import Gallery, find_or_make
from gallery.manifest import read_manifest
from gallery.search import SearchQuery
from gallery.values import CameraState, CoverageSpan, Link, Sighting

Make = Callable[..., Sighting]
Vectors = Callable[[np.random.Generator, int], NDArray[np.float32]]


def test_what_was_written_is_found_after_reopening(
    tmp_path: Path, make_sighting: Make, model: str
) -> None:
    path = tmp_path / "a" / "g"
    one = make_sighting("cam1")
    with Gallery.open(path, model=model, create=True) as gallery:
        gallery.write([one, make_sighting("cam2")])
        gallery.set_links([Link("cam1", "cam2", 3.0, 20.5)])
        gallery.record(CoverageSpan("cam3", CameraState.DOWN, 5, 10, reason="refused"))
    with Gallery.open(path, model=model, create=True) as gallery:
        assert gallery.model == model
        assert gallery.links == (Link("cam1", "cam2", 3.0, 20.5),)
        assert gallery.cameras == ("cam1", "cam2", "cam3")
        answer = gallery.search(SearchQuery(one.embedding[None], cameras=("cam?",)))
        assert answer.results[0].sighting.id == one.id
        assert answer.exhaustive
        assert answer.note.startswith("every stored sighting within the limits was compared")
        assert [camera.camera for camera in answer.coverage.cameras] == ["cam1", "cam2", "cam3"]
    assert path.stat().st_mode & 0o777 == 0o700


def test_missing_gallery(tmp_path: Path) -> None:
    with pytest.raises(GalleryNotFoundError, match=r"no gallery lies at .*/nowhere"):
        Gallery.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_no_gallery(tmp_path: Path, model: str) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(GalleryNotFoundError, match=r"is not a gallery: it has no gallery\.json"):
        Gallery.open(tmp_path)
    with pytest.raises(GalleryError, match=r"the folder is not empty \('notes\.txt'\)"):
        Gallery.open(tmp_path, model=model, create=True)
    with pytest.raises(GalleryNotFoundError, match="is a file; a gallery is a folder"):
        Gallery.open(tmp_path / "notes.txt", model=model, create=True)
    assert [one.name for one in tmp_path.iterdir()] == ["notes.txt"]


def test_new_gallery_needs_a_model(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="which model's vectors shall it hold"):
        Gallery.open(tmp_path / "g", create=True)
    assert not (tmp_path / "g").exists()


def test_gallery_of_another_model_is_refused(tmp_path: Path, model: str) -> None:
    Gallery.open(tmp_path / "g", model=model, create=True).close()
    with pytest.raises(
        ModelMismatchError, match=r"vectors of model model-a-0123, the engine is model-b-4567: "
    ):
        Gallery.open(tmp_path / "g", model="model-b-456789", create=True)
    with pytest.raises(ModelMismatchError, match=rf"of model {model}, the engine is {model}0: "):
        Gallery.open(tmp_path / "g", model=f"{model}0")


def test_sighting_of_another_model_is_refused(gallery: Gallery, make_sighting: Make) -> None:
    with pytest.raises(InvalidSightingError, match="it is of model 'other'"):
        gallery.write([make_sighting("cam1"), make_sighting("cam2", model="other")])
    assert gallery.info().sightings == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"format": 1, "created": "2026-03-02T08:00:00Z"}', "damaged: model: Field required"),
        ('{"format": 2, "model": "m"}', "format 2, this Sightline knows 1: .* newer"),
    ],
)
def test_damaged_manifest(gallery: Gallery, text: str, words: str) -> None:
    (gallery.path / "gallery.json").write_text(text)
    with pytest.raises(GalleryError, match=rf"gallery\.json.*{words}"):
        Gallery.open(gallery.path)


def test_open_gallery_is_locked(gallery: Gallery) -> None:
    with pytest.raises(GalleryLockedError, match=r"gallery .* is in use by another process"):
        Gallery.open(gallery.path)


def test_lock_goes_with_its_owner(tmp_path: Path, model: str, make_sighting: Make) -> None:
    code = (
        "import sys; from pathlib import Path; from gallery.gallery import Gallery\n"
        "Gallery.open(Path(sys.argv[1]), model=sys.argv[2], create=True)\n"
        "print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "g"), model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        with pytest.raises(GalleryLockedError, match="in use"):
            Gallery.open(tmp_path / "g")
        owner.kill()
        owner.wait()
    with Gallery.open(tmp_path / "g") as gallery:
        gallery.write([make_sighting()])


def test_two_makers_at_once_agree_on_one_model(tmp_path: Path) -> None:
    wanted = [f"model-{index}" for index in range(8)]
    outcomes: list[str] = []
    start = threading.Barrier(len(wanted))

    def make(model: str) -> None:
        start.wait()
        try:
            find_or_make(tmp_path / "g", model=model, create=True)
            outcomes.append(model)
        except (ModelMismatchError, GalleryError):
            pass

    threads = [threading.Thread(target=make, args=(model,)) for model in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [read_manifest(tmp_path / "g").model]
    assert [one.name for one in (tmp_path / "g").iterdir()] == ["gallery.json"]


def test_links_that_cannot_be(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match=r"link a -> b: the least time 9 s is over 3 s"):
        gallery.set_links([Link("a", "b", 9, 3)])
    with pytest.raises(GalleryError, match=r"links: source: String should match"):
        gallery.set_links([Link("a b", "a", 1, 3)])
    assert gallery.links == ()


def test_empty_gallery_says_so(gallery: Gallery) -> None:
    query = SearchQuery(np.eye(1, 256, dtype=np.float32))
    with pytest.raises(InvalidQueryError, match=r"gallery .*/gallery holds no sightings"):
        gallery.search(query)


def test_limits_choose_cameras_and_time(
    gallery: Gallery, make_sighting: Make, morning_ms: int
) -> None:
    for camera in ("gate", "hall-1", "hall-2"):
        gallery.write([make_sighting(camera, morning_ms + step) for step in range(3)])
    found = gallery.sightings(cameras=["hall-*"], since_ms=morning_ms + 1, until_ms=morning_ms + 3)
    assert [(one.camera, one.captured_at_ms - morning_ms) for one in found] == [
        ("hall-1", 1),
        ("hall-2", 1),
        ("hall-1", 2),
        ("hall-2", 2),
    ]
    query = SearchQuery(found[0].embedding[None], cameras=("hall-2",), since_ms=morning_ms + 2)
    answer = gallery.search(query)
    assert [hit.sighting.camera for hit in answer.results] == ["hall-2"]
    assert answer.note.endswith("there are no more than 1")
    with pytest.raises(InvalidQueryError, match=r"'door'; known cameras: gate, hall-1, hall-2"):
        gallery.search(replace(query, cameras=("door",)))


def test_get_keeps_the_order_and_leaves_out_what_is_not_there(
    gallery: Gallery, make_sighting: Make, morning_ms: int
) -> None:
    batch = [make_sighting("cam1", morning_ms + step) for step in range(3)]
    gallery.write(batch)
    asked = [batch[2].id, "f" * 32, 'x" or 1', batch[0].id, batch[2].id]
    assert [one.id for one in gallery.get(asked)] == [batch[2].id, batch[0].id]
    assert gallery.get([]) == []


def test_tracklet_brings_its_shots_in_order(
    gallery: Gallery, make_sighting: Make, morning_ms: int
) -> None:
    name = f"cam1/{morning_ms}-4"
    shots = [make_sighting("cam1", morning_ms + step, tracklet=name) for step in (20, 0, 10)]
    gallery.write([*shots, make_sighting("cam1", morning_ms + 5)])
    assert [one.captured_at_ms - morning_ms for one in gallery.tracklet(name)] == [0, 10, 20]
    assert gallery.tracklet("cam1/0-0") == []
    assert gallery.tracklet('x" or 1 == 1') == []


def test_crop_is_kept_and_found(gallery: Gallery, make_sighting: Make, morning_ms: int) -> None:
    one = make_sighting("cam1")
    path = gallery.put_crop(one.id, "cam1", morning_ms, b"\xff\xd8jpeg")
    assert path == f"crops/cam1/20260302/{one.id}.jpg"
    gallery.write([replace(one, crop=path)])
    (stored,) = gallery.get([one.id])
    assert gallery.crop(stored) == b"\xff\xd8jpeg"
    assert gallery.crop(replace(one, crop="")) is None
    assert gallery.crop(replace(one, crop="crops/gone.jpg")) is None
    assert gallery.crop(replace(one, crop="gallery.json")) is None
    assert gallery.crop(replace(one, crop="crops/../gallery.json")) is None


def test_crop_of_an_impossible_sighting(gallery: Gallery) -> None:
    with pytest.raises(InvalidSightingError, match="no crop can be kept"):
        gallery.put_crop("../../x", "cam1", 5, b"")
    with pytest.raises(InvalidSightingError, match="no crop can be kept"):
        gallery.put_crop("0" * 32, "..", 5, b"")
    with pytest.raises(InvalidSightingError, match="-1 ms is no time"):
        gallery.put_crop("0" * 32, "cam1", -1, b"")


def test_info_counts_what_is_there(gallery: Gallery, make_sighting: Make, morning_ms: int) -> None:
    day = 86_400_000
    gallery.write([make_sighting("cam1", morning_ms + step * day) for step in (0, 0, 1)])
    gallery.put_crop("0" * 32, "cam1", morning_ms, b"12345")
    gallery.record(CoverageSpan("cam2", CameraState.WATCHED, 5, 99))
    info = gallery.info()
    assert info.sightings == 2
    assert info.days == (("20260302", 1), ("20260303", 1))
    assert info.cameras == ("cam1", "cam2")
    assert (info.recorded_since_ms, info.recorded_until_ms) == (5, 99)
    assert info.crop_bytes == 5
    assert info.store_bytes > 0


def test_coverage_of_an_open_interval_is_that_of_the_whole_record(gallery: Gallery) -> None:
    assert gallery.coverage().lines() == []
    gallery.record(CoverageSpan("cam1", CameraState.WATCHED, 1_000, 9_000))
    gallery.record(CoverageSpan("cam2", CameraState.WATCHED, 5_000, 20_000))
    whole = gallery.coverage()
    assert (whole.since_ms, whole.until_ms) == (1_000, 20_000)
    assert gallery.coverage(since_ms=6_000).until_ms == 20_000
    late = gallery.coverage(since_ms=50_000)
    assert (late.since_ms, late.until_ms) == (50_000, 50_000)
    assert not late.complete
    assert [one.camera for one in gallery.coverage(cameras=["cam2"]).cameras] == ["cam2"]


def test_threads_may_share_a_gallery(
    gallery: Gallery, make_sighting: Make, morning_ms: int
) -> None:
    faults: list[BaseException] = []

    def work(camera: str) -> None:
        try:
            for step in range(10):
                gallery.write([make_sighting(camera, morning_ms + step)])
                gallery.record(CoverageSpan(camera, CameraState.WATCHED, 0, step))
                query = SearchQuery(make_sighting(camera, morning_ms).embedding[None])
                assert gallery.search(query).results[0].sighting.camera == camera
        except BaseException as error:
            faults.append(error)
            raise

    threads = [threading.Thread(target=work, args=(f"cam{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert gallery.info().sightings == 40


def test_manifest_is_readable_by_people(gallery: Gallery) -> None:
    gallery.set_links([Link("a", "b", 1, 2)])
    document = json.loads((gallery.path / "gallery.json").read_text())
    assert document["links"] == [{"source": "a", "target": "b", "min_s": 1.0, "max_s": 2.0}]
    assert set(document) == {"format", "model", "created", "links"}
