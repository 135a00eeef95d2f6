"""The comparison of a training step with torchvision's parts: both nets do the same work."""

from pathlib import Path

import pytest
import torch

from train.config import FitConfig, make_config
from train.errors import ConfigError
from train.experiments.steptime import StepTimes, compare_steps
from train.experiments.torchvision_net import TorchvisionLearner
from train.models.targets import Targets, stack_targets


def config(**changes: object) -> FitConfig:
    return make_config(
        "paper", data=(), out=Path(), input_hw=(96, 160), frozen_norm=True, pre_nms=64,
        proposals=32, rois=16, dictionary=64, **changes,
    )  # fmt: skip


def persons() -> Targets:
    boxes = torch.tensor([[8.0, 8, 48, 88], [70, 10, 110, 90], [100, 4, 150, 92]])
    return stack_targets([boxes, boxes[:2]], [torch.tensor([3, 5, -1]), torch.tensor([3, 7])])


@pytest.fixture(scope="module")
def learner() -> TorchvisionLearner:
    torch.manual_seed(0)
    return TorchvisionLearner(config(losses="olp+softmax"), identities=9).train()


def test_torchvisions_parts_have_the_terms_of_ours(learner: TorchvisionLearner) -> None:
    frames = torch.randint(0, 256, (2, 3, 96, 160), dtype=torch.uint8)
    losses = learner(frames, persons(), torch.Generator().manual_seed(0))
    assert losses.keys() == {
        "loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "olp", "softmax",
    }  # fmt: skip
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    still = [n for n, p in learner.named_parameters() if p.requires_grad and p.grad is None]
    assert not still
    frozen = {n.split(".")[2] for n, p in learner.named_parameters() if not p.requires_grad}
    assert frozen == {"conv1", "layer1"}
    stored = learner.identity.dictionary.labels
    assert {3, 5, 7, -1} <= set(stored.tolist())


def test_it_embeds_every_person_and_no_more_rois_than_ours(learner: TorchvisionLearner) -> None:
    heads = learner.net.roi_heads
    target = {"boxes": persons().boxes[0], "ids": persons().labels[0]}
    owner = torch.tensor([0, 0, 0, 0, 0, 1, 2, 0])
    labels = torch.tensor([1, 1, 1, 1, 1, 1, 0, 0])
    refined = torch.rand(8, 4)
    boxes, ids = heads._choose(refined, owner, labels, target)
    assert ids.tolist() == [3, 5, -1, 3, 3, 3, 5]
    assert torch.equal(boxes[:3], target["boxes"])
    assert torch.equal(boxes[3:], refined[[0, 1, 2, 5]])


def test_steps_are_timed_in_turn() -> None:
    told: list[tuple[int, int]] = []
    times = compare_steps(
        input_hw=(64, 96), rois=8, repeats=1, threads=1, progress=lambda *at: told.append(at)
    )
    assert told == [(1, 2), (2, 2)]
    assert len(times.ours_s) == len(times.theirs_s) == 1
    found = times.as_json()
    assert found["ratio"] == pytest.approx(found["ours_s"] / found["torchvision_s"])
    assert found["setting"]["proposals"] == 8


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    times = StepTimes((1.0, 2.0, 9.0), (2.0, 2.0, 3.0), {})
    assert times.ratio == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_hw": (100, 160)}, "input_hw must be multiples of 32"),
        ({"frames": 3}, "frames must be an even number, got 3"),
        ({"repeats": 0}, "repeats must be at least 1, got 0"),
    ],
)
def test_sizes_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare_steps(**changes)  # type: ignore[arg-type]
