"""Annotated frames of a video, and detection scores on pictures without identities."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

from train.data.people import load_people
from train.data.records import IGNORED, UNLABELLED
from train.errors import DatasetError
from train.evaluation.embed import EvalProgress
from train.evaluation.footage import clip_images
from train.evaluation.pictures import evaluate_detection

SHARED = Path(__file__).parents[3].parent / "shared" / "footage"
FRAMES, STEP = 12, 8

Annotate = Callable[..., Path]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of 64 x 48 pixels whose frame n is all grey of 8 n."""
    path = tmp_path_factory.mktemp("clip") / "grey.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = Fraction(1, 10)
        stream.options = {"crf": "5", "bf": "3"}
        for number in range(FRAMES):
            grey = np.full((48, 64, 3), number * STEP, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        file.mux(stream.encode(None))
    return path


@pytest.fixture
def annotate(tmp_path: Path) -> Annotate:
    """What writes annotations: frames, then boxes with the id of their image."""

    def write(frames: Any, *boxes: Any, **fields: Any) -> Path:
        size = {"width": 64, "height": 48}
        images = [
            {"id": number, "frame": frame, **size, **fields} for number, frame in enumerate(frames)
        ]
        rows = [
            {"id": 90 + n, "image_id": image, "bbox": bbox, "iscrowd": int(crowd)}
            for n, (image, bbox, crowd) in enumerate(boxes)
        ]
        path = tmp_path / "clip.json"
        path.write_text(json.dumps({"images": images, "annotations": rows}))
        return path

    return write


def test_frames_come_in_order_each_with_its_own_boxes(video: Path, annotate: Annotate) -> None:
    path = annotate([9, 0, 5], (0, [1, 2, 10, 20], False), (2, [3, 4, 5, 6], True))
    clip = clip_images(video, path)
    assert clip.numbers == (0, 5, 9)
    assert [image.name for image in clip.images] == [f"grey frame {n}" for n in (0, 5, 9)]
    assert [image.boxes.tolist() for image in clip.images] == [
        [], [[3, 4, 8, 10]], [[1, 2, 11, 22]],
    ]  # fmt: skip
    assert [image.ids.tolist() for image in clip.images] == [[], [IGNORED], [UNLABELLED]]
    pictures = list(clip.pictures())
    assert [round(float(p.mean()) / STEP) for p in pictures] == [0, 5, 9]
    assert {(p.shape, str(p.dtype)) for p in pictures} == {((48, 64, 3), "uint8")}


@pytest.mark.parametrize(
    ("frames", "fields", "fault"),
    [
        ([3, FRAMES], {}, rf"grey\.mp4 ends before frame {FRAMES}, which is annotated"),
        ([3], {"width": 80}, r"frame 3 is 64 x 48 pixels, annotated as 80 x 48"),
    ],
)
def test_a_video_that_is_not_the_annotated_one(
    video: Path, annotate: Annotate, frames: Any, fields: Any, fault: str
) -> None:
    clip = clip_images(video, annotate(frames, **fields))
    with pytest.raises(DatasetError, match=fault):
        list(clip.pictures())


def test_files_that_are_no_videos(tmp_path: Path, annotate: Annotate) -> None:
    path = annotate([0])
    with pytest.raises(DatasetError, match=r"cannot read .*none\.mp4: no such file"):
        clip_images(tmp_path / "none.mp4", path)
    with pytest.raises(DatasetError, match=r"cannot decode .*clip\.json: Invalid data"):
        list(clip_images(path, path).pictures())


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"images": [], "annotations": []}, r"images: the list is empty"),
        ({"images": 3}, r"images: missing, or not a list"),
        ({"images": [7]}, r"images\[0\]: want an object with an id"),
        ({"images": [{"id": 1, "frame": -2}]}, r"images\[0\] \(id 1\): frame is -2, want an in"),
        ({"images": [{"id": 1, "frame": True}]}, r"images\[0\] \(id 1\): frame is True, want"),
        ({"images": [{"id": 1, "frame": 2}]}, r"images\[0\] \(id 1\): height is None, want an"),
        (
            {"images": [{"id": n, "frame": 2, "height": 48, "width": 64} for n in (1, 2)]},
            r"images\[1\] \(id 2\): frame 2 or its id is there twice",
        ),
    ],
)
def test_images_that_cannot_be_used_are_named(
    video: Path, tmp_path: Path, content: Any, fault: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match=rf"bad\.json: {fault}"):
        clip_images(video, path)


