"""DC-I-Net as a whole: shapes, independence of frames, gradients, targets."""

from pathlib import Path

import pytest
import torch

from train.config import make_config
from train.losses.joint import IdentityLosses
from train.models.boxes import iou
from train.models.dcinet import DCINet
from train.models.losses import draw_rois, reid_boxes, training_losses
from train.models.targets import IGNORE, PAD, UNLABELLED, Targets, match, sample, stack_targets

CONFIG = make_config("tiny", data=(Path("none"),), out=Path("none"))


def noise(count: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 96, 160), dtype=torch.uint8, generator=generator)


def people() -> Targets:
    boxes = torch.tensor([[20.0, 10.0, 50.0, 90.0], [90.0, 20.0, 120.0, 85.0]])
    return stack_targets([boxes, boxes], [torch.tensor([0, 1]), torch.tensor([0, UNLABELLED])])


@pytest.fixture
def net() -> DCINet:
    torch.manual_seed(0)
    return DCINet(CONFIG.network).eval()


@torch.no_grad()
def test_search_gives_fixed_shapes_sorted_scores_and_unit_embeddings(net: DCINet) -> None:
    found = net.search(noise(3))
    slots = CONFIG.network.max_persons
    assert found.boxes.shape == (3, slots, 4)
    assert found.embeddings.shape == (3, slots, 256)
    for scores, embeddings, count in zip(found.scores, found.embeddings, found.counts, strict=True):
        assert torch.equal(scores, scores.sort(descending=True).values)
        norms = embeddings.norm(dim=1)
        torch.testing.assert_close(norms[:count], torch.ones(int(count)))
        assert not norms[count:].any()
    assert (found.boxes[..., 2] <= 160).all()
    assert (found.boxes[..., 3] <= 96).all()


@torch.no_grad()
def test_a_frame_alone_gives_what_it_gives_in_a_batch(net: DCINet) -> None:
    frames = noise(4)
    together = net.search(frames)
    for row in range(4):
        alone = net.search(frames[row : row + 1])
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[row], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_query_on_a_found_box_gives_that_persons_embedding(net: DCINet) -> None:
    frames = noise(2)
    found = net.search(frames)
    boxes = found.boxes[:, : CONFIG.network.query_boxes]
    embeddings = net.query(frames, boxes)
    valid = found.scores[:, : CONFIG.network.query_boxes] > 0
    same = (embeddings * found.embeddings[:, : CONFIG.network.query_boxes]).sum(dim=2)[valid]
    assert valid.any()
    torch.testing.assert_close(same, torch.ones_like(same), atol=1e-5, rtol=0)


def test_a_batch_without_identities_has_finite_losses_and_no_identity_loss() -> None:
    torch.manual_seed(0)
    net = DCINet(CONFIG.network).train()
    losses = IdentityLosses(CONFIG.loss, 5, CONFIG.network.dim)
    empty = stack_targets([torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2)
    terms = training_losses(net, losses, noise(2), empty, torch.Generator().manual_seed(0))
    assert terms["olp"] == terms["c2hep"] == terms["person_box"] == 0.0
    assert all(torch.isfinite(value) for value in terms.values())


def test_an_ignored_region_is_neither_person_nor_background() -> None:
    boxes = torch.tensor([[10.0, 10.0, 60.0, 60.0]])
    targets = stack_targets([boxes], [torch.tensor([IGNORE])])
    found = match(torch.tensor([[[15.0, 15.0, 50.0, 50.0], [90.0, 20.0, 120.0, 60.0]]]), targets)
    assert found.overlap.tolist() == [[0.0, 0.0]]
    assert found.ignored.tolist() == [[True, False]]


def test_sampling_keeps_to_its_size_and_share() -> None:
    positive = torch.zeros(2, 100, dtype=torch.bool)
    positive[0, :40] = True
    positive[1, :3] = True
    drawn = sample(positive, ~positive, 20, 0.5, torch.rand(2, 100))
    assert drawn.sum(dim=1).tolist() == [20, 20]
    assert (drawn & positive).sum(dim=1).tolist() == [10, 3]


def test_drawn_rois_hold_each_person_itself() -> None:
    far = torch.tensor([[[0.0, 0.0, 8.0, 8.0]]]).expand(2, 24, 4)
    rois = draw_rois(far, people(), CONFIG.loss, torch.Generator().manual_seed(0))
    overlap = iou(rois.boxes, people().boxes).amax(dim=2)
    assert (rois.positive.sum(dim=1) == 2).all()
    torch.testing.assert_close(overlap[rois.positive], torch.ones(4))


def test_reid_boxes_are_persons_only_and_few_each() -> None:
    targets = people()
    refined = targets.boxes.repeat(1, 6, 1) + 1.0
    boxes, labels = reid_boxes(refined, torch.ones(2, 12, dtype=torch.bool), targets, per_box=4)
    assert sorted(labels[0].tolist()) == [0] * 4 + [1] * 4
    assert sorted(labels[1].tolist()) == [UNLABELLED] * 4 + [0] * 4
    assert PAD not in labels
    assert (iou(boxes, targets.boxes).amax(dim=2) > 0.5).all()
