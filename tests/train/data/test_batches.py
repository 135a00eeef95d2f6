"""Batches: pairs, real pictures, pasting; every slot can be made again, alone or with others."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from engines.pictures import write_picture
from train.data import batches
from train.data.batches import Augmentation, BatchSource, FrameStore, PairSampler, join_sets
from train.data.records import IGNORED, UNLABELLED, ImageRecord
from train.errors import DatasetError
from train.models.targets import IGNORE, PAD
from train.models.targets import UNLABELLED as NO_IDENTITY

HW = (96, 160)
PICTURE_HW = (108, 192)


def picture(seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return np.repeat(np.repeat(rng.integers(0, 256, (9, 16, 3), np.uint8), 12, 0), 12, 1)


@pytest.fixture
def rendered(tmp_path: Path) -> list[ImageRecord]:
    """Eight frames of four identities on two cameras."""
    images = []
    for number in range(8):
        path = tmp_path / f"f{number}.png"
        write_picture(path, picture(number))
        boxes = np.array([[20, 20, 50, 100], [120, 10, 150, 100]], np.float32)
        ids = np.array([number % 4, UNLABELLED])
        images.append(ImageRecord(path, path.name, number // 4, boxes, ids))
    return images


@pytest.fixture
def real(tmp_path: Path) -> list[ImageRecord]:
    """Three real pictures: a person and a region to ignore, and nobody."""
    folder = tmp_path / "real"
    folder.mkdir()
    rows = [[(10, 5, 60, 105, UNLABELLED), (100, 10, 180, 60, IGNORED)], [],
            [(90, 10, 140, 100, UNLABELLED)]]  # fmt: skip
    images = []
    for number, row in enumerate(rows):
        path = folder / f"r{number}.png"
        write_picture(path, picture(100 + number))
        content = np.array(row, np.float32).reshape(-1, 5)
        images.append(
            ImageRecord(path, path.name, 0, content[:, :4], content[:, 4].astype(np.int64))
        )
    return images


def source(
    rendered: list[ImageRecord], real: list[ImageRecord] | None, augment: Augmentation = "strong",
    paste: float = 0.0, seed: int = 0,
) -> BatchSource:  # fmt: skip
    people = None if real is None else FrameStore(real, HW)
    return BatchSource(
        FrameStore(rendered, HW), PairSampler(rendered, 2, seed), people,
        real=3, augment=augment, seed=seed, paste=paste,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _few_cutouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rendering 300 people takes too long for a test."""
    monkeypatch.setattr(batches, "RENDERED_CUTOUTS", 3)


@pytest.mark.parametrize("augment", ["none", "light", "strong"])
@pytest.mark.parametrize("paste", [0.0, 1.0])
def test_parts_of_a_batch_are_the_batch(
    rendered: list[ImageRecord], real: list[ImageRecord], augment: Augmentation, paste: float
) -> None:
    whole = source(rendered, real, augment, paste)
    again = source(rendered, real, augment, paste)
    for iteration in (0, 5):
        full = whole.batch(iteration)
        parts = [again.batch(iteration, part) for part in (slice(4, 7), slice(0, 2), slice(2, 4))]
        late, first, second = parts
        assert len(full.frames) == whole.slots == 7
        joined = torch.cat([first.frames, second.frames, late.frames])
        assert torch.equal(full.frames, joined)
        labels = [
            row[row != PAD].tolist() for p in (first, second, late) for row in p.targets.labels
        ]
        assert [row[row != PAD].tolist() for row in full.targets.labels] == labels


def test_batches_differ_by_iteration_and_seed(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    one, other = source(rendered, real), source(rendered, real, seed=1)
    assert not torch.equal(one.batch(0).frames, one.batch(1).frames)
    assert not torch.equal(one.batch(0).frames, other.batch(0).frames)


def test_unchanged_frames_are_what_an_engine_sees(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    batch = source(rendered, real, "none").batch(0)
    store = FrameStore(rendered, HW)
    for slot, index in enumerate(PairSampler(rendered, 2, 0).frames(0)):
        assert np.array_equal(batch.frames[slot].numpy(), store.load(index).frame)
    scale = HW[1] / PICTURE_HW[1]
    assert batch.targets.boxes[0, 0].numpy() == pytest.approx(
        np.array([20, 20, 50, 100]) * scale + np.array([0, 3, 0, 3]), abs=0.6
    )


def test_pairs_share_an_identity_and_real_pictures_come_last_without_one(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    batch = source(rendered, real, "none").batch(3)
    named = [set(row[row >= 0].tolist()) for row in batch.targets.labels]
    assert named[0] & named[1]
    assert named[2] & named[3]
    assert named[4:] == [set(), set(), set()]
    labels = {
        v
        for t in range(12)
        for v in source(rendered, real, "none").batch(t).targets.labels[4:].flatten().tolist()
    }
    assert labels == {NO_IDENTITY, IGNORE, PAD}


def test_pasting_adds_people_without_identity(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    def count(paste: float) -> int:
        made = source(rendered, real, "none", paste)
        return sum(int((made.batch(t).targets.labels == NO_IDENTITY).sum()) for t in range(6))

    assert count(1.0) > count(0.0) + 6


def test_without_real_pictures_nothing_is_pasted(rendered: list[ImageRecord]) -> None:
    alone = source(rendered, None, "none", paste=1.0)
    assert alone.slots == 4
    assert torch.equal(alone.batch(0).frames, source(rendered, None, "none").batch(0).frames)


def test_a_part_of_a_batch_is_those_slots_of_the_whole(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    made = source(rendered, real, paste=0.5)
    for iteration in (2, 3):
        whole, part = made.batch(iteration), made.batch(iteration, slice(1, 4))
        assert torch.equal(part.frames, whole.frames[1:4])
        assert torch.equal(whole.frames, source(rendered, real, paste=0.5).batch(iteration).frames)


def test_a_picture_that_is_gone_ends_the_run_with_its_name(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    for image in rendered:
        image.path.unlink()
    with pytest.raises(DatasetError, match=r"f\d.png"):
        source(rendered, real).batch(0)


def test_pictures_beyond_the_memory_limit_are_read_each_time(
    rendered: list[ImageRecord],
) -> None:
    one = picture(0).nbytes
    small, large = FrameStore(rendered, HW, cache_bytes=one), FrameStore(rendered, HW)
    for index in (0, 1, 0, 1):
        assert np.array_equal(small.load(index).frame, large.load(index).frame)
    rendered[0].path.unlink()
    rendered[1].path.unlink()
    small.load(0)
    with pytest.raises(DatasetError, match=r"f1.png"):
        small.load(1)


def test_sets_side_by_side_keep_identities_and_cameras_apart(rendered: list[ImageRecord]) -> None:
    records, identities = join_sets([(rendered, 4), (rendered, 4)])
    assert identities == 8
    assert {int(i) for r in records[8:] for i in r.ids} == {UNLABELLED, 4, 5, 6, 7}
    assert {r.camera for r in records[:8]} == {0, 1}
    assert {r.camera for r in records[8:]} == {2, 3}


def test_slots_with_the_same_picture_show_it_differently(
    rendered: list[ImageRecord], real: list[ImageRecord]
) -> None:
    frames = source(rendered, real[:1]).batch(1).frames[4:]
    assert len({frame.numpy().tobytes() for frame in frames}) == 3