@pytest.mark.parametrize(
    ("image", "bbox", "fault"),
    [
        (5, [1, 1, 2, 2], "image_id 5 is no id of images"),
        ([0], [1, 1, 2, 2], r"image_id \[0\] is no id of images"),
        (0, [1, 1, 2], r"bbox is \[1, 1, 2\], want \[x, y, w, h\]"),
        (0, [1, 1, "a", 2], "bbox holds 'a', want a number"),
        (0, [1, 1, 0, 2], r"box x y w h = \(1, 1, 0, 2\) has no area"),
        (0, [70, 1, 5, 2], r"lies outside the picture of 64 x 48 pixels"),
    ],
)
def test_annotations_that_cannot_be_used_are_named(
    video: Path, annotate: Annotate, image: Any, bbox: Any, fault: str
) -> None:
    path = annotate([0], (image, bbox, False))
    with pytest.raises(DatasetError, match=rf"clip\.json: annotations\[0\] \(id 90\): .*{fault}"):
        clip_images(video, path)


def test_detection_on_a_clip(
    video: Path, annotate: Annotate, prwfolder: ModuleType, tmp_path: Path
) -> None:
    person = [10, 5, 20, 40]
    path = annotate(
        [2, 3, 4, 7, 11], *((n, person, False) for n in range(4)), (4, [40, 0, 24, 48], True)
    )
    clip = clip_images(video, path)
    right, wrong, low = [10, 5, 30, 45], [40, 5, 60, 45], [0, 0, 8, 8]
    answers = {
        2: prwfolder.detections([right], [0], [0.9]),
        3: prwfolder.detections([wrong, right], [0, 0], [0.8, 0.6]),
        4: prwfolder.detections([right, low], [0, 0], [0.3, 0.02]),
        7: prwfolder.detections([], []),
        11: prwfolder.detections([wrong], [0], [0.95]),
    }
    engine = prwfolder.StoredEngine(answers, tmp_path, [], [])
    told: list[EvalProgress] = []
    ticks = iter([1.0, 3.5])
    report = evaluate_detection(
        engine, clip.images, pictures=clip.pictures(), batch=2,
        progress=told.append, clock=lambda: next(ticks),
    )  # fmt: skip
    assert engine.batches == [2, 2, 1]
    assert [now.done for now in told] == [2, 4, 5]
    document = json.loads(json.dumps(report.as_json()))
    assert document["detection"] == {
        "ap": pytest.approx((1 + 2 / 3) / 4), "recall": 0.5, "precision": pytest.approx(2 / 3),
        "persons": 4, "detections": 3, "found": 2, "ignored": 1,
    }  # fmt: skip
    assert document["down_to_lowest"]["recall"] == 0.75
    assert document["down_to_lowest"]["detections"] == 4
    best = document["recall_at_precision"]
    assert best["0.5"] == {"recall": 0.75, "det_thresh": pytest.approx(0.3)}
    assert best["0.8"] == {"recall": 0.25, "det_thresh": pytest.approx(0.9)}
    assert document["protocol"]["model"] == "stored-1"
    assert (document["pictures"], document["seconds"]) == (5, 2.5)


def test_detection_on_pictures_without_identities(
    setfolders: ModuleType, prwfolder: ModuleType, tmp_path: Path
) -> None:
    folder = setfolders.CocoFolder(tmp_path / "people")
    first, second = folder.image("a.jpg"), folder.image("b.jpg")
    folder.person(first, [5, 5, 20, 40])
    folder.person(second, [30, 0, 34, 48], iscrowd=1)
    folder.write()
    images = load_people(tmp_path / "people").images
    found = prwfolder.detections([[5, 5, 25, 45], [35, 5, 55, 45]], [0, 0], [0.9, 0.8])
    engine = prwfolder.StoredEngine({12: found}, tmp_path, [], [])
    scores = evaluate_detection(engine, images).scores
    # In the first picture one is right and one wrong; in the second one wrong and one ignored.
    assert (scores.persons, scores.found, scores.detections, scores.ignored) == (1, 1, 3, 1)
    with pytest.raises(DatasetError, match="no pictures to score detections on"):
        evaluate_detection(engine, [])


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"real footage is not here: {SHARED}")
def test_the_annotated_real_clip_can_be_read() -> None:
    clip = clip_images(
        SHARED / "intel_one-by-one-person-detection.mp4",
        SHARED / "intel_one-by-one.annotations.json",
    )
    ids = np.concatenate([image.ids for image in clip.images])
    assert (len(clip.images), (ids == UNLABELLED).sum(), (ids == IGNORED).sum()) == (114, 105, 3)
    first = next(clip.pictures())
    assert (clip.numbers[0], first.shape) == (0, (432, 768, 3))
