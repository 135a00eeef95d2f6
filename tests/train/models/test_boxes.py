"""Box arithmetic, suppression and pooling against torchvision and by hand."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, nms
from torchvision.ops import roi_align as reference_roi_align

from train.models.boxes import clip, decode, encode, iou, make_anchors, nms_keep
from train.models.roi import roi_align


def crowd(count: int, seed: int, spread: float = 200.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * spread
    size = torch.rand(count, 2, generator=generator) * 60 + 5
    return torch.cat([corner, corner + size], dim=1)


def test_coding_undoes_itself() -> None:
    boxes, anchors = crowd(50, 0), crowd(50, 1)
    coded = encode(boxes, anchors, (10.0, 5.0))
    torch.testing.assert_close(decode(coded, anchors, (10.0, 5.0)), boxes, atol=1e-3, rtol=1e-4)


def test_a_shift_by_a_tenth_of_the_width_codes_as_weight_times_a_tenth() -> None:
    anchor = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    coded = encode(anchor + torch.tensor([2.0, 0.0, 2.0, 0.0]), anchor, (10.0, 5.0))
    torch.testing.assert_close(coded, torch.tensor([[1.0, 0.0, 0.0, 0.0]]))


def test_the_first_anchor_sits_in_the_middle_of_the_first_cell() -> None:
    anchors = make_anchors((2, 3), 16, (32.0,), (1.0, 4.0))
    assert anchors.shape == (12, 4)
    torch.testing.assert_close(anchors[0], torch.tensor([-8.0, -8.0, 24.0, 24.0]))
    torch.testing.assert_close(anchors[1], torch.tensor([0.0, -24.0, 16.0, 40.0]))
    torch.testing.assert_close(anchors[2] - anchors[0], torch.tensor([16.0, 0.0, 16.0, 0.0]))


def test_overlap_agrees_with_torchvision() -> None:
    a, b = crowd(20, 2), crowd(30, 3)
    torch.testing.assert_close(iou(a, b), box_iou(a, b))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("threshold", [0.4, 0.7])
def test_suppression_is_greedy_suppression(seed: int, threshold: float) -> None:
    boxes = crowd(120, seed)
    kept = nms_keep(boxes[None], threshold)[0].nonzero()[:, 0]
    scores = torch.linspace(1, 0, len(boxes))
    assert kept.tolist() == sorted(nms(boxes, scores, threshold).tolist())


def test_suppression_treats_each_frame_of_a_batch_alone() -> None:
    boxes = torch.stack([crowd(60, 4), crowd(60, 5), crowd(60, 4)])
    together = nms_keep(boxes, 0.4)
    alone = torch.cat([nms_keep(frame[None], 0.4) for frame in boxes])
    assert torch.equal(together, alone)


def test_an_odd_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="must be even, got 3"):
        nms_keep(crowd(3, 0)[None], 0.5, iterations=3)


@pytest.mark.parametrize("out_hw", [(7, 7), (14, 7)])
def test_pooling_agrees_with_torchvision(out_hw: tuple[int, int]) -> None:
    features = torch.randn(2, 5, 20, 30, generator=torch.Generator().manual_seed(0))
    boxes = clip(torch.stack([crowd(9, 6, 300.0), crowd(9, 7, 300.0)]), (320, 480))
    wanted = reference_roi_align(
        features, list(boxes), out_hw, spatial_scale=1 / 16, sampling_ratio=2, aligned=True
    )
    torch.testing.assert_close(roi_align(features, boxes, out_hw, 16), wanted, atol=1e-5, rtol=1e-5)
