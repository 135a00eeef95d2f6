"""What a run trains on: in order, ahead of time, and refused with its name when it is broken."""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from engines.pictures import write_picture
from train.checkpoint import load_checkpoint
from train.config import FitConfig, make_config
from train.data.batches import Batch
from train.data.singles import SingleSampler
from train.errors import ConfigError, DatasetError
from train.feed import open_feed, prefetch, real_slots
from train.fit import fit
from train.models.targets import UNLABELLED, stack_targets


def tiny(data: tuple[Path, ...], out: Path, **changes: object) -> FitConfig:
    return make_config("tiny", data=data, out=out, **{"iterations": 2, **changes})


def numbered(iteration: int) -> Batch:
    frames = torch.full((2, 3, 4, 4), iteration, dtype=torch.uint8)
    return Batch(frames, stack_targets([], []))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real pictures in COCO form, without identities."""
    root = tmp_path_factory.mktemp("sets") / "people"
    root.mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(3):
        name = f"{number}.jpg"
        write_picture(root / name, rng.integers(0, 256, size=(96, 160, 3), dtype=np.uint8))
        images.append(
            {"id": number, "file_name": name, "width": 160, "height": 96, "license": "CC0",
             "source": "made up"}
        )  # fmt: skip
        box = [20, 10, 24, 60]
        annotations.append({"id": number, "image_id": number, "bbox": box, "iscrowd": 0})
    content = {"images": images, "annotations": annotations}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("threads", [1, 3])
def test_batches_come_in_order_whoever_makes_them_first(threads: int) -> None:
    def make(iteration: int) -> Batch:
        time.sleep(0.02 if iteration % 3 == 0 else 0)  # the first of three is the slowest
        return numbered(iteration)

    came = [int(batch.frames[0, 0, 0, 0]) for batch, _ in prefetch(make, 5, 14, threads)]
    assert came == list(range(5, 14))


def test_threads_work_ahead_but_not_without_end() -> None:
    made: list[int] = []
    enough = threading.Event()

    def make(iteration: int) -> Batch:
        made.append(iteration)
        if len(made) == 3:
            enough.set()
        return numbered(iteration)

    batches = prefetch(make, 0, 100, 2)
    next(batches)
    assert enough.wait(5)
    batches.close()
    assert sorted(made) == [0, 1, 2]


def test_the_time_that_a_batch_is_waited_for_is_told() -> None:
    def make(iteration: int) -> Batch:
        time.sleep(0.05)
        return numbered(iteration)

    batches = prefetch(make, 0, 2, 1)
    assert next(batches)[1] >= 0.04
    time.sleep(0.2)
    assert next(batches)[1] < 0.04


def test_a_fault_in_a_batch_comes_out_where_it_is_taken() -> None:
    def make(iteration: int) -> Batch:
        if iteration == 1:
            raise DatasetError("picture 1 is broken")
        return numbered(iteration)

    batches = prefetch(make, 0, 9, 2)
    next(batches)
    with pytest.raises(DatasetError, match="picture 1 is broken"):
        next(batches)


def test_more_threads_make_the_same_weights(stripes: Path, tmp_path: Path) -> None:
    saved = []
    for loaders in (1, 3):
        config = tiny((stripes,), tmp_path / str(loaders), augment="light", loaders=loaders)
        saved.append(load_checkpoint(fit(config).checkpoint).tensors)
    assert all(torch.equal(value, saved[1][key]) for key, value in saved[0].items())


def test_single_frames_come_again_only_after_all_others() -> None:
    sampler = SingleSampler(10, 1, seed=3)
    epoch = [frame for iteration in range(5) for frame in sampler.frames(iteration)]
    assert sorted(epoch) == list(range(10))
    assert [frame for iteration in range(5, 10) for frame in sampler.frames(iteration)] != epoch


def test_detection_alone_needs_no_identities(
    tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    data = write_people(tmp_path / "nobody", labelled=False)
    result = fit(tiny((data,), tmp_path / "run", losses="none"))
    assert set(result.losses) == {
        "rpn_class", "rpn_box", "person_class", "person_box", "total",
    }  # fmt: skip


def test_identity_losses_without_identities_say_what_to_do(
    tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    data = write_people(tmp_path / "nobody", labelled=False)
    with pytest.raises(DatasetError, match=r"nobody: no person has an identity; losses=none"):
        fit(tiny((data,), tmp_path / "run"))


def test_identities_on_one_picture_each_cannot_be_paired(
    tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    data = write_people(tmp_path / "once", pictures=1)
    with pytest.raises(DatasetError, match=r"once: no identity appears in two frames"):
        fit(tiny((data,), tmp_path / "run"))


def test_a_picture_that_cannot_be_decoded_is_named(
    tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    data = write_people(tmp_path / "set", pictures=5)
    for path in (data / "frames").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DatasetError, match=r"frames/c\ds1_00000\d\.jpg: not a picture, damaged"):
        fit(tiny((data,), tmp_path / "run"))


def test_a_missing_folder_and_one_that_holds_no_data_set_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere"):
        fit(tiny((tmp_path / "nowhere",), tmp_path / "run"))
    (tmp_path / "letters").mkdir()
    with pytest.raises(DatasetError, match="letters"):
        fit(tiny((tmp_path / "letters",), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_pictures_of_people_fill_the_last_slots_and_have_no_identity(
    stripes: Path, people: Path, tmp_path: Path
) -> None:
    config = tiny((stripes,), tmp_path / "run", people=people, people_share=0.5)
    assert real_slots(config) == 2
    source = open_feed(config).source
    batch = source.batch(0)
    assert len(batch.frames) == 4
    assert (batch.targets.labels[:2] >= 0).any(dim=1).all()
    assert batch.targets.labels[2:, 0].tolist() == [UNLABELLED] * 2
    assert [path.parent for path in source.pictures(0)[2:]] == [people] * 2
    assert {"olp", "c2hep"} <= set(fit(config).losses)


def test_pictures_of_people_alone_train_the_detection(people: Path, tmp_path: Path) -> None:
    assert fit(tiny((), tmp_path / "run", people=people, losses="none")).iterations == 2
    with pytest.raises(ConfigError, match="data: name a data set"):
        fit(tiny((), tmp_path / "other", people=people))


def test_the_digest_sees_boxes_and_identities_but_no_folder(
    stripes: Path, tmp_path: Path, write_people: Callable[..., Path]
) -> None:
    def digest(data: Path) -> str:
        return open_feed(tiny((data,), tmp_path, losses="none")).digest

    assert digest(write_people(tmp_path / "again")) == digest(stripes)
    assert digest(write_people(tmp_path / "moved", seed=1)) != digest(stripes)
    assert digest(write_people(tmp_path / "nobody", labelled=False)) != digest(stripes)
